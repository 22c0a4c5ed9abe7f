"""The SQLite store where its own threads meet, and where a write fails half-way."""

import sqlite3
import threading
import time
from contextlib import nullcontext
from functools import partial

import pytest

from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.ports import Absent, ConditionFailed, Key, TransactPut, Unavailable, Update

BOUND_S = 10.0
KEY = Key("A", "1")


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "store.sqlite")
    yield store
    store.close()


def test_a_transaction_with_one_item_that_is_too_large_writes_none_of_its_items(store):
    store.table.put({"PK": "A", "SK": "0", "n": 1})
    small = TransactPut({"PK": "A", "SK": "1"})
    large = TransactPut({"PK": "A", "SK": "2", "text": "x" * 500_000})
    seq = store.last_seq
    with pytest.raises(ValueError, match="larger"):
        store.table.transact([small, large])
    assert [item["SK"] for item in store.table.query("A").items] == ["0"]
    assert store.changes_after(seq, 10) == []


@pytest.mark.parametrize("removed", [False, True], ids=["changed", "removed"])
def test_a_read_that_a_commit_overtakes_does_not_bring_the_old_item_back(tmp_path, removed):
    first = SqliteStore(tmp_path / "store.sqlite")
    first.table.put({"PK": "A", "SK": "1", "n": 1})
    first.close()
    store = SqliteStore(tmp_path / "store.sqlite")
    has_read, may_go_on, done = threading.Event(), threading.Event(), threading.Event()
    read = store.read

    def slow_read(sql, parameters=()):
        rows = read(sql, parameters)
        if threading.current_thread() is reader:
            has_read.set()
            assert may_go_on.wait(BOUND_S)
        return rows

    def look():
        store.table.get(KEY, consistent=True)
        done.set()

    reader = threading.Thread(target=look, daemon=True)
    store.read = slow_read
    reader.start()
    assert has_read.wait(BOUND_S)
    overtaken = _at_the_end_of_the_next_commit(store, may_go_on, done)
    if removed:
        store.table.delete(KEY)
    else:
        store.table.update(KEY, Update(set={"n": 2}))
    assert overtaken.is_set()
    may_go_on.set()
    assert done.wait(BOUND_S)
    seen = store.table.get(KEY, consistent=True)
    assert (None if seen is None else seen["n"]) == (None if removed else 2)
    with pytest.raises(ConditionFailed) if not removed else nullcontext():
        store.table.put({"PK": "A", "SK": "1", "n": 3}, when=Absent("PK"))
    store.close()


def _at_the_end_of_the_next_commit(store, may_go_on, done):
    """Let the reader go on as soon as a commit is on disk, at the latest moment of its work."""
    overtaken = threading.Event()
    remember = getattr(store, "_remember", None)

    def remember_and_let_go(written):
        if remember is not None:
            remember(written)
        overtaken.set()
        may_go_on.set()
        done.wait(1)  # the reader may as well wait for the commit to end: then it is not done yet

    if remember is None:
        overtaken.set()
    else:
        store._remember = remember_and_let_go
    return overtaken


def test_what_could_not_be_committed_is_neither_read_nor_acknowledged(store):
    store.table.put({"PK": "A", "SK": "1", "n": 1})

    class Full:
        """A disk that is full when the commit comes."""

        def __init__(self, connection):
            self._connection = connection

        def __getattr__(self, name):
            return getattr(self._connection, name)

        def execute(self, sql, *parameters):
            if sql == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return self._connection.execute(sql, *parameters)

    writer, seq = store._writer, store.last_seq
    store._writer = Full(writer)
    with pytest.raises(Unavailable):
        store.table.update(KEY, Update(set={"n": 2}))
    store._writer = writer
    assert store.table.get(KEY, consistent=True)["n"] == 1
    assert store.last_seq == seq
    assert store.table.update(KEY, Update(add={"n": 10}))["n"] == 11
    assert [change.seq for change in store.changes_after(0, 10)] == [seq, seq + 1]


def test_writers_that_share_a_commit_each_see_the_one_before(store):
    count, per_thread = 8, 50
    start = threading.Barrier(count)
    images = [[] for _ in range(count)]

    def write(number):
        start.wait(BOUND_S)
        for _ in range(per_thread):
            image = store.table.update(KEY, Update(set={f"by{number}": 1}, add={"n": 1}))
            images[number].append(image["n"])
            assert store.table.get(KEY, consistent=True)["n"] >= image["n"]

    threads = [threading.Thread(target=write, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S * 3)
    total = count * per_thread
    assert sorted(n for theirs in images for n in theirs) == list(range(1, total + 1))
    changes = store.changes_after(0, total + 1)
    assert [change.new["n"] for change in changes] == list(range(1, total + 1))
    assert [change.seq for change in changes] == list(range(1, total + 1))


class Crowd:
    """Threads that write without a pause: at each commit somebody waits for the next one."""

    def __init__(self, store, commits):
        self._store = store
        self._left = commits
        self.begun = threading.Event()
        self.threads = [threading.Thread(target=self._write, daemon=True) for _ in range(3)]
        for thread in self.threads:
            thread.start()

    def _write(self):
        while self._left > 0:
            self._left -= 1
            self._store.write(self._job)

    def _job(self, transaction):
        self.begun.set()
        until = time.monotonic() + 0.05
        while not self._store._queue and time.monotonic() < until:
            time.sleep(0.001)
        transaction.execute("UPDATE checkpoints SET seq = seq")

    def join(self):
        for thread in self.threads:
            thread.join(BOUND_S)
            assert not thread.is_alive()


def test_threads_that_write_without_a_pause_do_not_starve_the_requests(store):
    crowd = Crowd(store, commits=60)
    assert crowd.begun.wait(BOUND_S)
    waited = []
    for number in range(5):
        turn, settled = threading.Event(), threading.Event()
        commits = store.commits
        call = partial(store.table.put, {"PK": "A", "SK": str(number)})
        while not store.together([call], lambda *_, s=settled: s.set(), free=turn.set):
            assert turn.wait(BOUND_S)
            turn.clear()
        assert settled.wait(BOUND_S)
        waited.append(store.commits - commits)
    assert max(waited) <= 3, "the one that was on its way, its own, and one that has begun since"
    crowd.join()


def test_writers_go_on_though_whose_turn_it_is_never_comes(store):
    crowd = Crowd(store, commits=10)
    assert crowd.begun.wait(BOUND_S)
    told = threading.Event()
    assert not store.together([], lambda *_: None, free=told.set)
    assert told.wait(BOUND_S), "it is its turn"
    crowd.join()
    store.table.put({"PK": "A", "SK": "1"})
