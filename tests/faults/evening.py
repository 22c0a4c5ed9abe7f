"""An evening with a bit of everything, for tests of what follows from it."""

import random
from typing import NamedTuple

import msgspec

from tests.fakes import ORIGIN, World
from tests.faults.groups import Group
from trinity.common import tokens
from trinity.common.requests import Origin
from trinity.domain.consensus import Share
from trinity.domain.domain_events import DomainEvent
from trinity.domain.ids import MINUTE, RoomId, UserId
from trinity.handlers.auth.forgot_password import ForgotPassword, forgot_password
from trinity.handlers.auth.register import Register, register
from trinity.handlers.rooms.delete import DeleteRoom, delete_room
from trinity.handlers.rooms.invite import Invite, invite
from trinity.handlers.streams.emit import told_by
from trinity.handlers.users.delete_me import delete_me
from trinity.store import users


class Evening(NamedTuple):
    """What is left of it.

    Attributes:
        friends: a group whose room was decided, opened again, and is open.
        removed: the room that its host removed.
        gone: who removed his account in the end.
    """

    friends: Group
    removed: RoomId
    gone: UserId


def account(world: World, address: str, guest: UserId | None = None) -> UserId:
    """Register somebody; a guest keeps what he has."""
    token = None
    if guest is not None:
        user = users.get(world.table, guest)
        issuer = world.settings.issuer
        token = tokens.issue(world.keys, world.ids, user, "s", issuer, world.clock.now())
    origin = Origin(ORIGIN.address, ORIGIN.base_url, token, None)
    request = Register(email=address, password="a password", name="Ana of the house")
    return UserId(world.call(register, request, origin=origin).user.id)


def spend(world: World) -> Evening:
    """Let people do all that there is to do, the same each time."""
    chance = random.Random(7)
    host = account(world, "ana@x.example")
    world.clock.advance(MINUTE)
    friends = Group(world, members=4, others=1, titles=12, stop_at=3, rule=Share(60))
    world.join(host, friends.code)
    account(world, "ben@x.example", friends.users[1])
    swipe(world, friends, chance, 40)
    world.leave(friends.users[3], friends.room)
    world.join(friends.users[3], friends.code)
    swipe(world, friends, chance, 200)
    world.update(friends.users[0], friends.room, state="open", name="Once more")
    world.call(forgot_password, ForgotPassword(email="ana@x.example"))
    invited = Invite(room_id=friends.room, email="cleo@x.example")
    world.call(invite, invited, friends.users[0])
    for content in (b"picture of the house", b"no picture"):
        world.send(friends.users[0], "avatar", content)
    world.work_off()
    world.kick(friends.users[0], friends.room, friends.users[2])
    world.join(friends.users[4], friends.code)
    swipe(world, friends, chance, 10)
    short = Group(world, members=2, votes={0: {0: "yes"}, 1: {0: "yes", 1: "no"}}, stop_at="never")
    world.undo(short.users[0], short.room, 0)
    world.update(short.users[0], short.room, state="closed")
    world.call(delete_room, DeleteRoom(room_id=short.room), short.users[0])
    world.call(delete_me, None, friends.users[1])
    return Evening(friends, short.room, friends.users[1])


def told(world: World, *, batch: int = 15) -> list[DomainEvent]:
    """Return the events of all that happened, as consumers get them, from batches of changes."""
    changes = world.emitted()
    events = [
        event
        for first in range(0, len(changes), batch)
        for event in told_by(changes[first : first + batch])
    ]
    return msgspec.json.decode(msgspec.json.encode(events), type=list[DomainEvent])


def swipe(world: World, group: Group, chance: random.Random, votes: int) -> None:
    """Let members vote at random, as long as the room is open."""
    for _ in range(votes):
        room = group.state(world)
        if room.state != "open":
            return
        user = chance.choice(sorted(room.present))
        choice = chance.choice(["yes", "yes", "no", "super", "veto"])
        title = chance.randrange(room.deck_size)
        if chance.random() < 0.1:
            world.undo(user, group.room, title)
        else:
            world.vote(user, group.room, title, choice)
        world.clock.advance(chance.randrange(20_000))
