"""Who may follow a room."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.ids import RoomId
from trinity.ports import Clock, Table
from trinity.store import presence, rooms


class FollowRoom(Request, frozen=True, kw_only=True):
    """Which room."""

    room_id: RoomId


def follow_room(request: FollowRoom, caller: Caller, *, table: Table, clock: Clock) -> None:
    """Let active members through, and note that they are here.

    This resolves a subscription when it starts. The embedded host calls it again as long as the
    subscription lasts; AppSync does not, so that clients keep reading events now and then.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
    """
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_member(caller.user_id)
    presence.note(table, room, caller.user_id, clock.now())


handler = operation(follow_room)
