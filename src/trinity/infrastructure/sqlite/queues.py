"""Queues in the SQLite file, with the semantics of standard queues of SQS.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

import json
import threading
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from trinity.domain.ids import DAY
from trinity.infrastructure.sqlite.store import SqliteStore, Transaction
from trinity.ports import LONGEST_DELAY_S, MOST_MESSAGES, Clock, Message
from trinity.topology import Queue

_DEAD_VISIBILITY_S = 30
_KEEP_DEAD_FOR = 14 * DAY

_SEND = (
    "INSERT INTO messages (queue, id, body, sent_at, visible_at) VALUES",
    "(?, ?, ?, ?, ?)",
    "",
)
# Who comes again is behind those who wait for the first time: a poison message holds up nobody.
_TAKE = """
    UPDATE messages SET receives = receives + 1, received_at = coalesce(received_at, :now),
        visible_at = :until, held = 1
    WHERE number IN (
        SELECT number FROM messages WHERE queue = :queue AND visible_at <= :now
        ORDER BY visible_at, number LIMIT :limit
    )
    RETURNING number, id, body, receives, sent_at, received_at
"""
# Taken once too often, and that taking still counts: no receipt that was given out is good here.
_BURY = """
    UPDATE messages SET queue = :dead, visible_at = :now, held = 0
    WHERE number IN (SELECT value FROM json_each(:numbers))
"""
_OF_RECEIPTS = """
    WHERE queue = :queue AND number IN (SELECT value FROM json_each(:numbers))
        AND number || '.' || receives || '.' || id IN (SELECT value FROM json_each(:receipts))
"""
_DELETE = f"DELETE FROM messages {_OF_RECEIPTS}"  # noqa: S608  (nothing of it comes from outside)
_HIDE = f"UPDATE messages SET visible_at = :until, held = 0 {_OF_RECEIPTS}"  # noqa: S608
_NEXT = "SELECT min(visible_at) FROM messages WHERE queue = ?"
_VISIBLE = """
    SELECT count(*) FROM (SELECT 1 FROM messages WHERE queue = ? AND visible_at <= ? LIMIT ?)
"""
_COUNT = "SELECT count(*) FROM messages WHERE queue = ?"
_RELEASE = "UPDATE messages SET visible_at = ?1, held = 0 WHERE held OR visible_at > ?1 + ?2"
_FORGET = """
    DELETE FROM messages WHERE number IN (
        SELECT number FROM messages WHERE queue IN (SELECT value FROM json_each(:dead))
            AND received_at < :before
        LIMIT :limit
    )
"""


class Taken(NamedTuple):
    """What a look into a queue brought.

    Attributes:
        messages: that were taken, in about the order of sending.
        dead: ids of those that went to the dead-letter queue instead.
    """

    messages: list[Message]
    dead: list[str]


class Bell:
    """Rings when something was put into a queue."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.rings = 0

    def ring(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self.rings += 1
            self._changed.notify_all()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Wait until it has rung more often than `heard`, at most so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.rings > heard, timeout_s)


class SqliteQueues:
    """The `Queues` port; what is sent becomes durable together with whatever else is written.

    Args:
        store: the file.
        queues: those that there are; each has a dead-letter queue.
        clock: what hiding goes by.
    """

    def __init__(self, store: SqliteStore, queues: Sequence[Queue], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._queues = {queue.name: queue for queue in queues}
        self._names = {name for queue in queues for name in (queue.name, queue.dead_letters)}
        self._bells = {name: Bell() for name in self._names}

    def send(self, queue: str, bodies: Sequence[str]) -> None:
        """See `Queues.send`."""
        self.send_all([(queue, body) for body in bodies])

    def send_all(self, messages: Sequence[tuple[str, str]]) -> None:
        """Put messages, each with its queue, into several queues in one commit."""
        if not messages:
            return
        now = self._clock.now()
        rows = [(self._known(queue), str(uuid.uuid4()), body, now, now) for queue, body in messages]

        def job(transaction: Transaction) -> None:
            transaction.insert(_SEND, rows)
            transaction.then += [
                self._bells[queue].ring for queue in {queue for queue, _ in messages}
            ]

        self._store.write(job)

    def receive(self, queue: str, limit: int = MOST_MESSAGES) -> list[Message]:
        """See `Queues.receive`."""
        if not 1 <= limit <= MOST_MESSAGES:
            raise ValueError(f"1 to {MOST_MESSAGES} messages are taken at once")
        return self.take(queue, limit).messages

    def take(self, queue: str, limit: int) -> Taken:
        """Take messages, as many as one likes, and bury those that were taken too often."""
        if self.hidden_for_s(queue) != 0:
            return Taken([], [])  # without a commit
        declared = self._queues.get(queue)
        visibility_s = declared.visibility_s if declared else _DEAD_VISIBILITY_S

        def job(transaction: Transaction) -> Taken:
            now = self._clock.now()
            until = now + visibility_s * 1000
            given = {"queue": queue, "now": now, "until": until, "limit": limit}
            taken, dead = [], []
            for number, id_, body, receives, sent_at, first in sorted(
                transaction.execute(_TAKE, given).fetchall()
            ):
                if declared and receives > declared.receives:
                    dead.append((number, id_))
                    continue
                receipt = f"{number}.{receives}.{id_}"
                taken.append(Message(id_, body, receipt, receives, sent_at, first))
            if declared and dead:
                numbers = json.dumps([number for number, _ in dead])
                given = {"dead": declared.dead_letters, "now": now, "numbers": numbers}
                transaction.execute(_BURY, given)
                transaction.then.append(self._bells[declared.dead_letters].ring)
            return Taken(taken, [id_ for _, id_ in dead])

        return self._store.write(job)

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """See `Queues.delete`."""
        if receipts:
            given = {"queue": self._known(queue), **_sql(receipts)}
            self._store.write(lambda transaction: transaction.execute(_DELETE, given))

    def retry_later(self, queue: str, receipt: str, *, delay_s: int) -> None:
        """See `Queues.retry_later`."""
        if not 0 <= delay_s <= LONGEST_DELAY_S:
            raise ValueError(f"a message is put off for 0 to {LONGEST_DELAY_S} seconds")
        until = self._clock.now() + delay_s * 1000
        given = {"queue": self._known(queue), "until": until, **_sql([receipt])}

        def job(transaction: Transaction) -> None:
            transaction.execute(_HIDE, given)
            transaction.then.append(self._bells[queue].ring)

        self._store.write(job)

    def count(self, queue: str) -> int:
        """See `Queues.count`."""
        return int(self._store.read(_COUNT, (self._known(queue),))[0][0])

    # --------------------------------------------------------------- for those who work them off

    def bell(self, queue: str) -> Bell:
        """Return what rings when there may be something in a queue."""
        return self._bells[queue]

    def hidden_for_s(self, queue: str) -> float | None:
        """Return in how many seconds a message is to be had, 0 for now, None if there is none."""
        next_at = self._store.read(_NEXT, (self._known(queue),))[0][0]
        return None if next_at is None else max(0.0, (next_at - self._clock.now()) / 1000)

    def visible(self, queue: str, most: int) -> int:
        """Return how many messages are to be had, counting up to `most`."""
        return int(self._store.read(_VISIBLE, (self._known(queue), self._clock.now(), most))[0][0])

    def release(self) -> None:
        """Show again what was taken by a process that is no more.

        For the one process that works the queues off, when it starts: nobody can be at work on
        what is still held, so there is no need to wait for the visibility time. The same goes for
        what is hidden longer than anything can be, since the clock was wrong when that was written.
        """
        given = (self._clock.now(), LONGEST_DELAY_S * 1000)
        self._store.write(lambda transaction: transaction.execute(_RELEASE, given))

    def forget_dead(self, *, limit: int = 500) -> int:
        """Remove dead letters that were first tried two weeks ago; return how many, up to `limit`.

        SQS keeps messages for as long at most.
        """
        given = {
            "dead": json.dumps([queue.dead_letters for queue in self._queues.values()]),
            "before": self._clock.now() - _KEEP_DEAD_FOR,
            "limit": limit,
        }
        return self._store.write(lambda transaction: transaction.execute(_FORGET, given).rowcount)

    def _known(self, queue: str) -> str:
        if queue not in self._names:
            raise KeyError(queue)
        return queue


def _sql(receipts: Sequence[str]) -> dict[str, str]:
    numbers = [
        int(number) for receipt in receipts if (number := receipt.partition(".")[0]).isdigit()
    ]
    return {"numbers": json.dumps(numbers), "receipts": json.dumps(list(receipts))}
