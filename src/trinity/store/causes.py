"""What led to a write, told by the written item itself.

The change feed knows what was changed, not which request changed it: DynamoDB Streams carry the
item and nothing else. So every item that a request writes bears its id and its trace context in one
attribute, and whatever follows from the change, days later or in another process, can name them.

A removal leaves no item to bear anything: what is about to be removed is marked first (`mark`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from trinity.ports import (
    Condition,
    ConditionFailed,
    Exists,
    Item,
    Key,
    Page,
    Table,
    TransactAction,
    TransactPut,
    TransactUpdate,
    Update,
)

if TYPE_CHECKING:
    from trinity.domain.domain_events import DomainEvent
    from trinity.domain.notices import Notice

ATTRIBUTE: Final = "cause"

# Version 00, the only one there is; a trace or parent of zeros is none.
# https://www.w3.org/TR/trace-context/#traceparent-header-field-values
_TRACEPARENT = r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"


class Cause(msgspec.Struct, frozen=True):
    """The request that led to something.

    Attributes:
        request_id: as in the log and in the answer.
        traceparent: W3C trace context that the request came with, None for none.
    """

    request_id: str
    traceparent: str | None = None


def of_request(request_id: str, headers: Mapping[str, str]) -> Cause | None:
    """Return a request as a cause, None if it has no id.

    A trace context that is none is left out, as its specification asks for.
    """
    sent = headers.get("traceparent")
    if sent is not None and re.fullmatch(_TRACEPARENT, sent) is None:
        sent = None
    return Cause(request_id, sent) if request_id else None


def of_event(event: "DomainEvent | Notice") -> Cause | None:
    """Return what led to an event or a notice, None if it does not say."""
    return Cause(event.correlation_id, event.traceparent) if event.correlation_id else None


def parse(text: str | None) -> Cause | None:
    """Return the cause that an item bears in its attribute, None if it bears none."""
    if not text:
        return None
    request_id, _, traceparent = text.partition(" ")
    return Cause(request_id, traceparent or None)


def caused_by(table: Table, cause: Cause | None) -> Table:
    """Return the table, with a cause for all that is written through it.

    With None, what is written bears none: not that of an earlier write either. Of two causes given
    one after the other the second holds.
    """
    inner = table.inner if isinstance(table, _CausedTable) else table
    return _CausedTable(inner, cause)


def mark(table: Table, key: Key, update: Update | None = None) -> None:
    """Let an item that is about to be removed bear the cause of that, by an update of it."""
    try:
        table.update(key, update or Update(), when=Exists("PK"))
    except ConditionFailed:
        return  # gone already


class _CausedTable:
    """A `Table` that adds a cause to everything it writes."""

    __slots__ = ("_text", "inner")

    def __init__(self, inner: Table, cause: Cause | None) -> None:
        self.inner = inner
        self._text = (
            None
            if cause is None
            else cause.request_id
            if cause.traceparent is None
            else f"{cause.request_id} {cause.traceparent}"
        )

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        return self.inner.get(key, consistent=consistent)

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        return self.inner.batch_get(keys)

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        descending: bool = False,
        consistent: bool = False,
    ) -> Page:
        return self.inner.query(
            pk,
            prefix=prefix,
            after=after,
            limit=limit,
            descending=descending,
            consistent=consistent,
        )

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        self.inner.put(self._item(item), when=when)

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        return self.inner.update(key, self._update(update), when=when)

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        self.inner.delete(key, when=when)

    def transact(self, actions: Sequence[TransactAction]) -> None:
        self.inner.transact([self._action(action) for action in actions])

    def _action(self, action: TransactAction) -> TransactAction:
        match action:
            case TransactPut(item, when):
                return TransactPut(self._item(item), when)
            case TransactUpdate(key, update, when):
                return TransactUpdate(key, self._update(update), when)
            case _:
                return action

    def _item(self, item: Item) -> Item:
        return item if self._text is None else {**item, ATTRIBUTE: self._text}

    def _update(self, update: Update) -> Update:
        if self._text is None:
            return Update(set=update.set, add=update.add, remove=[*update.remove, ATTRIBUTE])
        return Update(
            set={**update.set, ATTRIBUTE: self._text}, add=update.add, remove=update.remove
        )
