"""Rooms as items of the table."""

from pathlib import Path

from tests.fakes import World
from trinity.store import causes, keys, matches


def test_a_room_that_only_counted_a_match_differs_in_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path)
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
