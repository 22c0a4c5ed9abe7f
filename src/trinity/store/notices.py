"""What people want to hear of and where, and whom they have invited.

All that belongs to a user lies in his partition, and is written on condition that there still is an
account: what is removed with an account does not come back by a write that was on its way.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar, get_args

import msgspec

from trinity.domain import errors
from trinity.domain.ids import DAY, Millis, RoomId, UserId
from trinity.domain.notices import (
    WEBHOOK_FAILURES,
    Browser,
    Channel,
    Invitation,
    Kind,
    Preferences,
    Webhook,
)
from trinity.ports import (
    Absent,
    ConditionFailed,
    Exists,
    Item,
    Key,
    Path,
    Table,
    TransactAction,
    TransactCheck,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
    Value,
)
from trinity.store import keys

MOST_BROWSERS = 10
MOST_WEBHOOKS = 5
INVITED_FOR = Millis(7 * DAY)
"""How long the same person is not invited to the same room again: as long as a room is open."""

_CHOICES = tuple((kind, channel) for kind in get_args(Kind) for channel in get_args(Channel))

T = TypeVar("T", Browser, Webhook)


class Reach(NamedTuple):
    """How somebody can be told something."""

    preferences: Preferences
    browsers: list[Browser]
    webhooks: list[Webhook]


def reach(table: Table, user: UserId) -> Reach:
    """Return how a user can be told something; one query."""
    items = table.query(keys.user_pk(user), prefix=keys.NOTICE, consistent=True).items
    chosen = next((item for item in items if item["SK"] == keys.PREFERENCES), None)
    return Reach(
        _preferences(chosen), _all(items, keys.BROWSER, Browser), _all(items, keys.WEBHOOK, Webhook)
    )


# ----------------------------------------------------------------------------------- preferences


def preferences(table: Table, user: UserId) -> Preferences:
    """Return what a user wants to hear of."""
    return _preferences(table.get(keys.preferences(user), consistent=True))


def prefer(table: Table, user: UserId, choices: Mapping[tuple[Kind, Channel], bool]) -> None:
    """Switch channels on or off for kinds of notices; what is not named stays.

    Raises:
        Unauthenticated: the account was removed.
    """
    changes: dict[Path, Value] = {_attribute(*choice): wanted for choice, wanted in choices.items()}
    if changes:
        _write_for(table, user, TransactUpdate(keys.preferences(user), Update(set=changes)))


def _preferences(item: Item | None) -> Preferences:
    chosen: dict[str, dict[str, bool]] = msgspec.to_builtins(Preferences())
    for kind, channel in _CHOICES:
        if item is not None and _attribute(kind, channel) in item:
            chosen[kind][channel] = item[_attribute(kind, channel)]
    return msgspec.convert(chosen, Preferences)


def _attribute(kind: Kind, channel: Channel) -> str:
    return f"{kind}:{channel}"  # one each, so that two who change different ones meet nowhere


# -------------------------------------------------------------------------------------- browsers


def browser(table: Table, user: UserId, browser_id: str) -> Browser | None:
    """Return a browser of a user, None if it takes no notices any more."""
    item = table.get(keys.browser(user, browser_id), consistent=True)
    return msgspec.convert(item, Browser) if item is not None else None


def add_browser(table: Table, user: UserId, added: Browser) -> None:
    """Let a browser take notices; the oldest makes room if there are too many.

    Raises:
        Unauthenticated: the account was removed.
    """
    _write_for(table, user, _put(keys.browser(user, added.id), added))
    items = table.query(keys.user_pk(user), prefix=keys.BROWSER, consistent=True).items
    known = _all(items, keys.BROWSER, Browser)
    for old in known[: max(0, len(known) - MOST_BROWSERS)]:
        forget_browser(table, user, old.id)


def remove_browser(table: Table, user: UserId, browser_id: str) -> None:
    """Let a browser take no notices any more.

    Raises:
        NotFound: it takes none.
    """
    try:
        table.delete(keys.browser(user, browser_id), when=Exists("PK"))
    except ConditionFailed:
        raise errors.NotFound("This browser is not subscribed.") from None


def forget_browser(table: Table, user: UserId, browser_id: str) -> None:
    """Send no more to a browser, if anything was."""
    table.delete(keys.browser(user, browser_id))


# -------------------------------------------------------------------------------------- webhooks


def webhook(table: Table, user: UserId, webhook_id: str) -> Webhook | None:
    """Return a webhook of a user, None if there is none."""
    item = table.get(keys.webhook(user, webhook_id), consistent=True)
    return msgspec.convert(item, Webhook) if item is not None else None


def webhooks(table: Table, user: UserId) -> list[Webhook]:
    """Return the webhooks of a user, the oldest first."""
    items = table.query(keys.user_pk(user), prefix=keys.WEBHOOK, consistent=True).items
    return _all(items, keys.WEBHOOK, Webhook)


def add_webhook(table: Table, user: UserId, added: Webhook) -> None:
    """Store a webhook.

    Raises:
        Unauthenticated: the account was removed.
    """
    _write_for(table, user, _put(keys.webhook(user, added.id), added))


def remove_webhook(table: Table, user: UserId, webhook_id: str) -> None:
    """Remove a webhook.

    Raises:
        NotFound: there is no such webhook.
    """
    try:
        table.delete(keys.webhook(user, webhook_id), when=Exists("PK"))
    except ConditionFailed:
        raise errors.NotFound("There is no such webhook.") from None


def webhook_worked(table: Table, user: UserId, used: Webhook) -> None:
    """Forget the failures of a webhook that took a notice."""
    if used.failures:
        _change_webhook(table, user, used, Update(set={"failures": 0}))


def webhook_failed(table: Table, user: UserId, used: Webhook, *, for_good: bool) -> None:
    """Count a failure; whatever fails for good, or too often in a row, is switched off."""
    item = _change_webhook(table, user, used, Update(add={"failures": 1}))
    if item is not None and (for_good or item["failures"] >= WEBHOOK_FAILURES):
        _change_webhook(table, user, used, Update(set={"disabled": True}))


def _change_webhook(table: Table, user: UserId, used: Webhook, update: Update) -> Item | None:
    try:
        return table.update(keys.webhook(user, used.id), update, when=Exists("PK"))
    except ConditionFailed:
        return None  # removed meanwhile


# ----------------------------------------------------------------------------------- invitations


def invite_user(table: Table, room: RoomId, user: UserId, by: UserId, now: Millis) -> None:
    """Invite a user to a room, unless somebody has; the change feed tells the rest."""
    key = keys.invitation(room, user, "")
    invitation = TransactPut(_invitation(key, Invitation(by=by), now), Absent("PK"))
    with suppress(TransactionCancelled):  # invited before, or removed the account since
        table.transact([_is_there(user), invitation])


def invite_address(
    table: Table, room: RoomId, invitee: str, address: str, by: UserId, now: Millis
) -> None:
    """Invite somebody without an account to a room, unless somebody has."""
    key = keys.invitation(room, None, invitee)
    item = _invitation(key, Invitation(by=by, address=address), now)
    # What is left of a room that is being removed does not look for what comes later.
    with suppress(TransactionCancelled):
        table.transact(
            [TransactCheck(keys.room(room), Exists("PK")), TransactPut(item, Absent("PK"))]
        )


def invited_address(table: Table, room: RoomId, invitee: str) -> str | None:
    """Return the address to send an invitation to, None if there is nothing more to send."""
    item = table.get(keys.invitation(room, None, invitee), consistent=True)
    return item.get("address") if item is not None else None


def forget_names(table: Table, key: Key, *names: str) -> None:
    """Leave of an invitation that was passed on no more than that there was one."""
    with suppress(ConditionFailed):
        table.update(key, Update(remove=names), when=Exists("PK"))


def mute(table: Table, invitee: str) -> None:
    """Send no invitation to an address any more."""
    key = keys.muted(invitee)
    table.put({"PK": key.pk, "SK": key.sk})


def muted(table: Table, invitee: str) -> bool:
    """Tell whether somebody without an account wants no mails."""
    return table.get(keys.muted(invitee), consistent=True) is not None


def _invitation(key: Key, invitation: Invitation, now: Millis) -> Item:
    fields = msgspec.to_builtins(invitation)
    fields = {name: value for name, value in fields.items() if value is not None}
    return {"PK": key.pk, "SK": key.sk, **fields, "expires": (now + INVITED_FOR) // 1000}


# ------------------------------------------------------------------------------------- all alike


def _all(items: Iterable[Item], prefix: str, kind: type[T]) -> list[T]:
    found = [msgspec.convert(item, kind) for item in items if item["SK"].startswith(prefix)]
    return sorted(found, key=lambda one: (one.created_at, one.id))


def _put(key: Key, value: Browser | Webhook) -> TransactPut:
    return TransactPut({"PK": key.pk, "SK": key.sk, **msgspec.to_builtins(value)})


def _write_for(table: Table, user: UserId, action: TransactAction) -> None:
    try:
        table.transact([_is_there(user), action])
    except TransactionCancelled:
        raise errors.Unauthenticated("This account does not exist any more.") from None


def _is_there(user: UserId) -> TransactCheck:
    return TransactCheck(keys.profile(user), Exists("PK"))
