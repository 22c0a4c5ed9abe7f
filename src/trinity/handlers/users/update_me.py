"""Change my name, address or password."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import passwords
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import UserShape
from trinity.domain import errors
from trinity.domain.names import clean_name
from trinity.domain.users import User, clean_email
from trinity.ports import Cache, Path, Table, TransactAction, Value
from trinity.store import memberships, sessions, users


class UpdateMe(Request, frozen=True, kw_only=True):
    """What to change. A new address or password needs the current password."""

    name: Annotated[str, Meta(max_length=200)] | None = None
    email: Annotated[str, Meta(max_length=320)] | None = None
    password: passwords.Password | None = None
    current_password: Annotated[str, Meta(max_length=1024)] | None = None


def update_me(
    request: UpdateMe,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    cache: Cache,
    limits: RateLimits,
) -> UserShape:
    """Change the caller's profile.

    A new name shows in all rooms; a new address or password ends all other sessions.

    Raises:
        InvalidRequest: a value cannot be.
        InvalidCredentials: the current password is missing or wrong.
        Forbidden: a guest has neither address nor password; registering gives both.
        EmailTaken: another account has the address.
        RateLimited: too many wrong passwords.
    """
    user = users.get(table, caller.user_id)
    changes: dict[Path, Value] = {}
    mine: list[TransactAction] = []
    if request.name is not None:
        changes["name"] = clean_name(request.name)
    if request.email is not None or request.password is not None:
        _require_password(user, request.current_password, limits)
    if request.email is not None and (email := clean_email(request.email)) != user.email:
        changes["email"] = email
    if request.password is not None:
        changes["passwordHash"] = passwords.digest(request.password)
    if users.begins_epoch(changes):
        mine = sessions.carry_over(table, user.id, caller.session, user.epoch + 1)
    if changes:
        users.update(table, user, changes, mine)
    if users.begins_epoch(changes):
        sessions.end_all(table, user.id, but=caller.session)
    if "name" in changes:
        memberships.show_profile(table, cache, user.id)
    return UserShape.of(users.get(table, caller.user_id), origin.base_url)


def _require_password(user: User, password: str | None, limits: RateLimits) -> None:
    if user.guest:
        raise errors.Forbidden("Register first: guests have no address and no password.")
    limits.check("change_account", account=user.id)
    if password is None or not passwords.matches(password, user.password_hash):
        raise errors.InvalidCredentials("Send your current password along as currentPassword.")


handler = operation(update_me)
