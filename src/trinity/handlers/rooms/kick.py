"""Remove somebody from a room."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain import errors
from trinity.domain.ids import RoomId, UserId
from trinity.ports import Blobs, Cache, Clock, Table
from trinity.store import decks, matches, rooms


class KickMember(Request, frozen=True, kw_only=True):
    """Who, and from which room."""

    room_id: RoomId
    user_id: UserId


def kick_member(
    request: KickMember, caller: Caller, *, table: Table, cache: Cache, blobs: Blobs, clock: Clock
) -> None:
    """Make a member inactive for good.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember, NotTheHost: only the host may.
        NotFound: there is no such member.
        InvalidRequest: hosts leave, they do not remove themselves.
        Conflict: others changed the room again and again.
    """
    if request.user_id == caller.user_id:
        raise errors.InvalidRequest("To go yourself, leave the room.")
    room = rooms.remove_member(
        table, cache, request.room_id, request.user_id, kicked_by=caller.user_id
    )
    # The room is written, now read the ballots: those who stay may agree.
    deck = decks.load(blobs, room.deck)
    matches.record_all(table, cache, room.id, deck.title, clock.now())


handler = operation(kick_member, status=204)
