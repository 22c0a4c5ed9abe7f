"""Look at a room."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import RoomShape
from trinity.common.views import room_shape
from trinity.domain.ids import RoomId
from trinity.ports import Clock, Table
from trinity.store import rooms


class GetRoom(Request, frozen=True, kw_only=True):
    """Which room."""

    room_id: RoomId


def get_room(
    request: GetRoom, caller: Caller, origin: Origin, *, table: Table, clock: Clock
) -> RoomShape:
    """Return a room as it is now.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
    """
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_member(caller.user_id)
    return room_shape(table, room, now=clock.now(), base_url=origin.base_url)


handler = operation(get_room, tagged=True)
