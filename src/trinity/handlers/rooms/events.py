"""What happened in a room since I last looked."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.common.shapes import EventShape, Page
from trinity.domain.ids import RoomId, UserId
from trinity.ports import Clock, Table
from trinity.store import events, presence, rooms


class RoomEvents(Request, frozen=True, kw_only=True):
    """Which room, and the cursor of the last event that is known already; none: from the start."""

    room_id: RoomId
    after: Annotated[str, Meta(pattern="^[0-9]{1,12}$")] = "0"
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class EventPage(Page, frozen=True, kw_only=True):
    """Room events in order. Its cursor is never null: send it as `after` to go on.

    Attributes:
        online: the members who are looking at the room just now.
    """

    items: list[EventShape]
    online: list[UserId]


def room_events(request: RoomEvents, caller: Caller, *, table: Table, clock: Clock) -> EventPage:
    """Return events in order, without gaps and without repetition, and who is here now.

    Who asks is here: asking again within 45 seconds keeps it so.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
        InvalidRequest: the cursor is none.
    """
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_member(caller.user_id)
    found = events.after(table, room.id, int(request.after), request.limit)
    return EventPage(
        items=[EventShape.of(event) for event in found],
        cursor=found[-1].cursor if found else str(int(request.after)),
        online=sorted(presence.note(table, room, caller.user_id, clock.now())),
    )


handler = operation(room_events)
