"""Whom the logs of rooms still name though he has removed his account.

A note for each room and user is written before anything is removed, so it survives whatever breaks
off. The change feed tells of the removal a little later, which adds to the log; so a room is gone
through twice, with time in between, and the note goes after the second time. Events and matches are
never changed otherwise, so writing one anew meets nobody; of an invitation it is only its sender
that is lost. What was removed meanwhile, with its room, does not come back: writes are conditional.
"""

from contextlib import suppress
from typing import Any, NamedTuple

from trinity.domain.ids import ERASED, RoomId, UserId
from trinity.ports import ConditionFailed, Exists, Table, Update
from trinity.store import keys

NAMELESS = "Somebody who is gone"
_LOOKS = 2


class Note(NamedTuple):
    """A room that may still name somebody.

    Attributes:
        looks: how often it was gone through.
    """

    room: RoomId
    user: UserId
    looks: int


def notes(table: Table) -> list[Note]:
    """Return all notes."""
    items = table.query(keys.GONE, consistent=True).items
    return [Note(RoomId(i["room"]), UserId(i["user"]), int(i["looks"])) for i in items]


def forget(table: Table, note: Note) -> None:
    """Go through a room, and take the note away if that was the last time."""
    for prefix in (keys.EVENT, keys.MATCH, keys.INVITE):
        page = table.query(keys.room_pk(note.room), prefix=prefix, consistent=True)
        for item in page.items:
            left = _without(item, note.user)
            if left != item:
                with suppress(ConditionFailed):
                    table.put(left, when=Exists("PK"))
    key = keys.gone(note.room, note.user)
    if note.looks + 1 >= _LOOKS:
        table.delete(key)
    else:
        with suppress(ConditionFailed):
            table.update(key, Update(set={"looks": note.looks + 1}), when=Exists("PK"))


def _without(value: Any, user: UserId) -> Any:
    """Return a value in which nobody finds the user: another id, no name, no picture."""
    if isinstance(value, dict):
        named = value.get("userId") == user and "name" in value
        shown = {
            (ERASED if name == user else name): _without(part, user) for name, part in value.items()
        }
        if named:
            shown["name"] = NAMELESS
            shown.pop("avatarUrl", None)
        return shown
    if isinstance(value, list):
        return [_without(part, user) for part in value]
    return ERASED if value == user else value
