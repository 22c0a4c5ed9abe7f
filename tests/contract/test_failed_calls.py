"""Calls that AWS gave up are made again as they were, or it is said why that cannot be."""

import json
from typing import Any

import pytest

from tests.contract.conftest import DynamoStore
from trinity.common.streams import changes
from trinity.infrastructure.aws.client import AwsError
from trinity.infrastructure.aws.http import Response
from trinity.infrastructure.messaging.failed_calls import CannotRepeat, FailedCalls
from trinity.ports import Item


class Functions:
    """A client for Lambda that notes what is called with what."""

    def __init__(self, **headers: str) -> None:
        self.headers = headers
        self.called: list[tuple[str, str]] = []
        self.events: list[Any] = []

    def send(self, method: str, path: str, *, query: str, body: bytes, **_: Any) -> Response:
        assert method == "POST"
        self.called.append((path, query))
        self.events.append(json.loads(body))
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        return Response(200, headers, b"null")


class Streams:
    """A client for DynamoDB Streams that gives the same answers to everybody."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def call(self, operation: str, request: dict[str, Any], *, idempotent: bool) -> Any:
        answer = self.answers[operation]
        if isinstance(answer, Exception):
            raise answer
        return answer


def calls(streams: Any, functions: Functions) -> FailedCalls:
    return FailedCalls(streams, functions, "trinity-test-")  # type: ignore[arg-type]


def note(stream: str, shard: str, first: str, last: str, *, of: str = "emit") -> str:
    """Return what Lambda says of a batch that it gave up."""
    return json.dumps(
        {
            "requestContext": {
                "requestId": "r",
                "functionArn": f"arn:aws:lambda:us-east-1:1:function:trinity-test-{of}:live",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 20,
            },
            "version": "1.0",
            "timestamp": "2026-11-25T12:00:00.000Z",
            "DDBStreamBatchInfo": {
                "shardId": shard,
                "startSequenceNumber": first,
                "endSequenceNumber": last,
                "approximateArrivalOfFirstRecord": "2026-11-25T11:00:00Z",
                "approximateArrivalOfLastRecord": "2026-11-25T11:00:00Z",
                "batchSize": 1,
                "streamArn": stream,
            },
        }
    )


def item(pk: str, sk: str, **values: Any) -> Item:
    return {"PK": pk, "SK": sk, **values}


class Written:
    """A table that was written to, and its stream."""

    def __init__(self, endpoint: str, *sort_keys: str) -> None:
        store = DynamoStore(endpoint)
        for number, sk in enumerate(sort_keys):
            store.table.put(item("ROOM#r1", sk, number=number))
        self.client = store.streams
        self.records = store.records()
        described = store.dynamodb.call(
            "DescribeTable", {"TableName": store.name}, idempotent=True
        )["Table"]
        self.stream = described["LatestStreamArn"]
        whole = store.ask("DescribeStream", {"StreamArn": self.stream})["StreamDescription"]
        self.shard = whole["Shards"][0]["ShardId"]

    def note(self, first: int, last: int, *, of: str = "emit") -> str:
        numbers = [record["dynamodb"]["SequenceNumber"] for record in self.records]
        return note(self.stream, self.shard, numbers[first], numbers[last], of=of)


def test_a_function_gets_the_changes_of_a_note_and_no_others(aws: str) -> None:
    written = Written(aws, "ROOM", "MATCH#1", "MATCH#2", "MATCH#3")
    functions = Functions()
    calls(written.client, functions).again(written.note(1, 2))
    assert functions.called == [
        ("/2015-03-31/functions/trinity-test-emit/invocations", "Qualifier=live")
    ]
    (event,) = functions.events
    ids = [record["eventID"] for record in written.records]
    assert [change.id for change in changes(event)] == ids[1:3]
    assert {record["eventSourceARN"] for record in event["Records"]} == {written.stream}
    assert [change.new for change in changes(event)] == [
        item("ROOM#r1", "MATCH#1", number=1),
        item("ROOM#r1", "MATCH#2", number=2),
    ]


def test_a_function_gets_only_what_its_feed_has(aws: str) -> None:
    written = Written(aws, "ROOM", "LOG", "HERE#u1", "HERE#u1", "EVENT#1", "BALLOT#t1")
    functions = Functions()
    calls(written.client, functions).again(written.note(0, 5, of="publish"))
    (event,) = functions.events
    # Somebody is here: that is news once, and not when it is renewed.
    assert [(c.sk, c.old is None) for c in changes(event)] == [
        ("ROOM", True),
        ("HERE#u1", True),
        ("BALLOT#t1", True),
    ]


def test_many_changes_are_handed_over_in_pieces_and_in_order(aws: str) -> None:
    written = Written(aws, *(f"MATCH#{number}" for number in range(250)))
    functions = Functions()
    calls(written.client, functions).again(written.note(0, 249))
    told = [change.id for event in functions.events for change in changes(event)]
    assert told == [record["eventID"] for record in written.records]
    assert [len(event["Records"]) for event in functions.events] == [100, 100, 50]


def test_what_ran_out_is_told_as_lambda_would_tell_it() -> None:
    record = {
        "eventID": "e",
        "eventName": "REMOVE",
        "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
        "dynamodb": {
            "ApproximateCreationDateTime": 1_800_000_000,
            "Keys": {"PK": {"S": "ROOM#r1"}, "SK": {"S": "ROOM"}},
            "SequenceNumber": "5",
        },
    }
    streams = Streams(GetShardIterator={"ShardIterator": "i"}, GetRecords={"Records": [record]})
    functions = Functions()
    calls(streams, functions).again(note("s", "shard", "5", "5"))
    (change,) = changes(functions.events[0])
    assert change.expired


def test_the_call_of_a_clock_is_made_as_it_was() -> None:
    event = {"schedule": "forget-gone", "time": "2026-11-25T12:15:00Z"}
    functions = Functions()
    calls(Streams(), functions).again(json.dumps(event))
    assert functions.called == [
        ("/2015-03-31/functions/trinity-test-forget_gone/invocations", "Qualifier=live")
    ]
    assert functions.events == [event]


@pytest.mark.parametrize("code", ["TrimmedDataAccessException", "ResourceNotFoundException"])
def test_of_changes_that_are_gone_it_is_said_what_to_do(code: str) -> None:
    streams = Streams(GetShardIterator=AwsError(code, "too old", 400, {}))
    functions = Functions()
    with pytest.raises(CannotRepeat, match=r"no more: touch .* and drop this"):
        calls(streams, functions).again(note("s", "shard", "5", "5"))
    assert functions.called == []


def test_a_stream_that_shows_nothing_is_not_asked_for_ever() -> None:
    empty = {"Records": [], "NextShardIterator": "i"}
    streams = Streams(GetShardIterator={"ShardIterator": "i"}, GetRecords=empty)
    with pytest.raises(CannotRepeat, match="no more"):
        calls(streams, Functions()).again(note("s", "shard", "5", "5"))


def test_a_shard_that_ends_before_the_last_change_is_no_success() -> None:
    streams = Streams(GetShardIterator={"ShardIterator": "i"}, GetRecords={"Records": []})
    with pytest.raises(CannotRepeat, match="no more"):
        calls(streams, Functions()).again(note("s", "shard", "5", "5"))


def test_a_stream_that_may_not_be_read_is_no_reason_to_give_up() -> None:
    streams = Streams(GetShardIterator=AwsError("AccessDeniedException", "no", 400, {}))
    with pytest.raises(AwsError, match="AccessDenied"):
        calls(streams, Functions()).again(note("s", "shard", "5", "5"))


def test_a_call_that_fails_again_is_not_done() -> None:
    event = {"schedule": "forget-gone", "time": "2026-11-25T12:15:00Z"}
    functions = Functions(x_amz_function_error="Unhandled")
    with pytest.raises(CannotRepeat, match="forget_gone failed again: its log tells why"):
        calls(Streams(), functions).again(json.dumps(event))


@pytest.mark.parametrize(
    "body",
    ["no JSON", "[]", "{}", '{"schedule": "of-old"}', note("s", "h", "1", "1", of="gone")],
    ids=["text", "list", "empty", "clock", "function"],
)
def test_what_no_function_is_for_is_told(body: str) -> None:
    with pytest.raises(CannotRepeat, match="no function of this version is meant: drop it"):
        calls(Streams(), Functions()).again(body)
