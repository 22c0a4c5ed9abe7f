"""A client that is cut off again and again misses nothing, and sees nothing twice."""

import json
import random
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.people import BOUND_S, Person, all_at_once
from tests.live import Live
from tests.server import Server, running

CONNECTIONS = 60
TITLES = 60


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    with running(tmp_path, RATE_LIMITS="off", LOG_LEVEL="warning") as server:
        yield server


class Follower:
    """A client as docs tell to write one.

    It subscribes first, then reads what it has missed, and then goes by the numbers of events:
    what it knows is old, and what skips a number sends it to the log.

    Args:
        person: who follows.
        room: what.
        seed: of the moments at which it is cut off.
    """

    def __init__(self, person: Person, room: str, seed: int) -> None:
        self._person = person
        self._room = room
        self._chance = random.Random(seed)
        self.seen: list[dict[str, Any]] = []
        self.live = self.read = self.skipped = 0
        self.connections: list[list[int]] = []

    @property
    def last(self) -> int:
        return int(self.seen[-1]["cursor"]) if self.seen else 0

    def catch_up(self) -> None:
        """Read the log up to its end."""
        while True:
            path = f"/api/rooms/{self._room}/events?limit=7&after={self.last}"
            items = self._person.get(path).json["items"]
            if not items:
                return
            self.seen += items
            self.read += len(items)

    def connect(self) -> None:
        """Follow until the connection breaks, in whatever state it is."""
        live = Live(self._person.client.base_url, self._person.token)
        arrived: list[int] = []
        self.connections.append(arrived)
        try:
            if self._chance.random() < 0.1:
                live.send(live.start_message(self._room))
                return  # cut off before the answer
            live.start(self._room)
            if self._chance.random() < 0.1:
                return  # before what was missed is read
            self.catch_up()
            for _ in range(self._chance.randrange(12)):
                self._take(live.event(), arrived)
        except ConnectionClosed as closed:
            raise AssertionError(f"the server has ended a connection: {closed}") from closed
        finally:
            live.break_off() if self._chance.random() < 0.7 else live.close()

    def _take(self, event: dict[str, Any], arrived: list[int]) -> None:
        number = int(event["cursor"])
        arrived.append(number)
        if number == self.last + 1:
            event = {name: value for name, value in event.items() if value is not None}
            self.seen.append(event | {"data": json.loads(event["data"])})
            self.live += 1
        elif number > self.last:
            self.skipped += 1
            self.catch_up()


class Crowd:
    """Members who vote, change their minds and rename the room until they are told to stop."""

    def __init__(self, room: str, deck: list[str], members: list[Person]) -> None:
        self._room = room
        self._deck = deck
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._act, args=(one, n)) for n, one in enumerate(members)
        ]
        self.refused: list[str] = []

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(BOUND_S)
            assert not thread.is_alive(), "a voter hangs"

    def _act(self, member: Person, number: int) -> None:
        chance = random.Random(number)
        while not self._done.is_set():
            if number == 0 and chance.random() < 0.2:
                name = f"name {chance.random()}"
                path = f"/api/rooms/{self._room}"
                answer = member.client.patch(path, json={"name": name}, token=member.token)
            else:
                choice = chance.choice(["yes", "yes", "no"])
                answer = member.vote(self._room, chance.choice(self._deck), choice)
            if answer.status != 200:
                self.refused.append(str(answer))
                return


def test_a_client_that_is_cut_off_again_and_again_misses_nothing_and_sees_nothing_twice(server):
    client = server.client
    members = [Person(client, f"Member {n}") for n in range(3)]
    made = members[0].create(titles=TITLES, stopAt="never", rule={"kind": "atLeast", "count": 2})
    for member in members[1:]:
        assert member.join(made["code"]).status == 200
    room, deck = made["id"], members[0].deck(made["id"])
    followers = [Follower(member, room, seed) for seed, member in enumerate(members)]

    def follow(follower: Follower) -> None:
        for _ in range(CONNECTIONS):
            follower.connect()

    with Crowd(room, deck, members) as crowd:
        all_at_once([partial(follow, follower) for follower in followers])
    assert crowd.refused == []
    # What is still on its way: a room that is renamed now is told of after all that came before.
    with Live(client.base_url, members[0].token) as live:
        live.start(room)
        path = f"/api/rooms/{room}"
        assert client.patch(path, json={"name": "the end"}, token=members[0].token).status == 200
        while "the end" not in live.event()["data"]:
            pass
    log = members[0].events(room)
    for follower in followers:
        follower.catch_up()
        cursors = [int(event["cursor"]) for event in follower.seen]
        assert cursors == list(range(1, follower.last + 1))
        assert follower.seen[: len(log)] == log
        assert follower.live > CONNECTIONS, "next to nothing came live"
        assert follower.read > CONNECTIONS // 4, "next to nothing was missed"
        for arrived in follower.connections:
            assert len(set(arrived)) == len(arrived), "an event came twice on one connection"
