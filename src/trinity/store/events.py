"""The event log of a room: numbered from 1 without gaps, each event exactly once.

The log has a head that knows the number of the last event and which changes are already in the log.
An append is one transaction of the head and the new events, on condition that the head is as it was
read. So a batch of changes that is delivered again, or while another delivery is at work, adds
nothing twice, and a reader that has seen number n has seen everything up to n.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Literal

import msgspec

from trinity.domain import errors
from trinity.domain.ids import Millis, RoomId, UserId
from trinity.ports import (
    Absent,
    Equals,
    Item,
    Table,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
)
from trinity.store import keys

EventType = Literal[
    "memberJoined",
    "memberLeft",
    "memberUpdated",
    "progress",
    "matchFound",
    "roomUpdated",
    "roomClosed",
]

_ATTEMPTS = 20
MOST_AT_ONCE = 90
"""Events of one append; a transaction has at most 100 actions."""


class Draft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event that has no number yet.

    Attributes:
        at: when it happened.
        actor_id: who did it, where that may be known.
    """

    type: EventType
    at: Millis
    actor_id: UserId | None = None
    data: dict[str, Any]


class RoomEvent(Draft, frozen=True, kw_only=True, rename="camel"):
    """An event in the log of a room."""

    cursor: str
    room_id: RoomId


class Head(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The head of the log.

    Attributes:
        last: number of the last event; 0 for none.
        applied: for each kind of change, the sequence number of the last one in the log.
        progress: votes by user, as the last progress event had it.
        rev: number of appends so far.
        at: of the last event.
    """

    last: int = 0
    applied: dict[str, int] = {}
    progress: dict[UserId, int] = {}
    rev: int = 0
    at: Millis = Millis(0)


def head(table: Table, room: RoomId) -> Head:
    """Return the head of a room's log."""
    item = table.get(keys.log(room), consistent=True)
    return msgspec.convert(item, Head) if item is not None else Head()


def append(
    table: Table,
    room: RoomId,
    extend: Callable[[Head], tuple[Head, Sequence[Draft]] | None],
    *,
    expires: int,
) -> list[RoomEvent] | None:
    """Add events to a room's log.

    Args:
        table: the table.
        room: the room.
        extend: given the head, returns it with `applied` and `progress` brought up to date, and
            the events to add; None where the log has everything already. It is called again when
            another append was faster.
        expires: when the events may be removed, in seconds since 1970.

    Returns:
        The events that were added, None if there was nothing to add.

    Raises:
        Conflict: others appended again and again.
    """
    key = keys.log(room)
    for _ in range(_ATTEMPTS):
        old = head(table, room)
        extension = extend(old)
        if extension is None:
            return None
        new, drafts = extension
        if len(drafts) > MOST_AT_ONCE:
            raise ValueError(f"at most {MOST_AT_ONCE} events can be added at once")
        # The times of changes are rough; those of a log never go back all the same.
        times = list(accumulate((d.at for d in drafts), max, initial=old.at))
        update = TransactUpdate(
            key,
            Update(
                set={
                    "last": old.last + len(drafts),
                    "at": times[-1],
                    "applied": new.applied,
                    "progress": new.progress,
                    "expires": expires,
                },
                add={"rev": 1},
            ),
            Equals("rev", old.rev) if old.rev else Absent("PK"),
        )
        events = [
            RoomEvent(
                cursor=str(old.last + n),
                room_id=room,
                type=draft.type,
                at=times[n],
                actor_id=draft.actor_id,
                data=draft.data,
            )
            for n, draft in enumerate(drafts, start=1)
        ]
        try:
            table.transact([update, *(TransactPut(_to_item(e, expires)) for e in events)])
        except TransactionCancelled:
            continue
        return events
    raise errors.Conflict


def after(table: Table, room: RoomId, number: int, limit: int) -> list[RoomEvent]:
    """Return the events that follow a number, in order, at most `limit`."""
    page = table.query(
        keys.room_pk(room),
        prefix=keys.EVENT,
        after=keys.event(room, number).sk,
        limit=limit,
        consistent=True,
    )
    return [msgspec.convert(item, RoomEvent) for item in page.items]


def _to_item(event: RoomEvent, expires: int) -> Item:
    key = keys.event(event.room_id, int(event.cursor))
    return {"PK": key.pk, "SK": key.sk, **msgspec.to_builtins(event), "expires": expires}
