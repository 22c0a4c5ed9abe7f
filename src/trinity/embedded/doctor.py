"""Looking for what should not be: in the database, between its items, in the files beside it."""

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trinity.domain.ids import DAY
from trinity.domain.rooms import Room
from trinity.embedded.backup import DATABASE
from trinity.infrastructure.sqlite.store import SCHEMA_VERSION
from trinity.ports import LONGEST_DELAY_S
from trinity.store import keys, rooms
from trinity.topology import QUEUES


class Finding(NamedTuple):
    """The outcome of one check.

    Attributes:
        check: what was looked at.
        problems: what is wrong, one sentence each; empty if all is well.
        looked_at: how many things were looked at.
    """

    check: str
    problems: list[str]
    looked_at: int


def examine(data: Path) -> Iterator[Finding]:
    """Check the data, in use or not, without changing any of it."""
    path = data / DATABASE
    if not path.exists():
        yield Finding("database", [f"there is no {path}"], 0)
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")  # everything below sees one and the same moment
            yield _integrity(connection)
            yield _schema(connection)
            items, unreadable = _items(connection)
            yield unreadable
            yield _feeds(connection)
            yield _queues(connection)
    except sqlite3.DatabaseError as error:
        # Nothing that is said of a broken database would be worth anything.
        yield Finding("database", [f"it cannot be read: {error}; bring a backup back"], 0)
        return
    found, incomplete = _readable_rooms(items)
    yield incomplete
    yield _rooms(found, items)
    yield _codes(found, items)
    yield _event_logs(found, items)
    yield _accounts(items)
    yield _decks(found, data / "blobs")
    yield _keys(data / "keys")


def _integrity(connection: sqlite3.Connection) -> Finding:
    answers = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    (count,) = connection.execute("SELECT count(*) FROM items").fetchone()
    return Finding("database", [a for a in answers if a != "ok"], count)


def _items(connection: sqlite3.Connection) -> tuple[dict[tuple[str, str], Any], Finding]:
    items: dict[tuple[str, str], Any] = {}
    problems = []
    for pk, sk, text in connection.execute("SELECT pk, sk, item FROM items"):
        try:
            items[pk, sk] = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            problems.append(f"the item {pk} {sk} is no JSON: {error}")
    return items, Finding("items", problems, len(items) + len(problems))


def _schema(connection: sqlite3.Connection) -> Finding:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    problems = []
    if version != SCHEMA_VERSION:
        problems.append(f"version {version}, this Trinity works with {SCHEMA_VERSION}")
    return Finding("schema version", problems, 1)


def _feeds(connection: sqlite3.Connection) -> Finding:
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM changes").fetchone()
    rows = connection.execute("SELECT consumer, seq FROM checkpoints").fetchall()
    problems = [
        f"{consumer} stands at change {seq}, but the last one is {last}"
        for consumer, seq in rows
        if seq > last
    ]
    return Finding("change feeds", problems, len(rows))


def _queues(connection: sqlite3.Connection) -> Finding:
    (there,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = 'messages'"
    ).fetchone()
    rows = (
        connection.execute(
            "SELECT queue, count(*), min(sent_at), max(visible_at) FROM messages GROUP BY queue"
        ).fetchall()
        if there  # an older schema has none
        else []
    )
    now = time.time() * 1000
    dead = {queue.dead_letters: queue.name for queue in QUEUES}
    known = {queue.name for queue in QUEUES}
    problems = []
    for name, count, oldest, latest in rows:
        if name in dead:
            what = f"trinity dlq show {dead[name]}"
            problems.append(f"{count} messages of {dead[name]} failed too often: {what}")
        elif name not in known:
            problems.append(f"{count} messages are in the queue {name}, which nobody works off")
        elif now - oldest > DAY:
            problems.append(f"a message of {name} has not been done for more than a day")
        elif latest - now > LONGEST_DELAY_S * 1000:
            problems.append(f"a message of {name} is hidden for too long: restart the server")
    return Finding("queues", problems, sum(count for _, count, _, _ in rows))


def _readable_rooms(items: dict[tuple[str, str], Any]) -> tuple[list[Room], Finding]:
    found = []
    problems = []
    for (pk, sk), item in items.items():
        if sk == keys.ROOM:
            try:
                found.append(rooms.from_item(item))
            except msgspec.ValidationError as error:
                problems.append(f"the item {pk} {sk} is no room: {error}")
    return found, Finding("room items", problems, len(found) + len(problems))


def _rooms(found: list[Room], items: dict[tuple[str, str], Any]) -> Finding:
    problems = []
    matches: dict[str, int] = {}
    for pk, sk in items:
        if sk.startswith(keys.MATCH):
            matches[pk] = matches.get(pk, 0) + 1
    for room in found:
        if room.active_count != len(room.present):
            problems.append(
                f"room {room.id} counts {room.active_count} members of its {len(room.present)}"
            )
        if room.active_count > room.capacity:
            problems.append(f"room {room.id} has more members than seats")
        if room.present and room.host_id not in room.present:
            problems.append(f"room {room.id} has a host who has left")
        recorded = matches.get(keys.room_pk(room.id), 0)
        if room.match_count != recorded:
            problems.append(f"room {room.id} counts {room.match_count} matches of its {recorded}")
    return Finding("rooms", problems, len(found))


def _codes(found: list[Room], items: dict[tuple[str, str], Any]) -> Finding:
    problems = []
    codes = {key: item for key, item in items.items() if key[1] == "CODE"}
    for room in found:
        item = codes.get(keys.code(room.code))
        if item is None or item["room"] != room.id:
            problems.append(f"the code of room {room.id} does not lead to it")
    return Finding("room codes", problems, len(codes))


def _event_logs(found: list[Room], items: dict[tuple[str, str], Any]) -> Finding:
    problems = []
    events: dict[str, set[str]] = {}
    for pk, sk in items:
        if sk.startswith(keys.EVENT):
            events.setdefault(pk, set()).add(sk)
    for room in found:
        head = items.get(keys.log(room.id))
        last = head["last"] if head is not None else 0
        expected = {keys.event(room.id, n).sk for n in range(1, last + 1)}
        there = events.get(keys.room_pk(room.id), set())
        if expected - there:
            problems.append(f"the event log of room {room.id} has a gap")
        if there - expected:
            problems.append(f"the event log of room {room.id} goes on behind its head")
    count = sum(map(len, events.values()))
    return Finding("room events", problems, count)


def _accounts(items: dict[tuple[str, str], Any]) -> Finding:
    problems = []
    users = [item for key, item in items.items() if key[1] == "PROFILE"]
    for user in users:
        if "email" in user:
            claim = items.get(keys.email(user["email"]))
            if claim is None or claim["user"] != user["id"]:
                problems.append(f"the address of user {user['id']} is not reserved")
    return Finding("accounts", problems, len(users))


def _decks(found: list[Room], folder: Path) -> Finding:
    problems = []
    decks = {room.deck for room in found}
    for deck in sorted(decks):
        path = folder / deck[:2] / deck
        if not path.exists():
            problems.append(f"the deck {deck} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != deck:
            problems.append(f"the deck {deck} was altered")
    return Finding("decks", problems, len(decks))


def _keys(folder: Path) -> Finding:
    files = [path for path in folder.glob("*") if path.is_file()]
    problems = [
        f"{path} can be read by others: chmod 600" for path in files if path.stat().st_mode & 0o077
    ]
    if not any(path.suffix == ".pem" for path in files):
        problems.append(f"there is no signing key in {folder}")
    return Finding("keys", problems, len(files))
