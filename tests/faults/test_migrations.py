"""The file of the store: how it comes to be, grows older, and is kept small."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trinity.infrastructure.sqlite import store as module
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import (
    MIGRATIONS,
    SCHEMA_VERSION,
    SchemaTooNew,
    SqliteStore,
)
from trinity.infrastructure.system.clock import SystemClock
from trinity.ports import Key, Update
from trinity.topology import Queue

BOUND_S = 10.0
LATER_S = 2**40  # when all that was ever written is old
KEY = Key("A", "1")
NEXT = "ALTER TABLE items ADD COLUMN colour TEXT; CREATE TABLE colours (name TEXT);"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def ask(path: Path, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        return file.execute(statement).fetchall()


def version(path: Path) -> int:
    return int(ask(path, "PRAGMA user_version")[0][0])


# ------------------------------------------------------------------------------------- migrations


def test_a_new_file_has_the_present_version(path: Path) -> None:
    SqliteStore(path).close()
    assert version(path) == SCHEMA_VERSION == len(MIGRATIONS)


def test_an_empty_file_becomes_one_of_the_present_version(path: Path) -> None:
    path.write_bytes(b"")
    store = SqliteStore(path)
    store.table.put({"PK": "A", "SK": "1"})
    store.close()
    assert version(path) == SCHEMA_VERSION
    assert ask(path, "SELECT count(*) FROM items") == [(1,)]


def test_opening_a_file_again_changes_neither_its_version_nor_its_items(path: Path) -> None:
    for number in range(3):
        store = SqliteStore(path)
        assert len(store.table.query("A").items) == number
        store.table.put({"PK": "A", "SK": str(number)})
        store.close()
        assert version(path) == SCHEMA_VERSION


def test_an_older_file_is_migrated_and_keeps_its_items(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(path)
    store.table.put({"PK": "A", "SK": "1", "n": 1})
    store.close()
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, NEXT, "CREATE TABLE more (n);"))
    store = SqliteStore(path)
    assert store.table.get(KEY) == {"PK": "A", "SK": "1", "n": 1}
    store.close()
    assert version(path) == SCHEMA_VERSION + 2
    assert ask(path, "SELECT colour FROM items") == [(None,)]


def test_a_file_from_before_there_were_queues_gets_them_and_keeps_the_rest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(module, "MIGRATIONS", MIGRATIONS[:1])
        store = SqliteStore(path)
        store.table.put({"PK": "A", "SK": "1", "n": 1})
        store.save_checkpoint("publish", 1)
        store.close()
        assert version(path) == 1
    store = SqliteStore(path)
    queues = SqliteQueues(store, [Queue("notify")], SystemClock())
    queues.send("notify", ["hello"])
    assert [message.body for message in queues.receive("notify")] == ["hello"]
    assert store.table.get(KEY) == {"PK": "A", "SK": "1", "n": 1}
    assert (store.checkpoint("publish"), len(store.changes_after(0, 10))) == (1, 1)
    store.close()
    assert version(path) == SCHEMA_VERSION


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_file_of_a_newer_version_is_refused_and_not_touched(path: Path, journal: str) -> None:
    store = SqliteStore(path)
    store.table.put({"PK": "A", "SK": "1"})
    store.close()
    ask(path, "PRAGMA user_version = 99")
    ask(path, f"PRAGMA journal_mode = {journal}")
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match=f"version 99, this Trinity knows {SCHEMA_VERSION}"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_migration_that_fails_half_way_leaves_the_old_version(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(path)
    store.table.put({"PK": "A", "SK": "1", "n": 1})
    store.close()
    schema = ask(path, "SELECT sql FROM sqlite_master ORDER BY name")
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, f"{NEXT} THIS IS NOT SQL;"))
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        SqliteStore(path)
    assert version(path) == SCHEMA_VERSION
    assert ask(path, "SELECT sql FROM sqlite_master ORDER BY name") == schema
    assert ask(path, "SELECT pk, sk FROM items") == [("A", "1")]


def test_a_migration_that_fails_lets_go_of_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteStore(path).close()
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, f"{NEXT} THIS IS NOT SQL;"))
    with pytest.raises(sqlite3.OperationalError, match="syntax error") as failed:
        SqliteStore(path)
    assert failed.tb is not None, "whoever holds the error holds the store that was not made"
    with contextlib.closing(sqlite3.connect(path, timeout=0.1)) as file:
        file.execute("BEGIN IMMEDIATE")


def test_of_two_migrations_the_first_stays_done_when_the_second_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteStore(path).close()
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, NEXT, "THIS IS NOT SQL;"))
    with pytest.raises(sqlite3.OperationalError):
        SqliteStore(path)
    assert version(path) == SCHEMA_VERSION + 1
    assert ask(path, "SELECT count(*) FROM colours") == [(0,)]


# --------------------------------------------------------------------------------------- trimming


def trim_all(store: SqliteStore) -> int:
    gone = 0
    while some := store.trim_changes(LATER_S, limit=3):
        gone += some
    return gone


def fill(store: SqliteStore, count: int) -> None:
    for number in range(count):
        store.table.put({"PK": "A", "SK": f"{number:03}"})


def seqs(store: SqliteStore) -> list[int]:
    return [change.seq for change in store.changes_after(0, 1000)]


def test_change_numbers_never_go_back_after_trimming_and_a_restart(path: Path) -> None:
    for round_ in range(3):
        store = SqliteStore(path)
        before = store.last_seq
        assert before == round_ * 10
        for number in range(10):
            store.table.put({"PK": "A", "SK": f"{number:03}", "n": round_})
        store.save_checkpoint("publish", store.last_seq)
        assert trim_all(store) == (9 if round_ == 0 else 10)
        assert seqs(store) == [before + 10]
        store.close()


def test_change_numbers_never_go_back_though_every_change_is_lost(path: Path) -> None:
    store = SqliteStore(path)
    fill(store, 10)
    store.save_checkpoint("publish", 10)
    store.close()
    ask(path, "DELETE FROM changes")
    store = SqliteStore(path)
    store.table.put({"PK": "B", "SK": "1"})
    assert seqs(store) == [11]
    store.close()


def test_trimming_keeps_what_a_consumer_has_not_seen(store: SqliteStore) -> None:
    fill(store, 10)
    store.save_checkpoint("fast", 10)
    store.save_checkpoint("slow", 4)
    assert trim_all(store) == 4
    assert seqs(store) == [5, 6, 7, 8, 9, 10]
    store.save_checkpoint("slow", 10)
    assert trim_all(store) == 5
    assert seqs(store) == [10]


def test_trimming_keeps_everything_while_nobody_has_said_what_he_saw(store: SqliteStore) -> None:
    fill(store, 5)
    assert trim_all(store) == 0
    assert seqs(store) == [1, 2, 3, 4, 5]


def test_trimming_keeps_changes_of_the_last_day(store: SqliteStore) -> None:
    fill(store, 5)
    store.save_checkpoint("publish", 5)
    written = store.changes_after(0, 1)[0].at
    day = 24 * 3600
    assert store.trim_changes(written + day - 5) == 0
    assert store.trim_changes(written + day + BOUND_S) == 4


def test_trimming_takes_no_more_than_asked_for_in_one_commit(store: SqliteStore) -> None:
    fill(store, 10)
    store.save_checkpoint("publish", 10)
    assert [store.trim_changes(LATER_S, limit=4) for _ in range(4)] == [4, 4, 1, 0]


# --------------------------------------------------------------------------------------- sweeping


def put(store: SqliteStore, sk: str, **more: Any) -> None:
    store.table.put({"PK": "A", "SK": sk, **more})


def left(store: SqliteStore) -> list[str]:
    return [item["SK"] for item in store.table.query("A").items]


def test_a_sweep_removes_what_is_expired_and_nothing_else(store: SqliteStore) -> None:
    put(store, "long ago", expires=1)
    put(store, "just now", expires=99)
    put(store, "at this second", expires=100)
    put(store, "soon", expires=101)
    put(store, "never")
    assert store.sweep_expired(100) == 2
    assert left(store) == ["at this second", "never", "soon"]


def test_a_sweep_goes_in_batches(store: SqliteStore) -> None:
    for number in range(10):
        put(store, f"{number}", expires=number)
    commits = store.commits
    assert [store.sweep_expired(100, limit=4) for _ in range(4)] == [4, 4, 2, 0]
    assert left(store) == []
    assert 3 <= store.commits - commits <= 4


def test_a_sweep_tells_the_feed_what_it_removed(store: SqliteStore) -> None:
    put(store, "1", expires=1, n=7)
    feed = store.feed(("1",))
    seq = store.last_seq
    store.sweep_expired(100)
    [change] = store.changes_after(seq, 10)
    assert (change.kind, change.pk, change.sk) == ("REMOVE", "A", "1")
    assert change.old == {"PK": "A", "SK": "1", "expires": 1, "n": 7}
    assert change.new is None
    assert feed.wait(seq, BOUND_S), "whoever waits is told"


def test_what_a_sweep_removed_is_not_read_again_after_a_restart(path: Path) -> None:
    store = SqliteStore(path)
    put(store, "1", expires=1)
    store.sweep_expired(100)
    assert store.table.get(KEY, consistent=True) is None
    store.close()
    store = SqliteStore(path)
    assert store.table.get(KEY, consistent=True) is None
    store.close()


def in_one_batch(store: SqliteStore, *calls: Callable[[], Any]) -> list[Any]:
    """Make calls whose writes become durable in one commit; return their results."""
    settled = threading.Event()
    outcome: list[Any] = []

    def tell(results: Any, error: Exception | None) -> None:
        outcome.append(error if error is not None else results)
        settled.set()

    assert store.together(calls, tell, free=lambda: None)
    assert settled.wait(BOUND_S)
    assert isinstance(outcome[0], list), outcome
    return list(outcome[0])


def test_a_sweep_spares_what_an_earlier_job_of_the_same_batch_has_extended(
    store: SqliteStore,
) -> None:
    put(store, "1", expires=50)
    commits = store.commits
    in_one_batch(
        store,
        lambda: store.table.update(KEY, Update(set={"expires": 200})),
        lambda: store.sweep_expired(100),
    )
    assert store.commits == commits + 1
    assert store.table.get(KEY, consistent=True) == {"PK": "A", "SK": "1", "expires": 200}
    assert store.sweep_expired(100) == 0
    assert store.sweep_expired(201) == 1


def test_a_sweep_spares_what_an_earlier_job_of_the_same_batch_has_made_lasting(
    store: SqliteStore,
) -> None:
    put(store, "1", expires=50)
    in_one_batch(
        store,
        lambda: store.table.update(KEY, Update(remove=["expires"])),
        lambda: store.sweep_expired(100),
    )
    assert left(store) == ["1"]
    assert store.sweep_expired(LATER_S) == 0


def test_a_sweep_removes_what_an_earlier_job_of_the_same_batch_let_expire(
    store: SqliteStore,
) -> None:
    put(store, "1", expires=200)
    _, swept = in_one_batch(
        store,
        lambda: store.table.update(KEY, Update(set={"expires": 50})),
        lambda: store.sweep_expired(100),
    )
    assert swept == 1
    assert store.table.get(KEY, consistent=True) is None
    assert [c.kind for c in store.changes_after(0, 10)] == ["INSERT", "MODIFY", "REMOVE"]


def test_what_a_later_job_of_the_same_batch_writes_anew_outlives_a_sweep(
    store: SqliteStore,
) -> None:
    put(store, "1", expires=50)
    in_one_batch(
        store,
        lambda: store.sweep_expired(100),
        lambda: put(store, "1", expires=300),
    )
    assert store.table.get(KEY, consistent=True) == {"PK": "A", "SK": "1", "expires": 300}
    assert left(store) == ["1"]
    assert store.sweep_expired(301) == 1
