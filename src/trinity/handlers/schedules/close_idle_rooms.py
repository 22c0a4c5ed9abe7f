"""Once a day: close rooms in which nothing has happened for a while.

Rooms are found by the day on which they were opened, which reports keep (`store/reports.py`), so
nothing is scanned. Each day is looked at as long as a room can be open.
"""

from contextlib import suppress

from trinity.bootstrap import scheduled
from trinity.domain import errors
from trinity.domain.ids import DAY, Millis, utc_day
from trinity.domain.rooms import OPEN_FOR, Room
from trinity.ports import Cache, Path, Table, Value
from trinity.store import events, reports, rooms

IDLE_FOR = Millis(3 * DAY)
"""After so long without any event a room is closed; its host can open it again."""


def close_idle_rooms(*, table: Table, cache: Cache, at: Millis) -> None:
    """Close the rooms that are idle; what is closed already stays as it is.

    Args:
        table: the table.
        cache: forgets what it knew about these rooms.
        at: when this run was due.
    """
    first, last = at - OPEN_FOR - DAY, at - IDLE_FOR

    def decide(room: Room) -> dict[Path, Value] | None:
        idle = room.state == "open" and room.created_at <= last
        return {"state": "closed"} if idle else None

    for day in range(first, last + 1, DAY):
        for room_id in reports.opened_on(table, utc_day(Millis(day))):
            if events.head(table, room_id).at <= last:
                with suppress(errors.RoomNotFound):  # removed since
                    rooms.change(table, cache, room_id, decide)


handler = scheduled(close_idle_rooms)
