"""My rooms."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import cursors
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import RoomPage, RoomSummary
from trinity.ports import Clock, Secrets, Table
from trinity.store import rooms


class ListRooms(Request, frozen=True, kw_only=True):
    """Which part of the list."""

    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


def list_rooms(
    request: ListRooms,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    secrets: Secrets,
    clock: Clock,
) -> RoomPage:
    """Return the caller's rooms, newest first. A page may hold fewer rooms than asked for.

    Raises:
        InvalidRequest: the cursor is not one of this list.
        Gone: the cursor has expired.
    """
    now, key, scope = clock.now(), secrets.cursor_key(), f"rooms:{caller.user_id}"
    after = cursors.read(key, scope, request.cursor, now) if request.cursor else None
    pointers, cursor = rooms.of_user(table, caller.user_id, after=after, limit=request.limit)
    found = rooms.all_of(table, [pointer.room_id for pointer in pointers if not pointer.left])
    return RoomPage(
        items=[
            RoomSummary.of(room, caller.user_id, now=now, base_url=origin.base_url)
            for room in found
        ],
        cursor=cursor and cursors.write(key, scope, cursor, now),
    )


handler = operation(list_rooms)
