"""What is gone through for somebody who is gone, and what is left alone."""

from pathlib import Path

import pytest

from tests.fakes import World
from tests.faults.groups import Group
from trinity.domain.ids import ERASED
from trinity.ports import Table
from trinity.store import gone, keys, memberships


class Deleting:
    """A table in which a room is removed right after its events were read."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __getattr__(self, name):
        return getattr(self._table, name)

    def query(self, pk, **options):
        page = self._table.query(pk, **options)
        for item in page.items:
            self._table.delete(keys.Key(item["PK"], item["SK"]))
        return page


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def left(world: World) -> tuple[Group, str]:
    group = Group(world, members=2, titles=3, votes={})
    world.publish(world.changes("rooms", 0))
    user = group.users[1]
    memberships.erase_in(world.table, world.cache, group.room, user)
    return group, user


def logged(world: World, group: Group) -> str:
    return str(world.table.query(keys.room_pk(group.room), prefix=keys.EVENT).items)


def test_a_note_stays_until_a_room_was_gone_through_twice(world):
    group, user = left(world)
    assert user in logged(world, group)
    (note,) = gone.notes(world.table)
    gone.forget(world.table, note)
    assert user not in logged(world, group)
    assert ERASED in logged(world, group)
    assert [n.looks for n in gone.notes(world.table)] == [1]
    gone.forget(world.table, *gone.notes(world.table))
    assert gone.notes(world.table) == []


def test_going_through_a_room_again_changes_nothing(world):
    group, _ = left(world)
    (note,) = gone.notes(world.table)
    gone.forget(world.table, note)
    before = logged(world, group)
    gone.forget(world.table, note)
    assert logged(world, group) == before


def test_events_that_are_removed_meanwhile_do_not_come_back(world):
    group, _ = left(world)
    (note,) = gone.notes(world.table)
    gone.forget(Deleting(world.table), note)
    assert logged(world, group) == "[]"


def test_a_note_that_somebody_else_is_done_with_does_not_come_back(world):
    left(world)
    (note,) = gone.notes(world.table)
    gone.forget(world.table, note)
    gone.forget(world.table, *gone.notes(world.table))
    gone.forget(world.table, note)
    assert gone.notes(world.table) == []
