"""The server is killed in the middle of its work, and started again on the same data."""

import contextlib
import http.client
import json
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fakes import World
from tests.faults.invariants import check_room
from tests.faults.people import Person
from tests.server import Server, eventually

# Tokens name the address of the server, and the port is another one after each start.
SETTINGS = {"RATE_LIMITS": "off", "LOG_LEVEL": "warning", "PUBLIC_URL": "http://trinity.example"}
LOAD_S = 2.0
ROUNDS = 3
MEMBERS = 4
TITLES = 120
BROKEN_OFF = (OSError, http.client.HTTPException)


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path, SETTINGS)
    server.start()
    yield server
    if server.is_running:
        server.stop(signal.SIGKILL)


class Load:
    """Members who vote as fast as they can until the server is gone."""

    def __init__(self, room: str, deck: list[str], members: list[Person], seed: int) -> None:
        self.acknowledged: dict[tuple[str, str], str] = {}
        self.uncertain: dict[tuple[str, str], set[str]] = {}
        self._room = room
        self._deck = deck
        self._seed = seed
        self._stop = threading.Event()
        self.refused: list[str] = []
        self._threads = [threading.Thread(target=self._vote, args=(m,)) for m in members]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)
            assert not thread.is_alive(), "a voter hangs"

    def _vote(self, member: Person) -> None:
        chance = random.Random(f"{self._seed}{member.id}")
        while not self._stop.is_set():
            title = chance.choice(self._deck)
            choice = chance.choice(["yes", "yes", "yes", "super", "no"])
            place = (member.id, title)
            self.uncertain.setdefault(place, set()).add(choice)
            try:
                answer = member.vote(self._room, title, choice)
            except BROKEN_OFF:
                return
            if answer.status != 200:
                self.refused.append(str(answer))
                return
            self.acknowledged[place] = choice
            self.uncertain[place] = {choice}


def stored_votes(server: Server, room: str) -> dict[tuple[str, str], str]:
    """Return what lies in the file, read without any code of the server."""
    with contextlib.closing(sqlite3.connect(server.data / "trinity.sqlite")) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = file.execute(
            "SELECT sk, item FROM items WHERE pk = ? AND sk GLOB 'BALLOT#*'", (f"ROOM#{room}",)
        ).fetchall()
    return {
        (name[2:], sk.removeprefix("BALLOT#")): choice
        for sk, item in rows
        for name, choice in json.loads(item).items()
        if name.startswith("v:")
    }


def caught_up(server: Server) -> bool:
    """Tell whether both feeds are where the changes of their items end."""
    with contextlib.closing(sqlite3.connect(server.data / "trinity.sqlite")) as file:
        seen = dict(file.execute("SELECT consumer, seq FROM checkpoints").fetchall())
        (rooms,) = file.execute(
            "SELECT max(seq) FROM changes WHERE sk = 'ROOM' OR sk GLOB 'MATCH#*'"
        ).fetchone()
        (ballots,) = file.execute(
            "SELECT max(seq) FROM changes WHERE sk GLOB 'BALLOT#*'"
        ).fetchone()
    return seen.get("publish:rooms", 0) >= rooms and seen.get("publish:ballots", 0) >= ballots


def check_file(server: Server, tmp_path, room: str) -> None:
    """Hold the file of a server that has been killed against all invariants."""
    with contextlib.closing(sqlite3.connect(server.data / "trinity.sqlite")) as file:
        copy = tmp_path / "copy"
        copy.mkdir()
        with contextlib.closing(sqlite3.connect(copy / "world.sqlite")) as target:
            file.backup(target)
    world = World(copy)
    world.clock.time = time.time_ns() // 1_000_000
    check_room(world, room, 0, drained=True)
    world.store.close()


def test_a_server_that_is_killed_again_and_again_loses_no_acknowledged_vote(server, tmp_path):
    client = server.client
    members = [Person(client, f"Member {n}") for n in range(MEMBERS)]
    room = members[0].create(titles=TITLES, stopAt="never", rule={"kind": "share", "percent": 75})
    for member in members[1:]:
        assert member.join(room["code"]).status == 200
    room_id = room["id"]
    deck = members[0].deck(room_id)
    expected: dict[tuple[str, str], str] = {}
    acknowledged = 0
    for number in range(ROUNDS):
        load = Load(room_id, deck, members, number)
        load.start()
        time.sleep(LOAD_S)
        with contextlib.suppress(AssertionError):
            server.stop(signal.SIGKILL)
        load.join()
        assert load.refused == []
        acknowledged += len(load.acknowledged)
        stored = stored_votes(server, room_id)
        for place, choices in load.uncertain.items():
            # Who got no answer cannot know: it may be stored, or what was there before.
            before = set() if place in load.acknowledged else {expected.get(place)}
            assert stored.get(place) in choices | before, place
        expected |= stored
        server.start()
        for member in members:
            member.client = server.client
        assert stored_votes(server, room_id) == stored
    assert acknowledged > 100
    by_user = Counter(user for user, _ in expected)
    shown = members[0].get(f"/api/rooms/{room_id}").json["members"]
    assert {m["userId"]: m["progress"] for m in shown} == by_user
    eventually(lambda: caught_up(server), "the feeds catch up", within_s=30)
    events = members[0].events(room_id)
    assert [int(event["cursor"]) for event in events] == list(range(1, len(events) + 1))
    told = [event["data"]["titleId"] for event in events if event["type"] == "matchFound"]
    found = members[0].get(f"/api/rooms/{room_id}/results").json["matches"]
    assert sorted(told) == sorted(match["titleId"] for match in found)
    assert len(found) > 10
    server.stop(signal.SIGKILL)
    check_file(server, tmp_path, room_id)


def test_a_match_that_was_committed_right_before_a_kill_is_told_after_the_restart(server):
    client = server.client
    members = [Person(client, f"Member {n}") for n in range(2)]
    for _ in range(5):
        room = members[0].create(titles=1)
        assert members[1].join(room["code"]).status == 200
        [title] = members[0].deck(room["id"])
        assert members[0].vote(room["id"], title).status == 200
        assert len(members[1].vote(room["id"], title).json["matches"]) == 1
        server.stop(signal.SIGKILL)
        server.start()
        for member in members:
            member.client = server.client

        def told(room_id: str = room["id"]) -> list[dict] | None:
            return [e for e in members[0].events(room_id) if e["type"] == "matchFound"] or None

        assert len(eventually(told, "the match is told")) == 1
