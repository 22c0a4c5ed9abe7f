"""From a DynamoDB stream event to plain changes.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trinity.common.attributes import decode_item
from trinity.domain.ids import Millis
from trinity.ports import Item
from trinity.store import causes
from trinity.store.causes import Cause

Image = Mapping[str, dict[str, Any]]
"""An item with its types, as DynamoDB writes it."""


class Change(msgspec.Struct, frozen=True):
    """One change of one item.

    The images are kept as they came: most consumers look into few of them.

    Attributes:
        id: the same whenever the change is told, and of no other change.
        seq: grows from change to change of one partition.
        at: about when it was made.
        old_image: the item before, None if there was none.
        new_image: the item after, None if it was removed.
        expired: it was removed because its time was over, by nobody.
    """

    id: str
    seq: int
    at: Millis
    pk: str
    sk: str
    old_image: Image | None
    new_image: Image | None
    expired: bool = False

    @property
    def old(self) -> Item | None:
        """The item before the change as plain values, None if there was none."""
        return decode_item(self.old_image) if self.old_image is not None else None

    @property
    def new(self) -> Item | None:
        """The item after the change as plain values, None if it was removed."""
        return decode_item(self.new_image) if self.new_image is not None else None

    @property
    def cause(self) -> Cause | None:
        """The request that made the change, None if none did or that is not known."""
        image = self.old_image if self.new_image is None else self.new_image
        bears = image.get(causes.ATTRIBUTE) if image is not None and not self.expired else None
        return causes.parse(bears["S"]) if bears is not None else None


def changes(event: dict[str, Any]) -> list[Change]:
    """Return the changes of an event in their order."""
    return [_change(record) for record in event["Records"]]


def _change(record: dict[str, Any]) -> Change:
    told, by = record["dynamodb"], record.get("userIdentity")
    key = told["Keys"]
    return Change(
        record["eventID"],
        int(told["SequenceNumber"]),
        Millis(int(told["ApproximateCreationDateTime"] * 1000)),
        key["PK"]["S"],
        key["SK"]["S"],
        told.get("OldImage"),
        told.get("NewImage"),
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
        by is not None and by.get("principalId") == "dynamodb.amazonaws.com",
    )
