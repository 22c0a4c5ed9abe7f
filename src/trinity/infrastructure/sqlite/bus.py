"""The bus of the embedded host: by the rules of the topology into the queues of the SQLite file.

A message is the event as EventBridge would put it into a queue of SQS:
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

import time
import uuid
from collections.abc import Sequence

import msgspec

from trinity.domain.domain_events import DomainEvent
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.topology import Queue

_encode = msgspec.json.Encoder().encode


class SqliteBus:
    """The `Bus` port.

    Args:
        queues: where events go.
        rules: the queues with the types of events that each of them wants.
    """

    def __init__(self, queues: SqliteQueues, rules: Sequence[Queue]) -> None:
        self._queues = queues
        self._wanted: dict[str, list[str]] = {}
        for queue in rules:
            for kind in queue.events:
                self._wanted.setdefault(kind, []).append(queue.name)

    def publish(self, events: Sequence[DomainEvent]) -> None:
        """See `Bus.publish`. All of it becomes durable in one commit."""
        messages: list[tuple[str, str]] = []
        for event in events:
            if wanted := self._wanted.get(event.type):
                body = envelope(event)
                messages += [(queue, body) for queue in wanted]
        self._queues.send_all(messages)


def envelope(event: DomainEvent) -> str:
    """Return the event of EventBridge that carries a domain event."""
    return _encode(
        {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": event.type,
            "source": event.source,
            "account": "000000000000",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event.occurred // 1000)),
            "region": "local",
            "resources": [],
            "detail": event,
        }
    ).decode()
