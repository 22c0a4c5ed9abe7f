"""Set a new password with the token of a mail."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import passwords
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Origin, Request
from trinity.domain import errors
from trinity.ports import Clock, Table
from trinity.store import sessions, users


class ResetPassword(Request, frozen=True, kw_only=True):
    """The token and the new password."""

    token: Annotated[str, Meta(max_length=256)]
    password: passwords.Password


def reset_password(
    request: ResetPassword, origin: Origin, *, table: Table, limits: RateLimits, clock: Clock
) -> None:
    """Set the password and end every session of the account.

    The token is used up, the password set and the sessions ended by one transaction; what is
    removed after it is of no more use to anybody.

    Raises:
        InvalidToken: the token is unknown, used up or expired, or older than the password.
        InvalidRequest: the password cannot be; the token stays good.
        RateLimited: too many attempts from one address.
    """
    limits.check("reset_password", address=origin.address)
    reset = sessions.find_reset(table, request.token, clock.now())
    user = users.find(table, reset.user)
    if user is None or reset.epoch != user.epoch:  # the password was set since
        raise errors.InvalidToken
    digest = passwords.digest(request.password)
    try:
        users.update(table, user, {"passwordHash": digest}, [reset.using_up])
    except errors.Conflict:  # used up, or the account has changed, in this very moment
        raise errors.InvalidToken from None
    sessions.end_all(table, user.id)


handler = operation(reset_password, status=204)
