"""Who is here: leases that nobody has to give back, and news of them that reaches the others."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import STREAMS, World
from tests.faults.groups import Group
from tests.faults.schedules import Race, explore
from tests.faults.test_budget import MeteredTable
from tests.faults.test_crashes import Died, MortalTable
from trinity.domain.ids import RoomId, UserId
from trinity.handlers.rooms.events import RoomEvents, room_events
from trinity.handlers.rooms.follow import FollowRoom, follow_room
from trinity.handlers.rooms.get import GetRoom, get_room
from trinity.handlers.rooms.step_away import StepAway, step_away
from trinity.store import keys, presence
from trinity.store.presence import LEASE, RENEW_AFTER


class Screen:
    """What somebody who follows a room has been shown last, and how often."""

    def __init__(self, world: World) -> None:
        self.online: set[str] = set()
        self.shown: list[dict[str, Any]] = []
        world.realtime.listen(self)

    def publish(self, room: RoomId, event: dict[str, Any]) -> None:
        pass

    def show(self, room: RoomId, presence: dict[str, Any]) -> None:
        self.online = set(presence["online"])
        self.shown.append(presence)

    def end(self, room: RoomId, user: UserId | None = None) -> None:
        pass


def read(world: World, g: Group, user: int) -> set[str]:
    """Read the events of the room; return who is here."""
    page = world.call(room_events, RoomEvents(room_id=g.room), g.users[user])
    return set(page.online)


def follow(world: World, g: Group, user: int) -> None:
    world.call(follow_room, FollowRoom(room_id=g.room), g.users[user])


def away(world: World, g: Group, user: int) -> None:
    world.call(step_away, StepAway(room_id=g.room), g.users[user])


def look(world: World, g: Group, user: int = 0) -> set[str]:
    """Look at the room, which is no sign of life."""
    room = world.call(get_room, GetRoom(room_id=g.room), g.users[user])
    return {member.user_id for member in room.members if member.online}


def here(g: Group, *users: int) -> set[str]:
    return {g.users[user] for user in users}


# ------------------------------------------------------------------------------------- the lease


@pytest.mark.parametrize("sign", [read, follow])
def test_a_sign_of_life_holds_for_45_seconds_and_not_longer(
    sign: Callable[[World, Group, int], Any], world: World
) -> None:
    g = Group(world, members=2)
    assert look(world, g) == set()
    sign(world, g, 1)
    assert look(world, g) == here(g, 1)
    world.clock.advance(LEASE - 1)
    assert look(world, g) == here(g, 1)
    world.clock.advance(1)
    assert look(world, g) == set()


def test_looking_at_the_room_and_voting_are_no_signs_of_life(world: World) -> None:
    g = Group(world, members=2)
    world.vote(g.users[0], g.room, 0)
    assert look(world, g) == set()


def test_several_devices_are_one_member(world: World) -> None:
    g = Group(world, members=2)
    for _ in range(3):
        follow(world, g, 0)
    assert read(world, g, 1) == here(g, 0, 1)
    assert len(world.table.query(keys.room_pk(g.room), prefix=keys.HERE).items) == 2


def test_a_process_that_dies_leaves_nobody_behind(world: World) -> None:
    g = Group(world, members=2)
    follow(world, g, 0)
    after = world.restarted()
    assert look(after, g) == here(g, 0)
    world.clock.advance(LEASE)
    assert look(after, g) == set()


def test_who_steps_away_is_gone_at_once_and_back_with_the_next_sign(world: World) -> None:
    g = Group(world, members=2)
    follow(world, g, 0)
    away(world, g, 0)
    assert look(world, g) == set()
    away(world, g, 0)  # again: nothing to be said
    assert read(world, g, 0) == here(g, 0)


@pytest.mark.parametrize("part", ["leave", "kick"])
def test_who_is_no_member_any_more_is_not_here(part: str, world: World) -> None:
    g = Group(world, members=3)
    for user in range(3):
        follow(world, g, user)
    screen = Screen(world)
    seen = world.drain(world.feeds_at(g.since))
    assert screen.online == here(g, 0, 1, 2)
    if part == "leave":
        world.leave(g.users[1], g.room)
    else:
        world.kick(g.users[0], g.room, g.users[1])
    assert look(world, g) == here(g, 0, 2)
    world.drain(seen)
    assert screen.online == here(g, 0, 2)
    assert len(world.table.query(keys.room_pk(g.room), prefix=keys.HERE).items) == 2


def test_a_lease_goes_with_its_room_or_by_its_expiry(world: World) -> None:
    g = Group(world, members=2)
    follow(world, g, 0)
    now = world.clock.now() // 1000
    assert world.store.sweep_expired(now + LEASE // 1000) == 0
    assert world.store.sweep_expired(now + LEASE // 1000 + 2) == 1


# -------------------------------------------------------------------------------------- the price


def test_ten_minutes_of_asking_again_and_again_cost_a_write_every_15_seconds(world: World) -> None:
    g = Group(world, members=2)
    metered = MeteredTable(world.table)
    seen = world.store.last_seq
    for _ in range(400):
        read(world.over(table=metered), g, 0)
        world.clock.advance(1500)
    assert metered.writes == 40
    assert [c.sk for c in world.changes("ballots", seen)] == [keys.here(g.room, g.users[0]).sk]


def test_renewals_are_no_news(world: World) -> None:
    g = Group(world, members=2)
    screen = Screen(world)
    seen = world.feeds_at(g.since)
    for _ in range(20):
        for user in (0, 1):
            follow(world, g, user)
        world.clock.advance(RENEW_AFTER)
        seen = world.drain(seen)
    assert len(screen.shown) == 1


def test_a_hundred_who_come_at_once_are_shown_at_once_and_nothing_is_written_for_it(
    world: World,
) -> None:
    g = Group(world, members=100, capacity=100)
    world.drain(world.feeds_at(g.since))
    seen = world.store.last_seq
    for user in range(100):
        follow(world, g, user)
    screen = Screen(world)
    metered = MeteredTable(world.table)
    world.over(table=metered).publish(world.changes("ballots", seen))
    assert [set(one["online"]) for one in screen.shown] == [set(g.users)]
    assert (metered.writes, metered.calls) == (0, ["get", "query"])


def test_presence_is_not_in_the_log(world: World) -> None:
    g = Group(world, members=2)
    follow(world, g, 0)
    world.drain(world.feeds_at(g.since))
    page = world.call(room_events, RoomEvents(room_id=g.room), g.users[0])
    assert {event.type for event in page.items} == {"memberJoined"}
    assert page.cursor == "2"


# ---------------------------------------------------------------------------------- races, deaths


def test_a_lease_that_ended_is_buried_once_and_never_while_it_is_renewed(world: World) -> None:
    """Two find the lease of a third ended, at the very time at which he comes back."""
    worlds = iter(range(1_000_000))

    def start() -> Race:
        nonlocal g
        g = Group(world, members=3)
        follow(world, g, 2)
        world.clock.advance(LEASE + next(worlds) % 2)
        operations = [
            lambda table, _, user=user: follow(world.over(table=table), g, user)
            for user in range(3)
        ]
        return Race(operations, world.table, world.cache)

    def check(outcomes: list[Any], _: list[int]) -> None:
        assert [one.refusal for one in outcomes] == [None] * 3
        assert look(world, g) == here(g, 0, 1, 2)
        screen = Screen(world)
        world.drain(world.feeds_at(g.since))
        assert screen.online == here(g, 0, 1, 2)

    g: Group
    assert explore(start, check).schedules > 10


def test_a_lease_taken_while_somebody_leaves_shows_nobody(world: World) -> None:
    g: Group

    def start() -> Race:
        nonlocal g
        g = Group(world, members=2)
        operations = [
            lambda table, _: follow(world.over(table=table), g, 1),
            lambda table, cache: world.over(table=table, cache=cache).leave(g.users[1], g.room),
        ]
        return Race(operations, world.table, world.cache)

    def check(*_: Any) -> None:
        screen = Screen(world)
        world.drain(world.feeds_at(g.since))
        assert look(world, g) == set()
        assert screen.online == set()

    assert explore(start, check).schedules > 3


@pytest.mark.parametrize("writes", range(5))
def test_who_dies_while_burying_others_leaves_it_to_the_next(writes: int, world: World) -> None:
    g = Group(world, members=3)
    for user in range(3):
        follow(world, g, user)
    screen = Screen(world)
    seen = world.drain(world.feeds_at(g.since))
    world.clock.advance(LEASE)
    with suppress(Died):
        follow(world.over(table=MortalTable(world.table, writes)), g, 0)
    seen = world.drain(seen)
    follow(world, g, 1)
    world.drain(seen)
    assert screen.online == look(world, g) == here(g, 1) | (here(g, 0) if writes == 4 else set())


# ------------------------------------------------------------------------------------- an evening

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([read, follow, away]), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(1, 2 * LEASE)),
        st.tuples(st.just("leave"), st.integers(1, 3)),
        st.tuples(st.just("join"), st.integers(1, 3)),
        st.tuples(st.just("feed"), st.integers(1, 5)),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_who_is_here_is_who_gave_a_sign_and_the_others_are_shown_it(
    world: World, steps: list[tuple[Any, int]]
) -> None:
    g = Group(world, members=4)
    screen = Screen(world)
    seen = world.feeds_at(g.since)
    signs: dict[int, int] = {}  # by user: when he gave one last
    members = {0, 1, 2, 3}

    def expected() -> tuple[set[str], set[str]]:
        """Return who must be here, and who may be: a sign may have found a younger lease."""
        now = world.clock.now()
        must = {user for user, at in signs.items() if now - at < LEASE - RENEW_AFTER}
        may = {user for user, at in signs.items() if now - at < LEASE}
        return here(g, *must), here(g, *may)

    for step, number in steps:
        if step == "wait":
            world.clock.advance(number)
        elif step == "feed":
            seen = world.drain(seen, batch=number)
        elif step == "leave" and number in members:
            world.leave(g.users[number], g.room)
            members.remove(number)
            signs.pop(number, None)
        elif step == "join" and number not in members:
            world.join(g.users[number], g.code)
            members.add(number)
        elif callable(step) and number in members:
            step(world, g, number)
            if step is away:
                signs.pop(number, None)
            else:
                signs[number] = world.clock.now()
        must, may = expected()
        assert must <= look(world, g) <= may
    # Once somebody gives a sign again and all is told, everybody sees what is so.
    world.clock.advance(RENEW_AFTER)
    follow(world, g, 0)
    world.drain(seen)
    assert screen.online == look(world, g)


def test_presence_shares_a_feed_that_waits_and_a_match_does_not(world: World) -> None:
    assert STREAMS["ballots"].comings == (keys.HERE,)
    assert STREAMS["ballots"].window_s > 0
    assert STREAMS["rooms"].window_s == 0
    assert not {"HERE#", "BALLOT#"} & set(STREAMS["rooms"].sort_keys)
    assert presence.LEASE >= 3 * presence.RENEW_AFTER
