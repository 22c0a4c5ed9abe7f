"""Rooms as items of the table."""

import copy
from pathlib import Path

import pytest

from tests.fakes import NOON, STREAMS, World
from trinity.domain.errors import RoomNotFound
from trinity.domain.rooms import Member
from trinity.handlers.streams.emit import told_by
from trinity.infrastructure.memory.cache import MemoryCache
from trinity.store import causes, keys, matches, rooms


def test_what_a_change_shows_is_altered_by_nobody_who_looks_at_it(tmp_path: Path) -> None:
    world = evening(tmp_path)
    changes = [change for feed in STREAMS for change in world.changes(feed, 0)]
    shown = [(change.old, change.new) for change in changes]
    before = copy.deepcopy(shown)
    assert list(told_by(world.emitted()))
    for feed in STREAMS:
        world.publish(world.changes(feed, 0))
    assert all(a is c.old and b is c.new for (a, b), c in zip(shown, changes, strict=True))
    assert shown == before


def test_a_room_that_only_counted_a_match_differs_in_nothing_else(tmp_path: Path) -> None:
    world = evening(tmp_path)
    writes = [
        (change.old, change.new)
        for change in world.emitted()
        if change.sk == keys.ROOM and change.old is not None and change.new is not None
    ]
    counted = [pair for pair in writes if matches.only_counted(*pair)]
    others = [pair for pair in writes if not matches.only_counted(*pair)]
    aside = dict.fromkeys(("matchCount", "latestMatch", "version", causes.ATTRIBUTE))
    assert all({**old, **aside} == {**new, **aside} for old, new in counted)
    assert all({**old, **aside} != {**new, **aside} for old, new in others)
    assert len(counted) == 2
    assert others[-1][1]["state"] == "decided"


def evening(folder: Path) -> World:
    """Three people, who come and go, decide a room by its third match."""
    world = World(folder)
    ana, ben, eve = world.guest("ana"), world.guest("ben"), world.guest("eve")
    room = world.create(ana, titles=5, stop_at=3)
    world.join(ben, room.code)
    world.join(eve, room.code)
    for user in (ana, ben, eve):
        world.vote(user, room.id, 0)
    world.leave(eve, room.id)
    for user in (ana, ben):
        world.vote(user, room.id, 1)
    world.update(ana, room.id, name="another")
    world.kick(ana, room.id, ben)
    world.join(eve, room.code)
    for user in (ana, eve):
        world.vote(user, room.id, 2)
    return world


def test_a_code_is_looked_up_once_for_a_group_and_a_room_that_is_gone_is_found_by_none(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    ana = world.guest("ana")
    code = world.create(ana, titles=5).code
    other_environment = MemoryCache()
    room_id = rooms.id_of_code(world.table, world.cache, code)
    assert rooms.id_of_code(world.table, other_environment, code) == room_id
    world.table.delete(keys.code(code))  # it would not be found if it were looked for
    assert rooms.id_of_code(world.table, world.cache, code) == room_id

    rooms.delete(world.table, world.cache, rooms.get(world.table, room_id))
    with pytest.raises(RoomNotFound):
        rooms.id_of_code(world.table, world.cache, code)
    # Another environment may still know the code for a while. The room tells.
    with pytest.raises(RoomNotFound):
        rooms.join(
            world.table,
            other_environment,
            rooms.id_of_code(world.table, other_environment, code),
            ana,
            Member(name="ana", joined_at=NOON, active=True),
            NOON,
        )


def test_that_there_is_no_such_code_is_not_remembered(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(RoomNotFound):
        rooms.id_of_code(world.table, world.cache, "ABC234")
    world.table.put({"PK": keys.code("ABC234").pk, "SK": keys.code("ABC234").sk, "room": "r1"})
    assert rooms.id_of_code(world.table, world.cache, "ABC234") == "r1"
