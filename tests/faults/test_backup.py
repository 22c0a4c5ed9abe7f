"""A backup holds what was acknowledged and comes back whole; the doctor finds what is broken."""

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes import NOON, World
from tests.faults.people import Person
from tests.server import Client, Server, eventually, running
from trinity import cli
from trinity.domain.ids import UserId
from trinity.domain.users import User
from trinity.embedded import backup, doctor
from trinity.embedded.backup import DATABASE, BackupFailed
from trinity.infrastructure.filesystem.blobs import FileBlobs
from trinity.infrastructure.filesystem.keys import FileKeys, FileSecrets
from trinity.infrastructure.system.clock import SystemClock
from trinity.store import users
from trinity.topology import Queue

PROGRAM = Path(sys.executable).parent / "trinity"
VOTERS = 3
SETTINGS = {"RATE_LIMITS": "off", "LOG_LEVEL": "warning", "PUBLIC_URL": "http://trinity.example"}


def trinity(command: str, *words: str, data: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TRINITY_")}
    return subprocess.run(
        [PROGRAM, command, *words],
        env=clean | {"TRINITY_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a decided room, somebody who left, an account, decks and keys."""
    data = tmp_path_factory.mktemp("healthy")
    world = World(data)
    world.blobs = FileBlobs(data / "blobs")
    FileKeys(data / "keys", SystemClock())
    FileSecrets(data / "keys")
    ana, ben, eve = (world.guest(name) for name in ("Ana", "Ben", "Eve"))
    address = User(
        id=UserId("zoe"), name="Zoe", created_at=NOON, email="zoe@example.org", password_hash="x"
    )
    users.register(world.table, address, was_guest=False)
    room = world.create(ana)
    for user in (ben, eve):
        world.join(user, room.code)
    world.leave(eve, room.id)
    world.create(ben, titles=5)
    for user in (ana, ben):
        world.vote(user, room.id, 1)
    seen = world.drain(world.feeds_at(0))
    for feed, seq in seen.items():
        world.store.save_checkpoint(f"publish:{feed}", seq)
    world.store.close()
    (data / "world.sqlite").rename(data / DATABASE)
    return data


@pytest.fixture
def data(healthy: Path, tmp_path: Path) -> Path:
    """A copy of it, to break."""
    return Path(shutil.copytree(healthy, tmp_path / "data"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rooms_and_items(database: Path) -> tuple[list[Any], dict[tuple[str, str], Any]]:
    with contextlib.closing(sqlite3.connect(database)) as file:
        rows = file.execute("SELECT pk, sk, item FROM items").fetchall()
    items = {(pk, sk): json.loads(item) for pk, sk, item in rows}
    return [item for (_, sk), item in items.items() if sk == "ROOM"], items


# ------------------------------------------------------------------------------------ while in use


class Voter:
    """Opens rooms and votes in them, each title once, until told to stop."""

    def __init__(self, client: Client, number: int) -> None:
        self.person = Person(client, f"Voter {number}")
        self.acknowledged: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.is_set():
            room = self.person.create(titles=40)["id"]
            for title in self.person.deck(room):
                answer = self.person.vote(room, title, "no")
                if answer.status != 200:
                    self.refused.append(str(answer))
                    return
                self.acknowledged.append((room, title))
                if self.stop.is_set():
                    return


@pytest.fixture(scope="module")
def copied(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path, list[list[tuple[str, str]]], list[Person]]:
    """A backup that was taken while people voted; the votes acknowledged before it; the voters."""
    folder = tmp_path_factory.mktemp("busy")
    target = folder / "backup.tar"
    with running(folder, **SETTINGS) as server:
        voters = [Voter(server.client, number) for number in range(VOTERS)]
        eventually(lambda: all(len(v.acknowledged) > 100 for v in voters), "many have voted")
        before = [list(voter.acknowledged) for voter in voters]
        done = trinity("backup", str(target), data=server.data)
        during = sum(len(voter.acknowledged) for voter in voters) - sum(map(len, before))
        for voter in voters:
            voter.stop.set()
        for voter in voters:
            voter.thread.join(30)
            assert not voter.thread.is_alive()
    assert (done.returncode, done.stderr) == (0, "")
    assert during > 0, "nobody voted while the backup was taken"
    assert [voter.refused for voter in voters] == [[]] * VOTERS
    restored = folder / "restored"
    back = trinity("restore", str(target), data=restored)
    assert (back.returncode, back.stderr) == (0, "")
    return target, restored, before, [voter.person for voter in voters]


def test_every_vote_that_was_acknowledged_before_a_backup_is_in_it(copied) -> None:
    _, restored, before, voters = copied
    _, items = rooms_and_items(restored / DATABASE)
    lost = [
        (voter.id, room, title)
        for voter, votes in zip(voters, before, strict=True)
        for room, title in votes
        if items.get((f"ROOM#{room}", f"BALLOT#{title}"), {}).get(f"v:{voter.id}") != "no"
    ]
    assert lost == []


def test_every_room_of_a_backup_that_was_taken_in_use_has_its_deck(copied) -> None:
    _, restored, _, _ = copied
    rooms, _ = rooms_and_items(restored / DATABASE)
    assert len(rooms) >= VOTERS
    for room in rooms:
        deck = (restored / "blobs" / room["deck"][:2] / room["deck"]).read_bytes()
        assert hashlib.sha256(deck).hexdigest() == room["deck"]


def test_the_doctor_finds_nothing_wrong_with_a_backup_that_was_taken_in_use(copied) -> None:
    _, restored, _, _ = copied
    done = trinity("doctor", data=restored)
    assert (done.returncode, done.stderr) == (0, "")
    assert "BAD" not in done.stdout
    assert len(done.stdout.splitlines()) >= 8


def test_a_backup_can_be_read_by_its_owner_alone(copied) -> None:
    target, _, _, _ = copied
    assert target.stat().st_mode & 0o777 == 0o600


def test_the_keys_that_come_back_can_be_read_by_their_owner_alone(copied) -> None:
    _, restored, _, _ = copied
    modes = {path.name: path.stat().st_mode & 0o777 for path in (restored / "keys").iterdir()}
    assert len(modes) >= 2
    assert set(modes.values()) == {0o600}


def test_people_are_still_signed_in_on_a_restored_server(copied, tmp_path: Path) -> None:
    _, restored, before, voters = copied
    server = Server(tmp_path, SETTINGS)
    shutil.copytree(restored, server.data)
    try:
        server.start()
        for voter, votes in zip(voters, before, strict=True):
            answer = server.client.get(f"/api/rooms/{votes[0][0]}", token=voter.token)
            assert answer.status == 200, answer
    finally:
        if server.is_running:
            server.stop()


# ------------------------------------------------------------------------------- taking a backup


def test_a_backup_brings_everything_back_as_it_was(data: Path, tmp_path: Path) -> None:
    backup.take(data, tmp_path / "copy.tar")
    backup.restore(tmp_path / "copy.tar", tmp_path / "new" / "place")
    old, new = contents(data), contents(tmp_path / "new" / "place")
    assert rooms_and_items(data / DATABASE) == rooms_and_items(tmp_path / "new/place" / DATABASE)
    assert {n: c for n, c in old.items() if n != DATABASE} == {
        n: c for n, c in new.items() if n != DATABASE
    }


def test_a_backup_takes_the_place_of_an_older_one(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.tar"
    target.write_text("an older one")
    size = backup.take(data, target)
    assert target.stat().st_size == size
    assert tarfile.is_tarfile(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.tar", "data"]


def _nowhere(tmp_path: Path) -> Path:
    return tmp_path / "missing" / "copy.tar"


def _inside_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "copy.tar"


def _a_folder(tmp_path: Path) -> Path:
    (tmp_path / "copy.tar").mkdir()
    return tmp_path / "copy.tar"


@pytest.mark.parametrize("place", [_nowhere, _inside_a_file, _a_folder])
def test_a_backup_into_a_place_that_cannot_be_written_fails_with_a_message_and_leaves_nothing(
    place: Callable[[Path], Path], data: Path, tmp_path: Path
) -> None:
    target = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = trinity("backup", str(target), data=data)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("trinity: ")
    assert str(target) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_backup_of_nothing_fails_with_a_message(tmp_path: Path) -> None:
    done = trinity("backup", str(tmp_path / "copy.tar"), data=tmp_path / "none")
    assert done.returncode == 1
    assert "there is no data in" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_older_backup_and_no_debris(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.tar"
    target.write_text("an older one")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackupFailed, match="No space left"):
        backup.take(data, target)
    assert target.read_text() == "an older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.tar", "data"]


def test_a_backup_of_a_broken_database_fails_with_a_message_and_leaves_the_older_one(
    data: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.tar"
    target.write_text("an older one")
    (data / DATABASE).write_bytes(b"no database at all" * 1000)
    with pytest.raises(BackupFailed):
        backup.take(data, target)
    assert target.read_text() == "an older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.tar", "data"]


def test_a_deck_that_is_stored_at_this_very_moment_does_not_stop_a_backup(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its temporary file is there when the folder is listed, and renamed when it is looked at.
    list_folder = os.listdir
    monkeypatch.setattr(
        os,
        "listdir",
        lambda path: (
            [*list_folder(path), ".5feceb66.k3x1"]
            if Path(path).parent.name == "blobs"
            else list_folder(path)
        ),
    )
    backup.take(data, tmp_path / "copy.tar")
    monkeypatch.undo()
    backup.restore(tmp_path / "copy.tar", tmp_path / "new")
    assert [f.problems for f in doctor.examine(tmp_path / "new") if f.problems] == []


def test_files_that_are_half_written_are_not_in_a_backup(data: Path, tmp_path: Path) -> None:
    folder = next(path for path in (data / "blobs").iterdir())
    (folder / f".{folder.name}.tmp").write_text("half")
    backup.take(data, tmp_path / "copy.tar")
    with tarfile.open(tmp_path / "copy.tar") as tar:
        assert [name for name in tar.getnames() if "/." in name] == []


# ------------------------------------------------------------------------------ bringing it back


@pytest.fixture
def archive(healthy: Path, tmp_path: Path) -> Path:
    """A good backup."""
    backup.take(healthy, tmp_path / "good.tar")
    return tmp_path / "good.tar"


def test_a_backup_is_not_brought_back_over_data(data: Path, archive: Path, tmp_path: Path) -> None:
    before = contents(data)
    done = trinity("restore", str(archive), data=data)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is data in" in done.stderr
    assert contents(data) == before


def _text(archive: Path) -> None:
    archive.write_text("this is no tar file\n" * 100)


def _empty(archive: Path) -> None:
    archive.write_bytes(b"")


def _absent(archive: Path) -> None:
    archive.unlink()


def _of_others(archive: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        _add(tar, "notes.txt", b"hello")


def _cut(archive: Path) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) * 6 // 10])


def _cut_in_the_database(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:5000])


def _cut_gzip(archive: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(archive) as tar, tarfile.open(fileobj=packed, mode="w:gz") as out:
        for member in tar:
            out.addfile(member, tar.extractfile(member) if member.isfile() else None)
    archive.write_bytes(packed.getvalue()[: len(packed.getvalue()) // 2])


def _climbing(archive: Path) -> None:
    with tarfile.open(archive, "a") as tar:
        _add(tar, "../evil", b"gotcha")


def _climbing_by_a_link(archive: Path) -> None:
    with tarfile.open(archive, "a") as tar:
        link = tarfile.TarInfo("way")
        link.type, link.linkname = tarfile.SYMTYPE, ".."
        tar.addfile(link)
        _add(tar, "way/evil", b"gotcha")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


SPOILT = [
    _text,
    _empty,
    _absent,
    _of_others,
    _cut,
    _cut_in_the_database,
    _cut_gzip,
    _climbing,
    _climbing_by_a_link,
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_file_that_is_no_whole_backup_is_refused_with_a_message(
    spoil: Callable[[Path], None], archive: Path, tmp_path: Path
) -> None:
    spoil(archive)
    with pytest.raises(BackupFailed, match=r"good\.tar"):
        backup.restore(archive, tmp_path / "inner" / "data")
    assert not (tmp_path / "inner" / "evil").exists()


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_restore_that_was_refused_leaves_nothing_in_the_way_of_the_next(
    spoil: Callable[[Path], None], archive: Path, tmp_path: Path
) -> None:
    good = Path(shutil.copy(archive, tmp_path / "kept.tar"))
    spoil(archive)
    with contextlib.suppress(BackupFailed, EOFError):  # which of them: see the test above
        backup.restore(archive, tmp_path / "inner" / "data")
    backup.restore(good, tmp_path / "inner" / "data")
    assert [f.problems for f in doctor.examine(tmp_path / "inner" / "data") if f.problems] == []


def test_a_folder_that_cannot_be_made_is_named_and_not_the_backup(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupFailed, match=r"nothing was brought back: .*file") as failed:
        backup.restore(archive, tmp_path / "file" / "data")
    assert "good.tar" not in str(failed.value)


def test_what_comes_back_can_be_read_by_its_owner_alone(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    backup.restore(archive, data)
    assert {path.stat().st_mode & 0o777 for path in data.rglob("*") if path.is_file()} == {0o600}
    folders = [data, *(path for path in data.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_a_restore_takes_nothing_away_that_was_in_the_folder(archive: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "photos").mkdir(parents=True)
    (home / "photos" / "cat.jpg").write_bytes(b"the only one")
    with tarfile.open(archive, "a") as tar:
        _add(tar, "photos/dog.jpg", b"another")
    with contextlib.suppress(BackupFailed):  # to refuse it is fine too
        backup.restore(archive, home)
    assert (home / "photos" / "cat.jpg").read_bytes() == b"the only one"


def test_a_restore_does_not_replace_keys_that_are_there(archive: Path, tmp_path: Path) -> None:
    """Whose database is elsewhere, perhaps, for they sign people in all the same."""
    FileKeys(tmp_path / "data" / "keys", SystemClock())
    before = contents(tmp_path / "data" / "keys")
    with contextlib.suppress(BackupFailed):  # to refuse it is fine too
        backup.restore(archive, tmp_path / "data")
    assert before.items() <= contents(tmp_path / "data" / "keys").items()


# ------------------------------------------------------------------------------------ the doctor


def test_the_doctor_finds_nothing_wrong_with_healthy_data_and_changes_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "QUEUES", (Queue("calm"),))
    send(data, "calm", hidden_for_s=900)
    before = contents(data)
    findings = list(doctor.examine(data))
    assert [f.problems for f in findings if f.problems] == []
    assert all(f.looked_at for f in findings), "each check has something to look at"
    assert contents(data) == before


def sql(data: Path, statement: str, *parameters: Any) -> None:
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as file, file:
        assert file.execute(statement, parameters).rowcount != 0


def edit(data: Path, sk: str, where: str, **changes: Any) -> None:
    """Set attributes of the items of a sort key for which a condition of SQL holds."""
    for name, value in changes.items():
        sql(
            data,
            f"UPDATE items SET item = json_set(item, '$.{name}', ?) WHERE sk = ? AND {where}",
            value,
            sk,
        )


def flip_a_page(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as file:
        (size,) = file.execute("PRAGMA page_size").fetchone()
        (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'items'").fetchone()
    with (data / DATABASE).open("r+b") as raw:
        raw.seek((page - 1) * size)
        content = raw.read(size)
        raw.seek((page - 1) * size)
        raw.write(bytes(byte ^ 0xFF for byte in content))


def flip_a_page_of_the_changes(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / DATABASE)) as file:
        (size,) = file.execute("PRAGMA page_size").fetchone()
        (page,) = file.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'changes'"
        ).fetchone()
    with (data / DATABASE).open("r+b") as raw:
        raw.seek((page - 1) * size)
        raw.write(b"\xff" * size)


def truncate(data: Path) -> None:
    os.truncate(data / DATABASE, (data / DATABASE).stat().st_size // 2 // 4096 * 4096)


def put_another_file_there(data: Path) -> None:
    (data / DATABASE).write_text("hello\n" * 1000)


def swap_the_codes(data: Path) -> None:
    sql(data, "UPDATE items SET item = json_set(item, '$.room', 'another') WHERE sk = 'CODE'")


def alter_a_deck(data: Path) -> None:
    path = next(path for path in (data / "blobs").rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes() + b" ")


def expose_a_key(data: Path) -> None:
    next((data / "keys").glob("*.pem")).chmod(0o640)


def lose_the_key(data: Path) -> None:
    next((data / "keys").glob("*.pem")).unlink()


def send(data: Path, queue: str, *, sent_ago_s: int = 0, hidden_for_s: int = 0) -> None:
    now = time.time_ns() // 1_000_000
    times = f"{now - sent_ago_s * 1000}, {now + hidden_for_s * 1000}"
    sql(
        data,
        "INSERT INTO messages (queue, id, body, sent_at, visible_at)"
        f" VALUES ('{queue}', 'm1', 'hello', {times})",
    )


class Fault(NamedTuple):
    """Something broken, and what the doctor should say of it."""

    name: str
    damage: Callable[[Path], None]
    says: str


DECIDED = "json_extract(item, '$.state') = 'decided'"
FAULTS = [
    Fault("no database", lambda data: (data / DATABASE).unlink(), "there is no"),
    Fault("a flipped page", flip_a_page, "BAD  database"),
    Fault("a page of the changes lost", flip_a_page_of_the_changes, "BAD  database"),
    Fault("a truncated database", truncate, "BAD  database"),
    Fault("an empty database", lambda data: os.truncate(data / DATABASE, 0), "BAD"),
    Fault(
        "another file in its place",
        put_another_file_there,
        "BAD  database",
    ),
    Fault(
        "an item that is no JSON",
        lambda data: sql(data, "UPDATE items SET item = '{' WHERE sk = 'ROOM'"),
        "BAD",
    ),
    Fault(
        "a room that lacks what every room has",
        lambda data: sql(
            data, "UPDATE items SET item = json_remove(item, '$.hostId') WHERE sk = 'ROOM'"
        ),
        "BAD",
    ),
    Fault(
        "a newer schema",
        lambda data: sql(data, "PRAGMA user_version = 99"),
        "version 99, this Trinity works with",
    ),
    Fault(
        "a feed beyond the last change",
        lambda data: sql(data, "UPDATE checkpoints SET seq = 1000000"),
        "publish:rooms stands at change 1000000, but the last one is",
    ),
    Fault(
        "a wrong count of matches",
        lambda data: edit(data, "ROOM", DECIDED, matchCount=2),
        "counts 2 matches of its 1",
    ),
    Fault(
        "a lost match",
        lambda data: sql(data, "DELETE FROM items WHERE sk GLOB 'MATCH#*'"),
        "counts 1 matches of its 0",
    ),
    Fault(
        "a wrong count of members",
        lambda data: edit(data, "ROOM", DECIDED, activeCount=3),
        "counts 3 members of its 2",
    ),
    Fault(
        "too few seats",
        lambda data: edit(data, "ROOM", DECIDED, capacity=1),
        "has more members than seats",
    ),
    Fault(
        "a host who is not there",
        lambda data: edit(data, "ROOM", DECIDED, hostId="nobody"),
        "has a host who has left",
    ),
    Fault("a code that leads elsewhere", swap_the_codes, "does not lead to it"),
    Fault(
        "a lost code",
        lambda data: sql(data, "DELETE FROM items WHERE sk = 'CODE'"),
        "does not lead to it",
    ),
    Fault(
        "a gap in an event log",
        lambda data: sql(data, "DELETE FROM items WHERE sk = 'EVENT#000000000001'"),
        "the event log of room",
    ),
    Fault(
        "a log that lost its head",
        lambda data: sql(data, "DELETE FROM items WHERE sk = 'LOG'"),
        "the event log of room",
    ),
    Fault(
        "an address that is not reserved",
        lambda data: sql(data, "DELETE FROM items WHERE sk = 'EMAIL'"),
        "the address of user zoe is not reserved",
    ),
    Fault(
        "a message that failed too often",
        lambda data: send(data, "calm-dead"),
        "1 messages of calm failed too often: trinity dlq show calm",
    ),
    Fault(
        "a message that nobody waits for",
        lambda data: send(data, "nowhere"),
        "1 messages are in the queue nowhere, which nobody works off",
    ),
    Fault(
        "a message that waits for days",
        lambda data: send(data, "calm", sent_ago_s=25 * 3600),
        "a message of calm has not been done for more than a day",
    ),
    Fault(
        "a message that a wrong clock has hidden",
        lambda data: send(data, "calm", hidden_for_s=13 * 3600),
        "a message of calm is hidden for too long",
    ),
    Fault("no decks", lambda data: shutil.rmtree(data / "blobs"), "is missing"),
    Fault("an altered deck", alter_a_deck, "was altered"),
    Fault("a key that others can read", expose_a_key, "can be read by others: chmod 600"),
    Fault("no signing key", lose_the_key, "there is no signing key"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_doctor_finds(
    fault: Fault,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "QUEUES", (Queue("calm"),))
    fault.damage(data)
    monkeypatch.setenv("TRINITY_DATA", str(data))
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert fault.says in told
    assert "BAD" in told
