"""Calls of functions that AWS gave up, made again.

Of a batch of changes that Lambda gave up there is a note, which names the changes and does not hold
them; the stream does, for a day. Of a clock's call there is the event that was to be handed over.

Sources: "Retain discarded records for a DynamoDB event source", "Capturing records of Lambda
asynchronous invocations" and "Invoke" in the AWS Lambda developer guide and API reference;
GetShardIterator and GetRecords in the API reference of DynamoDB Streams; "Configuring a dead-letter
queue" in the EventBridge Scheduler user guide.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from trinity.infrastructure.aws.client import AwsError, Client
from trinity.infrastructure.aws.retry import Limits
from trinity.topology import FUNCTIONS, Function

ALIAS = "live"
LIMITS = Limits(attempts=1, exchange=150.0, total=150.0)
"""Of an invocation: no function that is called here may take longer than two minutes."""
_AT_ONCE = 100
"""Changes of one call. An event has 6 MB at most, and few changes have more than some kB."""
_MOST_PAGES = 1000
_TRIMMED = frozenset({"TrimmedDataAccessException", "ResourceNotFoundException"})


class _Changes(msgspec.Struct, frozen=True, rename="camel"):
    stream_arn: str
    shard_id: str
    start_sequence_number: str
    end_sequence_number: str
    approximate_arrival_of_first_record: str


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    function_arn: str


class _Note(msgspec.Struct, frozen=True):
    """What Lambda notes on a batch of changes that it gave up."""

    context: _Request = msgspec.field(name="requestContext")
    changes: _Changes = msgspec.field(name="DDBStreamBatchInfo")


class CannotRepeat(Exception):
    """A call cannot be made again; the message says why and what to do."""


class FailedCalls:
    """The calls that the functions of one deployment failed at.

    Args:
        streams: client for DynamoDB Streams.
        functions: client for Lambda.
        prefix: what comes before the names of the functions, as before those of the queues.
    """

    def __init__(self, streams: Client, functions: Client, prefix: str) -> None:
        self._streams = streams
        self._functions = functions
        self._prefix = prefix

    def again(self, body: str) -> None:
        """Make the call that a message tells of once more, and wait for its end.

        Functions bear it to be called twice for the same.

        Raises:
            CannotRepeat: what to call it with is gone, the function failed again, or the message is
                of another kind.
        """
        try:
            told = msgspec.json.decode(body, type=dict[str, Any])
            note = msgspec.convert(told, _Note) if "DDBStreamBatchInfo" in told else None
        except msgspec.MsgspecError:
            told, note = {}, None
        if note is not None:
            name = _name(note.context.function_arn)
            function = _first(lambda one: self._prefix + one.name == name)
            mine = [one for one in self._records(note.changes) if _concerns(function, one)]
            for start in range(0, len(mine), _AT_ONCE):
                self._call(function, {"Records": mine[start : start + _AT_ONCE]})
        else:
            clock = told.get("schedule")
            self._call(_first(lambda one: any(s.name == clock for s in one.schedules)), told)

    def _records(self, batch: _Changes) -> Iterator[dict[str, Any]]:
        """Yield the records of a batch, as Lambda hands them to a function."""
        last = int(batch.end_sequence_number)
        where = {
            "StreamArn": batch.stream_arn,
            "ShardId": batch.shard_id,
            "ShardIteratorType": "AT_SEQUENCE_NUMBER",
            "SequenceNumber": batch.start_sequence_number,
        }
        try:
            iterator = self._ask("GetShardIterator", where).get("ShardIterator")
            for _ in range(_MOST_PAGES):  # a page may be empty though more come
                if iterator is None:  # the shard has ended
                    break
                page = self._ask("GetRecords", {"ShardIterator": iterator})
                for record in page["Records"]:
                    number = int(record["dynamodb"]["SequenceNumber"])
                    if number <= last:
                        yield _as_handed_over(record, batch.stream_arn)
                    if number >= last:
                        return
                iterator = page.get("NextShardIterator")
        except AwsError as refusal:
            if refusal.code not in _TRIMMED:
                raise
        raise CannotRepeat(
            f"the stream has the changes of {batch.approximate_arrival_of_first_record} no more:"
            " touch what they were about once more, and drop this"
        )

    def _ask(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return self._streams.call(operation, request, idempotent=True)

    def _call(self, function: Function, event: dict[str, Any]) -> None:
        answer = self._functions.send(
            "POST",
            f"/2015-03-31/functions/{self._prefix}{function.name}/invocations",
            query=f"Qualifier={ALIAS}",
            headers={"content-type": "application/json"},
            body=msgspec.json.encode(event),
            idempotent=False,
        )
        if "x-amz-function-error" in answer.headers:
            raise CannotRepeat(f"{function.name} failed again: its log tells why")


def _first(wanted: Callable[[Function], bool]) -> Function:
    """Return the function of the topology that is wanted."""
    for function in FUNCTIONS:
        if wanted(function):
            return function
    raise CannotRepeat("no function of this version is meant: drop it")


def _name(arn: str) -> str:
    """Return the name in the ARN of a function, which may end with a version or an alias."""
    return arn.partition(":function:")[2].partition(":")[0]


def _concerns(function: Function, record: dict[str, Any]) -> bool:
    """Tell whether a function is fed with a change, as the filters of its mapping would."""
    key = record["dynamodb"]["Keys"]["SK"]["S"]
    moves = record["eventName"] != "MODIFY"
    return any(stream.takes(key, moves=moves) for stream in function.streams)


def _as_handed_over(record: dict[str, Any], stream: str) -> dict[str, Any]:
    whole = {**record, "eventSourceARN": stream}
    if "userIdentity" in record:
        by = record["userIdentity"]
        whole["userIdentity"] = {name[:1].lower() + name[1:]: by[name] for name in by}
    return whole
