"""Cutting what there is to send into requests that a service takes."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

MOST = 10
"""Entries of one request, of EventBridge and of SQS."""


def batches(entries: Iterable[T], size: Callable[[T], int], *, largest: int) -> Iterator[list[T]]:
    """Cut entries into lists that are not too long and not too large, in their order.

    Args:
        entries: what there is.
        size: of an entry, in bytes.
        largest: sum of the sizes in one list.

    Raises:
        ValueError: an entry alone is too large.
    """
    batch: list[T] = []
    room = largest
    for entry in entries:
        needed = size(entry)
        if needed > largest:
            raise ValueError(f"{needed} bytes are too large for a message: {largest} are not")
        if len(batch) == MOST or needed > room:
            yield batch
            batch, room = [], largest
        batch.append(entry)
        room -= needed
    if batch:
        yield batch
