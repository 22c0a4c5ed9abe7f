"""My rooms."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import cursors
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import Page, Shape, media_url, rfc3339
from trinity.domain.ids import Millis, RoomId, TitleId, UserId
from trinity.domain.rooms import LatestMatch, Role, Room, RoomState
from trinity.ports import Clock, Secrets, Table
from trinity.store import rooms


class ListRooms(Request, frozen=True, kw_only=True):
    """Which part of the list."""

    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class LatestMatchShape(Shape, frozen=True, kw_only=True):
    """The newest match of a room in a few words."""

    title_id: TitleId
    title: str
    at: str

    @classmethod
    def of(cls, match: LatestMatch) -> "LatestMatchShape":
        """Return the shape of the newest match."""
        return cls(title_id=match.title_id, title=match.title, at=rfc3339(match.at))


class RoomSummary(Shape, frozen=True, kw_only=True):
    """A room in a list: what can be said of it without looking at its votes.

    `coverUrl` is the cover in its small size.
    """

    id: RoomId
    code: str
    name: str
    state: RoomState
    host_id: UserId
    role: Role
    deck_size: int
    member_count: int
    match_count: int
    join_url: str
    created_at: str
    expires_at: str
    version: int
    latest_match: LatestMatchShape | None = None
    cover_url: str | None = None

    @classmethod
    def of(cls, room: Room, me: UserId, *, now: Millis, base_url: str) -> "RoomSummary":
        """Return the summary of a room for one of its members."""
        return cls(
            id=room.id,
            code=room.code,
            name=room.name,
            state=room.state_at(now),
            host_id=room.host_id,
            role="host" if me == room.host_id else "member",
            deck_size=room.deck_size,
            member_count=room.active_count,
            match_count=room.match_count,
            join_url=f"{base_url}/r/{room.code}",
            created_at=rfc3339(room.created_at),
            expires_at=rfc3339(room.expires_at),
            version=room.version,
            latest_match=LatestMatchShape.of(room.latest_match) if room.latest_match else None,
            cover_url=media_url(room.cover.small if room.cover else None, base_url),
        )


class RoomPage(Page, frozen=True, kw_only=True):
    """Rooms, newest first."""

    items: list[RoomSummary]


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
