"""Operations that race, in every order that can make a difference."""

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.fakes import NOON, ORIGIN, ListCatalogue, World, title_id
from tests.faults import schedules
from tests.faults.groups import Group, Votes
from tests.faults.invariants import Violation, check_room
from tests.faults.schedules import Outcome, Race, explore, replay, sample
from trinity.common import tokens
from trinity.common.requests import Origin
from trinity.domain.consensus import AtLeast, Easing, Share, agreement, kind
from trinity.domain.errors import InvalidToken
from trinity.domain.ids import RoomId
from trinity.domain.rooms import Match
from trinity.handlers.auth.login import Login, login
from trinity.handlers.auth.refresh import Refresh, refresh
from trinity.handlers.auth.register import Register, register
from trinity.handlers.auth.reset_password import ResetPassword, reset_password
from trinity.handlers.rooms.delete import DeleteRoom, delete_room
from trinity.handlers.users.delete_me import delete_me
from trinity.handlers.users.update_me import UpdateMe, update_me
from trinity.handlers.votes.cast import Accepted
from trinity.infrastructure.memory.cache import MemoryCache
from trinity.ports import (
    Absent,
    Cache,
    Key,
    Table,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
)
from trinity.store import ballots, keys, matches, rooms, sessions, users

_CATALOGUE = ListCatalogue()


Op = Callable[[World, Group], Any]


class Scenario(NamedTuple):
    """A race.

    Attributes:
        name: for people.
        seed: makes the room and what came before.
        operations: what races.
        may: codes of the refusals that are fine.
        expect: looks at the outcomes, beyond the invariants; returns what is wrong.
        heals: nothing is missed only after the change feed was handed over.
    """

    name: str
    seed: Callable[[World], Group]
    operations: tuple[Op, ...]
    may: frozenset[str] = frozenset()
    expect: Callable[[World, Group, list[Outcome]], str | None] = lambda *_: None
    heals: bool = False


def group(**wishes: Any) -> Callable[[World], Group]:
    return lambda world: Group(world, **wishes)


# ------------------------------------------------------------------------------ operations


class Cast:
    """A vote; it can tell whether it is stored."""

    def __init__(self, user: int, title: int = 0, choice: str = "yes") -> None:
        self.user, self.title, self.choice = user, title, choice

    def __call__(self, world: World, g: Group) -> Any:
        return world.vote(g.users[self.user], g.room, self.title, self.choice)


def undo(user: int, title: int = 0) -> Op:
    return lambda world, g: world.undo(g.users[user], g.room, title)


def join(user: int) -> Op:
    return lambda world, g: world.join(g.users[user], g.code)


def leave(user: int) -> Op:
    return lambda world, g: world.leave(g.users[user], g.room)


def kick(user: int, by: int = 0) -> Op:
    return lambda world, g: world.kick(g.users[by], g.room, g.users[user])


def update(**changes: Any) -> Op:
    return lambda world, g: world.update(g.users[0], g.room, **changes)


def remove_room(world: World, g: Group) -> None:
    world.call(delete_room, DeleteRoom(room_id=g.room), g.users[0])


def remove_me(user: int) -> Op:
    return lambda world, g: world.call(delete_me, None, g.users[user])


def rename_me(user: int, name: str) -> Op:
    return lambda world, g: world.call(update_me, UpdateMe(name=name), g.users[user])


def publish(world: World, g: Group) -> None:
    world.publish(g.batch)


def with_batch(seed: Callable[[World], Group], *feeds: str) -> Callable[[World], Group]:
    """Read what a feed holds at the beginning of the race."""

    def seeded(world: World) -> Group:
        g = seed(world)
        for feed in feeds:
            g.batch += world.changes(feed, g.since)
        return g

    return seeded


def unfinished(world: World) -> Group:
    """Return two who agree on film 0, where the process died before it recorded the match."""
    g = Group(world, votes={0: {0: "yes"}}, stop_at="never")
    _cast_and_die(world, g, 1)
    return g


def _cast_and_die(world: World, g: Group, user: int) -> None:
    ballots.cast(world.table, g.room, title_id(0), g.users[user], "yes", expires=2_000_000_000)


# ------------------------------------------------------------------------------ expectations


def matched(*titles: int) -> Callable[[World, Group, list[Outcome]], str | None]:
    def expect(world: World, g: Group, _: list[Outcome]) -> str | None:
        found = {m.title_id for m in matches.of_room(world.table, g.state(world))}
        wanted = {title_id(n) for n in titles}
        return None if found == wanted else f"matches are {found}, not {wanted}"

    return expect


def told_at_once(world: World, g: Group, outcomes: list[Outcome]) -> str | None:
    """Whoever completes the agreement has it in the answer."""
    wrong = matched(0)(world, g, outcomes)
    if wrong or any(isinstance(o.value, Accepted) and o.value.matches for o in outcomes):
        return wrong
    return "nobody was told of the match"


def one_wins(code: str) -> Callable[[World, Group, list[Outcome]], str | None]:
    def expect(_: World, __: Group, outcomes: list[Outcome]) -> str | None:
        refused = [o.refusal.code for o in outcomes if o.refusal]
        return None if refused == [code] * (len(outcomes) - 1) else f"refused were {refused}"

    return expect


def count_of_matches(n: int) -> Callable[[World, Group, list[Outcome]], str | None]:
    def expect(world: World, g: Group, _: list[Outcome]) -> str | None:
        room = g.state(world)
        if room.match_count == n:
            return None
        return f"{room.match_count} matches, not {n}"

    return expect


def closed_and_empty(world: World, g: Group, _: list[Outcome]) -> str | None:
    room = g.state(world)
    return None if (room.state, room.active_count) == ("closed", 0) else f"{room}"


def same_name_everywhere(world: World, g: Group, _: list[Outcome]) -> str | None:
    for user, member in g.state(world).members.items():
        name = users.get(world.table, user).name
        if member.name != name:
            return f"the room shows {member.name}, the profile {name}"
    return None


def no_ghosts(world: World, g: Group, _: list[Outcome]) -> str | None:
    for user in g.state(world).present:
        if users.find(world.table, user) is None:
            return f"{user} is in the room and has no account"
    return None


def no_room_without_a_host(world: World, g: Group, _: list[Outcome]) -> str | None:
    for change in world.store.changes_after(g.since, 10_000):
        if change.sk == "ROOM" and change.new is not None:
            room = rooms.find(world.table, RoomId(change.new["id"]))
            if room is None or room.active_count == 0:
                continue
            if users.find(world.table, room.host_id) is None:
                return f"the host of {room.id} has no account"
    return None


def told_of_every_match(world: World, g: Group, outcomes: list[Outcome]) -> str | None:
    """Whoever votes for a title that has a match hears of it, unless the vote was refused."""
    found = {m.title_id for m in matches.of_room(world.table, g.state(world))}
    answer = outcomes[0].value
    if answer is not None and {m.title_id for m in answer.matches} != found:
        return f"matches are {found}, told were {answer.matches}"
    return None


# --------------------------------------------------------------------------------- scenarios

CLOSED = frozenset({"room_closed"})
ABSENT = frozenset({"not_a_member", "room_closed"})
GONE = frozenset({"room_not_found"})
YES_OF_HOST: Votes = {0: {0: "yes"}}

PAIRS = [
    Scenario(
        "join, join: one seat",
        group(members=2, others=2, capacity=3),
        (join(2), join(3)),
        frozenset({"room_full"}),
        one_wins("room_full"),
    ),
    Scenario("join, join: two seats", group(members=1, others=2, capacity=3), (join(1), join(2))),
    Scenario("join, join: the same person", group(members=1, others=1), (join(1), join(1))),
    Scenario("vote, vote: both yes", group(), (Cast(0), Cast(1)), expect=told_at_once),
    Scenario(
        "vote, vote: both yes, remembered",
        group(remembered=True),
        (Cast(0), Cast(1)),
        expect=told_at_once,
    ),
    Scenario(
        "vote, vote: the last two of three",
        group(members=3, votes=YES_OF_HOST, remembered=True),
        (Cast(1, choice="super"), Cast(2)),
        expect=told_at_once,
    ),
    Scenario(
        "vote, vote: a yes and a change of mind",
        group(votes=YES_OF_HOST),
        (Cast(1), Cast(0, choice="no")),
        CLOSED,
    ),
    Scenario("vote, vote: one person, two minds", group(), (Cast(1), Cast(1, choice="no"))),
    Scenario("vote, vote: yes and veto", group(), (Cast(0), Cast(1, choice="veto"))),
    Scenario(
        "vote, vote: a veto lifted and the last yes",
        group(members=3, votes={0: {0: "yes"}, 1: {0: "veto"}}),
        (Cast(1), Cast(2)),
        expect=told_at_once,
    ),
    Scenario(
        "vote, vote: a veto becomes a no",
        group(members=3, votes={0: {0: "yes"}, 1: {0: "veto"}}, rule=AtLeast(2)),
        (Cast(1, choice="no"), Cast(2)),
        expect=told_at_once,
    ),
    Scenario(
        "undo, vote: a veto taken back and the last yes",
        group(members=3, votes={0: {0: "yes"}, 1: {0: "veto"}}, rule=AtLeast(2)),
        (undo(1), Cast(2)),
        expect=matched(0),
    ),
    Scenario("undo, vote", group(votes=YES_OF_HOST), (undo(0), Cast(1)), CLOSED),
    Scenario("undo, undo", group(votes=YES_OF_HOST), (undo(0), undo(0))),
    Scenario(
        "vote, leave",
        group(members=3, votes=YES_OF_HOST, stop_at="never"),
        (Cast(1), leave(2)),
        expect=matched(0),
    ),
    Scenario(
        "vote, leave: remembered",
        group(members=3, votes=YES_OF_HOST, remembered=True),
        (Cast(1), leave(2)),
        expect=matched(0),
    ),
    Scenario(
        "vote, leave: the voter goes",
        group(members=2, votes=YES_OF_HOST),
        (Cast(1), leave(1)),
        ABSENT,
    ),
    Scenario(
        "vote, leave: the host goes",
        group(members=3, votes={2: {0: "yes"}}),
        (Cast(1), leave(0)),
        expect=matched(0),
    ),
    Scenario(
        "vote, kick", group(members=3, votes=YES_OF_HOST), (Cast(1), kick(2)), expect=matched(0)
    ),
    Scenario(
        "vote, kick: the voter is put out",
        group(members=3, votes={0: {0: "yes"}, 1: {0: "yes"}}, remembered=True),
        (Cast(2), kick(2)),
        ABSENT,
        matched(0),
    ),
    Scenario("vote, close", group(votes=YES_OF_HOST), (Cast(1), update(state="closed")), CLOSED),
    Scenario(
        "vote, close: remembered",
        group(votes=YES_OF_HOST, remembered=True),
        (Cast(1), update(state="closed")),
        CLOSED,
    ),
    Scenario(
        "vote, rule change: easier",
        group(members=3, votes=YES_OF_HOST, remembered=True),
        (Cast(1), update(rule=AtLeast(2))),
        expect=matched(0),
    ),
    Scenario(
        "vote, rule change: harder",
        group(members=3, votes=YES_OF_HOST, rule=AtLeast(2)),
        (Cast(1), update(rule=Share(100))),
    ),
    Scenario(
        "vote, vote: two titles, the first decides",
        group(votes={0: {0: "yes"}, 1: {1: "yes"}}),
        (Cast(0, 1), Cast(1, 0)),
        CLOSED,
        count_of_matches(1),
    ),
    Scenario(
        "vote, vote: two titles, remembered",
        group(votes={0: {0: "yes"}, 1: {1: "yes"}}, remembered=True),
        (Cast(0, 1), Cast(1, 0)),
        CLOSED,
        count_of_matches(1),
    ),
    Scenario(
        "vote, vote: two titles, never decided",
        group(votes={0: {0: "yes"}, 1: {1: "yes"}}, stop_at="never"),
        (Cast(0, 1), Cast(1, 0)),
        expect=matched(0, 1),
    ),
    Scenario(
        "rejoin with a yes, vote",
        lambda world: _left(
            Group(world, members=3, votes={0: {0: "yes"}, 2: {0: "yes"}}, rule=AtLeast(3)), world, 2
        ),
        (join(2), Cast(1)),
        expect=matched(0),
    ),
    Scenario(
        "rejoin with a veto, vote",
        lambda world: _left(
            Group(world, members=3, votes={0: {0: "yes"}, 2: {0: "veto"}}), world, 2
        ),
        (join(2), Cast(1)),
        CLOSED,
    ),
    Scenario(
        "join, vote: somebody new blocks",
        group(members=2, others=1, votes=YES_OF_HOST),
        (join(2), Cast(1)),
        CLOSED,
    ),
    Scenario(
        "join, vote: somebody new makes a group",
        group(members=1, others=1, rule=AtLeast(1)),
        (join(1), Cast(0)),
        expect=matched(0),
    ),
    Scenario("leave, leave: the last two", group(), (leave(0), leave(1)), expect=closed_and_empty),
    Scenario("leave, leave: the same person", group(), (leave(1), leave(1)), ABSENT),
    Scenario(
        "leave, leave: two of four, the others agree",
        group(members=4, votes={0: {0: "yes"}, 1: {0: "yes"}}),
        (leave(2), leave(3)),
        expect=matched(0),
    ),
    Scenario("leave, join: the host goes", group(members=2, others=1), (leave(0), join(2))),
    Scenario(
        "leave, join: the last one goes", group(members=1, others=1), (leave(0), join(1)), CLOSED
    ),
    Scenario(
        "kick, leave: the same person",
        group(members=3),
        (kick(2), leave(2)),
        frozenset({"not_a_member", "not_found"}),
    ),
    Scenario(
        "kick, leave: the host goes",
        group(members=3),
        (kick(2), leave(0)),
        frozenset({"not_a_member", "not_the_host"}),
    ),
    Scenario(
        "kick, join: the one who is put out",
        lambda world: Group(world, members=2),
        (kick(1), join(1)),
        frozenset({"removed_from_room"}),
    ),
    Scenario(
        "reopen, vote",
        group(votes={0: {0: "yes", 1: "yes"}, 1: {0: "yes"}}),
        (update(state="open"), Cast(1, 1)),
        CLOSED,
    ),
    Scenario(
        "reopen, leave: those who stay agree",
        group(members=3, votes={0: {0: "yes"}, 1: {0: "yes"}, 2: {0: "no"}}, stop_at=1),
        (update(state="closed"), leave(2)),
    ),
    Scenario(
        "rename, vote",
        group(votes=YES_OF_HOST),
        (update(name="Friday"), Cast(1)),
        expect=told_at_once,
    ),
    Scenario(
        "rename me, vote",
        group(votes=YES_OF_HOST),
        (rename_me(1, "Eve"), Cast(1)),
        expect=told_at_once,
    ),
    Scenario(
        "rename me, join",
        group(members=1, others=1),
        (rename_me(1, "Eve"), join(1)),
        expect=same_name_everywhere,
    ),
    Scenario(
        "rename me, rename me",
        group(),
        (rename_me(1, "Eve"), rename_me(1, "Adam")),
        expect=same_name_everywhere,
    ),
    Scenario("delete room, vote", group(votes=YES_OF_HOST), (remove_room, Cast(1)), GONE),
    Scenario("delete room, join", group(members=2, others=1), (remove_room, join(2)), GONE),
    Scenario("delete room, leave", group(), (remove_room, leave(1)), frozenset({"room_not_found"})),
    Scenario(
        "delete me, join",
        group(members=1, others=1),
        (remove_me(1), join(1)),
        frozenset({"unauthenticated"}),
        no_ghosts,
    ),
    Scenario(
        "delete me, create",
        group(),
        (remove_me(1), lambda world, g: world.create(g.users[1])),
        frozenset({"unauthenticated"}),
        no_room_without_a_host,
    ),
    Scenario(
        "vote, vote: several, where another decides first",
        group(votes={0: {0: "yes", 1: "yes"}, 1: {}}),
        (lambda world, g: world.vote_many(g.users[1], g.room, {0: "yes", 1: "yes"}), Cast(1, 1)),
        CLOSED,
        told_of_every_match,
    ),
    Scenario(
        "publish, vote: progress",
        with_batch(group(votes={0: {0: "yes", 1: "no"}}), "ballots"),
        (publish, Cast(1)),
    ),
    Scenario(
        "publish, vote: a match that somebody began",
        with_batch(unfinished, "ballots"),
        (publish, Cast(1, choice="super")),
        expect=matched(0),
    ),
    Scenario(
        "publish, undo: a match that somebody began",
        with_batch(unfinished, "ballots"),
        (publish, undo(1)),
        heals=True,
    ),
    Scenario(
        "publish, join: a match that somebody began",
        with_batch(
            lambda world: _began(Group(world, others=1, votes=YES_OF_HOST), world, 1), "ballots"
        ),
        (publish, join(2)),
        CLOSED,
        heals=True,
    ),
    Scenario(
        "publish, vote: a rule that eases",
        with_batch(
            group(members=3, votes={0: {0: "yes", 1: "no"}, 1: {1: "no"}}, rule=Easing((1,))),
            "ballots",
        ),
        (publish, Cast(1)),
        heals=True,
    ),
    Scenario(
        "publish, rule change: a rule that eases",
        with_batch(
            group(members=3, votes={0: {0: "yes", 1: "no"}, 1: {1: "no"}}, rule=Easing((1,))),
            "ballots",
        ),
        (publish, update(rule=Easing((9,)))),
        heals=True,
    ),
    Scenario(
        "publish, publish: the same ballots",
        with_batch(unfinished, "ballots"),
        (publish, publish),
        expect=matched(0),
    ),
    Scenario(
        "publish, publish: the same members",
        with_batch(group(members=3), "rooms"),
        (publish, publish),
    ),
    Scenario("publish, leave", with_batch(group(members=3), "rooms"), (publish, leave(2))),
]


def _left(g: Group, world: World, user: int) -> Group:
    world.leave(g.users[user], g.room)
    return g


def _began(g: Group, world: World, user: int) -> Group:
    _cast_and_die(world, g, user)
    return g


ALL_AGREE: Votes = {0: {0: "yes", 1: "yes", 2: "yes"}}

MANY = [
    Scenario(
        "delete me, vote",
        group(members=3, votes={0: {0: "yes"}, 2: {0: "veto"}}),
        (remove_me(2), Cast(1)),
        expect=matched(0),
    ),
    Scenario(
        "three joins, two seats",
        group(members=1, others=3, capacity=3),
        (join(1), join(2), join(3)),
        frozenset({"room_full"}),
    ),
    Scenario(
        "three votes, all yes",
        group(members=3, remembered=True),
        (Cast(0), Cast(1), Cast(2)),
        expect=told_at_once,
    ),
    Scenario(
        "three matches where two decide",
        group(votes=ALL_AGREE, stop_at=2, remembered=True),
        (Cast(1, 0), Cast(1, 1), Cast(1, 2)),
        CLOSED,
        count_of_matches(2),
    ),
    Scenario(
        "vote, leave, join",
        group(members=3, others=1, votes=YES_OF_HOST),
        (Cast(1), leave(2), join(3)),
        CLOSED,
    ),
    Scenario(
        "vote, close, reopen",
        group(votes=YES_OF_HOST, remembered=True),
        (Cast(1), update(state="closed"), update(state="open")),
        CLOSED,
    ),
    Scenario(
        "publish, publish, vote",
        with_batch(unfinished, "ballots"),
        (publish, publish, Cast(0, 1)),
        expect=matched(0),
    ),
    Scenario(
        "four votes, all yes",
        group(members=4, remembered=True),
        (Cast(0), Cast(1), Cast(2), Cast(3)),
        expect=told_at_once,
    ),
    Scenario(
        "vote, vote, undo, leave",
        group(members=4, votes=YES_OF_HOST, remembered=True),
        (Cast(1), Cast(2), undo(0), leave(3)),
        CLOSED | ABSENT,
    ),
]

# Their orders are hundreds of thousands, repetitions and dead ends left out: some are drawn by lot.
TOO_MANY = [
    Scenario(
        "vote, kick, rule change",
        group(members=4, votes=YES_OF_HOST),
        (Cast(1), kick(3), update(rule=AtLeast(2))),
        CLOSED,
        matched(0),
    ),
    Scenario(
        "host leaves, heir leaves, join, vote",
        group(members=3, others=1, votes={2: {0: "yes"}}),
        (leave(0), leave(1), join(3), Cast(2, 1)),
        CLOSED,
    ),
    Scenario(
        "four joins, two seats",
        group(members=2, others=4, capacity=4),
        (join(2), join(3), join(4), join(5)),
        frozenset({"room_full"}),
    ),
]

SAMPLES = 1000


# ----------------------------------------------------------------------------------- running


class Stage:
    """Starts the race of a scenario, and judges how it ended."""

    def __init__(self, scenario: Scenario, world: World) -> None:
        self.scenario = scenario
        self.world = world
        self.group = scenario.seed(world)
        self._seeded = world.mark()

    def start(self) -> Race:
        self.world.rewind(self._seeded)
        g = self.group
        g.cache = MemoryCache(monotonic=self.world.clock.monotonic)
        # Who asks for the code first makes no difference, and seven times as many orders.
        rooms.id_of_code(self.world.table, g.cache, g.code)
        g.remember(self.world)

        def bound(operation: Op) -> Callable[[Table, Cache], Any]:
            return lambda table, cache: operation(self.world.over(table=table, cache=cache), g)

        return Race([bound(op) for op in self.scenario.operations], self.world.table, g.cache)

    def state(self) -> bytes:
        """Return what stands for all that is stored and all that will be looked at.

        Changes of one feed have an order; of a match it also counts which ballot was there. Between
        changes of different feeds, or of items that no feed is about, nobody can tell the order.
        """
        changed: dict[str, list[Any]] = {}
        for pk, sk, new in self.world.store.read(
            "SELECT pk, sk, new FROM changes WHERE seq > ? ORDER BY seq", (self._seeded.seq,)
        ):
            kind, _, title = sk.partition("#")
            feed = {"MATCH": "ROOM", "PROFILE": "ROOM"}.get(kind, kind)
            place = changed.setdefault(feed if feed in ("ROOM", "BALLOT") else f"{pk} {sk}", [])
            ballots_before = kind == "MATCH" and [
                image for _, other, image, _ in changed.get("BALLOT", ()) if other.endswith(title)
            ]
            place.append((pk, sk, new, ballots_before))
        told = msgspec.json.encode([changed, self.group.cache._entries], order="deterministic")
        return hashlib.blake2b(told, digest_size=16).digest()

    def check(self, outcomes: list[Outcome], _: list[int]) -> None:
        scenario, g = self.scenario, self.group
        world = self.world.over(cache=g.cache)
        refused = {o.refusal.code for o in outcomes if o.refusal}
        if not refused <= scenario.may:
            raise Violation(f"refused with {refused}")
        if not scenario.heals:
            check_room(world, g.room, g.since, drained=False)
        world.drain(world.feeds_at(g.since))
        check_room(world, g.room, g.since, drained=True)
        log = world.table.query(keys.room_pk(g.room), prefix=keys.EVENT).items
        world.drain(world.feeds_at(g.since), batch=3)  # again, and cut otherwise
        if world.table.query(keys.room_pk(g.room), prefix=keys.EVENT).items != log:
            raise Violation("I6: what was delivered again was told again")
        self._stored(outcomes)
        if keys_left := scenario.expect(world, g, outcomes):
            raise Violation(keys_left)

    def _stored(self, outcomes: list[Outcome]) -> None:
        casts = [op for op in self.scenario.operations if isinstance(op, Cast)]
        for operation, outcome in zip(self.scenario.operations, outcomes, strict=True):
            if not isinstance(operation, Cast) or outcome.refusal is not None:
                continue
            if rooms.find(self.world.table, self.group.room) is None:
                continue
            possible = {
                c.choice for c in casts if (c.user, c.title) == (operation.user, operation.title)
            }
            stored = self.group.stored(self.world, operation.user, operation.title)
            if stored not in possible:
                raise Violation(f"I1: stored is {stored}, acknowledged were {possible}")


@pytest.mark.parametrize("scenario", PAIRS + MANY, ids=lambda s: s.name)
def test_no_order_of_a_few_operations_breaks_an_invariant(scenario, world, record_property):
    stage = Stage(scenario, world)
    explored = explore(stage.start, stage.check, state=stage.state)
    record_property("schedules", explored.schedules)
    assert explored.schedules > 1


@pytest.mark.parametrize("scenario", TOO_MANY, ids=lambda s: s.name)
def test_no_order_that_is_drawn_by_lot_breaks_an_invariant(scenario, world, record_property):
    stage = Stage(scenario, world)
    explored = sample(stage.start, stage.check, times=SAMPLES, seed=20)
    record_property("schedules", explored.schedules)
    assert explored.schedules > SAMPLES // 2


# -------------------------------------------------------------------- sessions, accounts, keys


def race(world: World, *operations: Callable[[World], Any]) -> Race:
    """Begin a race of operations that concern no room."""

    def bound(operation: Callable[[World], Any]) -> Callable[[Table, Cache], Any]:
        return lambda table, cache: operation(world.over(table=table, cache=cache))

    return Race([bound(op) for op in operations], world.table, world.cache)


@pytest.mark.parametrize("racers", [2, 3])
def test_of_racing_uses_of_a_refresh_token_at_most_one_wins_and_the_family_ends(world, racers):
    state: dict[str, Any] = {}

    def use(world: World) -> Any:
        return world.call(refresh, Refresh(refresh_token=state["token"]))

    def start() -> Race:
        state["user"] = world.guest()
        state["token"] = sessions.start(world.table, world.ids, state["user"], world.clock.now())
        return race(world, *[use] * racers)

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        won = [o.value for o in outcomes if o.refusal is None]
        codes = {o.refusal.code for o in outcomes if o.refusal}
        if len(won) > 1:
            raise Violation(f"I7: {len(won)} uses of one token won")
        if not codes <= {"token_reused", "invalid_token"} or "token_reused" not in codes:
            raise Violation(f"I7: refused with {codes}")
        left = world.table.query(keys.user_pk(state["user"]), prefix=keys.SESSION).items
        if left:
            raise Violation("I7: the family goes on after a reuse")

    assert explore(start, check).schedules > 1


def test_a_refresh_that_races_with_the_end_of_all_sessions_leaves_no_session(world):
    state: dict[str, Any] = {}

    def start() -> Race:
        state["user"] = user = world.guest()
        token = sessions.start(world.table, world.ids, user, world.clock.now())
        return race(
            world,
            lambda w: w.call(refresh, Refresh(refresh_token=token)),
            lambda w: sessions.end_all(w.table, user),
        )

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        if world.table.query(keys.user_pk(state["user"]), prefix=keys.SESSION).items:
            raise Violation("I7: a session outlived the end of all sessions")

    assert explore(start, check).schedules > 1


def test_a_login_with_the_old_password_leaves_no_session_behind_a_new_one(world):
    state: dict[str, Any] = {"n": 0}
    world.clock.tick = 1

    def start() -> Race:
        state["n"] += 1
        email = f"l{state['n']}@x.example"
        account = Register(email=email, password="old password", name="Ana")
        state["user"] = world.call(register, account).user.id
        token = sessions.start_reset(world.table, world.ids, state["user"], world.clock.now())
        return race(
            world,
            lambda w: w.call(login, Login(email=email, password="old password")),
            lambda w: w.call(reset_password, ResetPassword(token=token, password="new password")),
        )

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        signed_in, reset = outcomes
        if reset.refusal is not None:
            raise Violation(f"the reset was refused with {reset.refusal.code}")
        if signed_in.value is None:
            return
        with suppress(InvalidToken):
            world.call(refresh, Refresh(refresh_token=signed_in.value.refresh_token))
            raise Violation("a session of the old password goes on")

    assert explore(start, check).schedules > 1


@pytest.mark.parametrize("same", [True, False], ids=["one address", "two addresses"])
def test_of_two_registrations_of_one_guest_one_wins(world, same):
    state: dict[str, Any] = {}

    def start() -> Race:
        state["guest"] = guest = world.guest("Gus")
        token = tokens.issue(
            world.keys,
            world.ids,
            users.get(world.table, guest),
            "family",
            world.settings.issuer,
            world.clock.now(),
        )
        origin = Origin(ORIGIN.address, ORIGIN.base_url, token, None)
        addresses = [f"a@{guest}.example", f"{'a' if same else 'b'}@{guest}.example"]
        state["addresses"] = addresses

        def registration(address: str) -> Callable[[World], Any]:
            request = Register(email=address, password="correct horse", name="Gus")
            return lambda w: w.call(register, request, origin=origin)

        return race(world, *map(registration, addresses))

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        won = [o.value for o in outcomes if o.refusal is None]
        refused = [o.refusal.code for o in outcomes if o.refusal]
        if len(won) != 1 or refused not in (["already_registered"], ["email_taken"]):
            raise Violation(f"{len(won)} won, refused were {refused}")
        email = users.get(world.table, state["guest"]).email
        claims = {a for a in state["addresses"] if world.table.get(keys.email(a)) is not None}
        if claims != {email} or won[0].user.email != email:
            raise Violation(f"the account has {email}, claimed are {claims}")

    assert explore(start, check).schedules > 1


def test_of_two_accounts_with_one_address_one_is_opened(world):
    state: dict[str, Any] = {"n": 0}

    def start() -> Race:
        state["n"] += 1
        request = Register(email=f"a{state['n']}@x.example", password="correct horse", name="A")
        return race(world, *[lambda w: w.call(register, request)] * 2)

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        refused = [o.refusal.code for o in outcomes if o.refusal]
        if refused != ["email_taken"]:
            raise Violation(f"refused were {refused}")
        winner = next(o.value.user.id for o in outcomes if o.value)
        found = users.by_email(world.table, f"a{state['n']}@x.example")
        if found is None or found.id != winner:
            raise Violation("the address leads to another account than the one that was opened")

    assert explore(start, check).schedules > 1


@pytest.mark.parametrize("racers", [2, 3])
def test_one_idempotency_key_makes_one_room_however_its_uses_race(world, racers):
    state: dict[str, Any] = {}

    def start() -> Race:
        state["host"] = host = world.guest()
        state["since"] = world.store.last_seq
        return race(world, *[lambda w: w.create(host, key="k")] * racers)

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        made = [
            c for c in world.store.changes_after(state["since"], 1000) if c.sk == "ROOM" and c.new
        ]
        answers = {msgspec.json.encode(o.value) for o in outcomes}
        if len(made) != 1 or len(answers) != 1:
            raise Violation(f"I8: {len(made)} rooms, answers {answers}")

    assert explore(start, check).schedules > 1


def test_one_idempotency_key_with_two_requests_makes_one_room(world):
    state: dict[str, Any] = {}

    def start() -> Race:
        host = world.guest()
        state["since"] = world.store.last_seq
        return race(
            world,
            lambda w: w.create(host, key="k", name="One"),
            lambda w: w.create(host, key="k", name="Two"),
        )

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        made = [
            c for c in world.store.changes_after(state["since"], 1000) if c.sk == "ROOM" and c.new
        ]
        refused = [o.refusal.code for o in outcomes if o.refusal]
        if len(made) != 1 or refused != ["idempotency_mismatch"]:
            raise Violation(f"I8: {len(made)} rooms, refused {refused}")

    assert explore(start, check).schedules > 1


# ------------------------------------------------------------------------- the harness itself


def vote_that_reads_first(world: World, g: Group) -> Any:
    """A vote in the wrong order: read theirs, then write mine."""
    room = rooms.get(world.table, g.room, consistent=True)
    ballot = ballots.cast(
        world.table, g.room, title_id(0), g.users[1], "yes", expires=2_000_000_000
    )
    if matches.agreed(room, ballot) is not None:
        matches.record(world.table, world.cache, g.room, [ballot], _title, NOON)


def vote_that_trusts_its_look(world: World, g: Group) -> Any:
    """A vote that records its match without the condition that the room is as it was seen."""
    ballot = ballots.cast(
        world.table, g.room, title_id(0), g.users[1], "yes", expires=2_000_000_000
    )
    room = rooms.get(world.table, g.room, consistent=True)
    agreeing = agreement(room.rule, ballot.votes, room.present, room.eased)
    if agreeing is None or room.state != "open":
        return
    match = Match(
        title_id=title_id(0),
        title=_title(title_id(0)),
        at=NOON,
        user_ids=agreeing,
        kind=kind(room.rule),
    )
    key = keys.match(g.room, title_id(0))
    put = TransactPut({"PK": key.pk, "SK": key.sk, **msgspec.to_builtins(match)}, Absent("PK"))
    count = TransactUpdate(
        keys.room(g.room), Update(set={"state": "decided"}, add={"matchCount": 1, "version": 1})
    )
    with suppress(TransactionCancelled):
        world.table.transact([put, count])


def join_that_counts_first(world: World, g: Group) -> Any:
    """A join that looks for a seat before it takes one, in two steps."""
    room = rooms.get(world.table, g.room, consistent=True)
    if room.active_count < room.capacity:
        member = {"name": "Eve", "joinedAt": NOON, "active": True}
        world.table.update(
            keys.room(g.room),
            Update(set={("members", g.users[-1]): member}, add={"activeCount": 1, "version": 1}),
        )


def publish_that_forgets(world: World, g: Group) -> Any:
    """An append to the log without the condition that nobody else appended."""
    head = world.table.get(keys.log(g.room)) or {"last": 0}
    number = head["last"] + 1
    key = keys.event(g.room, number)
    event = {"cursor": str(number), "roomId": g.room, "type": "progress", "at": NOON}
    world.table.put({"PK": key.pk, "SK": key.sk, **event, "data": {"progress": {}}})
    update = Update(set={"last": number, "applied": {}, "progress": {}}, add={"rev": 1})
    world.table.update(keys.log(g.room), update)


def publish_members(world: World, g: Group) -> None:
    world.publish(world.changes("rooms", g.since))


def vote_in_one_item(world: World, g: Group) -> Any:
    """A vote that reads the ballot and writes it back whole."""
    key = keys.ballot(g.room, title_id(0))
    item = world.table.get(key) or {"PK": key.pk, "SK": key.sk, "rev": 0, "replaced": ""}
    world.table.put({**item, f"v:{g.users[1]}": "yes", "rev": item["rev"] + 1})


def _title(wanted: Any) -> Any:
    return next(iter(_CATALOGUE.titles([wanted])))


BROKEN = [
    (
        "I2",
        Scenario(
            "reads the room before it writes",
            group(members=3, votes=YES_OF_HOST),
            (vote_that_reads_first, leave(2)),
        ),
    ),
    (
        "I4",
        Scenario(
            "records without the version",
            group(members=2, others=1, votes=YES_OF_HOST),
            (vote_that_trusts_its_look, join(2)),
            CLOSED,
        ),
    ),
    (
        "I5",
        Scenario(
            "counts seats before it takes one",
            group(members=2, others=2, capacity=3),
            (join(2), join_that_counts_first),
            frozenset({"room_full"}),
        ),
    ),
    (
        "I6",
        Scenario(
            "appends without looking",
            group(votes=YES_OF_HOST),
            (publish_that_forgets, publish_members),
        ),
    ),
    (
        "I1",
        Scenario(
            "writes the ballot whole",
            group(stop_at="never"),
            (vote_in_one_item, Cast(0)),
        ),
    ),
]


@pytest.mark.parametrize(("invariant", "scenario"), BROKEN, ids=[s.name for _, s in BROKEN])
def test_the_explorer_finds_what_is_broken_and_its_schedule_shows_it_again(
    invariant, scenario, world
):
    stage = Stage(scenario, world)
    with pytest.raises(Violation, match=invariant) as found:
        explore(stage.start, stage.check, state=stage.state)
    schedule = found.value.schedule
    with pytest.raises(Violation, match=invariant):
        replay(stage.start, stage.check, iter(schedule))


def test_the_explorer_runs_each_order_that_matters_once(world):
    def write(name: str) -> Callable[[Table, Cache], None]:
        def operation(table: Table, _: Cache) -> None:
            table.put({"PK": name, "SK": "1", "by": name})
            table.put({"PK": "shared", "SK": "1", "by": name})

        return operation

    seen: set[tuple[int, ...]] = set()

    def start(*names: str) -> Callable[[], Race]:
        return lambda: Race([write(name) for name in names], world.table, world.cache)

    def check(_: list[Outcome], schedule: list[int]) -> None:
        seen.add(tuple(schedule))

    explored = explore(start("a", "b", "c"), check)
    assert explored.schedules == 6 == len(seen)  # 3! orders of the writes to one item
    assert explore(start("a", "a"), check).schedules == 4  # 2 orders of each of two items


def test_what_is_not_explored_again_was_explored_before(world):
    def count(table: Table, _: Cache) -> None:
        for _ in range(2):
            n = (table.get(Key("n", "1")) or {"n": 0})["n"]
            table.put({"PK": "n", "SK": "1", "n": n + 1})

    beginning = world.mark()

    def start() -> Race:
        world.rewind(beginning)
        return Race([count] * 3, world.table, world.cache)

    def ends(state: Callable[[], Any] | None) -> tuple[set[int], schedules.Explored]:
        seen: set[int] = set()
        check = lambda *_: seen.add(world.table.get(Key("n", "1"))["n"])  # noqa: E731
        return seen, explore(start, check, state=state)

    by_all, all_runs = ends(None)
    by_few, few_runs = ends(lambda: str(world.table.get(Key("n", "1"))))
    assert by_few == by_all == {2, 3, 4, 5, 6}
    assert sum(few_runs) < sum(all_runs) / 2


def test_an_operation_that_waits_for_ever_is_reported_with_its_schedule(world, monkeypatch):
    monkeypatch.setattr(schedules, "BOUND_S", 0.2)
    lock = threading.Lock()

    def operation(table: Table, _: Cache) -> None:
        with lock:
            table.get(Key("a", "b"))

    with pytest.raises(schedules.Stuck):
        explore(lambda: Race([operation] * 2, world.table, world.cache), lambda *_: None)
