"""Put the screen of a room away, and stay its member."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.ids import RoomId
from trinity.ports import Table
from trinity.store import presence, rooms


class StepAway(Request, frozen=True, kw_only=True):
    """Which room."""

    room_id: RoomId


def step_away(request: StepAway, caller: Caller, *, table: Table) -> None:
    """Tell the others at once that the caller is not here now; without it they see it in a minute.

    Another device that still follows the room, or reads its events, brings the caller back.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
    """
    rooms.get(table, request.room_id, consistent=True).require_member(caller.user_id)
    presence.end(table, request.room_id, caller.user_id)


handler = operation(step_away, status=204)
