"""What feeds functions with messages: at least once, each on its own, held up by nobody."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_pumps import Lines
from tests.server import eventually
from trinity.embedded import queues as module
from trinity.embedded.queues import QueuePump, failures, sqs_event
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.infrastructure.system.clock import SystemClock
from trinity.ports import Message
from trinity.topology import Function, Queue

BOUND_S = 5.0
QUEUE = Queue("notify", batch=5, visibility_s=60, receives=3)
FUNCTION = Function("notify", "queues.notify", queue=QUEUE)


class Working:
    """A pump over one queue, and what it handed over."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.log = Lines()
        self.queues = SqliteQueues(store, [QUEUE], SystemClock())
        self.batches: list[list[str]] = []
        self.answer: Callable[[Any], Any] = lambda _: None
        self._pumps: list[QueuePump] = []

    def handler(self, event: Any, _: Any) -> Any:
        self.batches.append([record["body"] for record in event["Records"]])
        return self.answer(event)

    def start(self, queue: Queue = QUEUE) -> QueuePump:
        pump = QueuePump(self.queues, FUNCTION, queue, self.handler, self.log)
        self._pumps.append(pump)
        pump.start()
        return pump

    def end(self, pump: QueuePump) -> None:
        pump.stop()
        ending = threading.Thread(target=pump.join, daemon=True)
        ending.start()
        ending.join(BOUND_S)
        assert not ending.is_alive(), "the pump does not stop"

    def end_all(self) -> None:
        for pump in self._pumps:
            self.end(pump)

    def seen(self) -> list[str]:
        return [body for batch in self.batches for body in batch]

    def drained(self) -> None:
        eventually(lambda: self.queues.count("notify") == 0, "all is done", within_s=BOUND_S)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.fixture
def working(store: SqliteStore) -> Iterator[Working]:
    working = Working(store)
    yield working
    working.end_all()


def all_of(event: Any) -> Any:
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in event["Records"]]}


def only(body: str) -> Callable[[Any], Any]:
    def answer(event: Any) -> Any:
        failed = [r["messageId"] for r in event["Records"] if r["body"] == body]
        return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in failed]}

    return answer


# ---------------------------------------------------------------------------------- what arrives


def test_messages_arrive_in_order_and_in_batches_that_are_not_too_large(working: Working) -> None:
    sent = [f"{n:02}" for n in range(12)]
    working.queues.send("notify", sent)
    working.start()
    working.drained()
    assert working.batches == [sent[:5], sent[5:10], sent[10:]]


def test_a_message_arrives_at_once_though_the_pump_had_nothing_to_do(
    working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_UP_EVERY_S", 3600.0)
    working.start()
    for n in range(5):
        working.queues.send("notify", [str(n)])
        eventually(lambda n=n: len(working.batches) > n, "it arrives", within_s=BOUND_S)
    assert working.seen() == list("01234")


def test_a_window_gathers_what_comes_within_it(working: Working) -> None:
    working.start(QUEUE._replace(window_s=0.5, batch=100))
    for n in range(5):
        working.queues.send("notify", [str(n)])
    working.drained()
    assert working.batches == [list("01234")]


def test_a_window_ends_as_soon_as_a_batch_is_full(working: Working) -> None:
    queue = QUEUE._replace(window_s=3600.0, batch=4)
    working.queues.send("notify", list("012345"))
    pump = working.start(queue)
    eventually(lambda: len(working.batches) == 1, "the first is full", within_s=BOUND_S)
    working.queues.send("notify", list("6789"))
    eventually(lambda: len(working.batches) == 2, "the second is, too", within_s=BOUND_S)
    assert working.batches == [list("0123"), list("4567")]
    working.end(pump)  # which does not wait for the end of the window


# ------------------------------------------------------------------------------ when it goes wrong


def test_only_what_the_function_names_as_failed_comes_again(working: Working) -> None:
    working.answer = only("2")
    working.queues.send("notify", list("01234"))
    working.start()
    eventually(lambda: working.queues.count("notify") == 1, "the others are done")
    [message] = working.store.read("SELECT body, held FROM messages")
    assert message == ("2", 1)


def test_all_of_a_batch_comes_again_when_the_function_raises(working: Working) -> None:
    working.answer = lambda _: 1 / 0
    working.queues.send("notify", list("01"))
    working.start()
    eventually(lambda: bool(working.log.lines), "it is logged")
    assert working.queues.count("notify") == 2
    assert "ZeroDivisionError" in working.log.lines[0]["stack_trace"]


def test_a_poison_message_ends_in_the_dead_letter_queue_and_holds_up_no_other(
    working: Working,
) -> None:
    def answer(event: Any) -> Any:
        answered = only("poison")(event)
        for record in event["Records"]:
            if record["body"] == "poison":
                working.queues.retry_later("notify", record["receiptHandle"], delay_s=0)
        return answered

    working.answer = answer
    working.queues.send("notify", ["poison", *map(str, range(20))])
    working.start()
    working.drained()
    assert working.queues.count("notify-dead") == 1
    assert working.seen().count("poison") == QUEUE.receives
    assert sorted(set(working.seen())) == sorted(["poison", *map(str, range(20))])
    [line] = working.log.lines
    assert (line["level"], line["queue"]) == ("error", "notify")


def test_what_a_dead_process_held_comes_again_at_once_when_the_next_one_starts(
    working: Working,
) -> None:
    working.queues.send("notify", ["a"])
    assert len(working.queues.receive("notify")) == 1  # and then it dies
    working.queues.release()
    working.start()
    working.drained()
    assert working.seen() == ["a"]


def test_what_waits_for_its_next_attempt_goes_on_waiting_over_a_restart(working: Working) -> None:
    working.queues.send("notify", ["a"])
    [message] = working.queues.receive("notify")
    working.queues.retry_later("notify", message.receipt, delay_s=600)
    working.queues.release()
    assert working.queues.receive("notify") == []
    hidden_for_s = working.queues.hidden_for_s("notify")
    assert hidden_for_s is not None
    assert hidden_for_s > 300


def test_what_a_wrong_clock_has_hidden_for_years_comes_again_after_a_restart(
    working: Working,
) -> None:
    working.queues.send("notify", ["a"])
    working.store.write(
        lambda transaction: transaction.execute("UPDATE messages SET visible_at = 1 << 50")
    )
    assert working.queues.receive("notify") == []
    working.queues.release()
    assert len(working.queues.receive("notify")) == 1


def test_stopping_does_not_wait_for_the_next_message(working: Working) -> None:
    pump = working.start()
    working.end(pump)


def test_a_batch_that_is_being_worked_on_is_finished_before_the_pump_stops(
    working: Working,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def answer(_: Any) -> None:
        begun.set()
        assert go_on.wait(BOUND_S)

    working.answer = answer
    working.queues.send("notify", ["a"])
    pump = working.start()
    assert begun.wait(BOUND_S)
    pump.stop()
    go_on.set()
    working.end(pump)
    assert working.queues.count("notify") == 0


# ----------------------------------------------------------------------------- events and answers

# From "Using Lambda with Amazon SQS" in the AWS developer guide.
GENUINE = {
    "Records": [
        {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": "Test message.",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
            "awsRegion": "us-east-2",
        }
    ]
}


def test_the_event_is_one_of_sqs() -> None:
    [genuine] = GENUINE["Records"]
    message = Message(
        genuine["messageId"],
        genuine["body"],
        genuine["receiptHandle"],
        1,
        1545082649183,
        1545082649185,
    )
    [record] = sqs_event("my-queue", [message])["Records"]
    ours = {
        "eventSourceARN": "arn:aws:sqs:local:000000000000:my-queue",
        "awsRegion": "local",
        "attributes": {**genuine["attributes"], "SenderId": "trinity"},
    }
    assert record == genuine | ours
    assert list(record) == list(genuine)


IDS = {"a", "b", "c"}


@pytest.mark.parametrize(
    "answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}]
)
def test_an_answer_without_failures_means_that_all_went_well(answer: Any) -> None:
    assert failures(answer, IDS) == set()


def test_an_answer_names_what_failed() -> None:
    answer = {"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "c"}]}
    assert failures(answer, IDS) == {"b", "c"}


@pytest.mark.parametrize(
    "answer",
    [
        "ok",
        ["a"],
        {"batchItemFailures": "a"},
        {"batchItemFailures": ["a"]},
        {"batchItemFailures": {"itemIdentifier": "a"}},
        {"batchItemFailures": [None]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": ["a"]}]},
        {"batchItemFailures": [{"ItemIdentifier": "a"}]},
        {"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "unknown"}]},
    ],
)
def test_an_answer_that_makes_no_sense_means_that_all_failed(answer: Any) -> None:
    assert failures(answer, IDS) == IDS
