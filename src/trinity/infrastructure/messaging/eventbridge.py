"""The `Bus` port on an event bus of Amazon EventBridge, whose rules put events into queues.

Source of all facts: PutEvents in the EventBridge API reference, and "Calculating PutEvents event
entry size" in its user guide.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from trinity.domain.domain_events import DomainEvent
from trinity.infrastructure.aws.client import AwsError, Client
from trinity.infrastructure.messaging.batches import batches

_LARGEST = 1_000_000
_SIZE_OF_TIME = 14
_PASSING = frozenset({"InternalException", "InternalFailure", "ThrottlingException"})
"""Codes of entries that may be taken the next time."""

_encode = msgspec.json.Encoder().encode


class EventBridgeBus:
    """An event bus. Threads may share it.

    Args:
        client: for EventBridge.
        name: of the bus.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def publish(self, events: Sequence[DomainEvent]) -> None:
        """See `Bus.publish`.

        Raises:
            AwsError: EventBridge refuses an event for good.
            ValueError: an event is too large.
        """
        for entries in batches(map(self._entry, events), _size, largest=_LARGEST):
            self._put(entries)

    def _put(self, entries: list[dict[str, Any]]) -> None:
        budget = self._client.budget()
        while entries:
            request = {"Entries": entries}
            output = self._client.call("PutEvents", request, idempotent=True, budget=budget)
            refused: list[dict[str, Any]] = []
            for entry, result in zip(entries, output["Entries"], strict=True):
                code = result.get("ErrorCode")
                if code is None:
                    continue
                refusal = AwsError(code, result.get("ErrorMessage", ""), 200, result)
                if code not in _PASSING:
                    raise refusal
                refused.append(entry)
            if refused:
                budget.pause(refusal)
            entries = refused

    def _entry(self, event: DomainEvent) -> dict[str, Any]:
        entry = {
            "EventBusName": self._name,
            "Time": event.occurred // 1000,
            "Source": event.source,
            "DetailType": event.type,
            "Detail": _encode(event).decode(),
        }
        if event.traceparent is not None and (header := _xray(event.traceparent)):
            entry["TraceHeader"] = header
        return entry


def _size(entry: dict[str, Any]) -> int:
    texts = (entry["Source"], entry["DetailType"], entry["Detail"])
    return _SIZE_OF_TIME + sum(len(text.encode()) for text in texts)


def _xray(traceparent: str) -> str | None:
    """Return a W3C trace context as X-Ray writes it; None if it is none.

    "Tracing header" in the AWS X-Ray developer guide: the first 8 digits of the trace id stand
    alone.
    """
    parts = traceparent.split("-")
    if [len(part) for part in parts] != [2, 32, 16, 2]:
        return None
    _, trace, parent, flags = parts
    return f"Root=1-{trace[:8]}-{trace[8:]};Parent={parent};Sampled={int(flags, 16) & 1}"
