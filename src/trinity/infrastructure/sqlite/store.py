"""A `Table` with a change feed in one SQLite file.

Durability: write-ahead log with `synchronous=FULL`, so that what was acknowledged survives a power
failure (https://www.sqlite.org/pragma.html#pragma_synchronous). Requests that arrive while a commit
waits for the disk are committed together by the next one: they share its fsync.
"""

import functools
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import msgspec

from trinity.infrastructure.sqlite.expressions import apply, check_numbers, holds, same
from trinity.ports import (
    Condition,
    ConditionFailed,
    Item,
    Key,
    Page,
    TransactAction,
    TransactCheck,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Unavailable,
    Update,
)

T = TypeVar("T")

# One entry takes an empty file to version 1, the next to version 2, and so on.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE items (
        pk TEXT NOT NULL,
        sk TEXT NOT NULL,
        item TEXT NOT NULL,       -- JSON, PK and SK included
        expires INTEGER,          -- seconds since 1970, after which the item may be removed
        PRIMARY KEY (pk, sk)
    ) WITHOUT ROWID;
    CREATE INDEX items_by_expiry ON items (expires) WHERE expires IS NOT NULL;
    CREATE TABLE changes (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,      -- seconds since 1970
        pk TEXT NOT NULL,
        sk TEXT NOT NULL,
        old TEXT,                 -- JSON of the item before, NULL if there was none
        new TEXT                  -- JSON of the item after, NULL if there is none
    );
    CREATE TABLE checkpoints (
        consumer TEXT PRIMARY KEY,
        seq INTEGER NOT NULL      -- everything up to this one is done
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE messages (
        number INTEGER PRIMARY KEY,  -- in the order of sending
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        sent_at INTEGER NOT NULL,    -- this and the other times: milliseconds since 1970
        visible_at INTEGER NOT NULL, -- hidden until then
        receives INTEGER NOT NULL DEFAULT 0,
        received_at INTEGER,         -- for the first time; NULL: never yet
        held INTEGER NOT NULL DEFAULT 0 -- 1: hidden because somebody is at work on it
    );
    CREATE INDEX messages_by_visibility ON messages (queue, visible_at);
    """,
)

SCHEMA_VERSION = len(MIGRATIONS)

_SELECT = "SELECT item FROM items WHERE pk = ? AND sk = ?"
_DELETE = "DELETE FROM items WHERE pk = ? AND sk = ?"
# Leaving `expires` alone where it stays the same leaves its index alone too.
_PUT_ITEM = (
    "INSERT INTO items (pk, sk, item, expires) VALUES",
    "(?, ?, ?, ?)",
    "ON CONFLICT (pk, sk) DO UPDATE SET item = excluded.item",
)
_PUT_ITEM_AND_EXPIRY = (*_PUT_ITEM[:2], _PUT_ITEM[2] + ", expires = excluded.expires")
_PUT_CHANGE = (
    "INSERT INTO changes (seq, at, pk, sk, old, new) VALUES",
    "(?, ?, ?, ?, ?, ?)",
    "",
)
_MOST_ROWS = 64
_REMEMBERED = 10_000
_PATIENCE_S = 0.05

_LARGEST_TRANSACTION = 100
_LARGEST_ITEM = 400 * 1024
_KEEP_CHANGES_FOR_S = 24 * 3600  # as long as DynamoDB Streams does

_decode = msgspec.json.Decoder().decode
# What is new in one change of an item is old in the next, and feeds see the same changes. So nobody
# may alter what a change shows.
_decode_once = functools.lru_cache(maxsize=128)(_decode)
_encode = msgspec.json.Encoder().encode


class SchemaTooNew(Exception):
    """The file was written by a newer version of Trinity."""


class Change(NamedTuple):
    """One committed change of one item."""

    seq: int
    at: int
    pk: str
    sk: str
    old: Item | None
    new: Item | None

    @property
    def kind(self) -> str:
        """`INSERT`, `MODIFY` or `REMOVE`, as DynamoDB Streams calls them."""
        if self.old is None:
            return "INSERT"
        return "REMOVE" if self.new is None else "MODIFY"


Settled = Callable[[Any, Exception | None], None]


class _Ticket:
    """A piece of work that waits for a commit.

    Attributes:
        settled: is called with result or error when it is done; None: somebody sleeps on `wake`.
    """

    __slots__ = ("done", "error", "job", "result", "settled", "wake")

    def __init__(self, job: Callable[["Transaction"], Any], settled: Settled | None) -> None:
        self.job = job
        self.settled = settled
        self.wake = threading.Lock()
        self.wake.acquire()
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None


class Transaction:
    """What a batch of jobs reads and writes.

    Writes are gathered and go to SQLite in a few statements at the end: each statement lets go of
    Python's lock and has to wait to get it back, which costs more than the statement.
    """

    def __init__(
        self, connection: sqlite3.Connection, remembered: Mapping[Key, str], next_seq: int
    ) -> None:
        self._execute = connection.execute
        self._begun = False
        self.failure: Exception | None = None
        self.next_seq = next_seq
        self.written: dict[Key, str | None] = {}
        self._remembered = remembered
        self._at = int(time.time())
        self._items: dict[Key, tuple[Any, ...]] = {}
        self._expiring: dict[Key, tuple[Any, ...]] = {}
        self._removed: set[Key] = set()
        self._changes: list[tuple[Any, ...]] = []
        self.then: list[Callable[[], None]] = []
        """What is called once everything is durable. It must not raise."""

    def read(self, key: Key) -> str | None:
        """Return an item as JSON, None if there is none; the writes of earlier jobs are seen."""
        if key in self.written:
            return self.written[key]
        text = self._remembered.get(key)
        if text is None:
            row = self._execute(_SELECT, key).fetchone()
            text = None if row is None else row[0]
        return text

    def write(
        self, key: Key, old: str | None, old_item: Item | None, new: Item | None, text: str | None
    ) -> None:
        """Replace an item, add it or, with None, remove it.

        Args:
            key: of the item.
            old: what `read` returned.
            old_item: the same, decoded.
            new: the item from now on.
            text: the same, encoded.
        """
        if new is not None:
            if old_item is not None and (text == old or same(old_item, new)):
                return  # as in DynamoDB, what changes nothing leaves no record
            expires = new.get("expires")
            row = (*key, text, expires)
            if old_item is None or old_item.get("expires") != expires or key in self._expiring:
                self._items.pop(key, None)
                self._expiring[key] = row
            else:
                self._items[key] = row
            self._removed.discard(key)
        elif old is None:
            return
        else:
            self._items.pop(key, None)
            self._expiring.pop(key, None)
            self._removed.add(key)
        self.written[key] = text
        self._changes.append((self.next_seq, self._at, *key, old, text))
        self.next_seq += 1

    def execute(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> sqlite3.Cursor:
        """Run a statement that changes something else than items."""
        self._begin()
        return self._execute(sql, parameters)

    def insert(self, statement: tuple[str, str, str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Put rows into a table.

        Args:
            statement: what comes before the rows, the question marks of one, what comes behind.
            rows: the values.
        """
        self._begin()
        first = 0
        while first < len(rows):
            # Powers of two, so that there are few different statements to prepare.
            count = min(_MOST_ROWS, 1 << (len(rows) - first).bit_length() - 1)
            some = rows[first : first + count]
            self._execute(_many(statement, count), tuple(chain.from_iterable(some)))
            first += count

    def query(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """Return rows; the writes of earlier jobs are seen."""
        self._flush()
        return self._execute(sql, parameters).fetchall()

    @property
    def clean(self) -> bool:
        """Whether there is nothing to commit."""
        return not self._begun and not self._changes and self.failure is None

    def commit(self) -> None:
        """Make everything durable; without any write this does nothing.

        Raises:
            Exception: what kept the batch from being finished.
        """
        if self.failure is not None:
            raise self.failure
        self._flush()
        if self._begun:
            self._execute("COMMIT")

    def _begin(self) -> None:
        # Nobody else writes to the file, so what was read before is still true.
        if not self._begun:
            self._execute("BEGIN IMMEDIATE")
            self._begun = True

    def _flush(self) -> None:
        if not self._changes:
            return
        self._begin()
        for key in self._removed:
            self._execute(_DELETE, key)
        self.insert(_PUT_ITEM, list(self._items.values()))
        self.insert(_PUT_ITEM_AND_EXPIRY, list(self._expiring.values()))
        self.insert(_PUT_CHANGE, self._changes)
        self._removed.clear()
        self._items.clear()
        self._expiring.clear()
        self._changes.clear()


@functools.cache
def _many(statement: tuple[str, str, str], rows: int) -> str:
    head, row, tail = statement
    return f"{head} {', '.join([row] * rows)} {tail}"


class SqliteStore:
    """Owns the file. One per process; its methods may be called from any thread.

    Args:
        path: the file; it is created or migrated to the present schema.

    Raises:
        SchemaTooNew: a newer version of Trinity wrote the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = self._connect()
        try:
            refuse_newer(self._writer)  # before anything is written
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            migrate(self._writer)
        except (SchemaTooNew, sqlite3.Error):
            self._writer.close()
            raise
        (last,) = self._writer.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM changes), 0),"
            " coalesce((SELECT max(seq) FROM checkpoints), 0))"
        ).fetchone()
        self._last_seq: int = last
        # The newest committed JSON of items that were used lately.
        self._remembered: dict[Key, str] = {}
        self._readers: deque[sqlite3.Connection] = deque()
        self._mutex = threading.Lock()
        self._queue: list[_Ticket] = []
        self._busy = False
        self._when_free: Callable[[], None] | None = None
        self._kept = False  # busy with nothing yet: it is the turn of whom `free` was called for
        self._to_commit: SimpleQueue[tuple[list[_Ticket], Transaction] | None] = SimpleQueue()
        self._committer = threading.Thread(
            target=self._commit_for_others, name="committer", daemon=True
        )
        self._committer.start()
        self._leader: int | None = None
        self._transaction: Transaction | None = None
        self._feeds: list[Feed] = []
        self.commits = 0
        self.table = SqliteTable(self)

    # ------------------------------------------------------------------------------- writing

    def write(self, job: Callable[[Transaction], T]) -> T:
        """Run a job in a transaction and return its result once that is durable.

        Group commit without a thread of its own: whoever finds nobody committing does it, for all
        who came meanwhile; then the first of those who came during that commit takes over. Only
        whoever waits in `together` goes before: there, many requests wait for one commit, and
        threads that write without a pause must not starve them.

        Raises:
            Unavailable: the file could not be written; nothing of the job was done.
        """
        inside = self._inside()
        if inside is not None:
            return job(inside)
        ticket = _Ticket(job, None)
        with self._mutex:
            self._queue.append(ticket)
            leads = not self._busy
            self._busy = True
        while not leads and not ticket.wake.acquire(timeout=_PATIENCE_S):
            with self._mutex:
                # Whose turn it is does not come: most likely, its loop has ended.
                if self._kept and not ticket.done:
                    leads, self._kept = True, False
        if not ticket.done:
            with self._mutex:
                batch, self._queue = self._queue, []
            self._settle(batch, self._work(batch))
        if ticket.error is not None:
            raise ticket.error
        result: T = ticket.result
        return result

    def together(
        self, calls: Sequence[Callable[[], Any]], settled: Settled, free: Callable[[], None]
    ) -> bool:
        """Make calls, one after the other, whose writes become durable in one commit.

        The calls are made here and now, on this thread; the commit is left to another one. Inside
        of a call the table works as ever: reads see the writes of the calls before. That they are
        not durable yet does not show, as long as nobody hears of them before `settled` is called.

        Args:
            calls: they must not raise.
            settled: is called, on any thread, with the list of the results when all is durable,
                or with `Unavailable` when nothing of it was done. It must not raise.
            free: is called, on any thread, when it makes sense to try again. It must not raise.

        Returns:
            False if a commit is on its way: then no call was made, and `free` will be called.
        """
        with self._mutex:
            if self._busy and not self._kept:
                self._when_free = free
                return False
            self._busy, self._kept = True, False
        batch = [_Ticket(lambda _: [call() for call in calls], settled)]
        transaction = self._work(batch)
        if transaction.clean:
            self._settle(batch, transaction)  # nothing to wait for
        else:
            self._to_commit.put((batch, transaction))
        return True

    def _work(self, batch: Sequence[_Ticket]) -> Transaction:
        """Run the jobs of a batch; whoever calls this holds the right to commit."""
        transaction = Transaction(self._writer, self._remembered, self._last_seq + 1)
        self._leader, self._transaction = threading.get_ident(), transaction
        try:
            for ticket in batch:
                try:
                    ticket.result = ticket.job(transaction)
                except (ConditionFailed, TransactionCancelled, ValueError) as error:
                    # Jobs check everything before they write, so a refused one wrote nothing.
                    ticket.error = error
        except Exception as error:  # noqa: BLE001  (whatever it is, the batch cannot be committed)
            transaction.failure = error
        finally:
            self._leader, self._transaction = None, None
        return transaction

    def _settle(self, batch: Sequence[_Ticket], transaction: Transaction) -> None:
        """Commit a batch, pass the right to commit on, and tell everybody."""
        try:
            transaction.commit()
            self._remember(transaction.written)
            # First the feeds: a reader that sees the new number must have been told already.
            for feed in self._feeds:
                feed.tell(transaction.written, transaction.next_seq - 1)
            self._last_seq = transaction.next_seq - 1
            for call in transaction.then:
                call()
        except Exception as error:  # noqa: BLE001  (a full disk, a broken file, a fault of ours)
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for ticket in batch:
                ticket.error = Unavailable(f"the store could not commit: {error}")
                ticket.error.__cause__ = error
        for ticket in batch:
            ticket.done = True
        with self._mutex:
            free, self._when_free = self._when_free, None
            if free is not None:
                self._kept = True
            elif self._queue:
                self._queue[0].wake.release()  # not done: it leads the next batch
            else:
                self._busy = False
        for ticket in batch:
            if ticket.settled is not None:
                ticket.settled(ticket.result, ticket.error)
            else:
                ticket.wake.release()
        if free is not None:
            free()

    def _commit_for_others(self) -> None:
        while (work := self._to_commit.get()) is not None:
            self._settle(*work)

    def _inside(self) -> Transaction | None:
        """Return the transaction of the batch that this very thread is working on, if it is."""
        return self._transaction if self._leader == threading.get_ident() else None

    def _remember(self, written: Mapping[Key, str | None]) -> None:
        """Keep what was committed, before anybody is told that it was."""
        with self._mutex:
            self.commits += 1
            for key, text in written.items():
                if text is None:
                    self._remembered.pop(key, None)
                else:
                    self._remembered[key] = text
            surplus = len(self._remembered) - _REMEMBERED
            if surplus > 0:
                for key in list(islice(self._remembered, surplus + _REMEMBERED // 10)):
                    del self._remembered[key]

    # ------------------------------------------------------------------------------- reading

    def item(self, key: Key) -> str | None:
        """Return the newest committed JSON of an item, None if there is none."""
        inside = self._inside()
        if inside is not None:
            return inside.read(key)
        text = self._remembered.get(key)
        if text is not None:
            return text
        commits = self.commits
        rows = self.read(_SELECT, key)
        if not rows:
            return None
        text = str(rows[0][0])
        with self._mutex:
            # What was read before a commit may be older than what the commit left here.
            if self.commits == commits:
                self._remembered[key] = text
        return text

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run a query that changes nothing and return its rows: always the newest committed."""
        inside = self._inside()
        if inside is not None:
            return inside.query(sql, parameters)
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect(read_only=True)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            self._readers.append(connection)

    # --------------------------------------------------------------------------- change feed

    @property
    def last_seq(self) -> int:
        """The number of the newest committed change."""
        return self._last_seq

    def changes_after(
        self, seq: int, limit: int, *, sort_keys: Sequence[str] = (), comings: Sequence[str] = ()
    ) -> list[Change]:
        """Return the next changes in the order of their commits.

        Args:
            seq: the last change that is already known.
            limit: at most so many.
            sort_keys: only changes of items with one of these sort keys; one that ends in `#`
                stands for all that begin so. None: all changes.
            comings: besides, changes of items with one of these if the item is new or gone.
        """
        conditions = ["sk GLOB ?"] * len(sort_keys)
        conditions += ["sk GLOB ? AND (old IS NULL OR new IS NULL)"] * len(comings)
        where = " OR ".join(conditions) or "TRUE"
        sql = (
            "SELECT seq, at, pk, sk, old, new FROM changes"  # noqa: S608  (only question marks)
            f" WHERE seq > ? AND ({where}) ORDER BY seq LIMIT ?"
        )
        patterns = (key + "*" if key.endswith("#") else key for key in (*sort_keys, *comings))
        rows = self.read(sql, (seq, *patterns, limit))
        return [
            Change(seq, at, pk, sk, old and _decode_once(old), new and _decode_once(new))
            for seq, at, pk, sk, old, new in rows
        ]

    def feed(self, sort_keys: Sequence[str], comings: Sequence[str] = ()) -> "Feed":
        """Return a feed of the changes of some items; see `changes_after` for their sort keys."""
        feed = Feed(self, sort_keys, comings)
        self._feeds = [*self._feeds, feed]
        return feed

    def checkpoint(self, consumer: str) -> int:
        """Return up to which change a consumer is done; 0 for a new one."""
        rows = self.read("SELECT seq FROM checkpoints WHERE consumer = ?", (consumer,))
        return int(rows[0][0]) if rows else 0

    def save_checkpoint(self, consumer: str, seq: int) -> None:
        """Remember that a consumer is done up to `seq`; after a crash it sees later ones again."""
        self.write(
            lambda transaction: transaction.execute(
                "INSERT INTO checkpoints (consumer, seq) VALUES (?, ?)"
                " ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq",
                (consumer, seq),
            )
        )

    def trim_changes(self, now_seconds: int, *, limit: int = 5000) -> int:
        """Forget old changes that every consumer is done with; return how many.

        The newest change always stays, so that numbers are never given twice.
        """

        def trim(transaction: Transaction) -> int:
            return transaction.execute(
                "DELETE FROM changes WHERE seq IN (SELECT seq FROM changes"
                " WHERE at < ? AND seq < ? AND seq <= (SELECT min(seq) FROM checkpoints)"
                " ORDER BY seq LIMIT ?)",
                (now_seconds - _KEEP_CHANGES_FOR_S, self._last_seq, limit),
            ).rowcount

        return self.write(trim)

    # ------------------------------------------------------------------------------- keeping

    def sweep_expired(self, now_seconds: int, *, limit: int = 500) -> int:
        """Remove items whose time is over, at most `limit` in one commit; return how many."""

        def sweep(transaction: Transaction) -> int:
            rows = transaction.query(
                "SELECT pk, sk FROM items WHERE expires < ? LIMIT ?", (now_seconds, limit)
            )
            for key in (Key(pk, sk) for pk, sk in rows):
                old = transaction.read(key)  # an earlier job of the batch may have changed it
                if old is not None and _decode(old).get("expires", now_seconds) < now_seconds:
                    transaction.write(key, old, None, None, None)
            return len(rows)

        return self.write(sweep)

    def close(self) -> None:
        """Let go of the file; its log is folded into it."""
        self._to_commit.put(None)
        self._committer.join()
        while self._readers:
            self._readers.pop().close()
        self._writer.close()

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=10
        )
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection


class Feed:
    """Those changes that one reader cares for, and a way to wait for the next.

    Args:
        store: where the changes are.
        sort_keys, comings: of the items; see `SqliteStore.changes_after`.
    """

    def __init__(
        self, store: SqliteStore, sort_keys: Sequence[str], comings: Sequence[str]
    ) -> None:
        self._store = store
        self._sort_keys = sort_keys
        self._comings = comings
        all_keys = (*sort_keys, *comings)
        self._whole = frozenset(key for key in all_keys if not key.endswith("#"))
        self._beginnings = tuple(key for key in all_keys if key.endswith("#"))
        self._newest = store.last_seq  # there may be one of ours among those
        self._changed = threading.Condition()

    def wait(self, seq: int, timeout: float) -> bool:
        """Wait until there may be a change after `seq`, at most so many seconds; tell if so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._newest > seq, timeout)

    def after(self, seq: int, limit: int) -> list[Change]:
        """Return the next changes, at most so many."""
        return self._store.changes_after(
            seq, limit, sort_keys=self._sort_keys, comings=self._comings
        )

    def tell(self, written: Iterable[Key], seq: int) -> None:
        """Learn of a commit; the readers wake up only if it is about their items."""
        for key in written:
            if key.sk in self._whole or key.sk.startswith(self._beginnings or "\0"):
                with self._changed:
                    self._newest = seq
                    self._changed.notify_all()
                return


def refuse_newer(connection: sqlite3.Connection) -> None:
    """Refuse a file whose schema is newer than this code.

    Raises:
        SchemaTooNew: it is.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise SchemaTooNew(
            f"the data has schema version {version}, this Trinity knows {len(MIGRATIONS)}:"
            " start the newer one"
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the present schema; each step is one transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")


class SqliteTable:
    """The `Table` port. Every read is consistent, whether asked to be or not."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        """See `Table.get`."""
        text = self._store.item(key)
        return _decode(text) if text is not None else None

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        """See `Table.batch_get`."""
        return [self.get(key) for key in keys]

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        descending: bool = False,
        consistent: bool = False,
    ) -> Page:
        """See `Table.query`."""
        sql = "SELECT item FROM items WHERE pk = ?"
        parameters: list[Any] = [pk]
        if prefix:
            # A range, so that the primary key is used; U+10FFFF sorts behind all that may follow.
            sql += " AND sk >= ? AND sk < ?"
            parameters += [prefix, prefix + "\U0010ffff"]
        if after is not None:
            sql += " AND sk < ?" if descending else " AND sk > ?"
            parameters.append(after)
        sql += " ORDER BY sk DESC" if descending else " ORDER BY sk"
        if limit is not None:
            sql += " LIMIT ?"
            parameters.append(limit)
        items = [_decode(row[0]) for row in self._store.read(sql, parameters)]
        more = limit is not None and len(items) == limit
        return Page(items, items[-1]["SK"] if more else None)

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        """See `Table.put`."""
        self._store.write(_job(TransactPut(item, when)))

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        """See `Table.update`."""
        image = self._store.write(_job(TransactUpdate(key, update, when)))
        if image is None:
            raise AssertionError("an update leaves an item")
        return image

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        """See `Table.delete`."""
        self._store.write(_job(TransactDelete(key, when)))

    def transact(self, actions: Sequence[TransactAction]) -> None:
        """See `Table.transact`."""
        if not 1 <= len(actions) <= _LARGEST_TRANSACTION:
            raise ValueError(f"a transaction has 1 to {_LARGEST_TRANSACTION} actions")
        if len({_key(action) for action in actions}) < len(actions):
            raise ValueError("two actions of one transaction concern the same item")

        def job(transaction: Transaction) -> None:
            found = [_look(action, transaction) for action in actions]
            reasons = [look.refused for look in found]
            if any(reasons):
                raise TransactionCancelled(reasons)
            outcomes = [_outcome(*pair) for pair in zip(actions, found, strict=True)]
            for look, (new, text) in zip(found, outcomes, strict=True):
                transaction.write(look.key, look.old, look.old_item, new, text)

        self._store.write(job)


class _Look(NamedTuple):
    """What an action finds."""

    key: Key
    old: str | None
    old_item: Item | None
    refused: ConditionFailed | None


def _job(action: TransactPut | TransactUpdate | TransactDelete) -> Callable[..., Item | None]:
    def job(transaction: Transaction) -> Item | None:
        look = _look(action, transaction)
        if look.refused:
            raise look.refused
        new, text = _outcome(action, look)
        transaction.write(look.key, look.old, look.old_item, new, text)
        return new

    return job


def _look(action: TransactAction, transaction: Transaction) -> _Look:
    key = _key(action)
    old = transaction.read(key)
    old_item: Item | None = _decode(old) if old is not None else None
    holding = action.when is None or holds(action.when, old_item)
    return _Look(key, old, old_item, None if holding else ConditionFailed(old_item))


def _outcome(action: TransactAction, look: _Look) -> tuple[Item | None, str | None]:
    """Return the item after an action whose condition holds, as it is and encoded.

    Raises:
        ValueError: the action makes no sense for the item that is there, or makes it too large.
    """
    match action:
        case TransactPut(item=item):
            check_numbers(item)
            return item, _text(item, look.key)
        case TransactUpdate(update=update):
            new = apply(update, look.key, look.old_item)
            check_numbers(list(update.set.values()))
            check_numbers([new[name] for name in update.add])
            return new, _text(new, look.key)
        case TransactDelete():
            return None, None
        case TransactCheck():
            return look.old_item, look.old


def _text(item: Item, key: Key) -> str:
    text = _encode(item)
    if len(text) > _LARGEST_ITEM:
        raise ValueError(f"the item {key} is larger than {_LARGEST_ITEM} bytes")
    return text.decode()


def _key(action: TransactAction) -> Key:
    if isinstance(action, TransactPut):
        return Key(action.item["PK"], action.item["SK"])
    return action.key
