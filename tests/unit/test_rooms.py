"""Rooms as items of the table."""

import pytest

from trinity.domain.ids import BlobId, Millis, RoomId, UserId
from trinity.domain.rooms import Room
from trinity.store import causes, rooms

ROOM = rooms.to_item(
    Room(
        id=RoomId("r1"),
        name="Friday",
        code="ABC234",
        state="open",
        host_id=UserId("ana"),
        decide_at=None,
        capacity=5,
        secret=False,
        deck=BlobId("deck"),
        deck_size=3,
        members={},
        active_count=1,
        created_at=Millis(1),
        expires_at=Millis(2),
    )
)
COUNTED = {"matchCount", "latestMatch", "version", causes.ATTRIBUTE}


@pytest.mark.parametrize("name", sorted(ROOM.keys() | COUNTED | {"new"}))
def test_a_room_that_only_counted_a_match_differs_in_nothing_else(name: str) -> None:
    changed = {**ROOM, name: "another"}
    assert rooms.only_counted(ROOM, changed) == (name in COUNTED)
    assert rooms.only_counted(changed, ROOM) == (name in COUNTED)
