"""From a message of a queue to the domain event in it.

The bus puts events into queues as EventBridge does: the body is the whole event of EventBridge, and
our envelope is its `detail`.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

import msgspec

from trinity.domain.domain_events import DomainEvent


class _FromBus(msgspec.Struct, frozen=True):
    detail: DomainEvent


_decode = msgspec.json.Decoder(_FromBus).decode


def domain_event(body: str) -> DomainEvent:
    """Return the event that a message tells.

    Raises:
        msgspec.MsgspecError: it tells none.
    """
    return _decode(body).detail
