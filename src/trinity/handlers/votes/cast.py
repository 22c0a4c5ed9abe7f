"""Vote on one title or on several."""

from typing import Annotated

import msgspec
from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.common.shapes import MatchShape, Shape
from trinity.domain import errors
from trinity.domain.consensus import Choice, may_complete
from trinity.domain.ids import BlobId, RoomId, TitleId, UserId
from trinity.domain.rooms import Match
from trinity.ports import Blobs, Cache, Clock, Table
from trinity.store import ballots, decks, matches, rooms

_Title = Annotated[str, Meta(min_length=1, max_length=200)]


class Vote(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A vote on a title."""

    title_id: _Title
    choice: Choice


class CastVotes(Request, frozen=True, kw_only=True):
    """One vote as `titleId` and `choice`, or several as `votes`."""

    room_id: RoomId
    title_id: _Title | None = None
    choice: Choice | None = None
    votes: Annotated[tuple[Vote, ...], Meta(min_length=1, max_length=50)] | None = None

    def by_title(self) -> dict[TitleId, Choice]:
        """Return all votes; of two on one title the later.

        Raises:
            InvalidRequest: it is neither the one form nor the other.
        """
        if self.votes is not None:
            if self.title_id is not None or self.choice is not None:
                raise errors.InvalidRequest("Send titleId and choice, or votes, not both.")
            return {TitleId(vote.title_id): vote.choice for vote in self.votes}
        if self.title_id is None or self.choice is None:
            missing = "titleId" if self.title_id is None else "choice"
            raise errors.InvalidRequest(
                f"The field {missing} is missing.", errors=[(f"/{missing}", "is missing")]
            )
        return {TitleId(self.title_id): self.choice}


class Accepted(Shape, frozen=True, kw_only=True):
    """Votes that are stored for good, and the matches that they made or met."""

    accepted: int
    matches: list[MatchShape]


def cast_votes(
    request: CastVotes,
    caller: Caller,
    *,
    table: Table,
    cache: Cache,
    blobs: Blobs,
    clock: Clock,
) -> Accepted:
    """Store votes; voting again on a title replaces the vote. Each vote is one write.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not an active member.
        RoomClosed: the room is not open.
        TitleNotInDeck: a title is not of this deck; no vote was stored.
        Conflict: others voted on the same titles again and again; the votes are stored, and
            sending them again looks for matches again.
    """
    votes = request.by_title()
    room_id, now = request.room_id, clock.now()
    try:
        room = rooms.admission(table, cache, room_id, caller.user_id, now)
    except errors.RoomClosed:
        return _repeated(table, room_id, caller.user_id, votes)
    deck = decks.load(blobs, BlobId(room.deck))
    for title in votes:
        deck.title(title)
    cast = [
        ballots.cast(table, room_id, title, caller.user_id, choice, expires=room.expires)
        for title, choice in votes.items()
    ]
    # Mine are written, now read theirs.
    deciding = [
        ballot for ballot in cast if may_complete(ballot.votes.get(caller.user_id), ballot.replaced)
    ]
    found = matches.record(table, cache, room_id, deciding, deck.title, now)
    return _accepted(votes, found)


def _repeated(
    table: Table, room_id: RoomId, user: UserId, votes: dict[TitleId, Choice]
) -> Accepted:
    """Answer somebody who repeats votes that have just decided the room, the answer being lost.

    Raises:
        RoomClosed: these votes were not stored before.
    """
    for title, choice in votes.items():
        ballot = ballots.find(table, room_id, title)
        if ballot is None or ballot.votes.get(user) != choice:
            raise errors.RoomClosed
    room = rooms.get(table, room_id, consistent=True)
    return _accepted(votes, [m for m in matches.of_room(table, room) if m.title_id in votes])


def _accepted(votes: dict[TitleId, Choice], found: list[Match]) -> Accepted:
    return Accepted(accepted=len(votes), matches=[MatchShape.of(match) for match in found])


handler = operation(cast_votes)
