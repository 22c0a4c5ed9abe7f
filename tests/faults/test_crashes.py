"""A process that dies between any two of its writes, and what those who come after make of it.

Each operation is run again and again; the first time the process dies before its first write, then
right after its first, and so on. After each death a new process, which remembers nothing, hands
over the change feed, and the client, who got no answer, repeats the request: once in this order
and once in the other.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from tests.fakes import ORIGIN, World, title_id
from tests.faults.groups import Group, Votes
from tests.faults.invariants import check_room, votes_of
from trinity.common import passwords, tokens
from trinity.common.requests import Origin
from trinity.domain import errors
from trinity.domain.consensus import AtLeast, Easing
from trinity.domain.ids import DAY
from trinity.domain.rooms import OPEN_FOR
from trinity.handlers.auth.refresh import Refresh, refresh
from trinity.handlers.auth.register import Register, register
from trinity.handlers.auth.reset_password import ResetPassword, reset_password
from trinity.handlers.rooms.delete import DeleteRoom, delete_room
from trinity.handlers.rooms.list import ListRooms, list_rooms
from trinity.handlers.users.delete_me import delete_me
from trinity.handlers.users.update_me import UpdateMe, update_me
from trinity.ports import Condition, Item, Key, Page, Table, TransactAction, Update
from trinity.store import ballots, keys, matches, rooms, sessions, users


class Died(BaseException):
    """The process is no more."""


class MortalTable:
    """A `Table` whose process dies after so many writes, before anything else is done."""

    def __init__(self, table: Table, writes: int) -> None:
        self._table = table
        self._left = writes

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        return self._table.get(key, consistent=consistent)

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        return self._table.batch_get(keys)

    def query(self, pk: str, **options: Any) -> Page:
        return self._table.query(pk, **options)

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        self._write(lambda: self._table.put(item, when=when))

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        return self._write(lambda: self._table.update(key, update, when=when))

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        self._write(lambda: self._table.delete(key, when=when))

    def transact(self, actions: Sequence[TransactAction]) -> None:
        self._write(lambda: self._table.transact(actions))

    def _write(self, write: Callable[[], Any]) -> Any:
        if self._left == 0:
            raise Died
        result = write()
        self._left -= 1
        if self._left == 0:
            raise Died
        return result


class Doomed(NamedTuple):
    """An operation that a process dies in.

    Attributes:
        name: for people.
        seed: makes the room and what came before.
        run: the operation.
        writes: how many writes it makes at least, so that none is left out by mistake.
        again: codes of the refusals that are a sensible answer to the repeated request.
        expect: looks at the end: returns what is wrong.
        behind: the change feed had not been handed over before.
    """

    name: str
    seed: Callable[[World], Group]
    run: Callable[[World, Group], Any]
    writes: int
    again: frozenset[str] = frozenset()
    expect: Callable[[World, Group], str | None] = lambda *_: None
    behind: bool = False


def group(**wishes: Any) -> Callable[[World], Group]:
    return lambda world: Group(world, **wishes)


def matched(*titles: int) -> Callable[[World, Group], str | None]:
    def expect(world: World, g: Group) -> str | None:
        found = {m.title_id for m in matches.of_room(world.table, g.state(world))}
        wanted = {title_id(n) for n in titles}
        return None if found == wanted else f"matches are {found}, not {wanted}"

    return expect


def expired(world: World) -> Group:
    """Return three of whom two agree, and a third who left when the time was over."""
    g = Group(world, members=3, votes={0: {0: "yes"}, 1: {0: "yes"}})
    world.clock.advance(OPEN_FOR)
    world.leave(g.users[2], g.room)
    return g


def with_reset_token(world: World) -> Group:
    """Return people of whom the first has an account, three sessions and a mail to reset it."""
    g = Group(world)
    g.user = world.call(
        register,
        Register(email=f"{g.users[0]}@x.example", password="old password", name="Ana"),
    ).user.id
    g.sessions = [
        sessions.start(world.table, world.ids, g.user, world.clock.now()) for _ in range(2)
    ]
    world.clock.advance(1)
    g.token = sessions.start_reset(world.table, world.ids, g.user, world.clock.now())
    return g


def reset(world: World, g: Group) -> None:
    world.call(reset_password, ResetPassword(token=g.token, password="new password"))


def sessions_end_with_the_password(world: World, g: Group) -> str | None:
    user = users.get(world.table, g.user)
    if not passwords.matches("new password", user.password_hash):
        return None
    for token in g.sessions:
        with suppress(errors.InvalidToken):
            world.call(refresh, Refresh(refresh_token=token))
            return "the password is new, and an old session goes on"
    return None


def rename(world: World, g: Group) -> None:
    world.call(update_me, UpdateMe(name="Eve"), g.users[1])


def in_two_rooms(world: World) -> Group:
    g = Group(world)
    world.create(g.users[1])
    return g


def register_guest(world: World, g: Group) -> None:
    user = users.get(world.table, g.users[1])
    now = world.clock.now()
    token = tokens.issue(world.keys, world.ids, user, "family", world.settings.issuer, now)
    origin = Origin(ORIGIN.address, ORIGIN.base_url, token, None)
    request = Register(email=f"{user.id}@x.example", password="new password", name="Eve")
    world.call(register, request, origin=origin)


def one_name(world: World, g: Group) -> str | None:
    name = users.get(world.table, g.users[1]).name
    for pointer in rooms.of_user(world.table, g.users[1])[0]:
        shown = rooms.get(world.table, pointer.room_id).members[g.users[1]].name
        if shown != name:
            return f"a room shows {shown}, the profile {name}"
    return None


def remove_room(world: World, g: Group) -> None:
    world.call(delete_room, DeleteRoom(room_id=g.room), g.users[0])


def no_room(world: World, g: Group) -> str | None:
    for user in g.users:
        if world.call(list_rooms, ListRooms(), user).items:
            return "the room is still listed"
    if world.table.get(keys.code(g.code)) is not None:
        return "its code still leads to it"
    return None


def remove_me(world: World, g: Group) -> None:
    world.call(delete_me, None, g.users[2])


def no_trace(world: World, g: Group) -> str | None:
    user = g.users[2]
    if world.table.query(keys.user_pk(user)).items:
        return "something is left of the account"
    if user in g.state(world).members:
        return "the room still knows them"
    cast = world.table.query(keys.room_pk(g.room), prefix=keys.BALLOT).items
    if any(user in votes_of(item) for item in cast):
        return "a vote is left"
    return matched(0)(world, g)


def create_once(world: World, g: Group) -> None:
    world.create(g.users[0], key="once", name="Another")


def one_more_room(world: World, g: Group) -> str | None:
    mine = world.call(list_rooms, ListRooms(), g.users[0]).items
    if [room.name for room in mine].count("Another") != 1:
        return f"rooms are {mine}"
    another = next(room for room in mine if room.name == "Another")
    return None if world.join(g.users[1], another.code).id == another.id else "the code is dead"


def unfinished(world: World, **wishes: Any) -> Group:
    g = Group(world, votes={0: {0: "yes", 1: "no"}}, **wishes)
    ballots.cast(world.table, g.room, title_id(0), g.users[1], "yes", expires=2_000_000_000)
    return g


def publish_all(world: World, g: Group) -> None:
    for feed in ("ballots", "rooms"):
        world.publish(world.changes(feed, g.since))


YES_OF_HOST: Votes = {0: {0: "yes"}}
HOST_AND_SECOND: Votes = {0: {0: "yes"}, 1: {0: "yes"}}
CLOSED = frozenset({"room_closed"})

OPERATIONS = [
    Doomed(
        "a vote that completes an agreement",
        group(votes=YES_OF_HOST),
        lambda world, g: world.vote(g.users[1], g.room, 0),
        2,
        expect=matched(0),
    ),
    Doomed(
        "a vote that lifts a veto",
        group(members=3, votes={2: {0: "veto"}, **HOST_AND_SECOND}, rule=AtLeast(2)),
        lambda world, g: world.vote(g.users[2], g.room, 0, "no"),
        2,
        CLOSED,
        matched(0),
    ),
    Doomed(
        "a veto taken back",
        group(members=3, votes={2: {0: "veto"}, **HOST_AND_SECOND}, rule=AtLeast(2)),
        lambda world, g: world.undo(g.users[2], g.room, 0),
        2,
        CLOSED,
        matched(0),
    ),
    Doomed(
        "several votes that make two matches",
        group(votes={0: {0: "yes", 1: "yes"}}, stop_at=2),
        lambda world, g: world.vote_many(g.users[1], g.room, {0: "yes", 2: "no", 1: "super"}),
        5,
        expect=matched(0, 1),
    ),
    Doomed(
        "leaving, when those who stay agree",
        group(members=3, votes=HOST_AND_SECOND),
        lambda world, g: world.leave(g.users[2], g.room),
        2,
        frozenset({"not_a_member"}),
        matched(0),
    ),
    Doomed(
        "a host leaving, when those who stay agree",
        group(members=3, votes={1: {0: "yes"}, 2: {0: "super"}}),
        lambda world, g: world.leave(g.users[0], g.room),
        2,
        frozenset({"not_a_member"}),
        matched(0),
    ),
    Doomed(
        "the last one leaving",
        group(members=1),
        lambda world, g: world.leave(g.users[0], g.room),
        1,
        frozenset({"not_a_member"}),
    ),
    Doomed(
        "putting out who blocks",
        group(members=3, votes=HOST_AND_SECOND),
        lambda world, g: world.kick(g.users[0], g.room, g.users[2]),
        2,
        frozenset({"not_found"}),
        matched(0),
    ),
    Doomed(
        "joining",
        group(members=2, others=1),
        lambda world, g: world.join(g.users[2], g.code),
        1,
    ),
    Doomed(
        "joining, which makes a group that agrees",
        group(members=1, others=1, votes=YES_OF_HOST, rule=AtLeast(1)),
        lambda world, g: world.join(g.users[1], g.code),
        2,
        expect=matched(0),
    ),
    Doomed(
        "an easier rule",
        group(members=3, votes={0: {0: "yes", 1: "yes"}, 1: {0: "yes", 1: "yes"}}, stop_at="never"),
        lambda world, g: world.update(g.users[0], g.room, rule=AtLeast(2)),
        3,
        expect=matched(0, 1),
    ),
    Doomed(
        "opening a decided room again, with another title agreed on meanwhile",
        lambda world: _decided(world),
        lambda world, g: world.update(g.users[0], g.room, state="open"),
        2,
        expect=matched(0, 1),
    ),
    Doomed(
        "opening an expired room again, with a title agreed on meanwhile",
        expired,
        lambda world, g: world.update(g.users[0], g.room, state="open"),
        2,
        expect=matched(0),
    ),
    Doomed("opening a room", group(), create_once, 1, expect=one_more_room),
    Doomed(
        "removing a room",
        group(votes={0: {0: "yes", 1: "no"}}),
        remove_room,
        5,
        frozenset({"room_not_found"}),
        no_room,
    ),
    Doomed(
        "removing an account that blocks",
        group(members=3, votes={**HOST_AND_SECOND, 2: {0: "veto", 1: "no"}}),
        remove_me,
        6,
        expect=no_trace,
    ),
    Doomed(
        "registering a guest under another name",
        in_two_rooms,
        register_guest,
        4,
        frozenset({"already_registered"}),
        one_name,
    ),
    Doomed("a new name", in_two_rooms, rename, 3, expect=one_name),
    Doomed(
        "a new password by mail",
        with_reset_token,
        reset,
        3,
        frozenset({"invalid_token"}),
        sessions_end_with_the_password,
    ),
    Doomed("publishing", unfinished, publish_all, 3, expect=matched(0), behind=True),
    Doomed(
        "publishing what eases the rule",
        lambda world: unfinished(world, members=3, rule=Easing((1,))),
        publish_all,
        3,
        expect=matched(0),
        behind=True,
    ),
]


def _decided(world: World) -> Group:
    """Return a room that is decided, with a second title that its members agree on."""
    g = Group(world, votes={0: {0: "yes", 1: "yes"}, 1: {0: "yes"}})
    ballots.cast(world.table, g.room, title_id(1), g.users[1], "yes", expires=2_000_000_000)
    return g


@pytest.mark.parametrize("repeated_first", [False, True], ids=["feed first", "client first"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)
def test_a_death_between_any_two_writes_breaks_nothing(operation, repeated_first, world):
    writes = 0
    while True:
        g = operation.seed(world)
        seen = world.feeds_at(g.since)
        if not operation.behind:
            seen = world.drain(seen)
        doomed = world.over(table=MortalTable(world.table, writes))
        try:
            operation.run(doomed, g)
        except Died:
            heir = world.restarted()
            problem = _come_back(heir, g, seen, operation, repeated_first)
            assert problem is None, f"died after {writes} writes: {problem}"
            writes += 1
            continue
        break
    assert writes > operation.writes


def _come_back(
    world: World, g: Group, seen: dict[str, int], operation: Doomed, repeated_first: bool
) -> str | None:
    if repeated_first:
        problem = _repeat(world, g, operation)
    else:
        seen = world.drain(seen)
        check_room(world, g.room, g.since, drained=True)
        problem = _repeat(world, g, operation)
    world.drain(seen)
    check_room(world, g.room, g.since, drained=True)
    return problem or operation.expect(world, g)


def _repeat(world: World, g: Group, operation: Doomed) -> str | None:
    try:
        operation.run(world, g)
    except errors.DomainError as refusal:
        if refusal.code not in operation.again:
            return f"repeated, it was refused with {refusal.code}"
    return None


def test_what_was_published_before_a_death_is_not_told_twice(world):
    g = Group(world, members=4, votes={0: {0: "yes", 1: "no"}, 1: {1: "no"}})
    writes = 0
    while True:
        try:
            publish_all(world.over(table=MortalTable(world.table, writes + 1)), g)
        except Died:
            writes += 1
            if writes > 3:
                break
            continue
        break
    check_room(world.restarted(), g.room, g.since, drained=True)


def test_many_hosts_who_leave_one_after_another_are_told_in_one_batch(world):
    g = Group(world, members=60, capacity=100)
    seen = world.drain(world.feeds_at(g.since))
    for user in g.users:
        world.leave(user, g.room)
    world.publish(world.changes("rooms", seen["rooms"], 100))
    check_room(world, g.room, g.since, drained=True)


def test_a_room_keeps_its_name_when_the_new_one_is_empty(world):
    g = Group(world, name="Friday")
    with pytest.raises(errors.InvalidRequest):
        world.update(g.users[0], g.room, name="")
    assert g.state(world).name == "Friday"


def test_an_expired_room_that_is_opened_again_takes_votes(world):
    g = Group(world, votes=YES_OF_HOST)
    world.clock.advance(OPEN_FOR + DAY)
    with pytest.raises(errors.RoomClosed):
        world.vote(g.users[1], g.room, 0)
    world.update(g.users[0], g.room, state="open")
    assert [m.title_id for m in world.vote(g.users[1], g.room, 0).matches] == [title_id(0)]


def test_an_idempotency_key_is_good_for_a_day_though_its_answer_was_not_removed_yet(world):
    host = world.guest()
    first = world.create(host, key="k", name="One")
    world.clock.advance(DAY - 1000)
    assert world.create(host, key="k", name="One") == first
    world.clock.advance(1000)
    second = world.create(host, key="k", name="Another")
    assert second.id != first.id
    assert world.create(host, key="k", name="Another") == second
