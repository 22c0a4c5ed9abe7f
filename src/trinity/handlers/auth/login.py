"""Sign in with an e-mail address and a password."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import passwords, sign_in
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Origin, Request
from trinity.common.settings import Settings
from trinity.common.shapes import SessionShape
from trinity.domain import errors
from trinity.domain.users import clean_email
from trinity.ports import Clock, Ids, SigningKeys, Table
from trinity.store import users


class Login(Request, frozen=True, kw_only=True):
    """Who says so, and the proof."""

    email: Annotated[str, Meta(max_length=320)]
    password: Annotated[str, Meta(max_length=1024)]


def login(
    request: Login,
    origin: Origin,
    *,
    table: Table,
    keys: SigningKeys,
    limits: RateLimits,
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> SessionShape:
    """Begin a session. Whether an address has an account cannot be told from the answer.

    Raises:
        InvalidCredentials: the address and the password do not belong together.
        RateLimited: too many attempts from one address or for one account.
    """
    try:
        email = clean_email(request.email)
    except errors.InvalidRequest:
        raise errors.InvalidCredentials from None
    limits.check("login", address=origin.address, account=email)
    user = users.by_email(table, email)
    stored = user.password_hash if user is not None else None
    if not passwords.matches(request.password, stored) or user is None:
        raise errors.InvalidCredentials
    return sign_in.session(
        user,
        clock.now(),
        table=table,
        keys=keys,
        ids=ids,
        issuer=settings.issuer,
        base_url=origin.base_url,
    )


handler = operation(login)
