"""All that is kept about me."""

from typing import Any

import msgspec

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Origin
from trinity.common.shapes import Shape, UserShape, rfc3339
from trinity.domain.consensus import Choice
from trinity.domain.ids import Millis, RoomId, TitleId, UserId
from trinity.domain.rooms import Role, Room
from trinity.ports import Table
from trinity.store import ballots, keys, matches, notices, reports, rooms, uploads, users


class MyRoom(Shape, frozen=True, kw_only=True):
    """A room that I was in: what I said there, by title, and what I agreed on."""

    room_id: RoomId
    name: str
    role: Role
    active: bool
    votes: dict[TitleId, Choice]
    agreed_on: list[str]
    joined_at: str | None = None


class MyUpload(Shape, frozen=True, kw_only=True):
    """A file that I have sent within the last week; it is removed when it is done with.

    Attributes:
        entries: of a list.
    """

    upload_id: str
    kind: str
    state: str
    created_at: str
    entries: int | None = None


class MyData(Shape, frozen=True, kw_only=True):
    """All that is kept about somebody, but for secrets: hashes, tokens, keys.

    Attributes:
        sessions_until: when each signed-in device will have to sign in again.
        browsers: that take notices, by the ids that they are removed by.
        webhooks: addresses that are called.
        invited_to: rooms that somebody has invited me to lately.
        uploads: of the last week; pictures in sight are named by user and rooms.
        tastes: what reports keep of what I vote for, a room each.
    """

    user: UserShape
    sessions_until: list[str]
    rooms: list[MyRoom]
    notifications: dict[str, dict[str, bool]]
    browsers: list[str]
    webhooks: list[str]
    invited_to: list[str]
    uploads: list[MyUpload]
    tastes: list[dict[str, Any]]


def export_me(caller: Caller, origin: Origin, *, table: Table) -> MyData:
    """Return everything that is kept about the caller, but for secrets, as one document.

    It is bounded by what is kept: rooms of the last sixty days and what belongs to them.

    Raises:
        Unauthenticated: the account was removed.
    """
    me = caller.user_id
    user = users.get(table, me)
    pointers = rooms.of_user(table, me)[0]
    reach = notices.reach(table, me)
    return MyData(
        user=UserShape.of(user, origin.base_url),
        sessions_until=[
            rfc3339(Millis(item["expires"] * 1000))
            for item in table.query(keys.user_pk(me), prefix=keys.SESSION).items
            if "expires" in item
        ],
        rooms=[
            _room(table, room, me) for room in rooms.all_of(table, [p.room_id for p in pointers])
        ],
        notifications=msgspec.to_builtins(reach.preferences),
        browsers=[browser.id for browser in reach.browsers],
        webhooks=[webhook.url for webhook in reach.webhooks],
        invited_to=[
            item["SK"].removeprefix(keys.INVITE)
            for item in table.query(keys.user_pk(me), prefix=keys.INVITE).items
        ],
        uploads=[
            MyUpload(
                upload_id=upload.id,
                kind=upload.kind,
                state=upload.state,
                created_at=rfc3339(upload.created_at),
                entries=upload.entries,
            )
            for upload in uploads.of_user(table, me)
        ],
        tastes=[msgspec.to_builtins(taste) for taste in reports.tastes_of(table, me)],
    )


def _room(table: Table, room: Room, me: UserId) -> MyRoom:
    member = room.members.get(me)
    cast = ballots.of_room(table, room.id)
    return MyRoom(
        room_id=room.id,
        name=room.name,
        role="host" if me == room.host_id else "member",
        joined_at=rfc3339(member.joined_at) if member else None,
        active=room.is_active(me),
        votes={title: ballot.votes[me] for title, ballot in cast.items() if me in ballot.votes},
        agreed_on=[m.title.title for m in matches.of_room(table, room) if me in m.user_ids],
    )


handler = operation(export_me)
