"""Leave a room."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.ids import RoomId
from trinity.ports import Blobs, Cache, Clock, Table
from trinity.store import decks, matches, rooms


class LeaveRoom(Request, frozen=True, kw_only=True):
    """Which room."""

    room_id: RoomId


def leave_room(
    request: LeaveRoom, caller: Caller, *, table: Table, cache: Cache, blobs: Blobs, clock: Clock
) -> None:
    """Make the caller inactive. A host hands over to the longest-standing member.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
        Conflict: others changed the room again and again.
    """
    room = rooms.remove_member(table, cache, request.room_id, caller.user_id)
    # The room is written, now read the ballots: those who stay may agree without the caller.
    deck = decks.load(blobs, room.deck)
    matches.record_all(table, cache, room.id, deck.title, clock.now())


handler = operation(leave_room, status=204)
