"""What is measured: how each server is started, seeded, asked and counted."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Plan, Sender
from bench.server import BenchError, Client, Server, free_port

MEMBERS = 5
DECK = 500
VOTES_PER_ROOM = MEMBERS * DECK
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Seat:
    """A member in a room, with the token to act as him."""

    room: str
    user: str
    token: str


@dataclass(frozen=True, slots=True)
class Seed:
    """A seeded data directory that every run copies, and who sits where in it."""

    data: Path
    rooms: list[str]
    seats: list[Seat]
    titles: dict[str, list[str]]
    codes: dict[str, str]
    expires_at: float


class Target(ABC):
    """A server under test."""

    name: str
    durability: str
    members = MEMBERS

    @abstractmethod
    def command(self, data: Path, port: int) -> list[str]: ...

    @abstractmethod
    def env(self, data: Path, port: int) -> dict[str, str]: ...

    @abstractmethod
    def fill(self, client: Client, data: Path, rooms: int) -> Seed:
        """Create users, rooms of `members` and decks of `DECK` over the server's own API."""

    @abstractmethod
    def vote(self, seat: Seat, title: str, choice: str) -> tuple[str, str]:
        """Path and body of one vote."""

    @abstractmethod
    def stored_votes(self, data: Path) -> int:
        """Votes in the database file, read by this process and not through the server."""

    def prepare(self, data: Path) -> None:  # noqa: B027  (most need nothing)
        """What has to happen to an empty data directory before the first start."""

    def check(self, client: Client, data: Path) -> None:  # noqa: B027  (most need nothing)
        """Raise if the server under test is not what the target says it is."""

    @contextmanager
    def running(self, data: Path) -> Iterator[Server]:
        port = free_port()
        with Server(
            self.command(data, port), self.env(data, port), port, data.parent / f"{data.name}.log"
        ) as server:
            yield server

    def seed(self, work: Path, rooms: int) -> Seed:
        """A fresh, filled data directory, its server stopped."""
        data = Path(tempfile.mkdtemp(prefix=f"{self.name}-seed-", dir=work))
        self.prepare(data)
        with self.running(data) as server:
            return self.fill(Client(server.port), data, rooms)

    def vote_plan(self, seed: Seed, file: Path, shuffle: random.Random) -> Plan:
        """Every distinct vote of the seed once, half of them yes.

        Title by title, and within a title all seats in random order: everybody goes through the
        deck at about the same pace, in all rooms at once, as people do.
        """
        senders = [Sender("POST", self.vote(seat, "", "")[0], seat.token) for seat in seed.seats]

        def requests() -> Iterator[tuple[int, str]]:
            order = list(range(len(seed.seats)))
            for number in range(DECK):
                shuffle.shuffle(order)
                for index in order:
                    seat = seed.seats[index]
                    title = seed.titles[seat.room][number]
                    choice = "yes" if shuffle.random() < 0.5 else "no"
                    yield index, self.vote(seat, title, choice)[1]

        return Plan(file, senders, requests())

    def settled_votes(self, data: Path) -> int:
        """Stored votes once nothing more arrives: wrk does not wait for its last answers."""
        last = self.stored_votes(data)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            time.sleep(0.15)
            now = self.stored_votes(data)
            if now == last:
                return now
            last = now
        raise BenchError("votes still arrive 10 s after the load has ended")


class Seeds:
    """One seed per target, made on first use and again before its tokens expire."""

    def __init__(self, work: Path, rooms: int) -> None:
        self.work = work
        self.rooms = rooms
        self.made: dict[str, Seed] = {}

    def get(self, target: Target, needed_seconds: float) -> Seed:
        seed = self.made.get(target.name)
        if seed is None or seed.expires_at < time.time() + needed_seconds + 60:
            seed = self.made[target.name] = target.seed(self.work, self.rooms)
        return seed

    @contextmanager
    def fresh(self, target: Target, needed_seconds: float) -> Iterator[tuple[Seed, Path]]:
        """The seed and a copy of its data directory that nobody has voted in."""
        seed = self.get(target, needed_seconds)
        copy = Path(tempfile.mkdtemp(prefix=f"{target.name}-run-", dir=self.work)) / "data"
        shutil.copytree(seed.data, copy)
        os.sync()  # or the first commits would wait for the copy to reach the disk
        try:
            yield seed, copy
        finally:
            shutil.rmtree(copy.parent, ignore_errors=True)


def query(database: Path, sql: str) -> tuple[int, ...]:
    """One row of integers from a database that a server is writing to; read-only, WAL included."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        row: tuple[int, ...] = connection.execute(sql).fetchone()
        return row
