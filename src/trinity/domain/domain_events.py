"""What happened, told to whoever cares: the events on the bus.

An event says what is true by now, in the past tense, and never what somebody should do about it.
Each type has a version; within a version fields are only added, always with a default. What an
event looks like to others is in schema/events, made from the types below.

Delivery is at least once and in no order. Two events of one id are the same event, so every
consumer may see it twice; `occurred` and the sequence numbers inside tell older from newer.
"""

from typing import Any, ClassVar, Literal

import msgspec

from trinity.domain.consensus import Choice, RuleKind
from trinity.domain.ids import Millis, RoomId, TitleId, UserId

SOURCE = "trinity"

UploadKind = Literal["avatar", "cover", "list"]


class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What an event tells; each type of event is a subclass of the same name."""

    version: ClassVar[int] = 1


class UserRegistered(Fact, frozen=True, kw_only=True):
    """An account with an e-mail address came to be; `was_guest`: out of a guest's."""

    user_id: UserId
    was_guest: bool


class UserDeleted(Fact, frozen=True, kw_only=True):
    """An account was removed, by its owner."""

    user_id: UserId


class RoomOpened(Fact, frozen=True, kw_only=True):
    """A room was created."""

    room_id: RoomId
    host_id: UserId
    rule: RuleKind
    deck_size: int
    secret: bool


class MemberJoined(Fact, frozen=True, kw_only=True):
    """Somebody became an active member of a room, its host included; or came back."""

    room_id: RoomId
    user_id: UserId


class MemberLeft(Fact, frozen=True, kw_only=True):
    """Somebody is no active member any more; `removed`: by the host."""

    room_id: RoomId
    user_id: UserId
    removed: bool


class Vote(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The vote of one member on one title after a change of its ballot.

    Attributes:
        choice: None: the vote was taken back.
        rev: of the ballot: of two entries on one title and user the one with the larger is newer.
        at: about when.
    """

    title_id: TitleId
    user_id: UserId
    choice: Choice | None
    rev: int
    at: Millis


class VoteCast(Fact, frozen=True, kw_only=True):
    """Votes of one room that were cast, changed or taken back lately."""

    room_id: RoomId
    votes: tuple[Vote, ...]


class MatchFound(Fact, frozen=True, kw_only=True):
    """A group agreed on a title."""

    room_id: RoomId
    title_id: TitleId
    title: str
    user_ids: tuple[UserId, ...]
    rule: RuleKind
    at: Millis


class RoomDecided(Fact, frozen=True, kw_only=True):
    """A room has as many matches as it was to have."""

    room_id: RoomId
    match_count: int


class RoomClosed(Fact, frozen=True, kw_only=True):
    """A room was closed, by its host or because nothing happened in it any more."""

    room_id: RoomId


class RoomDeleted(Fact, frozen=True, kw_only=True):
    """A room and everything in it was removed."""

    room_id: RoomId


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The envelope of an event.

    Attributes:
        id: the same change gives the same id, however often it is told.
        type: the name of a `Fact`.
        version: of the type.
        occurred: when the change was made, milliseconds since 1970.
        correlation_id: of the request that made the change, as in the log; None if none did.
        traceparent: W3C trace context of that request, None if there was none.
            https://www.w3.org/TR/trace-context/#traceparent-header
        data: the fact.
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
