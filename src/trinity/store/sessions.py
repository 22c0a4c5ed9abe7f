"""Sessions in the table: families of refresh tokens.

A refresh token is `user.family.secret`. The table keeps the hash of the family's newest secret and
nothing else. The family name itself is 80 bits of chance that only its owner has seen, so a token
of a known family with another secret is an old one that came back: the family ends.
"""

import hashlib
from typing import NamedTuple

from trinity.domain import errors
from trinity.domain.ids import Millis, UserId
from trinity.domain.users import REFRESH_TOKEN_FOR, RESET_TOKEN_FOR
from trinity.ports import (
    Absent,
    ConditionFailed,
    Equals,
    Exists,
    Ids,
    Key,
    Table,
    TransactDelete,
    Update,
)
from trinity.store import keys


def start(table: Table, ids: Ids, user: UserId, now: Millis) -> str:
    """Begin a session and return its first refresh token."""
    family, secret = ids.new(), ids.secret()
    key = keys.session(user, family)
    table.put(
        {
            "PK": key.pk,
            "SK": key.sk,
            "current": _hash(secret),
            "startedAt": now,
            "expires": (now + REFRESH_TOKEN_FOR) // 1000,
        },
        when=Absent("PK"),
    )
    return f"{user}.{family}.{secret}"


class Rotated(NamedTuple):
    """A session that goes on.

    Attributes:
        token: the next refresh token.
        started_at: when the session began.
    """

    user: UserId
    token: str
    started_at: Millis


def rotate(table: Table, ids: Ids, token: str, now: Millis) -> Rotated:
    """Exchange a refresh token for the next one of its family.

    The exchange is conditional on the hash of the old one, so of two that race one wins, and the
    other counts as reuse.

    Raises:
        InvalidToken: the token is unknown or expired, or its session has ended.
        TokenReused: the token had been exchanged before; the session is ended now.
    """
    user, key, secret = _parse(token)
    fresh = ids.secret()
    item = table.get(key, consistent=True)
    if item is None or item["expires"] * 1000 <= now:
        raise errors.InvalidToken
    try:
        table.update(
            key,
            Update(
                set={"current": _hash(fresh), "expires": (now + REFRESH_TOKEN_FOR) // 1000},
            ),
            when=Equals("current", _hash(secret)),
        )
    except ConditionFailed as failed:
        if failed.item is None:
            raise errors.InvalidToken from None
        table.delete(key)
        raise errors.TokenReused from None
    family_name = key.sk.removeprefix(keys.SESSION)
    return Rotated(user, f"{user}.{family_name}.{fresh}", Millis(item["startedAt"]))


def end(table: Table, token: str) -> None:
    """End the session of a refresh token; one that is unknown or has ended is fine.

    Only the newest token ends it: an old one that leaked should not log anybody out.
    """
    try:
        _, key, secret = _parse(token)
    except errors.InvalidToken:
        return
    try:
        table.delete(key, when=Equals("current", _hash(secret)))
    except ConditionFailed:
        return


def end_all(table: Table, user: UserId, *, but: str | None = None) -> None:
    """End every session of a user, except the one of a family, if that is named."""
    for item in table.query(keys.user_pk(user), prefix=keys.SESSION, consistent=True).items:
        if item["SK"] != keys.SESSION + (but or ""):
            table.delete(Key(item["PK"], item["SK"]))


def family(token: str) -> str:
    """Return the family of a refresh token that this module has given out."""
    return token.split(".")[1]


def start_reset(table: Table, ids: Ids, user: UserId, now: Millis) -> str:
    """Return a new token that lets its holder set a new password once, within an hour."""
    secret = ids.secret()
    key = keys.reset(_hash(secret))
    table.put(
        {
            "PK": key.pk,
            "SK": key.sk,
            "user": user,
            "at": now,
            "expires": (now + RESET_TOKEN_FOR) // 1000,
        }
    )
    return secret


class Reset(NamedTuple):
    """A reset token.

    Attributes:
        at: when it was given out.
        using_up: the action that uses it up, once.
    """

    user: UserId
    at: Millis
    using_up: TransactDelete


def find_reset(table: Table, token: str, now: Millis) -> Reset:
    """Return what a reset token stands for.

    Raises:
        InvalidToken: it is unknown, used up or expired.
    """
    key = keys.reset(_hash(token))
    item = table.get(key, consistent=True)
    if item is None or item["expires"] * 1000 <= now:
        raise errors.InvalidToken
    return Reset(UserId(item["user"]), Millis(item["at"]), TransactDelete(key, Exists("PK")))


def _parse(token: str) -> tuple[UserId, Key, str]:
    user, _, rest = token.partition(".")
    family, _, secret = rest.partition(".")
    if not (user.isalnum() and family.isalnum() and secret):
        raise errors.InvalidToken
    return UserId(user), keys.session(UserId(user), family), secret


def _hash(secret: str) -> str:
    # The secret has 256 bits of chance: a plain fast hash leaves nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()
