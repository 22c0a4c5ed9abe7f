"""Lambda functions that work off queues."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.fakes import NOON, World
from trinity import bootstrap
from trinity.common.settings import Settings
from trinity.common.telemetry import Log, Reporter, Units
from trinity.domain.domain_events import DomainEvent, MemberLeft, UnknownEvent
from trinity.domain.ids import RoomId, UserId
from trinity.domain.notices import Notice
from trinity.embedded.queues import sqs_event
from trinity.infrastructure.sqlite.bus import SqliteBus
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.ports import Ids, Key, Table, Unavailable
from trinity.topology import Queue

QUEUE = Queue("notify", events=("MemberLeft",), receives=20)


def left(number: int, version: int = 1) -> DomainEvent:
    return DomainEvent(
        id=f"e{number}",
        type="MemberLeft",
        version=version,
        occurred=NOON,
        data={"roomId": "r1", "userId": f"u{number}", "removed": False, "roomVersion": number},
    )


class Office:
    """A world with one queue, and the function behind it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.queues = SqliteQueues(self.world.store, [QUEUE], self.world.clock)
        self.bus = SqliteBus(self.queues, [QUEUE])
        self.log = Log("error")
        self.ids = self.world.ids
        self.settings = self.world.settings

    def reporter(self, operation: str) -> Reporter:
        return Reporter(self.log, operation, namespace="Trinity", units=Units)

    def work(self, use_case: Callable[..., None], context: object = None) -> Any:
        """Hand over what is there."""
        event = sqs_event("notify", self.queues.receive("notify"))
        return bootstrap.worker(use_case)(event, context)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    office = Office(tmp_path)
    monkeypatch.setattr(bootstrap, "_services", office)
    return office


def test_a_use_case_is_called_for_each_event_with_the_ports_that_it_names(office: Office) -> None:
    seen: list[Any] = []

    def notify(event: DomainEvent, ids: Ids) -> None:
        seen.append((event, event.fact, ids))

    office.bus.publish([left(1), left(2)])
    assert office.work(notify) == {"batchItemFailures": []}
    facts = [
        MemberLeft(room_id=RoomId("r1"), user_id=UserId(f"u{n}"), removed=False, room_version=n)
        for n in (1, 2)
    ]
    assert seen == [(left(1), facts[0], office.ids), (left(2), facts[1], office.ids)]


def test_a_use_case_of_many_events_is_called_once_and_fails_for_all(office: Office) -> None:
    seen: list[list[str]] = []

    def analyse(events: list[DomainEvent]) -> None:
        seen.append([event.id for event in events])
        raise Unavailable("the table does not answer")

    office.bus.publish([left(1), left(2)])
    assert len(office.work(analyse)["batchItemFailures"]) == 2
    assert seen == [["e1", "e2"]]


def test_only_the_message_that_failed_comes_again(office: Office) -> None:
    def notify(event: DomainEvent) -> None:
        if event.id == "e2":
            raise RuntimeError("this function does not like it")

    office.bus.publish([left(n) for n in range(1, 4)])
    taken = sqs_event("notify", office.queues.receive("notify"))
    answer = bootstrap.worker(notify)(taken, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": taken["Records"][1]["messageId"]}]}


def test_what_is_no_event_or_of_another_version_fails_alone(office: Office) -> None:
    seen: list[str] = []

    def notify(event: DomainEvent) -> None:
        if event.version != 1:
            raise UnknownEvent("newer")
        seen.append(event.id)

    office.queues.send("notify", ["no JSON", "{}"])
    office.bus.publish([left(1), left(2, version=9)])
    assert len(office.work(notify)["batchItemFailures"]) == 3
    assert seen == ["e1"]


def fail(event: DomainEvent) -> None:
    raise RuntimeError("not now")


def test_a_message_that_failed_comes_again_after_a_while_that_grows(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full jitter: anything up to a bound that doubles; here always the bound."""
    monkeypatch.setattr("trinity.common.resilience.chance", lambda: 1.0)
    office.bus.publish([left(1)])
    waits: list[float | None] = []
    for _ in range(11):
        office.work(fail)
        wait = office.queues.hidden_for_s("notify")
        waits.append(wait)
        office.world.clock.advance(int((wait or 0) * 1000))
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]


def test_a_message_that_failed_may_come_again_at_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trinity.common.resilience.chance", lambda: 0.0)
    office.bus.publish([left(1)])
    office.work(fail)
    assert office.queues.hidden_for_s("notify") == 0


def test_a_message_that_cannot_be_put_off_comes_again_after_the_visibility_time(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise Unavailable("the queue does not answer")

    monkeypatch.setattr(office.queues, "retry_later", broken)
    office.bus.publish([left(1), left(2)])
    assert len(office.work(fail)["batchItemFailures"]) == 2
    assert office.queues.hidden_for_s("notify") == QUEUE.visibility_s


@pytest.mark.parametrize(
    "context",
    [None, SimpleNamespace(function_name="f", function_version="1", aws_request_id="r")],
)
def test_a_message_is_one_line_of_the_log_and_holds_metrics_on_lambda(
    context: object, office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    office.bus.publish([left(1)])
    office.work(fail, context)
    [line] = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["operation"], line["message"]) == ("fail", "failed")
    assert len(line["messages"]) == 1
    assert ("_aws" in line) == (context is not None)
    assert line.get("errors") == (1 if context is not None else None)


def test_on_aws_the_name_of_a_queue_in_an_event_has_a_prefix(office: Office) -> None:
    office.settings = Settings(queue_prefix="trinity-prod-")
    office.bus.publish([left(1)])
    taken = sqs_event("trinity-prod-notify", office.queues.receive("notify"))
    bootstrap.worker(fail)(taken, None)
    assert office.queues.hidden_for_s("notify") <= 5


def test_a_use_case_of_notices_is_given_the_notice_and_bears_its_cause(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Notice(
        event_id="e1",
        kind="invited",
        channel="email",
        room_id=RoomId("r1"),
        at=NOON,
        correlation_id="request-1",
    )
    seen: list[Any] = []

    def deliver(notice: Notice, table: Table) -> None:
        seen.append(notice)
        table.put({"PK": "X#1", "SK": "X"})

    office.table = office.world.table
    office.queues.send("notify", [msgspec.json.encode(made).decode()])
    assert office.work(deliver) == {"batchItemFailures": []}
    assert seen == [made]
    assert office.world.table.get(Key("X#1", "X"))["cause"] == "request-1"


@pytest.mark.parametrize("after_s", [0.0, 90.5, 3600.0])
def test_a_message_is_left_alone_for_as_long_as_was_asked_for(
    office: Office, after_s: float
) -> None:
    def notify(event: DomainEvent) -> None:
        raise Unavailable("busy", after_s=after_s)

    office.bus.publish([left(1)])
    office.work(notify)
    office.world.clock.advance(round(after_s * 1000) - 1 if after_s else 0)
    assert after_s == 0 or office.queues.receive("notify") == []
    office.world.clock.advance(5_500)  # what chance may add to the first wait, and its rounding
    assert len(office.queues.receive("notify")) == 1
