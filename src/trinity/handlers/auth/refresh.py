"""Exchange a refresh token for a new pair of tokens."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import sign_in
from trinity.common.requests import Origin, Request
from trinity.common.settings import Settings
from trinity.common.shapes import SessionShape
from trinity.domain import errors
from trinity.ports import Clock, Ids, SigningKeys, Table
from trinity.store import sessions, users


class Refresh(Request, frozen=True, kw_only=True):
    """The newest refresh token of a session."""

    refresh_token: Annotated[str, Meta(max_length=256)]


def refresh(
    request: Refresh,
    origin: Origin,
    *,
    table: Table,
    keys: SigningKeys,
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> SessionShape:
    """Go on with a session. Each refresh token works once.

    Raises:
        InvalidToken: the token is unknown or expired, or its session has ended.
        TokenReused: the token was used before; the session ends, since it may be stolen.
    """
    now = clock.now()
    session = sessions.rotate(table, ids, request.refresh_token, now)
    user = users.find(table, session.user)
    if user is None or session.epoch != user.epoch:  # the password was changed since
        sessions.end(table, session.token)
        raise errors.InvalidToken
    return sign_in.session(
        user,
        now,
        table=table,
        keys=keys,
        ids=ids,
        issuer=settings.issuer,
        base_url=origin.base_url,
        refresh_token=session.token,
    )


handler = operation(refresh)
