"""Join a room by its code."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import RoomShape
from trinity.common.views import room_shape
from trinity.domain import codes, errors
from trinity.domain.rooms import Member
from trinity.ports import Blobs, Cache, Clock, Table
from trinity.store import decks, matches, memberships, rooms, users


class JoinRoom(Request, frozen=True, kw_only=True):
    """The code, in any letter case, with or without blanks and hyphens."""

    code: Annotated[str, Meta(max_length=100)]


def join_room(
    request: JoinRoom,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    cache: Cache,
    blobs: Blobs,
    limits: RateLimits,
    clock: Clock,
) -> RoomShape:
    """Make the caller an active member. Joining again changes nothing.

    Raises:
        RoomNotFound: no room has this code.
        RoomClosed: the room takes nobody any more.
        RoomFull: the room has `capacity` active members.
        RemovedFromRoom: the host removed the caller.
        RateLimited: too many codes tried.
        Unauthenticated: the account was removed meanwhile.
    """
    limits.check("join", address=origin.address, account=caller.user_id)
    code = codes.normalise(request.code)
    if code is None:
        raise errors.RoomNotFound
    now = clock.now()
    user = users.get(table, caller.user_id)
    member = Member(name=user.name, joined_at=now, active=True, avatar=user.shown_avatar)
    room_id = rooms.id_of_code(table, cache, code)
    room = rooms.join(table, cache, room_id, user.id, member, now)
    # The room is written, now look at the account again: it may have been renamed or removed.
    if not memberships.show_profile_in(table, cache, room.id, user.id):
        memberships.erase_in(table, cache, room.id, user.id)
        raise errors.Unauthenticated
    room = rooms.get(table, room.id, consistent=True)
    # Whoever comes back brings earlier votes along: together they may agree now.
    deck = decks.load(blobs, room.deck)
    if matches.record_all(table, cache, room.id, deck.title, now):
        room = rooms.get(table, room.id, consistent=True)
    return room_shape(table, room, now=now, base_url=origin.base_url)


handler = operation(join_room)
