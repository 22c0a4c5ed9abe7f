"""Rooms in which nothing happens are closed, and no others."""

from pathlib import Path

import pytest

from tests.fakes import NOON, World
from tests.faults.evening import told
from tests.faults.groups import Group
from trinity.domain.ids import DAY, HOUR, Millis
from trinity.handlers.queues.analyse import analyse
from trinity.handlers.schedules.close_idle_rooms import IDLE_FOR, close_idle_rooms
from trinity.store import rooms


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def opened(world: World) -> Group:
    group = Group(world, members=2, titles=3, votes={})
    analyse(told(world), table=world.table, blobs=world.blobs, clock=world.clock)
    return group


def state_after(world: World, group: Group, millis: int) -> str:
    at = Millis(NOON + millis)
    close_idle_rooms(table=world.table, cache=world.cache, at=at)
    return rooms.get(world.table, group.room, consistent=True).state


def test_a_room_is_closed_when_nothing_has_happened_for_long(world):
    group = opened(world)
    assert state_after(world, group, IDLE_FOR + DAY) == "closed"


def test_a_room_that_was_opened_lately_stays_open(world):
    group = opened(world)
    assert state_after(world, group, IDLE_FOR - HOUR) == "open"


def test_closing_twice_changes_nothing(world):
    group = opened(world)
    assert state_after(world, group, IDLE_FOR + DAY) == "closed"
    before = rooms.get(world.table, group.room, consistent=True)
    assert state_after(world, group, IDLE_FOR + 2 * DAY) == "closed"
    assert rooms.get(world.table, group.room, consistent=True) == before
