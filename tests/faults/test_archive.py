"""The archive: each event once for every reader, whatever was written twice, torn or tidied."""

import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.fakes import MemoryArchive, World
from tests.faults.evening import spend, told
from trinity.domain.domain_events import DomainEvent
from trinity.domain.ids import DAY, Millis, UserId
from trinity.embedded import backup
from trinity.handlers.schedules.tidy_archive import LATE_FOR, tidy_archive
from trinity.infrastructure.filesystem.archive import FileArchive
from trinity.store import archive as files

NOON = 1_800_000_000_000


def event(number: int, *, days: int = 0, kind: str = "MemberJoined", **data: object) -> DomainEvent:
    return DomainEvent(
        id=f"{number:032x}",
        type=kind,
        version=1,
        occurred=Millis(NOON + days * DAY + number),
        data={"roomId": "r1", "userId": f"u{number}", "roomVersion": number, **data},
    )


def of_all_days(archive: MemoryArchive) -> list[DomainEvent]:
    return [event for date in files.days(archive) for event in files.read(archive, date)]


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


def test_events_lie_in_a_folder_for_each_day(archive):
    files.write(archive, [event(1), event(2, days=1), event(3)])
    assert files.days(archive) == ["2027-01-15", "2027-01-16"]
    assert [e.id for e in files.read(archive, "2027-01-15")] == [event(1).id, event(3).id]
    assert all(name.endswith(".ndjson.gz") for name in archive.files)


def test_a_batch_that_is_written_again_is_the_same_file(archive):
    files.write(archive, [event(1), event(2)])
    before = dict(archive.files)
    files.write(archive, [event(2), event(1), event(1)])
    assert archive.files == before


def test_an_event_that_comes_again_among_others_is_read_once(archive):
    files.write(archive, [event(1), event(2)])
    files.write(archive, [event(2), event(3)])
    assert of_all_days(archive) == [event(1), event(2), event(3)]


@pytest.mark.parametrize("seed", range(3))
def test_an_evening_is_read_as_it_was_told_in_whatever_batches_it_came(world, seed):
    spend(world)
    events = told(world)
    chance = random.Random(seed)
    twice = [*events, *events]
    chance.shuffle(twice)
    while twice:
        size = chance.randint(1, 8)
        files.write(world.archive, twice[:size])
        del twice[:size]
    assert len(world.archive.files) > 5
    expected = sorted(events, key=lambda e: (e.occurred, e.id))
    assert of_all_days(world.archive) == expected
    for date in files.days(world.archive):
        files.compact(world.archive, date)
    assert len(world.archive.files) == len(files.days(world.archive))
    assert of_all_days(world.archive) == expected


class Interrupted(BaseException):
    """The process is no more, or somebody else was in between."""


class Scripted(MemoryArchive):
    """An archive that does something before its nth change or look."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._step, self._act, self.armed = step, act, False

    def _count(self) -> None:
        if self.armed:
            self._step -= 1
            if self._step == 0:
                self._act()

    def get(self, name: str) -> bytes:
        self._count()
        return super().get(name)

    def put(self, name: str, content: bytes) -> None:
        self._count()
        super().put(name, content)

    def delete(self, name: str) -> None:
        self._count()
        super().delete(name)


def die() -> None:
    raise Interrupted


@pytest.mark.parametrize("step", range(1, 8))
def test_a_death_in_the_middle_of_compacting_loses_nothing(step):
    archive = Scripted(step, die)
    for number in range(3):
        files.write(archive, [event(number), event(number + 1)])
    archive.armed = True
    try:
        files.compact(archive, "2027-01-15")
        assert step == 8
    except Interrupted:
        pass
    archive.armed = False
    expected = [event(number) for number in range(4)]
    assert of_all_days(archive) == expected
    files.compact(archive, "2027-01-15")
    assert of_all_days(archive) == expected
    assert len(archive.files) == 1


@pytest.mark.parametrize("step", range(1, 4))
def test_who_reads_while_a_day_is_compacted_misses_nothing(step):
    archive: Scripted

    def compact() -> None:
        archive.armed = False
        files.compact(archive, "2027-01-15")

    archive = Scripted(step, compact)
    for number in range(3):
        files.write(archive, [event(number), event(number + 1)])
    archive.armed = True
    assert files.read(archive, "2027-01-15") == [event(number) for number in range(4)]
    assert len(archive.files) == 1


@pytest.mark.parametrize("step", range(1, 8))
def test_what_is_written_while_a_day_is_compacted_stays(step):
    archive: Scripted

    def write() -> None:
        archive.armed = False
        files.write(archive, [event(9), event(1)])

    archive = Scripted(step, write)
    for number in range(3):
        files.write(archive, [event(number), event(number + 1)])
    archive.armed = True
    files.compact(archive, "2027-01-15")
    assert of_all_days(archive) == [event(n) for n in (0, 1, 2, 3, 9)]


def test_two_who_compact_at_once_lose_nothing():
    archive: Scripted

    def compact() -> None:
        archive.armed = False
        files.compact(archive, "2027-01-15")

    for step in range(1, 8):
        archive = Scripted(step, compact)
        for number in range(3):
            files.write(archive, [event(number), event(number + 1)])
        archive.armed = True
        files.compact(archive, "2027-01-15")
        assert of_all_days(archive) == [event(number) for number in range(4)]


# ------------------------------------------------------------------------------ who is forgotten

GONE = UserId("u-gone-0123456789")


def history(archive: MemoryArchive) -> None:
    vote = {"titleId": "t", "choice": "yes", "rev": 1, "at": NOON}
    both = [{**vote, "userId": GONE}, {**vote, "userId": "u2"}]
    files.write(archive, [event(1, days=-100, userId=GONE), event(2, days=-100)])
    files.write(archive, [event(3, days=-100, kind="RoomOpened", hostId=GONE, userId="x")])
    files.write(archive, [event(4, days=-9, kind="VoteCast", votes=both, userId="x")])
    files.write(archive, [event(5, days=-9, kind="VoteCast", votes=both[:1], userId="x")])
    files.write(archive, [event(6, days=-9, kind="MatchFound", userIds=[GONE, "u2"], userId="x")])
    files.write(archive, [event(7, days=-1, kind="UserDeleted", userId=GONE)])


def mentions(archive: MemoryArchive) -> set[str]:
    """Return the types of events that still name who is gone."""
    return {e.type for e in of_all_days(archive) if GONE in msgspec.json.encode(e.data).decode()}


def test_who_removed_his_account_is_forgotten_the_next_night_in_all_that_was_ever_told(archive):
    history(archive)
    assert mentions(archive) == {
        "MemberJoined",
        "RoomOpened",
        "VoteCast",
        "MatchFound",
        "UserDeleted",
    }
    tidy_archive(archive=archive, at=Millis(NOON))
    assert mentions(archive) == {"UserDeleted"}
    left = {e.id: e.data for e in of_all_days(archive)}
    assert event(1).id not in left
    assert left[event(2).id]["userId"] == "u2"
    assert left[event(3).id]["hostId"] == "erased"
    assert [v["userId"] for v in left[event(4).id]["votes"]] == ["u2"]
    assert event(5).id not in left
    assert left[event(6).id]["userIds"] == ["erased", "u2"]


def test_what_comes_late_is_forgotten_too_and_in_the_end_that_there_was_somebody(archive):
    history(archive)
    for night in range(30):
        at = Millis(NOON + night * DAY)
        if night == 17:  # from a dead-letter queue
            files.write(archive, [event(8, days=-2, userId=GONE)])
            assert mentions(archive) == {"MemberJoined", "UserDeleted"}
        tidy_archive(archive=archive, at=at)
        assert mentions(archive) <= {"UserDeleted"}
    assert LATE_FOR < 30 * DAY
    assert mentions(archive) == set()
    assert [e.type for e in of_all_days(archive)].count("UserDeleted") == 1


def test_the_day_that_is_not_over_is_left_alone(archive):
    files.write(archive, [event(1)])
    files.write(archive, [event(2)])
    before = dict(archive.files)
    tidy_archive(archive=archive, at=Millis(NOON))
    assert archive.files == before
    tidy_archive(archive=archive, at=Millis(NOON + DAY))
    assert len(archive.files) == 1


def test_a_night_without_work_reads_no_old_days_and_writes_nothing(world: World):
    for days in (-200, -100, -2):
        files.write(world.archive, [event(1, days=days)])
    tidy_archive(archive=world.archive, at=Millis(NOON))
    written: list[str] = []
    world.archive.put = lambda name, _: written.append(name)  # type: ignore[method-assign]
    asked: list[str] = []
    get = world.archive.get
    world.archive.get = lambda name: asked.append(name) or get(name)  # type: ignore[method-assign]
    tidy_archive(archive=world.archive, at=Millis(NOON))
    assert written == []
    assert {name.split("/")[1] for name in asked} == {"date=2027-01-13"}


def test_a_backup_has_all_events_though_a_day_is_compacted_while_it_is_taken(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    World(data).store.close()
    (data / "world.sqlite").rename(data / backup.DATABASE)
    archive = FileArchive(data / "archive")
    for number in range(3):
        files.write(archive, [event(number), event(number + 1)])
    add = tarfile.TarFile.add

    def compact_before_adding(tar: tarfile.TarFile, path: Path, *rest: object) -> None:
        if path.name.endswith(".gz"):
            files.compact(archive, "2027-01-15")
        add(tar, path, *rest)

    monkeypatch.setattr(tarfile.TarFile, "add", compact_before_adding)
    backup.take(data, tmp_path / "backup")
    backup.restore(tmp_path / "backup", tmp_path / "restored")
    restored = FileArchive(tmp_path / "restored" / "archive")
    assert of_all_days(restored) == [event(number) for number in range(4)]
