"""Notices are sent once: whatever dies, races, comes twice or in another order.

The invariant of `store/deliveries.py`: a notice is sent once, and once more for each process that
dies between the sending and the mark. What a removed account had does not come back.
"""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes import NOON, FakeNotifier, World, title_id
from tests.faults.evening import spend
from tests.faults.groups import Group
from tests.faults.invariants import Violation
from tests.faults.schedules import Race, explore
from tests.faults.test_crashes import Died, MortalTable
from trinity.domain.domain_events import DomainEvent, MatchFound
from trinity.domain.errors import RoomNotFound, Unauthenticated
from trinity.domain.ids import MINUTE, Millis, UserId
from trinity.domain.notices import Browser, Notice
from trinity.handlers.notifications.add_webhook import AddWebhook, add_webhook
from trinity.handlers.queues.deliver_email import deliver_email
from trinity.handlers.queues.deliver_push import deliver_push
from trinity.handlers.queues.deliver_webhook import deliver_webhook
from trinity.handlers.queues.notify import notify
from trinity.handlers.rooms.delete import DeleteRoom, delete_room
from trinity.handlers.rooms.invite import Invite, invite
from trinity.handlers.users.delete_me import delete_me
from trinity.ports import Cache, Table, Unavailable
from trinity.store import keys, notices, sessions, users

CHANNELS = ["email", "push", "webhook"]
DELIVER = {"email": deliver_email, "push": deliver_push, "webhook": deliver_webhook}


class Reached:
    """A group of two of whom the first wants everything, and a match that he is to hear of."""

    def __init__(self, world: World, channel: str, matches: int = 1) -> None:
        self.group = Group(world, members=2, stop_at="never")
        self.user, self.room = self.group.users[0], self.group.room
        reachable(world, self.user, channel)
        self.notices = [n for match in range(matches) for n in self.told(world, match)]

    def told(self, world: World, match: int) -> list[Notice]:
        fact = MatchFound(
            room_id=self.room,
            title_id=title_id(match),
            title=f"Film {match}",
            user_ids=(),
            rule="unanimous",
            at=NOON,
        )
        data = msgspec.to_builtins(fact)
        event = DomainEvent(
            id=f"event {match}", type="MatchFound", version=1, occurred=NOON, data=data
        )
        world.call(notify, event=event)
        return take(world)


def reachable(world: World, user: UserId, *channels: str) -> None:
    """Let somebody be told by some channels, and by no other."""
    if "email" in channels:
        changes = {"email": f"{user}@x.example", "passwordHash": "x"}
        users.update(world.table, users.get(world.table, user), changes)
        notices.prefer(world.table, user, {("matchFound", "email"): True})
    if "push" in channels:
        family = sessions.family(sessions.start(world.table, world.ids, user, Millis(NOON)))
        notices.add_browser(
            world.table,
            user,
            Browser(
                id=world.ids.new(),
                endpoint=f"https://push.example/{user}",
                p256dh="p",
                auth="a",
                session=family,
                created_at=NOON,
            ),
        )
    if "webhook" in channels:
        world.call(add_webhook, AddWebhook(url=f"https://hook.example/{user}"), user)


def take(world: World) -> list[Notice]:
    """Take all notices out of the queues."""
    found: list[Notice] = []
    for channel in CHANNELS:
        while taken := world.queues.receive(f"deliver-{channel}"):
            found += [msgspec.json.decode(m.body, type=Notice) for m in taken]
            world.queues.delete(f"deliver-{channel}", [m.receipt for m in taken])
    return found


def deliver(world: World, notice: Notice) -> None:
    world.call(DELIVER[notice.channel], notice=notice)


def told(world: World) -> Counter[tuple[str, str]]:
    """Return how often each notice was told, by where to and its id."""
    return Counter(
        (address(one.to), one.content.id)
        for notifier in (world.email, world.push, world.webhook)
        for one in notifier.told
    )


def address(to: Any) -> str:
    return to if isinstance(to, str) else to.endpoint if isinstance(to, Browser) else to.url


# ------------------------------------------------------------------------------------------ crashes


class SendsAndDies(FakeNotifier):
    """A notifier whose process dies right after a notice left."""

    def send(self, to: Any, content: Any) -> None:
        super().send(to, content)
        raise Died


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_process_that_dies_at_a_write_sends_nothing_twice(channel: str, world: World) -> None:
    """Right before and right after each of them, mail's hour included; the message comes again."""
    writes = 3 if channel == "email" else 2
    for survived in range(writes + 1):
        reached = Reached(world, channel)
        [notice] = reached.notices
        with suppress(Died):
            deliver(world.over(table=MortalTable(world.table, survived)), notice)
        for _ in range(2):  # once while the claim holds, once after it
            with suppress(Unavailable):
                deliver(world.restarted(), notice)
            world.clock.advance(MINUTE + 1)
        deliver(world.restarted(), notice)
        assert set(told(world).values()) == {1}, survived
        assert len(told(world)) == survived + 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_process_that_dies_between_sending_and_mark_repeats_this_one_alone(
    channel: str, world: World
) -> None:
    reached = Reached(world, channel, matches=1 if channel == "email" else 3)
    dying = world.restarted()
    setattr(dying, channel, SendsAndDies())
    dead = reached.notices[-1]
    with pytest.raises(Died):
        deliver(dying, dead)
    for notice in reached.notices:
        with suppress(Unavailable):
            deliver(world, notice)
    world.clock.advance(MINUTE + 1)
    for notice in [*reached.notices, *reached.notices]:
        deliver(world, notice)
    first = Counter((address(one.to), one.content.id) for one in getattr(dying, channel).told)
    assert set(told(world).values()) == {1}
    assert first + told(world) == told(world) + Counter(first.keys())  # the same id, once more
    assert len(told(world)) == len(reached.notices)


def test_what_makes_notices_may_die_anywhere(world: World) -> None:
    """The event comes again, and whatever it leads to is told once."""
    group = Group(world, members=3, stop_at="never")
    for user in group.users:
        reachable(world, user, *CHANNELS)
    world.call(invite, Invite(room_id=group.room, email="dora@x.example"), group.users[0])
    [invited] = [event for event in world.events() if event.type == "MemberInvited"]
    for survived in range(2):
        with suppress(Died):
            dying = world.over(table=MortalTable(world.table, survived))
            dying.call(notify, event=invited)
    world.call(notify, event=invited)
    made = take(world)
    assert len(made) >= 2  # it died after handing some over
    for notice in made:
        deliver(world, notice)
    assert list(told(world).values()) == [1]


# -------------------------------------------------------------------------------------------- races


def race(world: World, *operations: Callable[[World], Any]) -> Race:
    """Begin a race; who finds another at work goes away, as his message would come again later."""

    def bound(operation: Callable[[World], Any]) -> Callable[[Table, Cache], Any]:
        def run(table: Table, cache: Cache) -> Any:
            with suppress(Unavailable):
                operation(world.over(table=table, cache=cache))

        return run

    return Race([bound(op) for op in operations], world.table, world.cache)


def forget(world: World) -> None:
    for notifier in (world.email, world.push, world.webhook):
        notifier.told.clear()


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("times", [2, 3])
def test_a_message_that_comes_several_times_at_once_is_sent_once(
    channel: str, times: int, world: World
) -> None:
    state: dict[str, Notice] = {}

    def start() -> Race:
        forget(world)
        [state["notice"]] = Reached(world, channel).notices
        return race(world, *[lambda w: deliver(w, state["notice"])] * times)

    def check(*_: Any) -> None:
        if list(told(world).values()) != [1]:
            raise Violation(f"N1: {told(world)}")
        deliver(world, state["notice"])
        if list(told(world).values()) != [1]:
            raise Violation(f"N1: once more after that: {told(world)}")

    assert explore(start, check).schedules > 1


def test_of_two_matches_at_once_one_is_mailed(world: World) -> None:
    state: dict[str, list[Notice]] = {}

    def start() -> Race:
        forget(world)
        state["notices"] = Reached(world, "email", matches=2).notices
        return race(world, *[lambda w, n=n: deliver(w, n) for n in state["notices"]])

    def check(*_: Any) -> None:
        for notice in state["notices"]:
            deliver(world, notice)
        if list(told(world).values()) != [1]:
            raise Violation(f"N2: {told(world)} mails within an hour")

    assert explore(start, check).schedules > 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_nothing_comes_back_to_an_account_that_is_removed_meanwhile(
    channel: str, world: World
) -> None:
    state: dict[str, Any] = {}

    def start() -> Race:
        forget(world)
        state["reached"] = reached = Reached(world, channel)
        return race(
            world,
            lambda w: deliver(w, reached.notices[0]),
            lambda w: w.call(delete_me, None, reached.user),
        )

    def check(*_: Any) -> None:
        left = world.table.query(keys.user_pk(state["reached"].user)).items
        if left:
            raise Violation(f"N3: left behind are {[item['SK'] for item in left]}")
        if any(count > 1 for count in told(world).values()):
            raise Violation(f"N1: {told(world)}")

    assert explore(start, check).schedules > 1


@pytest.mark.parametrize(
    "act",
    [
        lambda w, user: notices.prefer(w.table, user, {("invited", "email"): False}),
        lambda w, user: w.call(add_webhook, AddWebhook(url="https://hook.example/"), user),
        lambda w, user: reachable(w, user, "push"),
    ],
    ids=["preferences", "a webhook", "a browser"],
)
def test_nothing_is_added_to_an_account_that_is_removed_meanwhile(act: Any, world: World) -> None:
    state: dict[str, UserId] = {}

    def start() -> Race:
        state["user"] = user = world.guest()

        def add(w: World) -> None:
            with suppress(Unauthenticated):
                act(w, user)

        return race(world, add, lambda w: w.call(delete_me, None, user))

    def check(*_: Any) -> None:
        items = world.table.query(keys.user_pk(state["user"]), prefix=keys.NOTICE).items
        if items:
            raise Violation(f"N3: left behind are {[item['SK'] for item in items]}")

    assert explore(start, check).schedules > 1


@pytest.mark.parametrize("known", [True, False], ids=["a user", "an address"])
def test_two_who_invite_the_same_person_at_once_invite_him_once(known: bool, world: World) -> None:
    state: dict[str, Any] = {"n": 0}

    def start() -> Race:
        state["n"] += 1
        state["group"] = group = Group(world, members=2)
        address = f"{group.users[0]}@x.example"
        if known:
            guest = world.guest()
            changes = {"email": address, "passwordHash": "x"}
            users.update(world.table, users.get(world.table, guest), changes)
        state["since"] = world.store.last_seq
        request = Invite(room_id=group.room, email=address)
        return race(world, *[lambda w, u=u: w.call(invite, request, u) for u in group.users])

    def check(*_: Any) -> None:
        invited = [e for e in world.events(state["since"]) if e.type == "MemberInvited"]
        if len(invited) != 1:
            raise Violation(f"N4: {len(invited)} invitations")

    assert explore(start, check).schedules > 1


def test_no_address_is_left_in_a_room_that_is_deleted_meanwhile(world: World) -> None:
    state: dict[str, Any] = {}

    def start() -> Race:
        state["group"] = group = Group(world, members=2)
        request = Invite(room_id=group.room, email="dora@x.example")

        def ask(w: World) -> None:
            with suppress(RoomNotFound):
                w.call(invite, request, group.users[1])

        delete = DeleteRoom(room_id=group.room)
        return race(world, ask, lambda w: w.call(delete_room, delete, group.users[0]))

    def check(*_: Any) -> None:
        page = world.table.query(keys.room_pk(state["group"].room), prefix=keys.INVITE)
        if page.items:
            raise Violation("N3: an address is left in a room that is gone")

    assert explore(start, check).schedules > 1


# --------------------------------------------------------------------- duplicates and reordering


def evening(world: World) -> list[DomainEvent]:
    """Return what happened on an evening whose people can all be reached."""
    friends = spend(world).friends
    for user in friends.state(world).present:
        reachable(world, user, "push", "webhook")
    return world.events()


def run(world: World, chance: random.Random | None) -> None:
    """Let all that happened have its consequences: in order, or as queues may have it.

    With a source of chance, everything comes two or three times in any order, receivers fail now
    and then, and processes die; whatever failed comes again, until nothing is left to do.
    """
    events = [e for e in evening(world) if e.type in ("MatchFound", "MemberInvited")]
    assert len(events) > 3
    for event in shuffled(events, chance):
        world.call(notify, event=event)
    waiting = shuffled(take(world), chance)
    while waiting:
        again = []
        for notice in waiting:
            if chance is not None and chance.random() < 0.2:
                getattr(world, notice.channel).failures = [Unavailable("no")]
            dies = chance is not None and chance.random() < 0.1
            table = MortalTable(world.table, chance.choice([0, 1])) if dies else world.table
            try:
                deliver(world.over(table=table), notice)
            except (Unavailable, Died):
                again.append(notice)
            getattr(world, notice.channel).failures = []
        world.clock.advance(MINUTE + 1)  # claims of the dead end
        waiting = again


def shuffled(items: list[Any], chance: random.Random | None) -> list[Any]:
    if chance is None:
        return items
    several = [item for item in items for _ in range(chance.choice([2, 3]))]
    chance.shuffle(several)
    return several


@pytest.mark.parametrize("seed", range(6))
def test_an_evening_shuffled_and_doubled_comes_to_the_same(seed: int, tmp_path: Path) -> None:
    outcomes = []
    for name, chance in (("calm", None), ("wild", random.Random(seed))):
        (tmp_path / name).mkdir()
        world = World(tmp_path / name)
        run(world, chance)
        # Ids of events hold the times of changes, which differ from run to run.
        outcomes.append(
            Counter(
                (address(one.to), one.content.title)
                for notifier in (world.email, world.push, world.webhook)
                for one in notifier.told
            )
        )
        world.store.close()
    calm, wild = outcomes
    assert calm == wild
    assert set(calm.values()) == {1}
    assert len(calm) > 10
