"""Rooms and their members."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from trinity.domain import errors
from trinity.domain.consensus import Rule, RuleKind, Unanimous
from trinity.domain.ids import DAY, BlobId, Millis, RoomId, TitleId, UserId
from trinity.domain.pictures import Picture
from trinity.domain.titles import Title

RoomState = Literal["open", "decided", "closed", "expired"]
StopAt = Literal["first", "never"] | int
Role = Literal["host", "member"]

OPEN_FOR = Millis(7 * DAY)
"""How long a room takes votes after it was opened, or opened again."""
KEPT_FOR = Millis(60 * DAY)
"""How long a room and all that belongs to it is kept, from its creation.

Fixed at creation, so that ballots, matches and events carry the same end as their room.
"""
DECK_KEPT_FOR = Millis(KEPT_FOR + DAY)
"""How long a deck is kept after it was stored, which is right before its room is created.

What a catalogue told is not kept for good: TMDB's terms of use allow six months.
"""


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Somebody who is, or was, in a room.

    Attributes:
        avatar: the picture of the account, in the middle size.
        active: is in the room now: may vote and is counted.
        removed: was put out by the host and may not come back.
    """

    name: str
    joined_at: Millis
    active: bool
    avatar: BlobId | None = None
    removed: bool = False


class LatestMatch(msgspec.Struct, frozen=True, rename="camel"):
    """The newest match in a few words, for lists of rooms."""

    title_id: TitleId
    title: str
    at: Millis


class Room(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A group, its deck and its rule.

    Attributes:
        state: as stored; use `state_at` to see whether an open room has expired.
        decide_at: number of matches that decides the room, None for never.
        secret: members see who agreed only on a match.
        deck: the blob that holds the titles.
        members: everybody who ever joined, by user id.
        active_count: how many of them are active; kept by the same writes that change it.
        eased: by how much an easing rule has been eased.
        cover: a picture.
        cover_at: when it was chosen, or taken away; of two choices the later one counts.
        version: grows with every write of the room.
    """

    id: RoomId
    name: str
    code: str
    state: Literal["open", "decided", "closed"]
    host_id: UserId
    rule: Rule = Unanimous()
    stop_at: StopAt = "first"
    decide_at: int | None
    capacity: int
    secret: bool
    deck: BlobId
    deck_size: int
    members: dict[UserId, Member]
    active_count: int
    match_count: int = 0
    latest_match: LatestMatch | None = None
    eased: int = 0
    cover: Picture | None = None
    cover_at: Millis = Millis(0)
    created_at: Millis
    expires_at: Millis
    version: int = 1

    def state_at(self, now: Millis) -> RoomState:
        """Return the state as people should see it at a point in time."""
        return "expired" if self.state == "open" and now >= self.expires_at else self.state

    @property
    def present(self) -> frozenset[UserId]:
        """The active members: those who may vote and who are counted."""
        return frozenset(user for user, member in self.members.items() if member.active)

    def is_active(self, user: UserId) -> bool:
        """Tell whether the user is an active member."""
        member = self.members.get(user)
        return member is not None and member.active

    def require_member(self, user: UserId) -> None:
        """Refuse whoever is not an active member.

        Raises:
            NotAMember: the user is not.
        """
        if not self.is_active(user):
            raise errors.NotAMember

    def require_host(self, user: UserId) -> None:
        """Refuse whoever is not the host.

        Raises:
            NotAMember: the user is not even a member.
            NotTheHost: the user is a member like others.
        """
        self.require_member(user)
        if user != self.host_id:
            raise errors.NotTheHost

    def heir(self) -> UserId | None:
        """Return who becomes host when the host leaves: the longest-standing active member."""
        others = [
            (member.joined_at, user)
            for user, member in self.members.items()
            if member.active and user != self.host_id
        ]
        return min(others)[1] if others else None


class Match(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A title that the group agreed on.

    Attributes:
        user_ids: who had said yes.
        kind: the rule that was met.
    """

    title_id: TitleId
    title: Title
    at: Millis
    user_ids: tuple[UserId, ...]
    kind: RuleKind


def called_after(host: str) -> str:
    """Return the name of a room that nobody gave one."""
    return f"{host}’s room"


def matches_to_decide(stop_at: StopAt, already: int = 0) -> int | None:
    """Return how many matches decide a room that has `already` so many; None for never."""
    match stop_at:
        case "never":
            return None
        case "first":
            return already + 1
        case count:
            return already + count


def open_until(created_at: Millis, now: Millis) -> Millis:
    """Return until when a room takes votes that is opened now."""
    return Millis(min(now + OPEN_FOR, created_at + KEPT_FOR))


def newest_first(matches: Sequence[Match]) -> list[Match]:
    """Return the matches, the newest first."""
    return sorted(matches, key=lambda match: (-match.at, match.title_id))
