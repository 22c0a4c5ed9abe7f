"""What every `Topic` does, and how that of AWS speaks to SNS."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import botocore.session
import msgspec
import pytest
from botocore.serialize import create_serializer

from tests.contract.conftest import NUMBERS, boto, client
from tests.contract.scripted_server import ScriptedServer, answer
from tests.fakes import NOON, FakeClock
from trinity.common.messages import notice as read
from trinity.domain.ids import RoomId, TitleId, UserId
from trinity.domain.notices import Channel, Notice
from trinity.infrastructure.aws.client import SNS, SQS, AwsError
from trinity.infrastructure.messaging.sns import SnsTopic
from trinity.infrastructure.messaging.sqs import SqsQueues
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.infrastructure.sqlite.topic import SqliteTopic
from trinity.ports import Queues, Topic, Unavailable
from trinity.topology import QUEUES

SUBSCRIBED = [queue for queue in QUEUES if queue.channel is not None]
OF_CHANNEL = {queue.channel: queue.name for queue in SUBSCRIBED}
WITHIN_S = 20.0


def a_notice(number: int, channel: Channel) -> Notice:
    return Notice(
        event_id=f"e{number}",
        kind="matchFound",
        channel=channel,
        room_id=RoomId("r1"),
        at=NOON,
        user_id=UserId("ana"),
        endpoint="x" if channel != "email" else "",
        title_id=TitleId("list:movie:jaws"),
        title='Jaws & "<Füße>" 🦈 +%=',
        rule="unanimous",
        correlation_id="request-1",
    )


class Hub(NamedTuple):
    """A topic and the queues behind it."""

    topic: Topic
    queues: Queues


def on_aws(endpoint: str) -> Hub:
    """Make a topic in MiniStack with a queue for each channel."""
    prefix = f"hub-{next(NUMBERS)}-"
    sns, sqs = boto("sns", endpoint), boto("sqs", endpoint)
    topic = sns.create_topic(Name=f"{prefix}notices")["TopicArn"]
    for queue in SUBSCRIBED:
        url = sqs.create_queue(QueueName=prefix + queue.name)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=attributes["Attributes"]["QueueArn"],
            Attributes={
                "RawMessageDelivery": "true",
                "FilterPolicy": json.dumps({"channel": [queue.channel]}),
            },
        )
    queues = SqsQueues(client(SQS, endpoint), prefix, wait_s=0)
    return Hub(SnsTopic(client(SNS, endpoint), topic), queues)


@pytest.fixture(params=["sqlite", "aws"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    if request.param == "aws":
        yield on_aws(request.getfixturevalue("aws"))
        return
    store = SqliteStore(tmp_path / "hub.sqlite")
    queues = SqliteQueues(store, QUEUES, FakeClock())
    yield Hub(SqliteTopic(queues, QUEUES), queues)
    store.close()


def arrived(hub: Hub, channel: Channel, count: int) -> list[Notice]:
    """Take notices until there are so many, and no more."""
    found: list[Notice] = []
    until = time.monotonic() + WITHIN_S
    while len(found) < count and time.monotonic() < until:
        found += [read(message.body) for message in hub.queues.receive(OF_CHANNEL[channel])]
    found += [read(message.body) for message in hub.queues.receive(OF_CHANNEL[channel])]
    assert len(found) == count
    return sorted(found, key=lambda notice: int(notice.event_id[1:]))


CHANNELS: list[Channel] = ["email", "push", "webhook"]


def test_each_notice_comes_to_the_queue_of_its_channel_and_to_no_other(hub: Hub) -> None:
    made = [a_notice(number, CHANNELS[number % 3]) for number in range(23)]
    hub.topic.publish(made)
    for channel in CHANNELS:
        wanted = [notice for notice in made if notice.channel == channel]
        assert arrived(hub, channel, len(wanted)) == wanted


def test_nothing_is_published_of_nothing(hub: Hub) -> None:
    hub.topic.publish([])
    assert all(hub.queues.count(name) == 0 for name in OF_CHANNEL.values())


# ---------------------------------------------------------------------------------------- SNS alone

ENTRIES = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'


def taken(*numbers: int, failed: str = "") -> bytes:
    """Return what SNS answers to a batch."""
    good = "".join(f"<member><Id>{n}</Id><MessageId>m{n}</MessageId></member>" for n in numbers)
    return (
        f"<PublishBatchResponse {ENTRIES}><PublishBatchResult><Failed>{failed}</Failed>"
        f"<Successful>{good}</Successful></PublishBatchResult></PublishBatchResponse>"
    ).encode()


def failure(number: int, code: str, sender: str) -> str:
    return (
        f"<member><Id>{number}</Id><Code>{code}</Code><Message>no</Message>"
        f"<SenderFault>{sender}</SenderFault></member>"
    )


def topic_at(url: str) -> SnsTopic:
    return SnsTopic(client(SNS, url), "arn:aws:sns:us-east-1:000000000000:notices")


def test_a_request_is_what_awss_own_client_would_send() -> None:
    made = [a_notice(0, "push"), a_notice(1, "email")]
    with ScriptedServer(answer(taken(0, 1))) as server:
        topic_at(server.url).publish(made)
        [request] = server.requests
    model = botocore.session.get_session().get_service_model("sns")
    wanted = create_serializer("query").serialize_to_request(
        {
            "TopicArn": "arn:aws:sns:us-east-1:000000000000:notices",
            "PublishBatchRequestEntries": [
                {
                    "Id": str(number),
                    "Message": msgspec.json.encode(notice).decode(),
                    "MessageAttributes": {
                        "channel": {"DataType": "String", "StringValue": notice.channel}
                    },
                }
                for number, notice in enumerate(made)
            ],
        },
        model.operation_model("PublishBatch"),
    )
    sent = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert sent == wanted["body"]


def test_only_what_was_not_taken_is_sent_again() -> None:
    passing = failure(1, "InternalError", "false")
    with ScriptedServer(answer(taken(0, 2, failed=passing)), answer(taken(1))) as server:
        topic_at(server.url).publish([a_notice(n, "push") for n in range(3)])
        again = parse_qs(server.requests[1].body.decode())
    assert again["PublishBatchRequestEntries.member.1.Id"] == ["1"]
    assert "PublishBatchRequestEntries.member.2.Id" not in again


def test_what_is_refused_for_good_is_told() -> None:
    refused = failure(0, "InvalidParameter", "true")
    with (
        ScriptedServer(answer(taken(failed=refused))) as server,
        pytest.raises(AwsError, match="InvalidParameter"),
    ):
        topic_at(server.url).publish([a_notice(0, "push")])


def test_what_is_refused_again_and_again_is_unavailable() -> None:
    refused = answer(taken(failed=failure(0, "InternalError", "false")))
    with ScriptedServer(*[refused] * 4) as server, pytest.raises(Unavailable):
        topic_at(server.url).publish([a_notice(0, "push")])


def test_a_topic_that_does_not_exist_is_told_by_its_code() -> None:
    body = (
        f"<ErrorResponse {ENTRIES}><Error><Type>Sender</Type><Code>NotFound</Code>"
        "<Message>Topic does not exist</Message></Error></ErrorResponse>"
    ).encode()
    with (
        ScriptedServer(answer(body, status=404)) as server,
        pytest.raises(AwsError, match="NotFound"),
    ):
        topic_at(server.url).publish([a_notice(0, "push")])


def test_a_batch_is_no_larger_than_sns_takes() -> None:
    """Ten entries and 256 KiB: PublishBatch in the Amazon SNS API reference."""
    big = [msgspec.structs.replace(a_notice(n, "push"), title="x" * 100_000) for n in range(3)]
    with ScriptedServer(answer(taken(0, 1)), answer(taken(0))) as server:
        topic_at(server.url).publish(big)
        counts = [request.body.count(b".Id=") for request in server.requests]
    assert counts == [2, 1]
