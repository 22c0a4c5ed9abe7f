"""What feeds functions with changes: at least once, in order, and held up by nothing for long."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import eventually
from trinity.common import streams
from trinity.common.telemetry import Log
from trinity.domain.ids import DAY, HOUR, BlobId
from trinity.domain.rooms import KEPT_FOR
from trinity.embedded import pumps
from trinity.embedded.pumps import Housekeeper, StreamPump
from trinity.infrastructure.filesystem.blobs import FileBlobs
from trinity.infrastructure.sqlite import store as sqlite_store
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.infrastructure.system.clock import SystemClock
from trinity.ports import Key, Unavailable, Update
from trinity.topology import Function, Queue, Stream

BOUND_S = 5.0
FUNCTION = Function("publish", "streams.publish")
ROOMS = Stream("rooms", ("ROOM", "MATCH#"), batch=8, window_s=0.0)


class Lines(Log):
    """A log to read."""

    def __init__(self) -> None:
        super().__init__("debug")
        self.lines: list[dict[str, Any]] = []

    def __call__(self, level: Any, message: str, **fields: Any) -> None:
        self.lines.append({"level": level, "message": message, **fields})


class Feeding:
    """Pumps over one store, and what they handed over."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.log = Lines()
        self.batches: list[list[int]] = []
        self.done: list[int] = []
        self.fails: Callable[[list[int]], bool] = lambda _: False
        self._pumps: list[StreamPump] = []

    def handler(self, event: Any, _: Any) -> None:
        seqs = [change.seq for change in streams.changes(event)]
        self.batches.append(seqs)
        if self.fails(seqs):
            raise RuntimeError(f"this function does not like {seqs}")
        self.done += seqs

    def start(self, stream: Stream = ROOMS, handler: Any = None) -> StreamPump:
        pump = StreamPump(self.store, FUNCTION, stream, handler or self.handler, self.log)
        self._pumps.append(pump)
        pump.start()
        return pump

    def end(self, pump: StreamPump) -> None:
        """Stop a pump; fail if it does not end."""
        pump.stop()
        ending = threading.Thread(target=pump.join, daemon=True)
        ending.start()
        ending.join(BOUND_S)
        assert not ending.is_alive(), "the pump does not stop"

    def end_all(self) -> None:
        for pump in self._pumps:
            self.end(pump)

    def write(self, count: int, sk: str = "ROOM") -> list[int]:
        """Make so many changes; return their numbers."""
        first = self.store.last_seq + 1
        for number in range(count):
            self.store.table.put({"PK": f"ROOM#{first + number}", "SK": sk, "n": number})
        return list(range(first, first + count))

    def arrived(self, seqs: list[int]) -> None:
        eventually(lambda: self.done == seqs, f"{seqs} arrive in order", within_s=BOUND_S)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all pauses."""
    monkeypatch.setattr(pumps, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(pumps, "_LONGEST_PAUSE_S", 0.002)
    monkeypatch.setattr(pumps, "_LOOK_UP_EVERY_S", 0.01)
    monkeypatch.setattr(pumps, "_SWEEP_EVERY_S", 0.01)


@pytest.fixture
def feeding(store: SqliteStore, quick: None) -> Iterator[Feeding]:
    feeding = Feeding(store)
    yield feeding
    feeding.end_all()


# --------------------------------------------------------------------------------- what arrives


def test_changes_arrive_in_order_and_in_batches_that_are_not_too_large(feeding: Feeding) -> None:
    expected = feeding.write(30)
    feeding.start()
    expected += feeding.write(5)
    feeding.arrived(expected)
    assert max(map(len, feeding.batches)) == ROOMS.batch


def test_only_changes_of_the_asked_for_sort_keys_arrive(feeding: Feeding) -> None:
    feeding.start()
    feeding.write(3, sk="PROFILE")
    wanted = feeding.write(1, sk="ROOM")
    feeding.write(1, sk="ROOM#00001#abc")  # the pointer of a member, not a room
    feeding.write(1, sk="MATCH")
    wanted += feeding.write(1, sk="MATCH#t1")
    feeding.write(1, sk="BALLOT#t1")
    wanted += feeding.write(1, sk="ROOM")
    feeding.arrived(wanted)


def test_a_window_gathers_what_comes_within_it(feeding: Feeding) -> None:
    feeding.start(Stream("rooms", ("ROOM",), batch=100, window_s=0.5))
    expected = feeding.write(10)
    feeding.arrived(expected)
    assert feeding.batches == [expected]


def test_without_a_window_a_change_arrives_at_once(feeding: Feeding) -> None:
    feeding.start()
    expected: list[int] = []
    for _ in range(5):
        expected += feeding.write(1)
        feeding.arrived(expected)
    assert feeding.batches == [[seq] for seq in expected]


def test_two_feeds_of_one_function_do_not_disturb_each_other(feeding: Feeding) -> None:
    ballots: list[int] = []
    feeding.start()
    feeding.start(
        Stream("ballots", ("BALLOT#",), batch=8, window_s=0.0),
        lambda event, _: ballots.extend(change.seq for change in streams.changes(event)),
    )
    rooms = feeding.write(4)
    votes = feeding.write(4, sk="BALLOT#t1")
    rooms += feeding.write(4)
    feeding.arrived(rooms)
    eventually(lambda: ballots == votes, "the votes arrive")


def test_the_event_is_one_of_a_dynamodb_stream(feeding: Feeding) -> None:
    """The shape of "Using Lambda with DynamoDB" in the AWS developer guide."""
    events: list[Any] = []
    table, key = feeding.store.table, Key("ROOM#r1", "ROOM")
    table.put({"PK": key.pk, "SK": key.sk, "n": 1, "open": True, "names": ["Ana"], "of": None})
    table.update(key, Update(set={"n": 2.5, "members": {"ana": {"active": False}}}))
    table.delete(key)
    feeding.start(handler=lambda event, _: events.append(event))
    eventually(lambda: len(events) > 0, "an event comes")
    [event] = events
    assert set(event) == {"Records"}
    insert, modify, remove = event["Records"]
    assert [r["eventName"] for r in event["Records"]] == ["INSERT", "MODIFY", "REMOVE"]
    old = {
        "PK": {"S": "ROOM#r1"},
        "SK": {"S": "ROOM"},
        "n": {"N": "1"},
        "open": {"BOOL": True},
        "names": {"L": [{"S": "Ana"}]},
        "of": {"NULL": True},
    }
    new = {
        **old,
        "n": {"N": "2.5"},
        "members": {"M": {"ana": {"M": {"active": {"BOOL": False}}}}},
    }
    images = [
        (r["dynamodb"].get("OldImage"), r["dynamodb"].get("NewImage")) for r in event["Records"]
    ]
    assert images == [(None, old), (old, new), (new, None)]
    for number, record in enumerate((insert, modify, remove), start=1):
        assert record["dynamodb"]["Keys"] == {"PK": {"S": key.pk}, "SK": {"S": key.sk}}
        assert record["dynamodb"]["SequenceNumber"] == str(number)
        assert record["dynamodb"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        assert abs(record["dynamodb"]["ApproximateCreationDateTime"] - time.time()) < 60
        assert record["eventSource"] == "aws:dynamodb"
        assert record["eventVersion"] == "1.1"
        assert record["eventSourceARN"].startswith("arn:aws:dynamodb:")
        assert record["awsRegion"]
    assert len({record["eventID"] for record in event["Records"]}) == 3


# ------------------------------------------------------------------------------ when it goes wrong


def test_a_batch_that_fails_comes_again_half_as_large_and_in_order(feeding: Feeding) -> None:
    expected = feeding.write(20)
    feeding.fails = lambda _: len(feeding.batches) <= 2
    feeding.start()
    feeding.arrived(expected)
    assert feeding.batches[:3] == [expected[:8], expected[:4], expected[:2]]
    assert [seq for batch in feeding.batches[3:] for seq in batch] == expected[2:]
    assert len(feeding.batches[3]) == 8, "after a success batches are as large as before"
    assert {line["message"] for line in feeding.log.lines} == {"a batch failed, it is tried again"}
    assert all("RuntimeError" in line["stack_trace"] for line in feeding.log.lines)


def test_a_change_that_always_fails_is_left_out_and_those_behind_it_arrive(
    feeding: Feeding,
) -> None:
    expected = feeding.write(20)
    poison = expected[10]
    feeding.fails = lambda seqs: poison in seqs
    feeding.start()
    feeding.arrived([seq for seq in expected if seq != poison])
    attempts = [batch for batch in feeding.batches if batch == [poison]]
    assert len(attempts) == pumps._ATTEMPTS_AT_ONE
    [left_out] = [line for line in feeding.log.lines if line["message"] == "a change was left out"]
    assert (left_out["level"], left_out["seq"]) == ("error", poison)
    assert left_out["feed"] == "publish:rooms"
    eventually(
        lambda: feeding.store.checkpoint("publish:rooms") == expected[-1], "all of it is done"
    )


def test_where_a_feed_stands_is_saved_after_the_work_and_not_before(feeding: Feeding) -> None:
    stood: list[tuple[int, int]] = []

    def handler(event: Any, _: Any) -> None:
        first = streams.changes(event)[0].seq
        stood.append((feeding.store.checkpoint("publish:rooms"), first))

    expected = feeding.write(20)
    feeding.start(handler=handler)
    eventually(
        lambda: feeding.store.checkpoint("publish:rooms") == expected[-1], "all of it is done"
    )
    assert stood == [(0, 1), (8, 9), (16, 17)]


def test_a_new_pump_goes_on_where_the_old_one_stood(feeding: Feeding) -> None:
    pump = feeding.start()
    expected = feeding.write(10)
    feeding.arrived(expected)
    feeding.end(pump)
    expected += feeding.write(10)
    feeding.start()
    feeding.arrived(expected)


def test_what_was_not_saved_as_done_comes_again_after_a_crash(
    feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crash:
        crash.setattr(feeding.store, "save_checkpoint", lambda *_: None)
        pump = feeding.start()
        expected = feeding.write(3)
        feeding.arrived(expected)
        feeding.end(pump)
    feeding.done.clear()
    feeding.start()
    feeding.arrived(expected)


def test_stopping_does_not_wait_for_a_function_that_keeps_failing(store: SqliteStore) -> None:
    feeding = Feeding(store)  # with pauses as long as they really are
    feeding.write(1)
    feeding.fails = lambda _: True
    pump = feeding.start()
    eventually(lambda: len(feeding.batches) >= 2, "it fails and is tried again")
    began = time.monotonic()
    feeding.end(pump)
    assert time.monotonic() - began < 2.0
    assert store.checkpoint("publish:rooms") == 0, "what failed is not done"


def test_a_feed_with_nothing_to_do_holds_up_no_trimming_after_a_stop(feeding: Feeding) -> None:
    pump = feeding.start()
    feeding.write(5, sk="PROFILE")
    [last] = feeding.write(1, sk="PROFILE")
    # Until it has looked up once after the last of them.
    [feed] = feeding.store._feeds
    assert not feed.wait(last, 0.1)
    feeding.end(pump)
    assert feeding.store.checkpoint("publish:rooms") == last


def test_a_change_arrives_though_its_feed_hears_of_it_late(
    feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that commits may lose the processor between the commit and telling the feeds."""
    feeding.start()
    feeding.arrived(feeding.write(1))
    [feed] = feeding.store._feeds
    tell, wait = feed.tell, feed.wait
    told, behind = threading.Event(), threading.Event()
    looks = 0

    def late(written: Any, seq: int) -> None:
        told.set()
        assert behind.wait(BOUND_S)
        tell(written, seq)

    def watched(seq: int, timeout: float) -> bool:
        nonlocal looks
        looks += told.is_set()
        if seq > 1 or looks > 20:
            behind.set()  # it believes to be past the change, or had every chance to
        return wait(seq, timeout)

    monkeypatch.setattr(feed, "tell", late)
    monkeypatch.setattr(feed, "wait", watched)
    [seq] = feeding.write(1)
    feeding.arrived([1, seq])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_feed_goes_on_after_its_place_could_not_be_saved(
    feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, failures = feeding.store.save_checkpoint, []

    def full(consumer: str, seq: int) -> None:
        if not failures:
            failures.append(seq)
            raise Unavailable("the store could not commit: database or disk is full")
        save(consumer, seq)

    monkeypatch.setattr(feeding.store, "save_checkpoint", full)
    feeding.start()
    feeding.write(1)
    eventually(lambda: len(failures) > 0, "saving fails")
    [later] = feeding.write(1)
    eventually(lambda: later in feeding.done, "the next change arrives", within_s=BOUND_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_feed_goes_on_after_a_read_failed(
    feeding: Feeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = feeding.store.changes_after, []

    def broken(*words: Any, **more: Any) -> Any:
        if not failures:
            failures.append(words)
            raise sqlite3.OperationalError("disk I/O error")
        return read(*words, **more)

    monkeypatch.setattr(feeding.store, "changes_after", broken)
    feeding.start()
    expected = feeding.write(1)
    eventually(lambda: len(failures) > 0, "reading fails")
    expected += feeding.write(1)
    feeding.arrived(expected)


# ------------------------------------------------------------------------------- the housekeeper


def queues_of(store: SqliteStore) -> SqliteQueues:
    return SqliteQueues(store, [Queue("notify", receives=1)], SystemClock())


@pytest.fixture
def decks(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def housekeeper(store: SqliteStore, decks: FileBlobs, quick: None) -> Iterator[Housekeeper]:
    keeper = Housekeeper(store, queues_of(store), decks, Lines())
    yield keeper
    keeper.stop()
    keeper.join()


def test_the_housekeeper_removes_what_has_expired_and_changes_that_all_have_seen(
    store: SqliteStore, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_KEEP_CHANGES_FOR_S", -60)
    store.table.put({"PK": "A", "SK": "1", "expires": 1})
    store.table.put({"PK": "A", "SK": "2", "expires": int(time.time()) + 3600})
    store.save_checkpoint("publish:rooms", 10)
    housekeeper.start()
    eventually(lambda: len(store.changes_after(0, 10)) == 1, "old changes go")
    assert [item["SK"] for item in store.table.query("A").items] == ["2"]


def test_the_housekeeper_removes_decks_that_outlived_their_rooms_and_no_others(
    decks: FileBlobs, housekeeper: Housekeeper, tmp_path: Path
) -> None:
    def stored(content: bytes, age: int) -> BlobId:
        blob_id = decks.put(content, content_type="application/json")
        then = time.time() - age / 1000
        os.utime(tmp_path / "blobs" / blob_id[:2] / blob_id, (then, then))
        return blob_id

    # A room is created after its deck was stored, and by what takes less than a day.
    needed = stored(b"[1]", KEPT_FOR + HOUR)
    over = stored(b"[2]", KEPT_FOR + DAY + HOUR)
    housekeeper.start()

    def gone() -> bool:
        try:
            decks.get(over)
        except KeyError:
            return True
        return False

    eventually(gone, "the old deck goes")
    assert decks.get(needed) == b"[1]"


def test_the_housekeeper_goes_on_after_a_round_that_failed(
    store: SqliteStore, housekeeper: Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, failures = store.sweep_expired, []

    def broken(now: int) -> int:
        if not failures:
            failures.append(now)
            raise Unavailable("the store could not commit")
        return sweep(now)

    monkeypatch.setattr(store, "sweep_expired", broken)
    store.table.put({"PK": "A", "SK": "1", "expires": 1})
    housekeeper.start()
    eventually(lambda: store.table.get(Key("A", "1")) is None, "it is removed in the next round")
    assert failures
    assert "sweeping failed" in {line["message"] for line in housekeeper._log.lines}


def test_the_housekeeper_removes_dead_letters_of_two_weeks_ago_and_no_others(
    store: SqliteStore, housekeeper: Housekeeper
) -> None:
    queues = queues_of(store)
    old = int(time.time() * 1000) - 14 * 24 * 3600 * 1000

    def tried_first(millis: int, body: str) -> None:
        store.write(
            lambda transaction: transaction.execute(
                "UPDATE messages SET received_at = ? WHERE body = ?", (millis, body)
            )
        )

    queues.send("notify", ["waits"])
    queues.send("notify-dead", ["old", "younger"])
    tried_first(old - 1000, "waits")
    tried_first(old - 1000, "old")
    tried_first(old + 60_000, "younger")
    housekeeper.start()
    eventually(lambda: queues.count("notify-dead") == 1, "the old one goes")
    assert [message.body for message in queues.receive("notify-dead")] == ["younger"]
    assert queues.count("notify") == 1
    eventually(lambda: len(housekeeper._log.lines) > 0, "it is told")
    assert housekeeper._log.lines[0]["removed"] == 1


def test_the_housekeeper_stops_at_once_though_its_next_round_is_far(
    store: SqliteStore, decks: FileBlobs
) -> None:
    keeper = Housekeeper(store, queues_of(store), decks, Lines())
    keeper.start()
    began = time.monotonic()
    keeper.stop()
    keeper.join()
    assert time.monotonic() - began < 2.0
