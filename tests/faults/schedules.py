"""Every order in which a few operations can touch the table and the cache.

Each operation runs in a thread of its own that stops before each call of a port, and goes on only
when the explorer lets it. So exactly one thread runs at any time, and the explorer decides on the
order of the calls.

All orders are explored but those that differ only in the order of calls that do not concern each
other (sleep sets: P. Godefroid, Partial-Order Methods for the Verification of Concurrent Systems,
1996). Two calls concern each other if one writes what the other reads or writes.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from trinity.domain.errors import DomainError
from trinity.ports import (
    Cache,
    Condition,
    Item,
    Key,
    Page,
    Table,
    TransactAction,
    TransactPut,
    Update,
)

BOUND_S = 20.0
"""Longer than any step takes on the slowest machine: whoever waits so long waits for ever."""

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


class Abandoned(BaseException):
    """Ends an operation whose schedule is of no more interest."""


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
    def __init__(self, number: int, operation: Operation, arrived: threading.Semaphore) -> None:
        self.number = number
        self.pending: Call | None = None
        self.outcome: Outcome | None = None
        self.fault: BaseException | None = None
        self.abandoned = False
        self._operation = operation
        self._arrived = arrived
        self._go = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, table: Table, cache: Cache) -> None:
        self._gated = (GatedTable(table, self.gate), GatedCache(cache, self.gate))
        self._thread.start()

    def gate(self, call: Call) -> None:
        self.pending = call
        self._arrived.release()
        if not self._go.acquire(timeout=3 * BOUND_S):  # the explorer gives up first
            raise Stuck("nobody let this operation go on")
        if self.abandoned:
            raise Abandoned

    def step(self) -> None:
        self.pending = None
        self._go.release()

    def join(self) -> None:
        self._thread.join(BOUND_S)
        if self._thread.is_alive():
            raise Stuck("an operation did not end")

    def _run(self) -> None:
        try:
            self.outcome = Outcome(self._operation(*self._gated), None)
        except DomainError as refusal:
            self.outcome = Outcome(None, refusal)
        except Abandoned:
            return
        except BaseException as fault:  # noqa: BLE001  (it is raised again by the explorer)
            self.fault = fault
        self.pending = None
        self._arrived.release()


class GatedTable:
    """A `Table` that waits before each call."""

    def __init__(self, table: Table, gate: Callable[[Call], None]) -> None:
        self._table = table
        self._gate = gate

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        self._gate(Call("get", ((*key, False),), ()))
        return self._table.get(key, consistent=consistent)

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        self._gate(Call("batch_get", tuple((*key, False) for key in keys), ()))
        return self._table.batch_get(keys)

    def query(self, pk: str, *, prefix: str = "", **options: Any) -> Page:
        self._gate(Call("query", ((pk, prefix, True),), ()))
        return self._table.query(pk, prefix=prefix, **options)

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        self._gate(Call("put", (), ((item["PK"], item["SK"]),)))
        self._table.put(item, when=when)

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        self._gate(Call("update", (), ((key.pk, key.sk),)))
        return self._table.update(key, update, when=when)

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        self._gate(Call("delete", (), ((key.pk, key.sk),)))
        self._table.delete(key, when=when)

    def transact(self, actions: Sequence[TransactAction]) -> None:
        touched = tuple(
            (a.item["PK"], a.item["SK"]) if isinstance(a, TransactPut) else (a.key.pk, a.key.sk)
            for a in actions
        )
        self._gate(Call("transact", (), touched))
        self._table.transact(actions)


class GatedCache:
    """A `Cache` that waits before each call."""

    def __init__(self, cache: Cache, gate: Callable[[Call], None]) -> None:
        self._cache = cache
        self._gate = gate

    def get(self, key: str) -> Any:
        self._gate(Call("cache.get", (("cache", key, False),), ()))
        return self._cache.get(key)

    def set(self, key: str, value: Any, *, ttl: float) -> None:
        self._gate(Call("cache.set", (), (("cache", key),)))
        self._cache.set(key, value, ttl=ttl)

    def delete(self, key: str) -> None:
        self._gate(Call("cache.delete", (), (("cache", key),)))
        self._cache.delete(key)

    def increment(self, key: str, *, ttl: float) -> tuple[int, float]:
        self._gate(Call("cache.increment", (), (("cache", key),)))
        return self._cache.increment(key, ttl=ttl)


class Race:
    """One run of some operations, step by step.

    Args:
        operations: each gets a table and a cache.
        table: what they share.
        cache: what they share.
    """

    def __init__(self, operations: Sequence[Operation], table: Table, cache: Cache) -> None:
        self._arrived = threading.Semaphore(0)
        self._tasks = [_Task(n, op, self._arrived) for n, op in enumerate(operations)]
        self.trace: list[str] = []
        for task in self._tasks:
            task.start(table, cache)
            self._wait(task)

    def pending(self) -> dict[int, Call]:
        """Return what each operation that has not ended is about to do."""
        return {task.number: task.pending for task in self._tasks if task.pending is not None}

    def step(self, number: int) -> None:
        """Let an operation make its call, and go on to its next one or its end."""
        task = self._tasks[number]
        self.trace.append(f"{number}: {task.pending}")
        task.step()
        self._wait(task)

    def outcomes(self) -> list[Outcome]:
        """Return what the operations came to; all of them must have ended."""
        return [task.outcome for task in self._tasks if task.outcome is not None]

    def abandon(self) -> None:
        """End all operations where they are."""
        for task in self._tasks:
            if task.pending is not None:
                task.abandoned = True
                task.step()
        for task in self._tasks:
            task.join()

    def _wait(self, task: _Task) -> None:
        if not self._arrived.acquire(timeout=BOUND_S):
            raise Stuck(f"operation {task.number} went neither on nor out after {self.trace}")
        if task.fault is not None:
            raise task.fault


class _Node:
    """A point of a schedule where one of several operations goes on."""

    def __init__(self, pending: dict[int, Call], asleep: set[int], chosen: int) -> None:
        self.pending = pending
        self.asleep = asleep
        self.chosen = chosen


class Explored(NamedTuple):
    """How much was looked at: different schedules, and runs that turned out to be repetitions."""

    schedules: int
    redundant: int


def explore(
    start: Callable[[], Race],
    check: Callable[[list[Outcome], list[int]], None],
    *,
    most: int = 100_000,
) -> Explored:
    """Run all schedules that can make a difference and check each.

    Args:
        start: begins a race, the same one each time, from a fresh beginning.
        check: called with what the operations came to, and the schedule, after each run.
        most: give up with an error when there are more.
    """
    path: list[_Node] = []
    complete = redundant = 0
    while True:
        race = start()
        schedule: list[int] = []
        asleep: set[int] = set()
        try:
            for node in path:
                _same(node.pending, race.pending())
                race.step(node.chosen)
                schedule.append(node.chosen)
                asleep = _still_asleep(node)
            while pending := race.pending():
                awake = [number for number in pending if number not in asleep]
                if not awake:
                    break
                node = _Node(pending, asleep, awake[0])
                path.append(node)
                race.step(node.chosen)
                schedule.append(node.chosen)
                asleep = _still_asleep(node)
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
            node.asleep = node.asleep | {node.chosen}
            awake = [number for number in node.pending if number not in node.asleep]
            if awake:
                node.chosen = awake[0]
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


def _still_asleep(node: _Node) -> set[int]:
    went = node.pending[node.chosen]
    return {n for n in node.asleep if independent(node.pending[n], went)}


def _same(one: dict[int, Call], other: dict[int, Call]) -> None:
    if {n: call.name for n, call in one.items()} != {n: call.name for n, call in other.items()}:
        raise AssertionError(f"a schedule cannot be repeated: {one} is now {other}")
