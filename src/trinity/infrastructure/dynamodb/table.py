"""The `Table` port on one DynamoDB table.

Source of all facts: the Amazon DynamoDB API reference and developer guide.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trinity.common import attributes
from trinity.infrastructure.aws.client import AwsError, Client
from trinity.infrastructure.aws.retry import Budget
from trinity.infrastructure.dynamodb.expressions import Expressions
from trinity.ports import (
    Condition,
    ConditionFailed,
    Item,
    Key,
    Old,
    Page,
    TransactAction,
    TransactCheck,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Unavailable,
    Update,
)

_BATCH = 100
"""Most keys of one BatchGetItem."""
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons of a cancelled transaction that are gone when it is tried again."""


class DynamoTable:
    """One table with the key attributes `PK` and `SK`. Threads may share it.

    What DynamoDB calls a ValidationException is a mistake of the caller and becomes a ValueError:
    a path whose parent map is missing, an item above 400 KB, two actions on one item.

    A write that is not idempotent and whose answer is lost raises `Unavailable` rather than be
    sent again: a conditional write would see its own effect and fail, an addition would count
    twice. Setting, removing and replacing without a condition may be repeated.

    Attributes:
        consumed_read: read capacity units used so far, as DynamoDB tells.
        consumed_write: write capacity units used so far; those of a write that failed are billed,
            too, but not told.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self._lock = threading.Lock()
        self.consumed_read = 0.0
        self.consumed_write = 0.0

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        """See `Table.get`."""
        request = {"Key": _key(key), "ConsistentRead": consistent}
        return _item(self._read("GetItem", request).get("Item"))

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        """See `Table.batch_get`."""
        found: dict[Key, Item] = {}
        for start in range(0, len(keys), _BATCH):
            for item in self._batch(keys[start : start + _BATCH]):
                found[Key(item["PK"], item["SK"])] = item
        return [found.get(key) for key in keys]

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
        """See `Table.query`."""
        request = {
            **Expressions().keys(pk, prefix).request(),
            "ConsistentRead": consistent,
            "ScanIndexForward": not descending,
        }
        if after is not None:
            if after.startswith(prefix) and after:
                request["ExclusiveStartKey"] = _key(Key(pk, after))
            elif (after.encode() > prefix.encode()) != descending:
                return Page([], None)  # it lies behind everything that has the prefix
            # Otherwise it lies before; DynamoDB refuses start keys outside the range.
        items: list[Item] = []
        while True:  # a page of DynamoDB ends at 1 MB at the latest
            if limit is not None:
                request["Limit"] = limit - len(items)
            output = self._read("Query", request)
            items += map(attributes.decode_item, output["Items"])
            last = output.get("LastEvaluatedKey")
            if last is None:
                return Page(items, None)
            if limit is not None and len(items) >= limit:
                return Page(items, attributes.decode(last["SK"]))
            request["ExclusiveStartKey"] = last

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        """See `Table.put`."""
        request = {"Item": attributes.encode_item(item), **Expressions().when(when).request()}
        self._write("PutItem", request, idempotent=when is None)

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        """See `Table.update`."""
        request = {
            "Key": _key(key),
            "ReturnValues": "ALL_NEW",
            **Expressions().update(update).when(when).request(),
        }
        idempotent = when is None and _repeatable(update)
        output = self._write("UpdateItem", request, idempotent=idempotent)
        return attributes.decode_item(output["Attributes"])

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        """See `Table.delete`."""
        request = {"Key": _key(key), **Expressions().when(when).request()}
        self._write("DeleteItem", request, idempotent=when is None)

    def transact(self, actions: Sequence[TransactAction]) -> None:
        """See `Table.transact`.

        A transaction that met another one on the same item is tried again. Its token makes it safe
        to send it as often as needed: DynamoDB does it once within ten minutes.
        """
        request = {
            "TransactItems": [self._action(action) for action in actions],
            "ClientRequestToken": os.urandom(16).hex(),
        }
        budget = self._client.budget()
        while True:
            try:
                output = self._call("TransactWriteItems", request, idempotent=True, budget=budget)
            except AwsError as error:
                if error.code != "TransactionCanceledException":
                    raise
                _raise_unless_passing(error)
                budget.pause(error)
            else:
                self._count(write=output.get("ConsumedCapacity", ()))
                return

    def _batch(self, keys: Sequence[Key]) -> Iterator[Item]:
        """Return the items of at most 100 keys, in any order.

        DynamoDB leaves keys for later when it is short of capacity or an answer would pass 16 MB.
        """
        budget = self._client.budget()
        wanted: Mapping[str, Any] = {self._name: {"Keys": [_key(key) for key in keys]}}
        while wanted:
            request = {"RequestItems": wanted}
            output = self._call("BatchGetItem", request, idempotent=True, budget=budget)
            self._count(read=output.get("ConsumedCapacity", ()))
            items = output["Responses"].get(self._name, ())
            yield from map(attributes.decode_item, items)
            wanted = output.get("UnprocessedKeys") or {}
            if wanted and not items:
                budget.pause(Unavailable("no key of a batch was processed"))

    def _action(self, action: TransactAction) -> Mapping[str, Any]:
        expressions = Expressions()
        where: dict[str, Any]
        match action:
            case TransactPut(item):
                kind, where = "Put", {"Item": attributes.encode_item(item)}
            case TransactUpdate(key, update):
                kind, where = "Update", {"Key": _key(key)}
                expressions.update(update)
            case TransactDelete(key):
                kind, where = "Delete", {"Key": _key(key)}
            case TransactCheck(key):
                kind, where = "ConditionCheck", {"Key": _key(key)}
        return {kind: {"TableName": self._name, **where, **expressions.when(action.when).request()}}

    def _read(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        output = self._call(operation, {"TableName": self._name, **request}, idempotent=True)
        self._count(read=[output["ConsumedCapacity"]])
        return output

    def _write(
        self, operation: str, request: Mapping[str, Any], *, idempotent: bool
    ) -> dict[str, Any]:
        whole = {"TableName": self._name, **request}
        try:
            output = self._call(operation, whole, idempotent=idempotent)
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                raise ConditionFailed(_item(error.body.get("Item"))) from error
            raise
        self._count(write=[output["ConsumedCapacity"]])
        return output

    def _call(
        self,
        operation: str,
        request: Mapping[str, Any],
        *,
        idempotent: bool,
        budget: Budget | None = None,
    ) -> dict[str, Any]:
        whole = {**request, "ReturnConsumedCapacity": "TOTAL"}
        try:
            return self._client.call(operation, whole, idempotent=idempotent, budget=budget)
        except AwsError as error:
            if error.code == "ValidationException":
                raise ValueError(error.message) from error
            raise

    def _count(
        self, *, read: Iterable[Mapping[str, Any]] = (), write: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        with self._lock:
            self.consumed_read += sum(consumed["CapacityUnits"] for consumed in read)
            self.consumed_write += sum(consumed["CapacityUnits"] for consumed in write)


def _raise_unless_passing(error: AwsError) -> None:
    """Raise what a cancelled transaction is for the caller, unless it may succeed later.

    A false condition comes first: it is the answer to what the caller asked.
    """
    reasons = error.body.get("CancellationReasons", ())
    codes = {reason["Code"] for reason in reasons}
    if "ConditionalCheckFailed" in codes:
        raise TransactionCancelled(
            [
                ConditionFailed(_item(reason.get("Item")))
                if reason["Code"] == "ConditionalCheckFailed"
                else None
                for reason in reasons
            ]
        ) from error
    for reason in reasons:
        if reason["Code"] == "ValidationError":
            raise ValueError(reason.get("Message")) from error
    if not codes & _PASSING:
        raise error


def _repeatable(update: Update) -> bool:
    """Tell whether doing an update twice is as good as once.

    It is not if it adds, or reads what it may have written itself. A first value that is kept once
    it is there (`{"since": Old("since", now)}`) may be repeated.
    """
    return not update.add and all(
        not isinstance(value, Old) or value.path == path for path, value in update.set.items()
    )


def _key(key: Key) -> dict[str, attributes.Attribute]:
    return {"PK": {"S": key.pk}, "SK": {"S": key.sk}}


def _item(image: Mapping[str, attributes.Attribute] | None) -> Item | None:
    return None if image is None else attributes.decode_item(image)
