"""Every order in which a few operations can touch the table and the cache.

Each operation is a coroutine (a greenlet) that stops before each call of a port, and goes on only
when the explorer lets it. So exactly one runs at any time, and the explorer decides on the order of
the calls.

All orders are explored but two kinds: those that differ only in the order of calls that do not
concern each other (sleep sets), and what would follow from a state that was seen before (state
caching): the same stored data, and the same answers to each operation so far. How the two go
together: P. Godefroid, Partial-Order Methods for the Verification of Concurrent Systems, 1996,
chapters 5 and 8. Two calls concern each other if one writes what the other reads or writes.
"""

import hashlib
import random
import signal
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from greenlet import GreenletExit, getcurrent, greenlet

from trinity.domain.errors import DomainError
from trinity.domain.ids import BlobId, blob_id
from trinity.ports import (
    Blobs,
    Cache,
    Condition,
    ConditionFailed,
    Item,
    Key,
    Page,
    Table,
    TransactAction,
    TransactionCancelled,
    TransactPut,
    Update,
)

T = TypeVar("T")

BOUND_S = 20.0
"""Longer than any step takes on the slowest machine: whoever takes so long takes for ever."""

Operation = Callable[[Table, Cache], Any]


class Call(NamedTuple):
    """A call of a port that an operation is about to make."""

    name: str
    reads: tuple[tuple[str, str, bool], ...]  # partition, sort key, whether that is a prefix
    writes: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        where = [f"{sk}*" if prefix else sk for _, sk, prefix in self.reads]
        return f"{self.name}({', '.join([*where, *(sk for _, sk in self.writes)])})"


def independent(one: Call, other: Call) -> bool:
    """Tell whether two calls come to the same in either order."""
    if one.name == other.name == "cache.delete":
        return True
    return not (_disturbs(one, other) or _disturbs(other, one))


def _disturbs(writer: Call, other: Call) -> bool:
    for pk, sk in writer.writes:
        if (pk, sk) in other.writes:
            return True
        for read_pk, read_sk, prefix in other.reads:
            if pk == read_pk and (sk.startswith(read_sk) if prefix else sk == read_sk):
                return True
    return False


class Violation(AssertionError):
    """Something that must hold does not; `schedule` shows it again."""

    schedule: Sequence[int] = ()


class Stuck(AssertionError):
    """An operation neither went on nor ended: most likely a deadlock."""


class Outcome(NamedTuple):
    """What an operation came to: a value, or a refusal."""

    value: Any
    refusal: DomainError | None


class _Task:
    """An operation on its way.

    Attributes:
        number: of the operation.
        pending: the call that it is about to make; None when it has ended.
        seen: stands for all answers that it got so far, and so for where it is.
    """

    def __init__(self, number: int, operation: Operation, table: Table, cache: Cache) -> None:
        self.number = number
        self.pending: Call | None = None
        self.seen = b""
        self.outcome: Outcome | None = None
        self.fault: BaseException | None = None
        self._explorer = getcurrent()
        gated = GatedTable(table, self.make), GatedCache(cache, self.make)
        self._greenlet = greenlet(lambda: self._run(operation, *gated))

    def go_on(self) -> None:
        """Let it make its call, and go on to its next one or its end."""
        signal.setitimer(signal.ITIMER_REAL, BOUND_S)
        try:
            self._greenlet.switch()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def abandon(self) -> None:
        """End it where it is."""
        self._greenlet.throw(GreenletExit)

    def make(self, call: Call, answer: Callable[[], T]) -> T:
        """Make a call when the explorer says so, and take note of the answer."""
        self.pending = call
        self._explorer.switch()
        noted: Any = None
        try:
            result = answer()
            noted = result
        except ConditionFailed as refusal:
            noted = ["refused", refusal.item]
            raise
        except TransactionCancelled as refusal:
            noted = ["refused", [reason and reason.item for reason in refusal.reasons]]
            raise
        finally:
            told = self.seen + call.name.encode() + msgspec.json.encode(noted)
            self.seen = hashlib.blake2b(told, digest_size=16).digest()
        return result

    def _run(self, operation: Operation, table: Table, cache: Cache) -> None:
        try:
            self.outcome = Outcome(operation(table, cache), None)
        except DomainError as refusal:
            self.outcome = Outcome(None, refusal)
        except GreenletExit:
            raise
        except BaseException as fault:  # noqa: BLE001  (it is raised again by the explorer)
            self.fault = fault
        self.pending = None


Make = Callable[[Call, Callable[[], Any]], Any]


class GatedTable:
    """A `Table` whose calls are made when the explorer says so."""

    def __init__(self, table: Table, make: Make) -> None:
        self._table = table
        self._make = make

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        call = Call("get", ((*key, False),), ())
        return self._make(call, lambda: self._table.get(key, consistent=consistent))

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        call = Call("batch_get", tuple((*key, False) for key in keys), ())
        return self._make(call, lambda: self._table.batch_get(keys))

    def query(self, pk: str, *, prefix: str = "", **options: Any) -> Page:
        call = Call("query", ((pk, prefix, True),), ())
        return self._make(call, lambda: self._table.query(pk, prefix=prefix, **options))

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        call = Call("put", (), ((item["PK"], item["SK"]),))
        self._make(call, lambda: self._table.put(item, when=when))

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        call = Call("update", (), ((key.pk, key.sk),))
        return self._make(call, lambda: self._table.update(key, update, when=when))

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        call = Call("delete", (), ((key.pk, key.sk),))
        self._make(call, lambda: self._table.delete(key, when=when))

    def transact(self, actions: Sequence[TransactAction]) -> None:
        touched = tuple(
            (a.item["PK"], a.item["SK"]) if isinstance(a, TransactPut) else (a.key.pk, a.key.sk)
            for a in actions
        )
        self._make(Call("transact", (), touched), lambda: self._table.transact(actions))


class GatedCache:
    """A `Cache` whose calls are made when the explorer says so."""

    def __init__(self, cache: Cache, make: Make) -> None:
        self._cache = cache
        self._make = make

    def get(self, key: str) -> Any:
        call = Call("cache.get", (("cache", key, False),), ())
        return self._make(call, lambda: self._cache.get(key))

    def set(self, key: str, value: Any, *, ttl: float) -> None:
        call = Call("cache.set", (), (("cache", key),))
        self._make(call, lambda: self._cache.set(key, value, ttl=ttl))

    def delete(self, key: str) -> None:
        call = Call("cache.delete", (), (("cache", key),))
        self._make(call, lambda: self._cache.delete(key))

    def increment(self, key: str, *, ttl: float) -> tuple[int, float]:
        call = Call("cache.increment", (), (("cache", key),))
        return self._make(call, lambda: self._cache.increment(key, ttl=ttl))


class GatedBlobs:
    """`Blobs` whose calls are made in the turns of the operation that a gated table belongs to."""

    def __init__(self, blobs: Blobs, table: GatedTable) -> None:
        self._blobs = blobs
        self._make = table._make

    def put(self, content: bytes, *, content_type: str) -> BlobId:
        call = Call("blobs.put", (), (("blob", blob_id(content)),))
        return self._make(call, lambda: self._blobs.put(content, content_type=content_type))

    def delete(self, blob_id: BlobId) -> None:
        call = Call("blobs.delete", (), (("blob", blob_id),))
        self._make(call, lambda: self._blobs.delete(blob_id))


class Race:
    """One run of some operations, step by step.

    Args:
        operations: each gets a table and a cache.
        table: what they share.
        cache: what they share.
    """

    def __init__(self, operations: Sequence[Operation], table: Table, cache: Cache) -> None:
        signal.signal(signal.SIGALRM, _give_up)
        self.trace: list[str] = []
        self._tasks = [_Task(n, operation, table, cache) for n, operation in enumerate(operations)]
        for task in self._tasks:
            self._go_on(task)

    def pending(self) -> dict[int, Call]:
        """Return what each operation that has not ended is about to do."""
        return {task.number: task.pending for task in self._tasks if task.pending is not None}

    def seen(self) -> Hashable:
        """Return what stands for all answers to the operations so far."""
        return tuple(task.seen for task in self._tasks)

    def step(self, number: int) -> None:
        """Let an operation make its call, and go on to its next one or its end."""
        task = self._tasks[number]
        self.trace.append(f"{number}: {task.pending}")
        self._go_on(task)

    def outcomes(self) -> list[Outcome]:
        """Return what the operations came to; all of them must have ended."""
        return [task.outcome for task in self._tasks if task.outcome is not None]

    def abandon(self) -> None:
        """End all operations where they are."""
        for task in self._tasks:
            task.abandon()

    def _go_on(self, task: _Task) -> None:
        task.go_on()
        if task.fault is not None:
            raise task.fault


def _give_up(*_: object) -> None:
    raise Stuck("an operation neither went on nor ended")


class _Node:
    """A point of a schedule where one of several operations goes on.

    Attributes:
        asleep: who need not go on from here, since it was explored what follows.
        ahead: who is still to be tried, the one that goes on first.
    """

    def __init__(self, pending: dict[int, Call], asleep: set[int], ahead: list[int]) -> None:
        self.pending = pending
        self.asleep = asleep
        self.ahead = ahead

    def still_asleep(self) -> set[int]:
        """Return who is asleep after the step from here."""
        went = self.pending[self.ahead[0]]
        return {n for n in self.asleep if independent(self.pending[n], went)}


class Explored(NamedTuple):
    """How much was looked at: schedules to their end, and runs that came to what was known."""

    schedules: int
    redundant: int


def explore(
    start: Callable[[], Race],
    check: Callable[[list[Outcome], list[int]], None],
    *,
    state: Callable[[], Hashable] | None = None,
    most: int = 100_000,
) -> Explored:
    """Run all schedules that can make a difference and check each.

    Args:
        start: begins a race, the same one each time, from a fresh beginning.
        check: called with what the operations came to, and the schedule, after each run.
        state: returns what stands for all that is stored, and for all that `check` may look at
            beside it. Without it a state is never recognised.
        most: give up with an error when there are more.
    """
    path: list[_Node] = []
    slept: dict[Hashable, set[int]] = {}  # who was asleep in a state whenever it was seen
    complete = redundant = 0
    while True:
        race = start()
        schedule: list[int] = []
        asleep: set[int] = set()
        try:
            for node in path:
                _same(node.pending, race.pending())
                race.step(node.ahead[0])
                schedule.append(node.ahead[0])
                asleep = node.still_asleep()
            while pending := race.pending():
                awake = [number for number in pending if number not in asleep]
                if state is not None:
                    known = slept.get(here := (state(), race.seen()))
                    if known is not None:  # only those who slept each time are still to be tried
                        awake = sorted(known - asleep)
                        asleep &= known
                    slept[here] = set(asleep)
                if not awake:
                    break
                node = _Node(pending, asleep, awake)
                path.append(node)
                race.step(awake[0])
                schedule.append(awake[0])
                asleep = node.still_asleep()
            if race.pending():
                redundant += 1
                race.abandon()
            else:
                complete += 1
                check(race.outcomes(), schedule)
        except BaseException as problem:
            _explain(problem, race, schedule)
            raise
        if complete + redundant > most:
            raise AssertionError(f"more than {most} schedules")
        while path:
            node = path[-1]
            node.asleep = node.asleep | {node.ahead.pop(0)}
            if node.ahead:
                break
            path.pop()
        else:
            return Explored(complete, redundant)


def sample(
    start: Callable[[], Race],
    check: Callable[[list[Outcome], list[int]], None],
    *,
    times: int,
    seed: int,
) -> Explored:
    """Run schedules drawn by lot and check each; report how many different ones there were."""
    chance = random.Random(seed)
    seen: set[tuple[int, ...]] = set()
    for _ in range(times):
        replay(start, check, _drawn(chance), seen)
    return Explored(len(seen), times - len(seen))


def replay(
    start: Callable[[], Race],
    check: Callable[[list[Outcome], list[int]], None],
    choose: Iterator[int],
    seen: set[tuple[int, ...]] | None = None,
) -> None:
    """Run one schedule: each number is an operation, or stands for one of those that wait."""
    race = start()
    schedule: list[int] = []
    try:
        while pending := race.pending():
            waiting = sorted(pending)
            number = next(choose)
            chosen = number if number in pending else waiting[number % len(waiting)]
            race.step(chosen)
            schedule.append(chosen)
        if seen is not None:
            seen.add(tuple(schedule))
        check(race.outcomes(), schedule)
    except BaseException as problem:
        _explain(problem, race, schedule)
        raise


def _drawn(chance: random.Random) -> Iterator[int]:
    # In bursts: uniform choices nearly never let one operation run far ahead of another.
    while True:
        number = chance.randrange(1000, 2000)
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            yield number


def _explain(problem: BaseException, race: Race, schedule: Sequence[int]) -> None:
    problem.add_note(f"schedule {list(schedule)}:\n  " + "\n  ".join(race.trace))
    if isinstance(problem, Violation):
        problem.schedule = tuple(schedule)


def _same(one: dict[int, Call], other: dict[int, Call]) -> None:
    if {n: call.name for n, call in one.items()} != {n: call.name for n, call in other.items()}:
        raise AssertionError(f"a schedule cannot be repeated: {one} is now {other}")
