"""Take the cover of a room away."""

from collections.abc import Mapping

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.ids import RoomId
from trinity.domain.rooms import Room
from trinity.ports import Cache, Clock, Path, Table, Value
from trinity.store import rooms


class RemoveCover(Request, frozen=True, kw_only=True):
    """Of which room."""

    room_id: RoomId


def remove_cover(
    request: RemoveCover, caller: Caller, *, table: Table, cache: Cache, clock: Clock
) -> None:
    """Let a room be without a cover again. One that is still being processed will not come.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember, NotTheHost: only the host may.
        Conflict: others changed the room again and again.
    """
    now = clock.now()

    def decide(room: Room) -> Mapping[Path, Value]:
        room.require_host(caller.user_id)
        return {"cover": None, "coverAt": now}

    rooms.change(table, cache, request.room_id, decide)


handler = operation(remove_cover, status=204)
