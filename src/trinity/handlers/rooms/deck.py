"""The deck of a room."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import cursors
from trinity.common.requests import Caller, Reply, Request
from trinity.common.shapes import TitlesPage
from trinity.domain.ids import RoomId
from trinity.ports import Blobs, Clock, Secrets, Table
from trinity.store import decks, rooms

_CACHE = "private, max-age=31536000, immutable"


class GetDeck(Request, frozen=True, kw_only=True):
    """Which room, and which part of its deck: all of it, unless a limit is given."""

    room_id: RoomId
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 500


def get_deck(
    request: GetDeck,
    caller: Caller,
    *,
    table: Table,
    blobs: Blobs,
    secrets: Secrets,
    clock: Clock,
) -> Reply:
    """Return the titles in their fixed order. A deck never changes, so it may be kept for good.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
        InvalidRequest: the cursor is not one of this deck.
        Gone: the cursor has expired.
    """
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_member(caller.user_id)
    now, key, scope = clock.now(), secrets.cursor_key(), f"deck:{room.deck}"
    first = int(cursors.read(key, scope, request.cursor, now)) if request.cursor else 0
    titles = decks.load(blobs, room.deck).titles
    behind = first + request.limit
    cursor = cursors.write(key, scope, str(behind), now) if behind < len(titles) else None
    page = TitlesPage(items=list(titles[first:behind]), cursor=cursor)
    # A page with a cursor is another one each time: only the whole deck is the same for ever.
    return Reply(page, {"cache-control": _CACHE} if cursor is None and first == 0 else {})


handler = operation(get_deck, tagged=True)
