"""From a message of a queue to the domain event or the notice in it.

The bus puts events into queues as EventBridge does: the body is the whole event of EventBridge, and
our envelope is its `detail`.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

import msgspec

from trinity.domain.domain_events import DomainEvent
from trinity.domain.notices import Notice


class _FromBus(msgspec.Struct, frozen=True):
    detail: DomainEvent


_decode_event = msgspec.json.Decoder(_FromBus).decode
_decode_notice = msgspec.json.Decoder(Notice).decode


def domain_event(body: str) -> DomainEvent:
    """Return the event that a message tells.

    Raises:
        msgspec.MsgspecError: it tells none.
    """
    return _decode_event(body).detail


def notice(body: str) -> Notice:
    """Return the notice that a message is: the topic hands it on as it came.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _decode_notice(body)
