"""Uploads when processes die between any two writes, and when several work at the same time."""

import copy
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests import forms
from tests.fakes import World
from tests.faults.schedules import (
    GatedBlobs,
    Operation,
    Outcome,
    Race,
    Violation,
    explore,
    sample,
)
from tests.faults.test_crashes import Died
from tests.server import Server, eventually
from trinity.domain.errors import DomainError
from trinity.domain.ids import DAY, HOUR, MINUTE, BlobId, RoomId, UploadId, UserId
from trinity.handlers.rooms.remove_cover import RemoveCover, remove_cover
from trinity.handlers.users.delete_me import delete_me
from trinity.handlers.users.remove_avatar import remove_avatar
from trinity.ports import Unavailable
from trinity.store import keys, rooms, uploads, users

WRITES: dict[str, frozenset[str]] = {
    "table": frozenset(("put", "update", "delete", "transact")),
    "media": frozenset(("put", "delete")),
    "blobs": frozenset(("put",)),
    "uploads": frozenset(("delete",)),
    "queues": frozenset(("send",)),
}


class Fate:
    """After so many writes the process is no more; right after one, or right before the next."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def write(self, write: Callable[[], Any]) -> Any:
        if self.left == 0:
            raise Died
        self.left -= 1
        return write()


class Mortal:
    """A port of a process that dies."""

    def __init__(self, port: Any, writes: frozenset[str], fate: Fate) -> None:
        self._port, self._writes, self._fate = port, writes, fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in self._writes:
            return method
        return lambda *given, **named: self._fate.write(lambda: method(*given, **named))


def mortal(world: World, fate: Fate) -> World:
    """Return the same world in a process that dies."""
    other = copy.copy(world)
    for name, writes in WRITES.items():
        setattr(other, name, Mortal(getattr(world, name), writes, fate))
    return other


def shown_blobs(world: World, people: Sequence[UserId], places: Sequence[RoomId]) -> set[BlobId]:
    """Return the files of all pictures in sight."""
    seen: set[BlobId] = set()
    for user in people:
        found = users.find(world.table, user)
        if found is not None and found.avatar is not None:
            seen |= found.avatar.blobs
    for room_id in places:
        room = rooms.find(world.table, room_id, consistent=True)
        if room is not None and room.cover is not None:
            seen |= room.cover.blobs
    return seen


class Evening(NamedTuple):
    """Somebody with a picture that somebody else shows, too, and what comes next.

    Attributes:
        name: for people.
        run: what the process was about to do.
        writes: how many writes that takes at least, so that none is left out by mistake.
        state: of the upload in the end.
        shown: how many pictures are in sight in the end.
    """

    name: str
    prepare: Callable[[World, Any], Any]
    run: Callable[[World, Any], Any]
    writes: int
    state: str
    shown: int


class Cast:
    """Two people with the same picture, and a room."""

    def __init__(self, world: World) -> None:
        self.ana, self.ben = world.guest("Ana"), world.guest("Ben")
        for user in (self.ana, self.ben):
            world.send(user, "avatar", b"picture of a cat")
        world.work_off()
        world.clock.advance(MINUTE)
        self.room = world.create(self.ana).id
        self.upload = UploadId("")

    def sends(self, world: World, kind: Any, content: bytes) -> None:
        room = self.room if kind == "cover" else None
        self.upload = world.send(self.ana, kind, content, room=room, notices=0)


def lose_notice(world: World, cast: Cast) -> None:
    cast.sends(world, "avatar", b"picture of a dog")
    world.clock.advance(HOUR)


def replace(world: World, cast: Cast) -> None:
    cast.sends(world, "avatar", b"picture of a dog")
    world.process(cast.ana, cast.upload)
    world.drain(world.feeds_at(0))
    world.clock.advance(HOUR)


def send(kind: str, content: bytes) -> Callable[[World, Cast], None]:
    return lambda world, cast: cast.sends(world, kind, content)


def process(world: World, cast: Cast) -> None:
    world.process(cast.ana, cast.upload)


EVENINGS = [
    Evening("an avatar", send("avatar", b"picture of a dog"), process, 10, "ready", 2),
    Evening("the same avatar", send("avatar", b"picture of a cat"), process, 10, "ready", 2),
    Evening("a cover", send("cover", b"picture of a cat"), process, 10, "ready", 3),
    Evening("a list", send("list", b"Heat\nAlien"), process, 4, "ready", 2),
    Evening("a file of no use", send("avatar", b"nothing"), process, 3, "rejected", 2),
    Evening("a lost notice", lose_notice, lambda w, _: w.sweep(), 2, "ready", 2),
    Evening("a sweep", replace, lambda w, _: w.sweep(), 10, "ready", 2),
]


@pytest.mark.parametrize("evening", EVENINGS, ids=[e.name for e in EVENINGS])
def test_what_a_process_leaves_that_dies_between_two_writes_is_finished(
    evening: Evening, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for writes in count():
        world = World(tmp_path_factory.mktemp("world"))
        cast = Cast(world)
        evening.prepare(world, cast)
        fate = Fate(writes)
        died = False
        try:
            evening.run(mortal(world, fate), cast)
        except Died:
            died = True
        where = [RoomId(cast.room)]
        # Whenever it died: what is in sight is there.
        assert shown_blobs(world, [cast.ana, cast.ben], where) <= world.media.content.keys()
        settle(world)
        assert uploads_state(world, cast) == evening.state, f"after {writes} writes"
        in_sight = shown_blobs(world, [cast.ana, cast.ben], where)
        assert in_sight == world.media.content.keys(), f"after {writes} writes"
        assert world.uploads.content == {}, f"after {writes} writes"
        assert world.table.query(keys.LEFTOVERS).items == [], f"after {writes} writes"
        assert count_shown(world, cast) == evening.shown
        world.store.close()
        if not died:
            assert writes >= evening.writes, "some writes were not interrupted"
            break


def uploads_state(world: World, cast: Cast) -> str:
    found = uploads.find(world.table, cast.ana, cast.upload)
    assert found is not None
    return found.state


def count_shown(world: World, cast: Cast) -> int:
    people = [users.get(world.table, user) for user in (cast.ana, cast.ben)]
    room = rooms.get(world.table, RoomId(cast.room))
    return sum(p.avatar is not None for p in people) + (room.cover is not None)


def settle(world: World) -> None:
    """Let a day pass, with everything that is done meanwhile."""
    seen = world.drain(world.feeds_at(0))
    for _ in range(DAY // HOUR):
        world.clock.advance(HOUR)
        world.sweep()
        world.work_off()
        seen = world.drain(seen)


# ------------------------------------------------------------------------------------------- races


class OneSize:
    """Makes the same file of a picture in all sizes, so that schedules are few."""

    def thumbnails(self, content: bytes, sizes: Sequence[int], *, square: bool) -> list[bytes]:
        return [content] * len(sizes)


def racing(world: World, work: Callable[[World], None]) -> Operation:
    """Return work as an operation of a race; what has to come again is told."""

    def run(table: Any, cache: Any) -> str:
        mine = world.over(table=table, cache=cache)
        mine.media = GatedBlobs(world.media, table)  # type: ignore[assignment]
        try:
            work(mine)
        except Unavailable:
            return "again"
        return "done"

    return run


class Stage:
    """Ana has taken her picture away, and Ben has sent the same one."""

    def __init__(self, folder: Path) -> None:
        self.world = world = World(folder)
        world.pictures = OneSize()  # type: ignore[assignment]
        ana, self.ben = world.guest(), world.guest()
        world.send(ana, "avatar", b"picture")
        world.work_off()
        world.clock.advance(MINUTE)
        world.call(remove_avatar, by=ana)
        world.clock.advance(HOUR)  # the first upload is due, and its picture is out of sight
        self.upload = world.send(self.ben, "avatar", b"picture", notices=0)

    def race(self, sweepers: int) -> Race:
        sweeping = [racing(self.world, lambda w: w.sweep()) for _ in range(sweepers)]
        storing = racing(self.world, lambda w: w.process(self.ben, self.upload))
        return Race([storing, *sweeping], self.world.table, self.world.cache)


@pytest.mark.parametrize("sweepers", [1, 2])
def test_a_file_that_is_swept_while_it_is_stored_anew_is_there_when_it_is_shown(
    sweepers: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stages: list[Stage] = []
    outcomes_of_storing: set[str] = set()

    def start() -> Race:
        if stages:
            stages.pop().world.store.close()
        stages.append(Stage(tmp_path_factory.mktemp("world")))
        return stages[-1].race(sweepers)

    def check(outcomes: list[Outcome], _: list[int]) -> None:
        (stage,) = stages
        world, ben = stage.world, stage.ben
        outcome = outcomes[0].value
        outcomes_of_storing.add(outcome)
        shown = shown_blobs(world, [ben], [])
        if bool(shown) != (outcome == "done"):
            raise Violation(f"{shown} is shown, and storing it is {outcome}")
        if not shown <= world.media.content.keys():
            raise Violation("a file that is shown was removed")
        if outcome == "again":
            world.process(ben, stage.upload)
        settle(world)
        if shown_blobs(world, [ben], []) != world.media.content.keys():
            raise Violation("a file is left that nobody shows, or is missing")

    explored = explore(start, check) if sweepers == 1 else sample(start, check, times=100, seed=4)
    assert explored.schedules > 1
    assert outcomes_of_storing == {"done", "again"}


# ------------------------------------------------------------------------------------------- kills


@pytest.mark.parametrize("file", [b"Heat\n" * 1000, b"not\0a list"], ids=["a list", "no list"])
def test_a_file_that_was_taken_is_processed_though_the_server_was_killed_right_after(
    file: bytes, tmp_path: Path
) -> None:
    # Tokens name the address of the server, and the port is another one after each start.
    server = Server(tmp_path, {"PUBLIC_URL": "http://trinity.example", "LOG_LEVEL": "warning"})
    server.start()
    try:
        client = server.client
        token = client.post("/api/auth/guest", json={"name": "Ana"}).json["accessToken"]
        asked = {"kind": "list", "contentType": "text/csv", "size": len(file)}
        form = client.post("/api/uploads", token=token, json=asked).json
        posted = forms.post(f"{server.base_url}/uploads", form["fields"], file)
        assert posted.status == 204
        server.stop(signal.SIGKILL)
        server.start()
        client = server.client

        def finished() -> bool:
            told = client.get(f"/api/uploads/{form['uploadId']}", token=token).json
            return told["state"] in ("ready", "rejected")

        eventually(finished, "the file is processed")
        eventually(lambda: not list((server.data / "uploads").iterdir()), "the file is removed")
    finally:
        if server.is_running:
            server.stop()


# -------------------------------------------------------------------------------- random histories


PICTURES = st.sampled_from([b"picture of a cat", b"picture of a dog", b"no picture"])
WHO = st.integers(0, 1)
FATES = st.integers(0, 14)


class Histories(RuleBasedStateMachine):
    """Two people and a room of each, with processes that die at any point."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)
        self.people = [self.world.guest(name) for name in ("Ana", "Ben")]
        self.rooms = [self.world.create(user).id for user in self.people]
        self.seen = self.world.feeds_at(0)
        self.sent: list[tuple[UserId, UploadId]] = []

    def in_sight(self) -> set[BlobId]:
        return shown_blobs(self.world, self.people, self.rooms)

    @rule(who=WHO, kind=st.sampled_from(["avatar", "cover"]), picture=PICTURES, told=WHO)
    def send(self, who: int, kind: Any, picture: bytes, told: int) -> None:
        room = self.rooms[who] if kind == "cover" else None
        with suppress(DomainError):  # the account was removed
            user = self.people[who]
            upload = self.world.send(user, kind, picture, room=room, notices=told)
            self.sent.append((user, upload))

    @rule(which=st.integers(0, 50), writes=FATES)
    def process(self, which: int, writes: int) -> None:
        if self.sent:
            user, upload = self.sent[which % len(self.sent)]
            with suppress(Died, Unavailable):
                mortal(self.world, Fate(writes)).process(user, upload)

    @rule(writes=FATES)
    def sweep(self, writes: int) -> None:
        with suppress(Died):
            mortal(self.world, Fate(writes)).sweep()

    @rule(who=WHO)
    def be_without(self, who: int) -> None:
        with suppress(DomainError):
            self.world.call(remove_avatar, by=self.people[who])

    @rule(who=WHO)
    def uncover(self, who: int) -> None:
        with suppress(DomainError):
            self.world.call(remove_cover, RemoveCover(room_id=self.rooms[who]), self.people[who])

    @rule(who=WHO)
    def go(self, who: int) -> None:
        self.world.call(delete_me, by=self.people[who])

    @rule()
    def feed(self) -> None:
        self.seen = self.world.drain(self.seen)

    @rule(minutes=st.sampled_from([1, 7, 16, 60]))
    def wait(self, minutes: int) -> None:
        self.world.clock.advance(minutes * MINUTE)

    @invariant()
    def what_is_in_sight_is_there(self) -> None:
        assert self.in_sight() <= self.world.media.content.keys()

    def teardown(self) -> None:
        world = self.world
        self.seen = world.drain(self.seen)
        for _ in range(DAY // HOUR):
            world.clock.advance(HOUR)
            world.sweep()
            with suppress(Unavailable):
                world.work_off()
            self.seen = world.drain(self.seen)
        assert self.in_sight() == world.media.content.keys()
        assert world.uploads.content == {}
        assert world.table.query(keys.LEFTOVERS).items == []
        world.store.close()
        shutil.rmtree(self.folder)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=int(os.environ.get("TRINITY_HISTORIES", "60")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
