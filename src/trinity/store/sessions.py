"""Sessions in the table: families of refresh tokens.

A refresh token is `user.family.secret`. The table keeps the hash of the family's newest secret and
nothing else. The family name itself is 80 bits of chance that only its owner has seen, so a token
of a known family with another secret is an old one that came back: the family ends.
"""

from contextlib import suppress

import msgspec

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
    Old,
    Table,
    TransactAction,
    TransactCheck,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
)
from trinity.store import keys


def start(table: Table, ids: Ids, user: UserId, now: Millis, *, epoch: int = 0) -> str:
    """Begin a session and return its first refresh token.

    Args:
        table: the table.
        ids: for family and secret.
        user: whose session.
        now: the present time.
        epoch: of the user as he was when he proved who he is. Should the password change at the
            same time, the session is over before it begins.
    """
    family, secret = ids.new(), ids.secret()
    key = keys.session(user, family)
    table.put(
        {
            "PK": key.pk,
            "SK": key.sk,
            "current": _hash(secret),
            "startedAt": now,
            "epoch": epoch,
            "expires": (now + REFRESH_TOKEN_FOR) // 1000,
        },
        when=Absent("PK"),
    )
    return f"{user}.{family}.{secret}"


class Rotated(msgspec.Struct, frozen=True):
    """A session that goes on.

    Attributes:
        token: the next refresh token.
        epoch: of the user that the session belongs to.
    """

    user: UserId
    token: str
    epoch: int


def rotate(table: Table, ids: Ids, token: str, now: Millis) -> Rotated:
    """Exchange a refresh token for the next one of its family.

    The exchange is one write, conditional on the hash of the old one, so of two that race one wins,
    and the other counts as reuse. Until when the session went on is read by the same write.

    Raises:
        InvalidToken: the token is unknown or expired, or its session has ended.
        TokenReused: the token had been exchanged before; the session is ended now.
    """
    user, key, secret = _parse(token)
    fresh = ids.secret()
    exchange = Update(
        set={
            "current": _hash(fresh),
            "expires": (now + REFRESH_TOKEN_FOR) // 1000,
            "wentOnUntil": Old("expires", 0),
        }
    )
    try:
        item = table.update(key, exchange, when=Equals("current", _hash(secret)))
    except ConditionFailed as failed:
        if failed.item is None or failed.item["expires"] * 1000 <= now:
            raise errors.InvalidToken from None
        table.delete(key)
        raise errors.TokenReused from None
    if item["wentOnUntil"] * 1000 <= now:  # nobody has heard of the new secret, so it is over
        table.delete(key)
        raise errors.InvalidToken
    return Rotated(user, f"{user}.{family(token)}.{fresh}", item["epoch"])


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


def carry_over(table: Table, user: UserId, family: str, epoch: int) -> list[TransactAction]:
    """Return the action that lets a session go on in another epoch, if it has not ended."""
    key = keys.session(user, family)
    if table.get(key, consistent=True) is None:
        return []
    return [TransactUpdate(key, Update(set={"epoch": epoch}), Exists("PK"))]


def family(token: str) -> str:
    """Return the family of a refresh token that was looked at before."""
    return token.split(".")[1]


def goes_on(table: Table, user: UserId, family: str, now: Millis) -> bool:
    """Tell whether a session has neither ended nor expired."""
    item = table.get(keys.session(user, family), consistent=True)
    return item is not None and item["expires"] * 1000 > now


def ask_for_reset(table: Table, ids: Ids, user: UserId, now: Millis) -> None:
    """Note that somebody asked for a mail with a reset token; the change feed tells the rest."""
    key = keys.forgotten(user, ids.new())
    item = {"PK": key.pk, "SK": key.sk, "expires": (now + RESET_TOKEN_FOR) // 1000}
    with suppress(TransactionCancelled):  # the account was removed: nobody is to be told
        table.transact([TransactCheck(keys.profile(user), Exists("PK")), TransactPut(item)])


def start_reset(table: Table, ids: Ids, user: UserId, now: Millis, *, epoch: int = 0) -> str:
    """Return a token that lets its holder set a new password, once, within an hour.

    Args:
        table: the table.
        ids: for the secret.
        user: whose password.
        now: the present time.
        epoch: of the user; the token is worth nothing in a later one.
    """
    secret = ids.secret()
    key = keys.reset(_hash(secret))
    table.put(
        {
            "PK": key.pk,
            "SK": key.sk,
            "user": user,
            "epoch": epoch,
            "expires": (now + RESET_TOKEN_FOR) // 1000,
        }
    )
    return secret


class Reset(msgspec.Struct, frozen=True):
    """A reset token.

    Attributes:
        epoch: of the user that it belongs to.
        using_up: the action that uses it up, once.
    """

    user: UserId
    epoch: int
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
    return Reset(UserId(item["user"]), item["epoch"], TransactDelete(key, Exists("PK")))


def _parse(token: str) -> tuple[UserId, Key, str]:
    user, _, rest = token.partition(".")
    family, _, secret = rest.partition(".")
    if not (user.isalnum() and family.isalnum() and secret):
        raise errors.InvalidToken
    return UserId(user), keys.session(UserId(user), family), secret


def _hash(secret: str) -> str:
    # The secret has 256 bits of chance: a plain fast hash leaves nothing to guess.
    import hashlib

    return hashlib.sha256(secret.encode()).hexdigest()
