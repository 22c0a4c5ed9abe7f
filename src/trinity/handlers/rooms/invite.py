"""Invite somebody to a room."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import unsubscribing
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Origin, Request
from trinity.domain import errors
from trinity.domain.ids import RoomId, UserId
from trinity.domain.rooms import Room
from trinity.domain.users import clean_email
from trinity.ports import Clock, Secrets, Table
from trinity.store import notices, rooms, users


class Invite(Request, frozen=True, kw_only=True):
    """Whom: an e-mail address, or a user from an earlier room."""

    room_id: RoomId
    email: Annotated[str, Meta(max_length=320)] | None = None
    user_id: Annotated[str, Meta(max_length=100)] | None = None


def invite(
    request: Invite,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    limits: RateLimits,
    secrets: Secrets,
    clock: Clock,
) -> None:
    """Tell somebody of the room, by mail or as he likes to be told; once in a week.

    The answer is the same whether there is such an account, whether somebody has invited the same
    person before, and whether he wants to hear of it.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
        RoomClosed: it takes nobody any more.
        InvalidRequest: it takes either an address or a user.
        RateLimited: too many invitations of the caller, from his address, or to one person.
    """
    limits.check("invite", address=origin.address, account=caller.user_id)
    now = clock.now()
    room = rooms.get(table, request.room_id, consistent=True)
    room.require_member(caller.user_id)
    if room.state_at(now) != "open":
        raise errors.RoomClosed
    if (request.email is None) == (request.user_id is None):
        raise errors.InvalidRequest("Name either an e-mail address or a user, and not both.")
    if request.email is not None:
        address = clean_email(request.email)
        invitee = unsubscribing.invitee(secrets.cursor_key(), address)
        limits.check("invited", account=invitee)
        known = users.by_email(table, address)
        if known is None:
            notices.invite_address(table, room.id, invitee, address, caller.user_id, now)
            return
        user = known.id
    else:
        user = UserId(request.user_id or "")
        limits.check("invited", account=user)
    if _may_come(room, user):
        notices.invite_user(table, room.id, user, caller.user_id, now)


def _may_come(room: Room, user: UserId) -> bool:
    member = room.members.get(user)
    return member is None or not (member.active or member.removed)


handler = operation(invite, status=202)
