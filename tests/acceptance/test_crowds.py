"""A thousand who follow, in one room and in two hundred, served by one process."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

from tests.acceptance.scenarios import World, patch, votes
from tests.live import EVERYTHING, encoded

THOUSAND = 1000
AT_ONCE = 50
BOUND_S = 60.0
"""Longer than anything here takes on the slowest machine."""


class Audience:
    """Connections that each follow a room.

    Attributes:
        heard: for each connection what it was sent, in the order of arrival.
    """

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._connections: list[ClientConnection] = []
        self._readers: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self.heard: list[list[dict[str, Any]]] = []

    async def follow(self, seats: Sequence[tuple[str, str]]) -> None:
        """Follow rooms, given as pairs of a room and the token of a member."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(room: str, token: str, heard: list[dict[str, Any]]) -> None:
            async with gate:
                connection = await self._start(room, token)
            self._connections.append(connection)
            self._readers.append(asyncio.create_task(self._read(connection, heard)))

        self.heard = [[] for _ in seats]
        await asyncio.gather(
            *(one(*seat, heard) for seat, heard in zip(seats, self.heard, strict=True))
        )

    async def until(self, done: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Wait until everybody has heard enough."""
        async with asyncio.timeout(BOUND_S):
            while not all(done(one) for one in self.heard):
                self._changed.clear()
                await self._changed.wait()

    async def leave(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*(one.close() for one in self._connections))

    async def _start(self, room: str, token: str) -> ClientConnection:
        authorization = {"host": self._host, "Authorization": token}
        connection = await connect(
            f"ws://{self._host}/graphql/realtime",
            subprotocols=["graphql-ws", f"header-{encoded(authorization)}"],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,
            open_timeout=BOUND_S,
        )
        data = json.dumps({"query": EVERYTHING, "variables": {"room": room}})
        payload = {"data": data, "extensions": {"authorization": authorization}}
        await connection.send(json.dumps({"type": "start", "id": "1", "payload": payload}))
        while (frame := json.loads(await connection.recv()))["type"] == "ka":
            pass
        assert frame == {"type": "start_ack", "id": "1"}
        return connection

    async def _read(self, connection: ClientConnection, heard: list[dict[str, Any]]) -> None:
        async for text in connection:
            frame = json.loads(text)
            if frame["type"] != "ka":
                assert frame["type"] == "data", frame
                heard.append(frame["payload"]["data"]["onRoomEvent"])
                self._changed.set()


def played(
    world: World,
    seats: Sequence[tuple[str, str]],
    play: Callable[[Audience], Awaitable[None]],
) -> list[list[dict[str, Any]]]:
    """Let an audience take its seats, play something, and return what everybody has heard."""

    async def evening() -> list[list[dict[str, Any]]]:
        audience = Audience(world.client.base_url)
        await audience.follow(seats)
        try:
            await play(audience)
        finally:
            await audience.leave()
        return audience.heard

    return asyncio.run(evening())


def types(heard: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in heard]


def test_a_match_reaches_a_thousand_before_what_is_coalesced_does(world: World) -> None:
    """A hundred members with ten devices each; the vote that makes the match counts for both."""
    people = [f"guest{n}" for n in range(100)]
    rule = {"kind": "atLeast", "count": 2}
    spec = {"capacity": 100, "stopAt": "never", "rule": rule}
    room = world.room("r1", people, ["jaws", "heat", "alien"], spec)
    world.settled("r1")
    seats = [(room["id"], world.token(name)) for name in people] * (THOUSAND // len(people))

    async def play(audience: Audience) -> None:
        for title in ("jaws", "heat", "alien"):
            for name in people[:2]:
                await asyncio.to_thread(votes("r1", **{name: {title: "yes"}}).do, world)
        await audience.until(lambda heard: types(heard).count("matchFound") == 3)
        await audience.until(lambda heard: counted(heard) == 6)

    def counted(heard: list[dict[str, Any]]) -> int:
        told = [json.loads(event["data"]) for event in heard if event["type"] == "progress"]
        return sum(told[-1]["progress"].values()) if told else 0

    everybody = played(world, seats, play)
    assert len(everybody) == THOUSAND
    assert all(heard == everybody[0] for heard in everybody)
    cursors = [event["cursor"] for event in everybody[0]]
    assert len(set(cursors)) == len(cursors)
    # When progress counts the two votes for a title, its match has been told already.
    for n, event in enumerate(everybody[0]):
        before = everybody[0][:n]
        if event["type"] == "progress":
            assert counted([event]) <= 2 * types(before).count("matchFound") + 1


def test_two_hundred_rooms_of_five_hear_their_own_news_and_no_others(world: World) -> None:
    people = [[f"guest{room}of{n}" for n in range(5)] for room in range(200)]
    rooms = []
    for number, members in enumerate(people):
        rooms.append(world.room(f"r{number}", members, ["jaws"], {"capacity": 5})["id"])
    world.host.barrier.wait()
    seats = [
        (room, world.token(name))
        for room, members in zip(rooms, people, strict=True)
        for name in members
    ]
    assert len(seats) == THOUSAND

    async def play(audience: Audience) -> None:
        for number, members in enumerate(people):
            call = patch(f"/api/rooms/{{r{number}}}", as_=members[0], json={"name": f"no {number}"})
            answer = await asyncio.to_thread(world.send, call)
            assert answer.status == 200
        await audience.until(lambda heard: len(heard) >= 1)

    everybody = played(world, seats, play)
    for (room, _), heard, number in zip(
        seats, everybody, itertools.chain.from_iterable([n] * 5 for n in range(200)), strict=True
    ):
        assert [event["roomId"] for event in heard] == [room]
        assert json.loads(heard[0]["data"]) == {"name": f"no {number}"}
