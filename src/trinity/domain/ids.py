"""Kinds of identifiers and times, told apart by type."""

import time
from typing import NewType

UserId = NewType("UserId", str)
RoomId = NewType("RoomId", str)
ERASED = UserId("erased")
"""Stands in what is kept where the id of somebody was who has removed his account."""
TitleId = NewType("TitleId", str)
"""`source:mediaType:id`, for example `wikidata:movie:tt0110912` or `tmdb:series:1399`.

The media type is part of the key because a provider may number films and series separately.
"""
BlobId = NewType("BlobId", str)
"""SHA-256 of the content, in hexadecimal."""
UploadId = NewType("UploadId", str)
Millis = NewType("Millis", int)
"""A point in time: milliseconds since 1970-01-01T00:00:00Z."""


def utc_day(at: Millis) -> str:
    """Return the day of a point in time, in UTC, as `2026-11-25`."""
    return time.strftime("%Y-%m-%d", time.gmtime(at // 1000))


MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def blob_id(content: bytes) -> BlobId:
    """Return the name of a blob."""
    import hashlib

    return BlobId(hashlib.sha256(content).hexdigest())
