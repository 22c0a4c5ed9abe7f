"""Notices: what people who are away are told, by which channels, and what it says."""

import hashlib
from typing import Any, Literal

import msgspec

from trinity.domain.consensus import RuleKind
from trinity.domain.ids import HOUR, Millis, RoomId, TitleId, UserId

Kind = Literal["matchFound", "invited"]
"""What people may want to hear of, or not."""
About = Kind | Literal["passwordReset"]
"""What a notice is about; a password that was forgotten is no matter of taste."""
Channel = Literal["email", "push", "webhook"]

SECRET_PREFIX = "whsec_"  # noqa: S105  (what secrets of webhooks begin with)
RESET_WITHIN = Millis(HOUR)
"""A mail to set a new password that is later than this is none that anybody waits for."""
MAIL_EVERY = Millis(HOUR)
"""Of a room's matches nobody gets more than one mail in this time."""
WEBHOOK_FAILURES = 30
"""A webhook that fails so often in a row is switched off."""


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """By which channels somebody wants to hear of one kind of thing."""

    email: bool = True
    push: bool = True
    webhook: bool = True


class Preferences(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What somebody wants to hear of. Who has said nothing gets mail only when invited.

    Web Push and webhooks are there only where somebody asked for them, so they begin switched on.
    """

    match_found: Channels = Channels(email=False)
    invited: Channels = Channels()

    def of(self, kind: Kind) -> Channels:
        """Return the channels for one kind of thing."""
        return self.match_found if kind == "matchFound" else self.invited


class Browser(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A browser that takes notices by Web Push: a push subscription (RFC 8030).

    Attributes:
        id: made of the endpoint, so that a browser is there once.
        endpoint: whoever knows it and the keys may send to the browser.
        p256dh: the browser's public key (RFC 8291), base64url.
        auth: the secret that it shares with us, base64url.
        session: of the user who was signed in there. It ends with him signing out.
    """

    id: str
    endpoint: str
    p256dh: str
    auth: str
    session: str
    created_at: Millis


class Webhook(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A program that takes notices.

    Attributes:
        secret: what its notices are signed with: `whsec_` and base64.
        failures: how many attempts have failed in a row.
        disabled: gets nothing any more, because of its failures.
    """

    id: str
    url: str
    secret: str
    created_at: Millis
    failures: int = 0
    disabled: bool = False


class Invitation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An invitation that was not sent yet; of one that was, only that it was is kept.

    Attributes:
        by: who invites.
        address: whom, if it is nobody with an account.
    """

    by: UserId
    address: str | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One thing that one person is to be told at one endpoint of one channel.

    It travels through queues, so it says who and what by ids and holds no address and no secret.

    Attributes:
        event_id: of the domain event that it comes from.
        room_id: "" where it is about a password.
        user_id: whom to tell; None for somebody without an account, who was invited by mail.
        invitee: who that is: the key of the invitation; "" for everybody else.
        endpoint: id of a browser or a webhook; "" for e-mail.
        at: when the thing happened.
        by: who has invited.
        title_id, title, rule: of a match.
        correlation_id, traceparent: of the domain event.
    """

    event_id: str
    kind: About
    channel: Channel
    at: Millis
    room_id: RoomId = RoomId("")
    user_id: UserId | None = None
    invitee: str = ""
    endpoint: str = ""
    by: UserId | None = None
    title_id: TitleId | None = None
    title: str = ""
    rule: RuleKind | None = None
    correlation_id: str | None = None
    traceparent: str | None = None

    @property
    def id(self) -> str:
        """The same for the same thing, person, channel and endpoint, however often it is made."""
        parts = (self.event_id, self.user_id or self.invitee, self.channel, self.endpoint)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def to(self, user: UserId, channel: Channel, endpoint: str = "") -> "Notice":
        """Return the same for a user at an endpoint."""
        return msgspec.structs.replace(self, user_id=user, channel=channel, endpoint=endpoint)


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice says, for each channel to show in its own way.

    Attributes:
        id: of the notice.
        at: when it happened.
        title: one line.
        text: one or two sentences.
        link: the address that it leads to.
        action: what following the link does, in a few words.
        data: the same for programs.
        unsubscribe_url: see `ports.Mail`; "" where nobody can do without.
    """

    id: str
    kind: About
    at: Millis
    title: str
    text: str
    link: str
    action: str
    data: dict[str, Any]
    unsubscribe_url: str = ""


def content(
    notice: Notice, *, room_name: str, inviter: str, link: str, unsubscribe_url: str = ""
) -> Content:
    """Return what a notice says.

    Nobody's vote is in it: who agreed is for those who open the room.

    Args:
        notice: what it is about.
        room_name: as the room is called now.
        inviter: as whoever has invited is called now.
        link: to the room.
        unsubscribe_url: see `Content`.
    """
    data: dict[str, Any] = {"roomId": notice.room_id, "roomName": room_name, "url": link}
    if notice.kind == "matchFound":
        title = f"It’s a match: {notice.title}"
        text = f"Your group in “{room_name}” agreed on “{notice.title}”."
        action = "See the match"
        data |= {"titleId": notice.title_id, "title": notice.title, "rule": notice.rule}
    else:
        title = f"{inviter} invites you to “{room_name}”"
        text = f"{inviter} wants to find something with you that you all like."
        action = "Join the room"
        data |= {"invitedBy": inviter}
    return Content(
        id=notice.id,
        kind=notice.kind,
        at=notice.at,
        title=title,
        text=text,
        link=link,
        action=action,
        data=data,
        unsubscribe_url=unsubscribe_url,
    )


def reset_content(notice: Notice, name: str, link: str) -> Content:
    """Return what a mail says that lets somebody set a new password.

    Args:
        notice: what it is about.
        name: of the user.
        link: where the password can be set; it holds a secret.
    """
    return Content(
        id=notice.id,
        kind=notice.kind,
        at=notice.at,
        title="Set a new password for Trinity",
        text=f"Hello {name}, you can set a new password within an hour.",
        link=link,
        action="Set a new password",
        data={},
    )
