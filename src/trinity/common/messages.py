"""From a message of a queue to what it tells: a domain event, a notice, or files that were stored.

The bus puts events into queues as EventBridge does: the body is the whole event of EventBridge, and
our envelope is its `detail`.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

from datetime import UTC, datetime

import msgspec

from trinity.domain.domain_events import DomainEvent
from trinity.domain.ids import Millis
from trinity.domain.notices import Notice

FILES = "process-upload"
"""The queue into which the storage puts its notices of files."""


class _Named(msgspec.Struct, frozen=True):
    key: str


class _Stored(msgspec.Struct, frozen=True):
    object: _Named


class _Record(msgspec.Struct, frozen=True, rename="camel"):
    event_name: str
    s3: _Stored


class _FromStorage(msgspec.Struct, frozen=True, rename="pascal"):
    records: tuple[_Record, ...] = ()


class _FromBus(msgspec.Struct, frozen=True):
    detail: DomainEvent


_decode_event = msgspec.json.Decoder(_FromBus).decode
_decode_notice = msgspec.json.Decoder(Notice).decode
_decode_of_storage = msgspec.json.Decoder(_FromStorage).decode


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


def stored_files(body: str) -> list[str]:
    """Return the keys of the files that a notice of S3 tells of.

    The message that S3 sends when notices are switched on tells of none.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

    Raises:
        msgspec.MsgspecError: it is no notice.
    """
    from urllib.parse import unquote_plus

    records = _decode_of_storage(body).records
    created = (record for record in records if record.event_name.startswith("ObjectCreated:"))
    return [unquote_plus(record.s3.object.key) for record in created]


def file_notice(key: str, size: int, at: Millis) -> str:
    """Return the notice that S3 sends when a form has brought a file of so many bytes."""
    from urllib.parse import quote_plus

    moment = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "local",
        "eventTime": moment.replace("+00:00", "Z"),
        "eventName": "ObjectCreated:Post",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "process-upload",
            "bucket": {"name": "trinity", "arn": "arn:aws:s3:::trinity"},
            "object": {"key": quote_plus(key, safe="/"), "size": size, "sequencer": f"{at:016X}"},
        },
    }
    return msgspec.json.encode({"Records": [record]}).decode()
