"""What happened, told to whoever cares: the events on the bus.

An event says what is true by now, in the past tense, and never what somebody should do about it.
Each type has a version; within a version fields are only added. What an event looks like to others
is in schema/events, made from the types below; docs/events.md says how to consume them.

Delivery is at least once and in no order. Two events of one id are the same event, so every
consumer may see it twice; `roomVersion` and `rev` inside tell older from newer.
"""

from typing import Any, ClassVar

import msgspec

from trinity.domain.consensus import Choice, RuleKind
from trinity.domain.ids import BlobId, Millis, RoomId, TitleId, UploadId, UserId
from trinity.domain.uploads import UploadKind

SOURCE = "trinity"


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What an event tells; each type of event is a subclass of the same name."""

    version: ClassVar[int] = 1


class UserRegistered(Fact, frozen=True, kw_only=True):
    """An account with an e-mail address came to be.

    Attributes:
        was_guest: out of a guest's, which keeps its rooms and votes.
    """

    user_id: UserId
    was_guest: bool


class PasswordForgotten(Fact, frozen=True, kw_only=True):
    """Somebody, not necessarily the user, asked for a mail to set a new password."""

    user_id: UserId


class UserDeleted(Fact, frozen=True, kw_only=True):
    """An account was removed, by its owner."""

    user_id: UserId


class RoomOpened(Fact, frozen=True, kw_only=True):
    """A room was created.

    Attributes:
        rule: when the group agrees; the host may change it later.
        deck: address of the titles, SHA-256 of their JSON.
        deck_size: number of titles.
        secret: members see who agreed only on a match.
        at: when, milliseconds since 1970.
    """

    room_id: RoomId
    host_id: UserId
    rule: RuleKind
    deck: BlobId
    deck_size: int
    secret: bool
    at: Millis


class MemberJoined(Fact, frozen=True, kw_only=True):
    """Somebody became an active member of a room: its host, or a guest, or one who came back.

    Attributes:
        room_version: of the room with this change: of two events on one room the one with the
            larger is newer. The same holds in all that follow.
    """

    room_id: RoomId
    user_id: UserId
    room_version: int


class MemberLeft(Fact, frozen=True, kw_only=True):
    """Somebody is no active member of a room any more. Nobody leaves a room that is removed.

    Attributes:
        removed: by the host.
    """

    room_id: RoomId
    user_id: UserId
    removed: bool
    room_version: int


class MemberInvited(Fact, frozen=True, kw_only=True):
    """Somebody was invited to a room, for the first time by whomever.

    Attributes:
        by: the member who did.
        user_id: who was, None if it is somebody without an account.
        invitee: what that person is called instead; it is no address and leads to none.
    """

    room_id: RoomId
    by: UserId
    user_id: UserId | None = None
    invitee: str = ""


class Vote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The vote of one member on one title after a change of its ballot.

    Attributes:
        choice: null: the vote was taken back.
        rev: of the ballot: of two entries on one room, title and user the one with the larger is
            newer, and two with the same are one.
        at: about when it was cast, milliseconds since 1970.
        correlation_id: of the request that cast it, as in the log; null if that is not known.
    """

    title_id: TitleId
    user_id: UserId
    choice: Choice | None
    rev: int
    at: Millis
    correlation_id: str | None = None


class VoteCast(Fact, frozen=True, kw_only=True):
    """Votes of one room that were cast, changed or taken back within about a second.

    The same vote may come in two events that differ in the others that they hold.

    Attributes:
        votes: at most 500, in the order of their changes.
    """

    room_id: RoomId
    votes: tuple[Vote, ...]


class MatchFound(Fact, frozen=True, kw_only=True):
    """A group agreed on a title.

    Attributes:
        title: its name.
        user_ids: who had said yes.
        rule: that was met.
        at: when, milliseconds since 1970.
    """

    room_id: RoomId
    title_id: TitleId
    title: str
    user_ids: tuple[UserId, ...]
    rule: RuleKind
    at: Millis


class RoomDecided(Fact, frozen=True, kw_only=True):
    """A room has as many matches as it was to have, and takes no more votes.

    Attributes:
        match_count: number of matches by now.
    """

    room_id: RoomId
    match_count: int
    room_version: int


class RoomClosed(Fact, frozen=True, kw_only=True):
    """A room was closed: by its host, or since everybody left, or since nothing happened in it."""

    room_id: RoomId
    room_version: int


class RoomReopened(Fact, frozen=True, kw_only=True):
    """A room that was decided or closed, or whose time was over, takes votes again."""

    room_id: RoomId
    room_version: int


class RoomDeleted(Fact, frozen=True, kw_only=True):
    """A room and everything in it was removed.

    Attributes:
        expired: because its time was over; else its host did it.
    """

    room_id: RoomId
    expired: bool


class UploadReceived(Fact, frozen=True, kw_only=True):
    """A file that somebody has sent is there; what becomes of it will be told.

    Attributes:
        upload_id: the upload, as its owner may ask for it.
        kind: what the file is for.
    """

    user_id: UserId
    upload_id: UploadId
    kind: UploadKind


class UploadReady(Fact, frozen=True, kw_only=True):
    """A file was processed: the picture is in sight, the list can become a deck.

    Attributes:
        upload_id: the upload, as its owner may ask for it.
        kind: what the file is for.
        entries: of a list; null for a picture.
    """

    user_id: UserId
    upload_id: UploadId
    kind: UploadKind
    entries: int | None = None


class UploadRejected(Fact, frozen=True, kw_only=True):
    """A file is of no use, or never came; its owner is told why.

    Attributes:
        upload_id: the upload, as its owner may ask for it.
        kind: what the file is for.
    """

    user_id: UserId
    upload_id: UploadId
    kind: UploadKind


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The envelope of an event.

    Attributes:
        id: the same change gives the same id, however often it is told.
        source: always `trinity`.
        type: what happened.
        version: of the type.
        occurred: when the change was made, milliseconds since 1970, exact to a second.
        correlation_id: of the request that led to the change, as in the log; null if none did, or
            several.
        traceparent: W3C trace context of that request, null if there was none.
            https://www.w3.org/TR/trace-context/#traceparent-header
        data: the fact, by its own schema.
    """

    id: str
    source: str = SOURCE
    type: str
    version: int
    occurred: Millis
    correlation_id: str | None = None
    traceparent: str | None = None
    data: dict[str, Any]

    @property
    def fact(self) -> Fact:
        """What the event tells.

        Raises:
            UnknownEvent: a newer version of Trinity sent it.
        """
        kind = FACTS.get(self.type)
        if kind is None or kind.version != self.version:
            raise UnknownEvent(f"{self.type} version {self.version} is not known here")
        return msgspec.convert(self.data, kind)


class UnknownEvent(Exception):
    """An event of a type or version that this code does not know."""


FACTS: dict[str, type[Fact]] = {kind.__name__: kind for kind in Fact.__subclasses__()}
"""All types of events by name."""
