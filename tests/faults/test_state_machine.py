"""Random histories of a few rooms, next to a model that is too simple to be wrong.

The model knows nothing of items, versions or feeds: a room is a few dicts, and after each step
every agreement is looked for from scratch.
"""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from tests.fakes import STREAMS, World, title_id
from tests.faults.groups import Group
from tests.faults.invariants import check_room
from trinity.domain.consensus import AtLeast, Easing, Share, Unanimous
from trinity.domain.domain_events import (
    DomainEvent,
    MatchFound,
    MemberJoined,
    MemberLeft,
    RoomDecided,
    RoomDeleted,
    RoomOpened,
    VoteCast,
)
from trinity.domain.errors import DomainError
from trinity.domain.ids import HOUR
from trinity.domain.rooms import KEPT_FOR, OPEN_FOR
from trinity.handlers.rooms.delete import DeleteRoom, delete_room
from trinity.handlers.rooms.next_cards import NextCards, next_cards
from trinity.handlers.votes.results import GetResults, get_results
from trinity.store import keys, matches, rooms

TITLES = 4
PEOPLE = 5
YES = ("yes", "super")

CHOICES = st.sampled_from(["yes", "yes", "yes", "super", "no", "veto"])
RULES = st.sampled_from(
    [Unanimous(), AtLeast(1), AtLeast(2), AtLeast(3), Share(50), Share(100), Easing((1, 2))]
)
STOPS = st.sampled_from(["first", "never", 1, 2, 3])
WHO = st.integers(0, PEOPLE - 1)
WHICH = st.integers(0, TITLES - 1)


class Refused(Exception):
    """The model says no, with this code."""


class Model:
    """A room. `told` are the events about it, in the words of `briefly`."""

    def __init__(self, host: str, now: int, rule: Any, stop_at: Any, capacity: int) -> None:
        self.host = host
        self.rule = rule
        self.stop_at = stop_at
        self.capacity = capacity
        self.created = now
        self.until = now + OPEN_FOR
        self.state = "open"
        self.eased = 0
        self.decide_at = None if stop_at == "never" else 1 if stop_at == "first" else stop_at
        self.joined = {host: now}
        self.active = {host}
        self.removed: set[str] = set()
        self.votes: dict[int, dict[str, str]] = {n: {} for n in range(TITLES)}
        self.matches: dict[int, set[str]] = {}
        self.told: list[Any] = [("RoomOpened", host), ("MemberJoined", host)]

    def open(self, now: int) -> bool:
        return self.state == "open" and now < self.until

    def agreeing(self, title: int) -> set[str] | None:
        votes = {user: c for user, c in self.votes[title].items() if user in self.active}
        yes = {user for user, choice in votes.items() if choice in YES}
        if len(self.active) < 2 or "veto" in votes.values():
            return None
        match self.rule:
            case Unanimous():
                enough = yes == self.active
            case AtLeast(count=count):
                enough = len(yes) >= count
            case Share(percent=percent):
                enough = len(yes) >= 1 and 100 * len(yes) >= percent * len(self.active)
            case Easing():
                enough = len(yes) >= max(2, len(self.active) - self.eased)
        return yes if enough else None

    def look(self, now: int, titles: Any = range(TITLES)) -> None:
        for title in titles:
            agreeing = self.agreeing(title)
            if agreeing is None or title in self.matches:
                continue
            if not self.open(now):
                return
            self.matches[title] = agreeing
            self.told.append(("MatchFound", title, frozenset(agreeing)))
            if self.decide_at is not None and len(self.matches) >= self.decide_at:
                self.state = "decided"
                self.told.append(("RoomDecided", len(self.matches)))

    def require(self, user: str, *, host: bool = False) -> None:
        if user not in self.active:
            raise Refused("not_a_member")
        if host and user != self.host:
            raise Refused("not_the_host")

    def join(self, user: str, now: int) -> None:
        if user not in self.active:
            if user in self.removed:
                raise Refused("removed_from_room")
            if not self.open(now):
                raise Refused("room_closed")
            if len(self.active) >= self.capacity:
                raise Refused("room_full")
            self.active.add(user)
            self.joined[user] = now
            self.told.append(("MemberJoined", user))
        self.look(now)

    def go(self, user: str, now: int) -> None:
        self.active.discard(user)
        self.told.append(("MemberLeft", user, user in self.removed))
        if user == self.host:
            if self.active:
                self.host = min(self.active, key=lambda other: (self.joined[other], other))
            elif self.state == "open":
                self.state = "closed"
                self.told.append(("RoomClosed",))
        self.look(now)

    def cast(self, user: str, votes: dict[int, str], now: int) -> None:
        self.require(user)
        if not self.open(now):
            if any(self.votes[title].get(user) != choice for title, choice in votes.items()):
                raise Refused("room_closed")
            return
        for title, choice in votes.items():
            if self.votes[title].get(user) != choice:
                self.told.append(("Vote", title, user, choice))
            self.votes[title][user] = choice
        self.look(now, votes)

    def undo(self, user: str, title: int, now: int) -> None:
        self.require(user)
        if not self.open(now):
            raise Refused("room_closed")
        if self.votes[title].pop(user, None):
            self.told.append(("Vote", title, user, None))
        self.look(now, [title])

    def close(self, user: str) -> None:
        self.require(user, host=True)
        if self.state == "open":
            self.state = "closed"
            self.told.append(("RoomClosed",))

    def reopen(self, user: str, now: int) -> None:
        self.require(user, host=True)
        if not self.open(now):
            before = self.state, self.until
            self.state = "open"
            self.until = min(now + OPEN_FOR, self.created + KEPT_FOR)
            if before != (self.state, self.until):
                self.told.append(("RoomReopened",))
            if self.decide_at is not None:
                more = 1 if self.stop_at == "first" else self.stop_at
                self.decide_at = len(self.matches) + more
        self.look(now)

    def change_rule(self, user: str, new: Any, now: int) -> None:
        self.require(user, host=True)
        if new != self.rule:
            self.rule, self.eased = new, 0
        self.look(now)

    def vetoed(self, title: int) -> bool:
        return any(c == "veto" and u in self.active for u, c in self.votes[title].items())

    def next(self, user: str) -> list[int]:
        unseen = [n for n in range(TITLES) if user not in self.votes[n] and not self.vetoed(n)]
        return sorted(unseen, key=lambda n: (-self.liked(n), n))

    def liked(self, title: int) -> int:
        return sum(c in YES and u in self.active for u, c in self.votes[title].items())

    def complete(self) -> bool:
        return all(self.vetoed(n) or self.active <= self.votes[n].keys() for n in range(TITLES))


class Rooms(RuleBasedStateMachine):
    """Use cases over the store."""

    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="trinity-"))
        self.world = World(self.folder)
        self.people = [self.world.guest(f"User {n}") for n in range(PEOPLE)]
        self.seen = self.world.feeds_at(0)
        self.models: dict[str, Model] = {}
        self.deleted: dict[str, Model] = {}
        self.codes: dict[str, str] = {}
        self.touched: set[str] = set()

    def teardown(self) -> None:
        try:
            self.drain_and_deliver_all_again()
        finally:
            self.world.store.close()
            shutil.rmtree(self.folder)

    def drain_and_deliver_all_again(self) -> None:
        self.world.drain(self.seen)
        logs = self.logs()
        self.world.drain(self.world.feeds_at(0), batch=7)
        for room in self.models:
            check_room(self.world, room, 0, drained=True)
        self.nothing_was_told_again(logs)
        self._adopt_easing()
        self.events_tell_all_that_the_model_saw()

    def events_tell_all_that_the_model_saw(self) -> None:
        by_room: dict[str, list[DomainEvent]] = {}
        for event in self.world.events():
            by_room.setdefault(event.data["roomId"], []).append(event)
        for room, model in (self.models | self.deleted).items():
            told = Counter(brief for event in by_room[room] for brief in briefly(event))
            assert told == Counter(model.told)
            versions = [event.data.get("roomVersion", 0) for event in by_room[room]]
            assert (some := [n for n in versions if n]) == sorted(some)

    def logs(self) -> dict[str, tuple[int, list[Any]]]:
        table = self.world.table
        return {room: (rooms.get(table, room).eased, self.log(room)) for room in self.models}

    def nothing_was_told_again(self, before: dict[str, tuple[int, list[Any]]]) -> None:
        for room, (eased, log) in self.logs().items():
            if eased == before[room][0]:  # a rule that eases now is news
                assert log == before[room][1], "what was delivered again was told again"

    def log(self, room: str) -> list[Any]:
        return self.world.table.query(f"ROOM#{room}", prefix=keys.EVENT).items

    @property
    def now(self) -> int:
        return self.world.clock.now()

    def both(self, room: str, real: Any, model: Any) -> Any:
        """Do the same to the room and to its model; they agree on whether it may be done."""
        self.touched.add(room)
        refused = code = result = None
        try:
            model()
        except Refused as refusal:
            refused = str(refusal)
        try:
            result = real()
        except DomainError as refusal:
            code = refusal.code
        assert code == refused, f"refused with {code}, the model says {refused}"
        return result

    # ------------------------------------------------------------------------------- steps

    @initialize(target=opened, choice=RULES, stop_at=STOPS)
    def first_room(self, choice, stop_at):
        room = self._open(0, choice, stop_at, 4)
        for n in (1, 2):
            self._join(room, n)
        return room

    @rule(target=opened, host=WHO, choice=RULES, stop_at=STOPS, capacity=st.integers(3, 4))
    def create(self, host, choice, stop_at, capacity):
        if len(self.models) >= 2:
            return multiple()
        return self._open(host, choice, stop_at, capacity)

    def _open(self, host: int, choice: Any, stop_at: Any, capacity: int) -> str:
        user = self.people[host]
        shape = self.world.create(
            user, titles=TITLES, rule=choice, stop_at=stop_at, capacity=capacity, secret=False
        )
        self.models[shape.id] = Model(user, self.now, choice, stop_at, capacity)
        self.codes[shape.id] = shape.code
        return shape.id

    @rule(room=opened, who=WHO)
    def join(self, room, who):
        self._join(room, who)

    def _join(self, room: str, who: int) -> None:
        user, model = self.people[who], self.models[room]
        self.both(
            room,
            lambda: self.world.join(user, self.codes[room]),
            lambda: model.join(user, self.now),
        )

    @rule(room=opened, who=WHO)
    def leave(self, room, who):
        user, model = self.people[who], self.models[room]

        def go() -> None:
            model.require(user)
            model.go(user, self.now)

        self.both(room, lambda: self.world.leave(user, room), go)

    @rule(room=opened, by=WHO, who=WHO)
    def kick(self, room, by, who):
        host, user, model = self.people[by], self.people[who], self.models[room]
        if by != who:

            def go() -> None:
                model.require(host, host=True)
                if user not in model.active:
                    raise Refused("not_found")
                model.removed.add(user)
                model.go(user, self.now)

            self.both(room, lambda: self.world.kick(host, room, user), go)

    @rule(room=opened, who=WHO, title=WHICH, choice=CHOICES)
    def vote(self, room, who, title, choice):
        user, model = self.people[who], self.models[room]
        answer = self.both(
            room,
            lambda: self.world.vote(user, room, title, choice),
            lambda: model.cast(user, {title: choice}, self.now),
        )
        # Who completes an agreement, or meets one, hears of it.
        if (
            answer is not None
            and choice in YES
            and title in model.matches
            and model.agreeing(title)
        ):
            assert [match.title_id for match in answer.matches] == [title_id(title)]

    @rule(room=opened, title=WHICH)
    def everybody_says_yes(self, room, title):
        for who, user in enumerate(self.people):
            if user in self.models[room].active:
                self.vote(room, who, title, "yes")

    @rule(
        room=opened,
        who=WHO,
        title=WHICH,
        choice=st.sampled_from(["no", "veto"]),
        then=st.sampled_from(["leave", "kick", "undo", "change of mind", "easier rule"]),
    )
    def one_stands_in_the_way(self, room, who, title, choice, then):
        model = self.models[room]
        members = sorted(model.active)
        if not members:
            return
        blocker = members[who % len(members)]
        number = self.people.index(blocker)
        self.vote(room, number, title, choice)
        for user in members:
            if user != blocker:
                self.vote(room, self.people.index(user), title, "yes")
        host = self.people.index(model.host)
        match then:
            case "leave":
                self.leave(room, number)
            case "kick":
                self.kick(room, host, number)
            case "undo":
                self.undo(room, number, title)
            case "change of mind":
                self.vote(room, number, title, "no" if choice == "veto" else "super")
            case "easier rule":
                self.change_rule(room, host, AtLeast(2))

    @rule(room=opened, who=WHO, votes=st.dictionaries(WHICH, CHOICES, min_size=1))
    def vote_on_several(self, room, who, votes):
        user, model = self.people[who], self.models[room]
        self.both(
            room,
            lambda: self.world.vote_many(user, room, votes),
            lambda: model.cast(user, votes, self.now),
        )

    @rule(room=opened, who=WHO, title=WHICH)
    def undo(self, room, who, title):
        user, model = self.people[who], self.models[room]
        self.both(
            room,
            lambda: self.world.undo(user, room, title),
            lambda: model.undo(user, title, self.now),
        )

    @rule(room=opened, who=WHO)
    def close(self, room, who):
        user, model = self.people[who], self.models[room]
        self.both(
            room,
            lambda: self.world.update(user, room, state="closed"),
            lambda: model.close(user),
        )

    @rule(room=opened)
    def reopen(self, room):
        model = self.models[room]
        user = model.host
        self.both(
            room,
            lambda: self.world.update(user, room, state="open"),
            lambda: model.reopen(user, self.now),
        )

    @rule(room=opened, who=WHO, choice=RULES)
    def change_rule(self, room, who, choice):
        user, model = self.people[who], self.models[room]
        self.both(
            room,
            lambda: self.world.update(user, room, rule=choice),
            lambda: model.change_rule(user, choice, self.now),
        )

    @rule(room=consumes(opened))
    def delete(self, room):
        model = self.models.pop(room)
        members = set(model.joined)
        if model.host not in model.active:
            return
        self.world.call(delete_room, DeleteRoom(room_id=room), model.host)
        model.told.append(("RoomDeleted", False))
        self.deleted[room] = model
        assert self.world.table.query(f"ROOM#{room}").items == []
        for user in members:
            pointers, _ = rooms.of_user(self.world.table, user)
            assert room not in [pointer.room_id for pointer in pointers]

    @rule(hours=st.sampled_from([1, 1, 24, 24 * 7]))
    def time_goes_on(self, hours):
        self.world.clock.advance(hours * HOUR)

    # -------------------------------------------------------------------------------- feed

    @rule(feed=st.sampled_from(sorted(STREAMS)), batch=st.integers(1, 20))
    def deliver(self, feed, batch):
        changes = self.world.changes(feed, self.seen[feed], batch)
        if changes:
            self._publish(changes)
            self.seen[feed] = changes[-1].seq

    @rule(
        feed=st.sampled_from(sorted(STREAMS)),
        back=st.integers(1, 30),
        batch=st.integers(1, 20),
    )
    def deliver_again(self, feed, back, batch):
        known = [c for c in self.world.changes(feed, 0) if c.seq <= self.seen[feed]]
        logs = self.logs()
        self._publish(known[-back:][:batch])
        self.nothing_was_told_again(logs)

    @rule()
    def deliver_everything(self):
        self.seen = self.world.drain(self.seen)
        self._adopt_easing()
        for room in self.models:
            check_room(self.world, room, 0, drained=True)

    def _publish(self, changes: list[Any]) -> None:
        self.world.publish(changes)
        self._adopt_easing()

    def _adopt_easing(self) -> None:
        """Only here may a rule ease, and only by a rule that eases may there be new matches."""
        for room, model in self.models.items():
            if isinstance(model.rule, Easing):
                real = rooms.get(self.world.table, room)
                assert model.eased <= real.eased <= len(model.rule.after)
                model.eased = real.eased
                found = matches.of_room(self.world.table, real)
                for match in found:
                    number = int(match.title_id[-3:])
                    if number not in model.matches:
                        model.matches[number] = set(match.user_ids)
                        model.told.append(("MatchFound", number, frozenset(match.user_ids)))
                if (model.state, real.state) == ("open", "decided"):
                    model.told.append(("RoomDecided", len(model.matches)))
                model.state = real.state

    # --------------------------------------------------------------------------- comparison

    @invariant()
    def the_rooms_are_as_the_model_says(self):
        for room in self.touched & self.models.keys():
            model = self.models[room]
            real = rooms.get(self.world.table, room)
            easing = isinstance(model.rule, Easing)
            check_room(self.world, room, 0, drained=False, settled=not easing)
            assert real.present == model.active
            assert real.state == model.state
            assert real.eased == model.eased
            if model.active:
                assert real.host_id == model.host
            found = matches.of_room(self.world.table, real)
            assert {m.title_id: set(m.user_ids) for m in found} == {
                title_id(n): users for n, users in model.matches.items()
            }
            self._members_see(room, model)
        self.touched.clear()

    def _members_see(self, room: str, model: Model) -> None:
        for user in sorted(model.active)[:2]:
            cards = self.world.call(next_cards, NextCards(room_id=room), user)
            assert [card.id for card in cards.items] == [title_id(n) for n in model.next(user)]
            assert cards.remaining == len(model.next(user))
        for user in sorted(model.active)[:1]:
            results = self.world.call(get_results, GetResults(room_id=room), user)
            assert results.complete == model.complete()
            assert results.members == len(model.active)
            votes = {n: model.votes[n].keys() & model.active for n in range(TITLES)}
            assert results.voted == len(set().union(*votes.values()))
            ranked = [int(row.title_id[-3:]) for row in results.ranking]
            assert sorted(ranked) == [n for n in range(TITLES) if votes[n]]
            vetoed = [model.vetoed(n) for n in ranked]
            assert vetoed == sorted(vetoed)
            scores = [row.score for row in results.ranking if not row.veto]
            assert scores == sorted(scores, reverse=True)


def briefly(event: DomainEvent) -> list[Any]:
    """Return what the model says of an event."""
    match event.fact:
        case RoomOpened(host_id=host):
            return [("RoomOpened", host)]
        case MemberJoined(user_id=user):
            return [("MemberJoined", user)]
        case MemberLeft(user_id=user, removed=removed):
            return [("MemberLeft", user, removed)]
        case VoteCast(votes=votes):
            return [("Vote", int(v.title_id[-3:]), v.user_id, v.choice) for v in votes]
        case MatchFound(title_id=title, user_ids=users):
            return [("MatchFound", int(title[-3:]), frozenset(users))]
        case RoomDecided(match_count=count):
            return [("RoomDecided", count)]
        case RoomDeleted(expired=expired):
            return [("RoomDeleted", expired)]
    return [(event.type,)]


Rooms.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
test_random_histories_agree_with_the_model = Rooms.TestCase


def test_a_rule_that_eases_counts_the_votes_that_were_there_before_it(world):
    g = Group(world, members=3, votes={n: {0: "yes" if n else "no", 1: "no"} for n in range(3)})
    seen = world.drain(world.feeds_at(g.since))
    world.update(g.users[0], g.room, rule=Easing((2,)))
    world.drain(seen)
    room = g.state(world)
    assert room.eased == 1
    assert room.match_count == 1


def test_a_rule_eases_when_there_are_fewer_heads_to_wait_for(world):
    votes = {n: {0: "yes" if n else "no", 1: "no"} for n in range(3)}
    g = Group(world, members=4, votes=votes, rule=Easing((2,)))
    seen = world.drain(world.feeds_at(g.since))
    assert g.state(world).eased == 0
    world.leave(g.users[3], g.room)
    world.drain(seen)
    assert g.state(world).eased == 1
    assert g.state(world).match_count == 1
