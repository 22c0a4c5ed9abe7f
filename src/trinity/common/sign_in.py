"""Answering somebody who has just proved who he is."""

from trinity.common import tokens
from trinity.common.shapes import SessionShape
from trinity.domain.ids import Millis
from trinity.domain.users import User
from trinity.ports import Ids, SigningKeys, Table
from trinity.store import sessions


def session(
    user: User,
    now: Millis,
    *,
    table: Table,
    keys: SigningKeys,
    ids: Ids,
    issuer: str,
    base_url: str,
    refresh_token: str | None = None,
) -> SessionShape:
    """Return a session for a user: a new one, or the one that a refresh token goes on with."""
    refresh_token = refresh_token or sessions.start(table, ids, user.id, now, epoch=user.epoch)
    family = sessions.family(refresh_token)
    access_token = tokens.issue(keys, ids, user, family, issuer, now)
    return SessionShape.of(user, access_token, refresh_token, base_url)
