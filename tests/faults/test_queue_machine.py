"""Random histories of a queue, next to a model that is too simple to be wrong."""

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.fakes import FakeClock
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.ports import Message
from trinity.topology import Queue

QUEUE = Queue("notify", visibility_s=10, receives=3)
BOTH = ("notify", "notify-dead")
WHERE = st.sampled_from(BOTH)
WHICH = st.integers(0, 10**6)


class Letter:
    """A message of the model: where it is, until when it is hidden, and who may act on it."""

    def __init__(self) -> None:
        self.queue = "notify"
        self.hidden_until = 0
        self.receives = 0
        self.receipt: str | None = None
        self.held = False


class QueueMachine(RuleBasedStateMachine):
    """Sends, takes, deletes, puts off, waits, and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.clock = FakeClock()
        self.letters: dict[str, Letter] = {}
        self.receipts: list[tuple[str, str]] = []
        self.sent = 0
        self.open()

    def open(self) -> None:
        self.store = SqliteStore(Path(self.folder.name) / "queue.sqlite")
        self.store._writer.execute("PRAGMA synchronous = OFF")
        self.queues = SqliteQueues(self.store, [QUEUE], self.clock)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        bodies = [f"m{self.sent + n}" for n in range(count)]
        self.sent += count
        self.queues.send("notify", bodies)
        self.letters |= {body: Letter() for body in bodies}

    @rule(queue=WHERE, limit=st.integers(1, 5))
    def receive(self, queue: str, limit: int) -> None:
        visible = {
            body
            for body, letter in self.letters.items()
            if letter.queue == queue and letter.hidden_until <= self.clock.now()
        }
        taken = self.queues.receive(queue, limit)
        buried = self.bury(visible - {message.body for message in taken})
        assert len(taken) + len(buried) == min(limit, len(visible))
        for message in taken:
            assert message.body in visible, "nobody else is at work on it"
            self.take(message, queue)

    def bury(self, rest: set[str]) -> set[str]:
        """Follow those that were set aside; return them."""
        rows = self.store.read("SELECT body FROM messages WHERE queue = 'notify-dead'")
        dead = {body for (body,) in rows}
        buried = {body for body in rest & dead if self.letters[body].queue == "notify"}
        for body in buried:
            letter = self.letters[body]
            assert letter.receives == QUEUE.receives, "all its attempts are used up"
            letter.queue, letter.receipt, letter.held = "notify-dead", None, False
            letter.receives += 1  # the one that was too much
            letter.hidden_until = self.clock.now()
        return buried

    def take(self, message: Message, queue: str) -> None:
        letter = self.letters[message.body]
        letter.receives += 1
        assert message.receives == letter.receives
        assert queue == "notify-dead" or letter.receives <= QUEUE.receives
        letter.receipt, letter.held = message.receipt, True
        hidden_s = QUEUE.visibility_s if queue == "notify" else 30
        letter.hidden_until = self.clock.now() + hidden_s * 1000
        self.receipts.append((queue, message.receipt))

    def of(self, queue: str, receipt: str) -> str | None:
        """Return whom a receipt is good for."""
        for body, letter in self.letters.items():
            if letter.queue == queue and letter.receipt == receipt:
                return body
        return None

    @precondition(lambda self: self.receipts)
    @rule(which=WHICH, queue=WHERE)
    def delete(self, which: int, queue: str) -> None:
        _, receipt = self.receipts[which % len(self.receipts)]
        self.queues.delete(queue, [receipt])
        if (body := self.of(queue, receipt)) is not None:
            del self.letters[body]

    @precondition(lambda self: self.receipts)
    @rule(which=WHICH, queue=WHERE, delay_s=st.integers(0, 40))
    def put_off(self, which: int, queue: str, delay_s: int) -> None:
        _, receipt = self.receipts[which % len(self.receipts)]
        self.queues.retry_later(queue, receipt, delay_s=delay_s)
        if (body := self.of(queue, receipt)) is not None:
            self.letters[body].hidden_until = self.clock.now() + delay_s * 1000
            self.letters[body].held = False

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds * 1000)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()
        self.queues.release()
        for letter in self.letters.values():
            if letter.held:
                letter.hidden_until, letter.held = self.clock.now(), False

    @invariant()
    def nothing_is_lost_or_comes_from_nowhere(self) -> None:
        rows = self.store.read("SELECT body, queue, visible_at FROM messages")
        model = [(body, x.queue, x.hidden_until) for body, x in self.letters.items()]
        now = self.clock.now()
        assert sorted((body, queue, max(at, now)) for body, queue, at in rows) == sorted(
            (body, queue, max(at, now)) for body, queue, at in model
        )
        for queue in BOTH:
            assert self.queues.count(queue) == sum(q == queue for _, q, _ in model)
            waits = [at for _, q, at in model if q == queue]
            expected = max(0, min(waits) - now) / 1000 if waits else None
            assert self.queues.hidden_for_s(queue) == expected


QueueMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, derandomize="CI" in os.environ
)
TestQueue = QueueMachine.TestCase


def test_of_many_who_take_at_once_each_gets_others(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queue.sqlite")
    queues = SqliteQueues(store, [QUEUE], FakeClock())
    sent = [f"m{n}" for n in range(200)]
    queues.send("notify", sent)
    taken: list[list[str]] = [[] for _ in range(6)]

    def take(mine: list[str]) -> None:
        while messages := queues.receive("notify", 7):
            mine.extend(message.body for message in messages)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(body for mine in taken for body in mine) == sorted(sent)
    store.close()
