"""Open an account, or turn a guest into a user."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import passwords, sign_in, tokens
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Origin, Request
from trinity.common.settings import Settings
from trinity.common.shapes import SessionShape
from trinity.domain import errors
from trinity.domain.ids import UserId
from trinity.domain.names import clean_name
from trinity.domain.users import User, clean_email
from trinity.ports import Cache, Clock, Ids, SigningKeys, Table
from trinity.store import memberships, users


class Register(Request, frozen=True, kw_only=True):
    """What an account needs."""

    email: Annotated[str, Meta(max_length=320)]
    password: passwords.Password
    name: Annotated[str, Meta(max_length=200)]


def register(
    request: Register,
    origin: Origin,
    *,
    table: Table,
    cache: Cache,
    keys: SigningKeys,
    limits: RateLimits,
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> SessionShape:
    """Open an account.

    With a guest's access token the guest becomes the user, with all rooms and votes.

    Raises:
        InvalidRequest: the address, the password or the name cannot be.
        EmailTaken: another account has the address.
        Unauthenticated: an access token was sent, but it is not valid.
        AlreadyRegistered: the token is not a guest's.
        RateLimited: too many accounts from one address.
    """
    limits.check("register", address=origin.address)
    now = clock.now()
    email, name = clean_email(request.email), clean_name(request.name)
    guest: User | None = None
    if origin.bearer is not None:
        guest_id = tokens.subject(keys, origin.bearer, settings.issuer, now)
        guest = users.find(table, guest_id) if guest_id is not None else None
        if guest is None:
            raise errors.Unauthenticated
        if not guest.guest:
            raise errors.AlreadyRegistered
    user = User(
        id=guest.id if guest else UserId(ids.new()),
        name=name,
        created_at=guest.created_at if guest else now,
        email=email,
        password_hash=passwords.digest(request.password),
        avatar=guest.avatar if guest else None,
    )
    users.register(table, user, was_guest=guest is not None)
    if guest is not None:
        memberships.show_profile(table, cache, user.id)
    return sign_in.session(
        user,
        now,
        table=table,
        keys=keys,
        ids=ids,
        issuer=settings.issuer,
        base_url=origin.base_url,
    )


handler = operation(register, status=201)
