"""Rename a room, close or reopen it, change its rule."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import RoomShape
from trinity.common.views import room_shape
from trinity.domain.consensus import Rule, require_reachable
from trinity.domain.ids import RoomId
from trinity.domain.names import ROOM_NAME_LENGTH, clean_name
from trinity.domain.rooms import Room, matches_to_decide, open_until
from trinity.ports import Blobs, Cache, Clock, Path, Table, Value
from trinity.store import decks, matches, rooms


class UpdateRoom(Request, frozen=True, kw_only=True):
    """What to change; what is not named stays."""

    room_id: RoomId
    name: Annotated[str, Meta(max_length=200)] | None = None
    state: Literal["open", "closed"] | None = None
    rule: Rule | None = None


def update_room(
    request: UpdateRoom,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    cache: Cache,
    blobs: Blobs,
    clock: Clock,
) -> RoomShape:
    """Change a room. A room that is opened again goes on until the next match, or the next n.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember, NotTheHost: only the host may.
        InvalidRequest: the name cannot be, or the rule asks for more people than can be there.
        Conflict: others changed the room again and again.
    """
    now = clock.now()
    name = request.name
    if name is not None:
        name = clean_name(name, longest=ROOM_NAME_LENGTH)

    def decide(room: Room) -> Mapping[Path, Value] | None:
        room.require_host(caller.user_id)
        changes: dict[Path, Value] = {}
        if name is not None and name != room.name:
            changes["name"] = name
        if request.rule is not None and request.rule != room.rule:
            require_reachable(request.rule, room.capacity)
            changes |= {"rule": msgspec.to_builtins(request.rule), "eased": 0}
        if request.state == "closed" and room.state_at(now) in ("open", "expired"):
            changes["state"] = "closed"
        if request.state == "open" and room.state_at(now) != "open":
            changes |= {
                "state": "open",
                "decideAt": matches_to_decide(room.stop_at, room.match_count),
                "expiresAt": open_until(room.created_at, now),
            }
        return changes or None

    room = rooms.change(table, cache, request.room_id, decide)
    # The room is written, now read the ballots: what was voted before may be enough from now on.
    deck = decks.load(blobs, room.deck)
    if matches.record_all(table, cache, room.id, deck.title, now):
        room = rooms.get(table, room.id, consistent=True)
    return room_shape(table, room, now=now, base_url=origin.base_url)


handler = operation(update_room)
