"""Come in with nothing but a name."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import sign_in
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Origin, Request
from trinity.common.settings import Settings
from trinity.common.shapes import SessionShape
from trinity.domain.ids import UserId
from trinity.domain.names import clean_name
from trinity.domain.users import User
from trinity.ports import Clock, Ids, SigningKeys, Table
from trinity.store import users


class BeGuest(Request, frozen=True, kw_only=True):
    """What to call the guest."""

    name: Annotated[str, Meta(max_length=200)]


def guest(
    request: BeGuest,
    origin: Origin,
    *,
    table: Table,
    keys: SigningKeys,
    limits: RateLimits,
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> SessionShape:
    """Make a guest and begin a session.

    Raises:
        InvalidRequest: that is no name.
        RateLimited: too many guests from one address.
    """
    limits.check("guest", address=origin.address)
    now = clock.now()
    user = User(id=UserId(ids.new()), name=clean_name(request.name), created_at=now)
    users.create_guest(table, user)
    return sign_in.session(
        user,
        now,
        table=table,
        keys=keys,
        ids=ids,
        issuer=settings.issuer,
        base_url=origin.base_url,
    )


handler = operation(guest, status=201)
