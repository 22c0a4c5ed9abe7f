"""What my groups have agreed on."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import cursors
from trinity.common.requests import Caller, Request
from trinity.common.shapes import MatchShape, Page, rfc3339
from trinity.domain.ids import RoomId
from trinity.ports import Clock, Secrets, Table
from trinity.store import matches, rooms


class MyMatches(Request, frozen=True, kw_only=True):
    """Which part of the list. The limit counts rooms: a page holds all matches of each."""

    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class RoomMatch(MatchShape, frozen=True, kw_only=True):
    """A match and the room that it happened in."""

    room_id: RoomId
    room_name: str


class MatchPage(Page, frozen=True, kw_only=True):
    """Matches of all my rooms."""

    items: list[RoomMatch]


def my_matches(
    request: MyMatches, caller: Caller, *, table: Table, secrets: Secrets, clock: Clock
) -> MatchPage:
    """Return the matches of the caller's rooms, the newest room first.

    Raises:
        InvalidRequest: the cursor is not one of this list.
        Gone: the cursor has expired.
    """
    now, key, scope = clock.now(), secrets.cursor_key(), f"matches:{caller.user_id}"
    after = cursors.read(key, scope, request.cursor, now) if request.cursor else None
    pointers, cursor = rooms.of_user(table, caller.user_id, after=after, limit=request.limit)
    found = rooms.all_of(table, [pointer.room_id for pointer in pointers if not pointer.left])
    items = [
        RoomMatch(
            title_id=match.title_id,
            title=match.title,
            at=rfc3339(match.at),
            user_ids=match.user_ids,
            kind=match.kind,
            room_id=room.id,
            room_name=room.name,
        )
        for room in found
        for match in matches.of_room(table, room)
    ]
    return MatchPage(items=items, cursor=cursor and cursors.write(key, scope, cursor, now))


handler = operation(my_matches)
