"""Rooms as items of the table."""

import copy
from pathlib import Path

from tests.fakes import STREAMS, World
from trinity.handlers.streams.emit import told_by
from trinity.store import causes, keys, matches


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
