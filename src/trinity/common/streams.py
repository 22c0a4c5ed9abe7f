"""From a DynamoDB stream event to plain changes.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trinity.common.attributes import decode_item
from trinity.domain.ids import Millis
from trinity.ports import Item

Image = Mapping[str, dict[str, Any]]
"""An item with its types, as DynamoDB writes it."""


class Change(msgspec.Struct, frozen=True):
    """One change of one item.

    The images are kept as they came: most consumers look into few of them.

    Attributes:
        seq: grows from change to change of one partition.
        at: about when it was made.
        old_image: the item before, None if there was none.
        new_image: the item after, None if it was removed.
    """

    seq: int
    at: Millis
    pk: str
    sk: str
    old_image: Image | None
    new_image: Image | None

    @property
    def old(self) -> Item | None:
        """The item before the change as plain values, None if there was none."""
        return decode_item(self.old_image) if self.old_image is not None else None

    @property
    def new(self) -> Item | None:
        """The item after the change as plain values, None if it was removed."""
        return decode_item(self.new_image) if self.new_image is not None else None


def changes(event: dict[str, Any]) -> list[Change]:
    """Return the changes of an event in their order."""
    return [_change(record["dynamodb"]) for record in event["Records"]]


def _change(record: dict[str, Any]) -> Change:
    key = record["Keys"]
    return Change(
        int(record["SequenceNumber"]),
        Millis(int(record["ApproximateCreationDateTime"] * 1000)),
        key["PK"]["S"],
        key["SK"]["S"],
        record.get("OldImage"),
        record.get("NewImage"),
    )
