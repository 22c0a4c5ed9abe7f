"""Rooms with people and votes in them, to begin a fault test with."""

from typing import Any

from tests.fakes import World, title_id
from tests.faults.invariants import votes_of
from trinity.domain.ids import RoomId
from trinity.infrastructure.memory.cache import MemoryCache
from trinity.store import keys, rooms

Votes = dict[int, dict[int, str]]
"""By number of the user, by number of the title."""


class Group:
    """People in a room, and some who are not in it yet."""

    def __init__(
        self,
        world: World,
        *,
        members: int = 2,
        others: int = 0,
        votes: Votes | None = None,
        remembered: bool = False,
        **wishes: Any,
    ) -> None:
        self.since = world.store.last_seq
        self.users = [world.guest(f"User {n}") for n in range(members + others)]
        shape = world.create(self.users[0], **wishes)
        self.room, self.code = RoomId(shape.id), shape.code
        for user in self.users[1:members]:
            world.join(user, self.code)
        for n, theirs in (votes or {}).items():
            for title, choice in theirs.items():
                world.vote(self.users[n], self.room, title, choice)
        self.cache = MemoryCache(monotonic=world.clock.monotonic)
        self.remembered = remembered
        self.batch: list[Any] = []

    def remember(self, world: World) -> None:
        if self.remembered:
            rooms.admission(world.table, self.cache, self.room, self.users[0], world.clock.now())

    def stored(self, world: World, user: int, title: int) -> str | None:
        item = world.table.get(keys.ballot(self.room, title_id(title)))
        return votes_of(item).get(self.users[user])

    def state(self, world: World) -> Any:
        return rooms.get(world.table, self.room)
