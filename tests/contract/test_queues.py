"""What every `Queues` and every `Bus` does, and how those of AWS speak to it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import botocore.session
import pytest
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from tests.contract.conftest import NUMBERS, boto, client
from tests.contract.scripted_server import ScriptedServer, Step, answer
from tests.fakes import NOON, FakeClock
from trinity import bootstrap
from trinity.common.messages import domain_event
from trinity.common.settings import Settings
from trinity.common.telemetry import Log, Reporter, Units
from trinity.domain.domain_events import DomainEvent
from trinity.domain.ids import Millis
from trinity.embedded.queues import sqs_event
from trinity.infrastructure.aws.client import EVENTBRIDGE, SQS, AwsError
from trinity.infrastructure.messaging.eventbridge import EventBridgeBus
from trinity.infrastructure.messaging.sqs import SqsQueues
from trinity.infrastructure.sqlite.bus import SqliteBus
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.ports import Bus, Message, Queues, Unavailable
from trinity.topology import Queue

CALM = Queue("calm", events=("MemberLeft", "MemberJoined"), visibility_s=60, receives=3)
QUICK = Queue("quick", events=("MemberLeft",), visibility_s=1, receives=2)
QUEUES = (CALM, QUICK)
TRIES = 100


class Post(Protocol):
    """Queues, a bus in front of them, and a way to let time pass."""

    queues: Queues
    bus: Bus
    prefix: str

    def pass_time(self, seconds: float) -> None: ...


class SqlitePost:
    prefix = ""

    def __init__(self, file: Path) -> None:
        self.store = SqliteStore(file)
        self.clock = FakeClock()
        self.queues = SqliteQueues(self.store, QUEUES, self.clock)
        self.bus = SqliteBus(self.queues, QUEUES)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1000))


class AwsPost:
    """Queues and rules in MiniStack, made of the same declarations."""

    def __init__(self, endpoint: str) -> None:
        name = f"post-{next(NUMBERS)}"
        self.prefix = f"{name}-"
        self.sqs, events = boto("sqs", endpoint), boto("events", endpoint)
        events.create_event_bus(Name=name)
        for queue in QUEUES:
            dead = self._create(queue.dead_letters, {"VisibilityTimeout": "30"})
            redrive = {"deadLetterTargetArn": dead, "maxReceiveCount": queue.receives}
            arn = self._create(
                queue.name,
                {
                    "VisibilityTimeout": str(queue.visibility_s),
                    "RedrivePolicy": json.dumps(redrive),
                },
            )
            pattern = {"source": ["trinity"], "detail-type": list(queue.events)}
            rule = {"Name": queue.name, "EventBusName": name}
            events.put_rule(**rule, EventPattern=json.dumps(pattern))
            events.put_targets(
                Rule=queue.name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}]
            )
        self.queues = SqsQueues(client(SQS, endpoint), self.prefix, wait_s=0)
        self.bus = EventBridgeBus(client(EVENTBRIDGE, endpoint), name)

    def _create(self, name: str, attributes: dict[str, str]) -> str:
        url = self.sqs.create_queue(QueueName=self.prefix + name, Attributes=attributes)["QueueUrl"]
        wanted = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
        arn: str = self.sqs.get_queue_attributes(**wanted)["Attributes"]["QueueArn"]
        return arn

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture(params=["sqlite", "aws"])
def post(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Post]:
    if request.param == "aws":
        yield AwsPost(request.getfixturevalue("aws"))
        return
    post = SqlitePost(tmp_path / "queues.sqlite")
    yield post
    post.store.close()


def arrivals(post: Post, queue: str, count: int) -> list[Message]:
    """Take messages until there are so many."""
    taken: list[Message] = []
    for _ in range(TRIES):
        taken += post.queues.receive(queue)
        if len(taken) >= count:
            assert len(taken) == count
            return taken
        post.pass_time(0.1)
    raise AssertionError(f"{len(taken)} messages came instead of {count}: {taken}")


def bodies(messages: list[Message]) -> list[str]:
    return sorted(message.body for message in messages)


def test_what_was_sent_arrives_once_and_is_gone_when_it_is_deleted(post: Post) -> None:
    sent = [f"message {n}" for n in range(23)]
    post.queues.send("calm", sent)
    taken = arrivals(post, "calm", 23)
    assert bodies(taken) == sorted(sent)
    assert post.queues.receive("calm") == []
    for n in range(0, 23, 10):
        post.queues.delete("calm", [message.receipt for message in taken[n : n + 10]])
    assert post.queues.count("calm") == 0


def test_a_message_says_how_often_and_since_when_it_was_taken(post: Post) -> None:
    post.queues.send("calm", ["a"])
    [first] = arrivals(post, "calm", 1)
    post.queues.retry_later("calm", first.receipt, delay_s=0)
    [second] = arrivals(post, "calm", 1)
    assert (first.receives, second.receives) == (1, 2)
    assert first.id == second.id
    assert first.receipt != second.receipt
    assert first.sent_at == second.sent_at <= first.received_at == second.received_at


def test_of_a_message_taken_by_one_nobody_else_sees_anything(post: Post) -> None:
    post.queues.send("calm", ["a"])
    assert len(arrivals(post, "calm", 1)) == 1
    post.pass_time(0.5)
    assert post.queues.receive("calm") == []
    assert post.queues.count("calm") == 1, "it is there, though hidden"


def test_what_was_taken_and_never_deleted_comes_again(post: Post) -> None:
    post.queues.send("quick", ["a"])
    [first] = arrivals(post, "quick", 1)
    [second] = arrivals(post, "quick", 1)
    assert (second.id, second.receives) == (first.id, 2)


def test_a_receipt_of_an_earlier_taking_takes_no_message_from_whoever_has_it_now(
    post: Post,
) -> None:
    post.queues.send("calm", ["a"])
    [first] = arrivals(post, "calm", 1)
    post.queues.retry_later("calm", first.receipt, delay_s=0)
    [second] = arrivals(post, "calm", 1)
    post.queues.delete("calm", [first.receipt])
    post.queues.retry_later("calm", first.receipt, delay_s=0)
    post.pass_time(0.2)
    assert post.queues.receive("calm") == [], "nor does it show it to others"
    assert post.queues.count("calm") == 1
    post.queues.delete("calm", [second.receipt])
    assert post.queues.count("calm") == 0


def test_receipts_of_nothing_do_nothing(post: Post) -> None:
    post.queues.send("calm", ["a", "b"])
    taken = arrivals(post, "calm", 2)
    gone = taken[0].receipt
    post.queues.delete("calm", [gone])
    post.queues.delete("calm", [gone])
    post.queues.retry_later("calm", gone, delay_s=0)
    post.queues.delete("calm", [])
    assert post.queues.count("calm") == 1


def test_a_message_that_is_put_off_comes_when_its_time_has_come(post: Post) -> None:
    post.queues.send("calm", ["a"])
    [first] = arrivals(post, "calm", 1)
    post.queues.retry_later("calm", first.receipt, delay_s=2)
    assert post.queues.receive("calm") == []
    assert [m.id for m in arrivals(post, "calm", 1)] == [first.id]


def test_what_was_tried_too_often_is_in_the_dead_letter_queue(post: Post) -> None:
    post.queues.send("calm", ["poison"])
    for n in range(CALM.receives):
        [message] = arrivals(post, "calm", 1)
        assert message.receives == n + 1
        post.queues.retry_later("calm", message.receipt, delay_s=0)
    for _ in range(TRIES):
        if post.queues.count("calm") == 0:
            break
        assert post.queues.receive("calm") == []
        post.pass_time(0.1)
    assert (post.queues.count("calm"), post.queues.count("calm-dead")) == (0, 1)
    [dead] = arrivals(post, "calm-dead", 1)
    assert (dead.id, dead.body, dead.sent_at) == (message.id, "poison", message.sent_at)
    post.queues.delete("calm", [dead.receipt, message.receipt])
    assert post.queues.count("calm-dead") == 1, "it is another queue"
    post.queues.delete("calm-dead", [dead.receipt])
    assert post.queues.count("calm-dead") == 0


def test_a_poison_message_holds_up_no_other(post: Post) -> None:
    post.queues.send("calm", ["poison"])
    done: list[str] = []
    for n in range(12):
        post.queues.send("calm", [f"good {n}"])
        for message in post.queues.receive("calm"):
            if message.body == "poison":
                post.queues.retry_later("calm", message.receipt, delay_s=0)
            else:
                done.append(message.body)
                post.queues.delete("calm", [message.receipt])
        post.pass_time(0.05)
    for _ in range(TRIES):
        if len(done) == 12:
            break
        done += [m.body for m in post.queues.receive("calm") if m.body != "poison"]
        post.pass_time(0.1)
    assert sorted(done) == sorted(f"good {n}" for n in range(12))
    assert post.queues.count("calm-dead") == 1


def test_queues_do_not_mix(post: Post) -> None:
    post.queues.send("calm", ["a"])
    post.queues.send("quick", ["b"])
    assert bodies(arrivals(post, "calm", 1)) == ["a"]
    assert bodies(arrivals(post, "quick", 1)) == ["b"]


def test_a_queue_that_does_not_exist_is_a_mistake(post: Post) -> None:
    calls: list[Any] = [
        lambda: post.queues.send("nowhere", ["a"]),
        lambda: post.queues.receive("nowhere"),
        lambda: post.queues.delete("nowhere", ["1"]),
        lambda: post.queues.retry_later("nowhere", "1", delay_s=0),
        lambda: post.queues.count("nowhere"),
    ]
    for call in calls:
        with pytest.raises(KeyError, match="nowhere"):
            call()


@pytest.mark.parametrize("delay_s", [-1, 12 * 3600 + 1])
def test_a_message_is_put_off_for_no_more_than_twelve_hours(post: Post, delay_s: int) -> None:
    post.queues.send("calm", ["a"])
    [message] = arrivals(post, "calm", 1)
    with pytest.raises(ValueError, match="0 to 43200 seconds"):
        post.queues.retry_later("calm", message.receipt, delay_s=delay_s)


@pytest.mark.parametrize("limit", [0, 11])
def test_no_more_than_ten_are_taken_at_once(post: Post, limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 10"):
        post.queues.receive("calm", limit)


def test_bodies_come_back_as_they_were(post: Post) -> None:
    sent = ['{"a": "ä\\n"}', "🎬 \t\r\n", "x" * 100_000]
    post.queues.send("calm", sent)
    assert bodies(arrivals(post, "calm", 3)) == sorted(sent)


# ---------------------------------------------------------------------------------------- the bus


def event(number: int, kind: str = "MemberLeft", **more: Any) -> DomainEvent:
    data = {"roomId": "r1", "userId": f"u{number}", "text": "ä"}
    more = {"version": 1, "occurred": NOON, "data": data, **more}
    return DomainEvent(id=f"e{number}", type=kind, **more)


def ids(messages: list[Message]) -> list[str]:
    return sorted(domain_event(message.body).id for message in messages)


def test_an_event_goes_into_every_queue_that_waits_for_its_type_and_into_no_other(
    post: Post,
) -> None:
    post.bus.publish([event(1), event(2, "MemberJoined"), event(3, "RoomOpened")])
    assert ids(arrivals(post, "calm", 2)) == ["e1", "e2"]
    assert ids(arrivals(post, "quick", 1)) == ["e1"]
    assert [post.queues.count(queue.name) for queue in QUEUES] == [2, 1]


def test_an_event_that_nobody_waits_for_vanishes(post: Post) -> None:
    post.bus.publish([event(1, "RoomOpened")])
    post.bus.publish([])
    assert [post.queues.count(queue.name) for queue in QUEUES] == [0, 0]


def test_many_events_arrive_all(post: Post) -> None:
    post.bus.publish([event(n) for n in range(25)])
    assert ids(arrivals(post, "calm", 25)) == sorted(f"e{n}" for n in range(25))


def test_what_is_published_twice_arrives_twice_as_the_same_event(post: Post) -> None:
    for _ in range(2):
        post.bus.publish([event(1)])
    assert ids(arrivals(post, "calm", 2)) == ["e1", "e1"]


def test_a_message_of_the_bus_is_an_event_of_eventbridge_with_ours_in_it(post: Post) -> None:
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html"""
    traced = event(
        1,
        correlation_id="c1",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    post.bus.publish([traced])
    [message] = arrivals(post, "calm", 1)
    told = json.loads(message.body)
    assert told.keys() == {
        *("version", "id", "detail-type", "source", "account", "time", "region", "resources"),
        "detail",
    }
    assert (told["version"], told["detail-type"], told["source"]) == ("0", "MemberLeft", "trinity")
    assert told["resources"] == []
    assert len(told["id"]) == 36
    assert time.strptime(told["time"], "%Y-%m-%dT%H:%M:%SZ")
    assert domain_event(message.body) == traced


# ----------------------------------------------------------------------------- who works them off


class Office:
    """The services of a function behind a queue."""

    def __init__(self, post: Post) -> None:
        self.queues = post.queues
        self.settings = Settings(queue_prefix=post.prefix)
        self.log = Log("error")

    def reporter(self, operation: str) -> Reporter:
        return Reporter(self.log, operation, namespace="Trinity", units=Units)


def fail(event: DomainEvent) -> None:
    if event.id == "e1":
        raise Unavailable("not now")


def test_one_handler_lets_what_failed_come_again_sooner_on_both_hosts(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_services", Office(post))
    monkeypatch.setattr("trinity.common.resilience.chance", lambda: 0.0)
    post.bus.publish([event(0), event(1)])
    taken = arrivals(post, "calm", 2)
    answer = bootstrap.worker(fail)(sqs_event(f"{post.prefix}calm", taken), None)
    [failed] = [message for message in taken if domain_event(message.body).id == "e1"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": failed.id}]}
    [again] = arrivals(post, "calm", 1)  # though its visibility time is a minute
    assert (again.id, again.receives) == (failed.id, 2)


# ---------------------------------------------------------------------------------- on AWS alone


SESSION = botocore.session.get_session()
RECEIVED = {
    "MessageId": "m1",
    "ReceiptHandle": "r1",
    "Body": "a",
    "Attributes": {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1545082649183",
        "ApproximateFirstReceiveTimestamp": "1545082649185",
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
    },
}
URL = json.dumps({"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/trinity-calm"})


def said(value: Any, status: int = 200) -> Step:
    return answer(json.dumps(value).encode(), status=status)


def sqs(server: ScriptedServer) -> SqsQueues:
    return SqsQueues(client(SQS, server.url), "trinity-")


def asked(server: ScriptedServer) -> list[tuple[str, dict[str, Any]]]:
    """Return the operations that were called and what they were given."""
    found = []
    for request in server.requests:
        [line] = [x for x in request.head.split("\r\n") if x.lower().startswith("x-amz-target")]
        found.append((line.rpartition(".")[2], json.loads(request.body)))
    return found


def test_requests_are_what_botocore_would_send() -> None:
    """Each is valid by the model of its service, and botocore writes the same JSON."""
    steps = [
        answer(URL.encode()),
        said({"Successful": [{"Id": "0"}, {"Id": "1"}], "Failed": []}),
        said({"Messages": [RECEIVED]}),
        said({"Successful": [{"Id": "0"}]}),
        said({}),
        said({"Attributes": dict.fromkeys(_COUNTS, "2")}),
    ]
    with ScriptedServer(*steps) as server:
        queues = sqs(server)
        queues.send("calm", ["a", "ä"])
        assert queues.receive("calm", 3) == [
            Message("m1", "a", "r1", 1, Millis(1545082649183), Millis(1545082649185))
        ]
        queues.delete("calm", ["r1"])
        queues.retry_later("calm", "r1", delay_s=7)
        assert queues.count("calm") == 6
    check("sqs", server)
    with ScriptedServer(said({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})) as server:
        bus = EventBridgeBus(client(EVENTBRIDGE, server.url), "trinity")
        bus.publish(
            [event(1, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
        )
    check("events", server)
    [(_, request)] = asked(server)
    [entry] = request["Entries"]
    assert entry["Time"] == NOON // 1000
    assert entry["TraceHeader"] == (
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"
    )


def check(service: str, server: ScriptedServer) -> None:
    model = SESSION.get_service_model(service)
    serializer = create_serializer(model.metadata["protocol"])
    for operation, request in asked(server):
        shape = model.operation_model(operation)
        problems = ParamValidator().validate(request, shape.input_shape)
        assert not problems.has_errors(), problems.generate_report()
        theirs = serializer.serialize_to_request(request, shape)
        assert json.loads(theirs["body"]) == request


_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
)


def test_a_queue_is_looked_for_once_and_by_its_whole_name() -> None:
    empty = said({})
    with ScriptedServer(answer(URL.encode()), empty, empty) as server:
        queues = sqs(server)
        assert queues.receive("calm") == queues.receive("calm") == []
    names = [(operation, request.get("QueueName")) for operation, request in asked(server)]
    assert names == [
        ("GetQueueUrl", "trinity-calm"),
        ("ReceiveMessage", None),
        ("ReceiveMessage", None),
    ]


def failed(*numbers: int, code: str = "InternalError", fault: bool = False) -> Step:
    return said({"Failed": [{"Id": str(n), "Code": code, "SenderFault": fault} for n in numbers]})


def test_messages_that_were_not_taken_are_sent_again_and_the_others_are_not() -> None:
    with ScriptedServer(answer(URL.encode()), failed(1, 2), failed(2), said({})) as server:
        sqs(server).send("calm", list("abcd"))
    sent = [[e["MessageBody"] for e in request["Entries"]] for _, request in asked(server)[1:]]
    assert sent == [list("abcd"), list("bc"), ["c"]]


def test_messages_that_are_never_taken_are_reported() -> None:
    with (
        ScriptedServer(answer(URL.encode()), *[failed(0)] * 4) as server,
        pytest.raises(Unavailable, match="InternalError"),
    ):
        sqs(server).send("calm", ["a"])


def test_a_message_that_is_refused_for_good_is_not_sent_again() -> None:
    refusal = failed(0, code="InvalidMessageContents", fault=True)
    with (
        ScriptedServer(answer(URL.encode()), refusal) as server,
        pytest.raises(AwsError, match="InvalidMessageContents"),
    ):
        sqs(server).send("calm", ["a"])


@pytest.mark.parametrize("code", ["MessageNotInflight", "InvalidParameterValue"])
def test_a_receipt_that_is_too_old_for_sqs_does_nothing(code: str) -> None:
    gone = said({"__type": f"com.amazonaws.sqs#{code}", "message": "No."}, 400)
    with ScriptedServer(answer(URL.encode()), gone) as server:
        sqs(server).retry_later("calm", "r1", delay_s=0)


def test_no_request_is_larger_than_its_service_takes() -> None:
    with ScriptedServer(answer(URL.encode()), *[said({})] * 3) as server:
        sqs(server).send("calm", [f"{n}{'x' * 400_000}" for n in range(5)])
    bodies = [[e["MessageBody"][0] for e in request["Entries"]] for _, request in asked(server)[1:]]
    assert bodies == [["0", "1"], ["2", "3"], ["4"]]
    with ScriptedServer(put(None, None), put(None)) as server:
        bus = EventBridgeBus(client(EVENTBRIDGE, server.url), "trinity")
        bus.publish([event(n, data={"x": "x" * 400_000}) for n in range(3)])
    assert told(server) == [["e0", "e1"], ["e2"]]


def test_what_is_too_large_for_any_request_is_refused_before_it_is_sent() -> None:
    with ScriptedServer() as server:
        with pytest.raises(ValueError, match="too large"):
            sqs(server).send("calm", ["ä" * 600_000])
        with pytest.raises(ValueError, match="too large"):
            EventBridgeBus(client(EVENTBRIDGE, server.url), "trinity").publish(
                [event(1, data={"x": "x" * 1_000_000})]
            )


def put(*codes: str | None) -> Step:
    entries = [{"EventId": "1"} if code is None else {"ErrorCode": code} for code in codes]
    return said({"FailedEntryCount": sum(map(bool, codes)), "Entries": entries})


def publish(server: ScriptedServer, count: int) -> list[list[str]]:
    EventBridgeBus(client(EVENTBRIDGE, server.url), "trinity").publish(
        [event(n) for n in range(count)]
    )
    return told(server)


def told(server: ScriptedServer) -> list[list[str]]:
    return [
        [json.loads(entry["Detail"])["id"] for entry in request["Entries"]]
        for _, request in asked(server)
    ]


def test_events_that_were_not_taken_are_told_again_and_the_others_are_not() -> None:
    steps = [put(None, "ThrottlingException", "InternalFailure"), put("InternalFailure", None)]
    with ScriptedServer(*steps, put(None)) as server:
        assert publish(server, 3) == [["e0", "e1", "e2"], ["e1", "e2"], ["e1"]]


def test_events_that_are_never_taken_are_reported() -> None:
    with (
        ScriptedServer(*[put("ThrottlingException")] * 4) as server,
        pytest.raises(Unavailable, match="ThrottlingException"),
    ):
        publish(server, 1)


def test_an_event_that_is_refused_for_good_is_not_told_again() -> None:
    with (
        ScriptedServer(put("NotAuthorizedForSourceException")) as server,
        pytest.raises(AwsError, match="NotAuthorizedForSource"),
    ):
        publish(server, 1)


def test_what_is_no_trace_context_is_left_out() -> None:
    with ScriptedServer(put(None)) as server:
        bus = EventBridgeBus(client(EVENTBRIDGE, server.url), "trinity")
        bus.publish([event(1, traceparent="nonsense")])
    [(_, request)] = asked(server)
    assert "TraceHeader" not in request["Entries"][0]
