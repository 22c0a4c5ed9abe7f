"""From a DynamoDB stream event to plain changes.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from typing import Any

import msgspec

from trinity.common.attributes import decode_item
from trinity.domain.ids import Millis
from trinity.ports import Item


class Change(msgspec.Struct, frozen=True):
    """One change of one item.

    Attributes:
        seq: grows from change to change of one partition.
        at: about when it was made.
        old: the item before, None if there was none.
        new: the item after, None if it was removed.
    """

    seq: int
    at: Millis
    pk: str
    sk: str
    old: Item | None
    new: Item | None


def changes(event: dict[str, Any]) -> list[Change]:
    """Return the changes of an event in their order."""
    return [_change(record["dynamodb"]) for record in event["Records"]]


def _change(record: dict[str, Any]) -> Change:
    old, new = record.get("OldImage"), record.get("NewImage")
    return Change(
        seq=int(record["SequenceNumber"]),
        at=Millis(int(record["ApproximateCreationDateTime"] * 1000)),
        pk=record["Keys"]["PK"]["S"],
        sk=record["Keys"]["SK"]["S"],
        old=decode_item(old) if old is not None else None,
        new=decode_item(new) if new is not None else None,
    )
