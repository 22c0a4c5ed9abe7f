"""What feeds functions with messages of queues, as Lambda's event source mappings for SQS do.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from trinity.common.telemetry import Log
from trinity.embedded.background import Background
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.ports import Message
from trinity.topology import Function, Queue

# `trinity dlq redrive` is another process: nobody hears of what it puts into a queue.
_LOOK_UP_EVERY_S = 2.0
_PAUSE_S = 1.0

Handler = Callable[[Any, Any], Any]


def sqs_event(queue: str, messages: Sequence[Message]) -> dict[str, Any]:
    """Return the event that Lambda makes of messages of a queue."""
    return {
        "Records": [
            {
                "messageId": message.id,
                "receiptHandle": message.receipt,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": str(message.receives),
                    "SentTimestamp": str(message.sent_at),
                    "SenderId": "trinity",
                    "ApproximateFirstReceiveTimestamp": str(message.received_at),
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:local:000000000000:{queue}",
                "awsRegion": "local",
            }
            for message in messages
        ]
    }


def failures(answer: Any, ids: set[str]) -> set[str]:
    """Return which messages of a batch have to come again, going by the answer of the function.

    An answer that makes no sense means all of them, as in Lambda: "Success and failure conditions"
    in https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

    Args:
        answer: what the function returned: `{"batchItemFailures": [{"itemIdentifier": id}, …]}`.
            Nothing, or nothing in it, means that all went well.
        ids: of all messages of the batch.
    """
    if answer is None:
        return set()
    if not isinstance(answer, dict):
        return ids
    told = answer.get("batchItemFailures")
    if told is None:
        return set()
    if not isinstance(told, list):
        return ids
    try:
        failed = {failure["itemIdentifier"] for failure in told}
    except (TypeError, KeyError):
        return ids
    return failed if failed <= ids else ids


class QueuePump(Background):
    """Feeds one function with its queue, from a thread of its own.

    Messages that the function is done with are deleted, all others come again when they are visible
    again. A process that dies in between has taken them and not deleted them: they come again, too.

    Args:
        queues: where the messages are.
        queue: the one to work off.
        handler: the function.
        log: for what goes wrong.
    """

    def __init__(
        self, queues: SqliteQueues, function: Function, queue: Queue, handler: Handler, log: Log
    ) -> None:
        super().__init__(f"{function.name}:{queue.name}")
        self._queues = queues
        self._queue = queue
        self._handler = handler
        self._log = log
        self._bell = queues.bell(queue.name)

    def stop(self) -> None:
        """See `Background.stop`."""
        super().stop()
        self._bell.ring()

    def _run(self) -> None:
        while not self._stopping.is_set():
            heard = self._bell.rings
            try:
                if not self._work_off():
                    hidden_for_s = self._queues.hidden_for_s(self._queue.name)
                    wait_s = _LOOK_UP_EVERY_S if hidden_for_s is None else hidden_for_s
                    self._bell.wait(heard, min(wait_s, _LOOK_UP_EVERY_S))
            except Exception as error:  # noqa: BLE001  (a full disk, say: the queue goes on after it)
                self._log.exception("a queue stopped", error, queue=self._queue.name)
                self._stopping.wait(_PAUSE_S)

    def _work_off(self) -> bool:
        """Hand over one batch; tell whether there was anything."""
        name = self._queue.name
        self._gather()
        messages, dead = self._queues.take(name, self._queue.batch)
        for id_ in dead:
            self._log("error", "a message failed too often", queue=name, message_id=id_)
        if messages:
            failed = self._hand_over(messages)
            done = [message.receipt for message in messages if message.id not in failed]
            self._queues.delete(name, done)
        return bool(messages or dead)

    def _gather(self) -> None:
        """Wait while a batch that has begun is not full, for as long as the queue allows."""
        until = time.monotonic() + self._queue.window_s
        while not self._stopping.is_set() and (left_s := until - time.monotonic()) > 0:
            heard = self._bell.rings
            visible = self._queues.visible(self._queue.name, self._queue.batch)
            if visible in (0, self._queue.batch):
                return
            self._bell.wait(heard, left_s)

    def _hand_over(self, messages: Sequence[Message]) -> set[str]:
        """Call the function; return the ids of the messages that it is not done with."""
        ids = {message.id for message in messages}
        try:
            answer = self._handler(sqs_event(self._queue.name, messages), None)
        except Exception as error:  # noqa: BLE001  (a function may fail in any way)
            self._log.exception("a batch failed", error, queue=self._queue.name)
            return ids
        self._log.flush()
        return failures(answer, ids)
