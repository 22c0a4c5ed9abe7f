"""Every consumer of events makes the same of an evening, in whatever order and how often it hears.

Consumers are found in the topology: each function with a queue that events go into. Each is handed
the events of a whole evening through its real handler, once in order, and then shuffled and twice
over. What it has written must be the same, in every port that it was granted to write to.
"""

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import World
from tests.faults.evening import spend, told
from trinity import bootstrap
from trinity.common.telemetry import Log, Reporter, Units
from trinity.domain.domain_events import DomainEvent
from trinity.embedded.queues import sqs_event
from trinity.infrastructure.sqlite.bus import envelope
from trinity.openapi import load
from trinity.ports import Message
from trinity.store import archive, causes
from trinity.topology import FUNCTIONS, QUEUES, Function

CONSUMERS = [f for f in FUNCTIONS if f.queue is not None and f.queue.events]
SEEDS = range(5)
_ROUNDS = 5


def table_of(world: World) -> Any:
    """Return all items; how often one was written, and why, is not what counts."""
    items = [world.table.get(key) for key in world.every_key()]
    left_out = (causes.ATTRIBUTE, "rev")
    return [{n: v for n, v in (item or {}).items() if n not in left_out} for item in items]


def archive_of(world: World) -> Any:
    return [archive.read(world.archive, date) for date in archive.days(world.archive)]


def notices_of(world: World) -> Any:
    """Return which notices there are; how often one is handed over is not what counts."""
    bodies = set()
    for queue in (q.name for q in QUEUES if q.channel is not None):
        while taken := world.queues.receive(queue):
            bodies |= {message.body for message in taken}
    return sorted(bodies)


OUTCOMES: dict[str, Callable[[World], Any]] = {
    "table": table_of,
    "archive": archive_of,
    "topic": notices_of,
    "mailer": lambda world: sorted(world.mailer.mails, key=str),
}
"""For each port that may be written to: what there is in it, for two runs to be compared."""
WRITES = ("write", "send", "publish")
FED_OTHERWISE: dict[str, str] = {
    **dict.fromkeys(
        ("deliver_email", "deliver_push", "deliver_webhook"), "tests/faults/test_notices.py"
    ),
    "process_upload": "tests/unit/test_uploads.py",
}
"""Functions whose queues hold no domain events, and the test that doubles and shuffles those."""


class Services:
    """The ports of a world, as a process has them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.log = Log("error")

    def reporter(self, operation: str) -> Reporter:
        return Reporter(self.log, operation, namespace="Trinity", units=Units)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


class Evening:
    """A recorded evening, which can be left behind as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._world = World(folder)
        spend(self._world)
        self.events = told(self._world)

    def close(self) -> None:
        self._world.store.close()

    def after(self, name: str) -> World:
        """Return a world of its own as it was at the end of the evening."""
        folder = self._folder / name
        folder.mkdir()
        with (
            closing(sqlite3.connect(self._folder / "world.sqlite")) as source,
            closing(sqlite3.connect(folder / "world.sqlite")) as target,
        ):
            source.backup(target)
        world = World(folder)
        world.clock.time = self._world.clock.time
        world.blobs.content.update(self._world.blobs.content)
        return world


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Any:
    evening = Evening(tmp_path_factory.mktemp("evening"))
    yield evening
    evening.close()


def deliver(world: World, function: Function, events: Sequence[DomainEvent], sizes: Any) -> None:
    """Hand events over in batches; what a function gives back comes again in the end."""
    handler = load(function)
    handler.connect()
    queue = function.queue
    waiting = [(f"{n}", envelope(event)) for n, event in enumerate(events)]
    for _ in range(_ROUNDS):
        failed: set[str] = set()
        rest = list(waiting)
        while rest:
            size = sizes(queue.batch)
            batch = [Message(id_, body, f"r{id_}", 1, 0, 0) for id_, body in rest[:size]]
            del rest[:size]
            answer = handler(sqs_event(queue.name, batch), None)
            failed |= {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        waiting = [message for message in waiting if message[0] in failed]
        if not waiting:
            return
    raise AssertionError(f"{function.name} is never done with {waiting[0][1]}")


def outcome(
    evening: Evening,
    function: Function,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    order: Callable[[list[DomainEvent]], list[DomainEvent]],
    sizes: Callable[[int], int],
) -> dict[str, Any]:
    world = evening.after(f"{function.name}-{name}")
    monkeypatch.setattr(bootstrap, "_services", Services(world))
    ours = [event for event in evening.events if event.type in function.queue.events]
    deliver(world, function, order(ours), sizes)
    written = {resource for resource, grant in function.grants if grant in WRITES}
    found = {resource: OUTCOMES[resource](world) for resource in sorted(written)}
    world.store.close()
    return found


def test_whose_queue_holds_something_else_is_tried_elsewhere() -> None:
    others = {f.name for f in FUNCTIONS if f.queue is not None and not f.queue.events}
    assert others == FED_OTHERWISE.keys()


@pytest.mark.parametrize("function", CONSUMERS, ids=lambda function: function.name)
def test_every_consumer_can_be_compared(function: Function) -> None:
    written = {resource for resource, grant in function.grants if grant in WRITES}
    assert written, f"{function.name} leaves nothing behind: why is it called?"
    missing = written - OUTCOMES.keys()
    assert not missing, f"say in OUTCOMES how to compare what {function.name} leaves in {missing}"


@pytest.mark.parametrize("function", CONSUMERS, ids=lambda function: function.name)
def test_an_evening_comes_out_the_same_in_any_order_and_twice_over(
    function: Function, evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = outcome(evening, function, monkeypatch, "once", list, lambda most: most)
    none = outcome(evening, function, monkeypatch, "none", lambda _: [], lambda most: most)
    assert once != none, "the evening left no trace, so nothing was compared"
    for seed in SEEDS:
        chance = random.Random(seed)

        def shuffled(events: list[DomainEvent], chance: random.Random = chance) -> Any:
            return chance.sample([*events, *events], 2 * len(events))

        def sizes(most: int, chance: random.Random = chance) -> int:
            return chance.randint(1, min(most, 12))

        again = outcome(evening, function, monkeypatch, f"{seed}", shuffled, sizes)
        assert again == once
