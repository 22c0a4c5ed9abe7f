"""Take a vote back."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.consensus import may_complete
from trinity.domain.ids import BlobId, RoomId, TitleId
from trinity.ports import Blobs, Cache, Clock, Table
from trinity.store import ballots, decks, matches, rooms


class UndoVote(Request, frozen=True, kw_only=True):
    """The vote on which title."""

    room_id: RoomId
    title_id: Annotated[str, Meta(min_length=1, max_length=200)]


def undo_vote(
    request: UndoVote, caller: Caller, *, table: Table, cache: Cache, blobs: Blobs, clock: Clock
) -> None:
    """Remove the caller's vote on a title, if there is one. A match that was made stays.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not an active member.
        RoomClosed: the room is not open.
        TitleNotInDeck: the title is not of this deck.
    """
    now = clock.now()
    room = rooms.admission(table, cache, request.room_id, caller.user_id, now)
    deck = decks.load(blobs, BlobId(room.deck))
    title = deck.title(TitleId(request.title_id)).id
    ballot = ballots.undo(table, request.room_id, title, caller.user_id)
    if ballot is not None and may_complete(None, ballot.replaced):
        # A veto is lifted: the others may have agreed before.
        matches.record(table, cache, request.room_id, [ballot], deck.title, now)


handler = operation(undo_vote, status=204)
