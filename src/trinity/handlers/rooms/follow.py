"""Who may follow the events of a room."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.ids import RoomId
from trinity.ports import Table
from trinity.store import rooms


class FollowRoom(Request, frozen=True, kw_only=True):
    """Which room."""

    room_id: RoomId


def follow_room(request: FollowRoom, caller: Caller, *, table: Table) -> None:
    """Let active members through: this resolves the subscription when it starts.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
    """
    rooms.get(table, request.room_id, consistent=True).require_member(caller.user_id)


handler = operation(follow_room)
