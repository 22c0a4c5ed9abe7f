"""What every `Queues` and every `Bus` does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.fakes import FakeClock
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.ports import Message, Queues
from trinity.topology import Queue

CALM = Queue("calm", visibility_s=60, receives=3)
QUICK = Queue("quick", visibility_s=1, receives=2)
QUEUES = (CALM, QUICK)
TRIES = 100


class Post(Protocol):
    """Queues, and a way to let time pass."""

    queues: Queues

    def pass_time(self, seconds: float) -> None: ...


class SqlitePost:
    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "queues.sqlite")
        self.clock = FakeClock()
        self.queues = SqliteQueues(self.store, QUEUES, self.clock)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1000))


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    post = SqlitePost(tmp_path)
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


@pytest.mark.parametrize("limit", [0, 11])
def test_no_more_than_ten_are_taken_at_once(post: Post, limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 10"):
        post.queues.receive("calm", limit)


def test_bodies_come_back_as_they_were(post: Post) -> None:
    sent = ['{"a": "ä\\n"}', "🎬 \t\r\n", "x" * 100_000]
    post.queues.send("calm", sent)
    assert bodies(arrivals(post, "calm", 3)) == sorted(sent)
