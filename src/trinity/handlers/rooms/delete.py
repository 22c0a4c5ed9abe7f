"""Remove a room."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.ids import RoomId
from trinity.ports import Cache, Table
from trinity.store import rooms


class DeleteRoom(Request, frozen=True, kw_only=True):
    """Which room."""

    room_id: RoomId


def delete_room(request: DeleteRoom, caller: Caller, *, table: Table, cache: Cache) -> None:
    """Remove a room for everybody, votes and matches and all.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember, NotTheHost: only the host may.
    """
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_host(caller.user_id)
    rooms.delete(table, cache, room)


handler = operation(delete_room, status=204)
