"""Users in the table."""

from collections.abc import Mapping, Sequence

import msgspec

from trinity.domain import errors
from trinity.domain.ids import Millis, UserId
from trinity.domain.users import User
from trinity.ports import (
    Absent,
    AllOf,
    Condition,
    ConditionFailed,
    Equals,
    Exists,
    Item,
    Key,
    Path,
    Table,
    TransactAction,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
    Value,
)
from trinity.store import causes, keys


def to_item(user: User) -> Item:
    """Return the user as it lies in the table."""
    key = keys.profile(user.id)
    return {"PK": key.pk, "SK": key.sk, **msgspec.to_builtins(user)}


def find(table: Table, user: UserId) -> User | None:
    """Return a user as he is now, None if there is none."""
    item = table.get(keys.profile(user), consistent=True)
    return msgspec.convert(item, User) if item is not None else None


def get(table: Table, user: UserId) -> User:
    """Return the user of an access token.

    Raises:
        Unauthenticated: the account was removed since.
    """
    found = find(table, user)
    if found is None:
        raise errors.Unauthenticated("This account does not exist any more.")
    return found


def by_email(table: Table, address: str) -> User | None:
    """Return the user with an e-mail address."""
    item = table.get(keys.email(address), consistent=True)
    return find(table, UserId(item["user"])) if item is not None else None


def create_guest(table: Table, user: User) -> None:
    """Store a new guest."""
    table.put(to_item(user), when=Absent("PK"))


def register(table: Table, user: User, *, was_guest: bool) -> None:
    """Store a registered user; the address belongs to one account by condition.

    Raises:
        EmailTaken: another account has the address.
        AlreadyRegistered: the guest has registered meanwhile, or is gone.
    """
    if user.email is None:
        raise ValueError("a registered user has an e-mail address")
    address = keys.email(user.email)
    # A guest has no address; this also fails where two registrations of one guest race.
    profile: TransactAction = (
        TransactUpdate(
            keys.profile(user.id),
            Update(
                set={"email": user.email, "passwordHash": user.password_hash, "name": user.name}
            ),
            AllOf((Exists("PK"), Absent("email"))),
        )
        if was_guest
        else TransactPut(to_item(user), Absent("PK"))
    )
    try:
        table.transact([_claim(address, user.id), profile])
    except TransactionCancelled as cancelled:
        if cancelled.reasons[0] is not None:
            raise errors.EmailTaken from None
        raise errors.AlreadyRegistered from None


def begins_epoch(changes: Mapping[Path, Value]) -> bool:
    """Tell whether changes of a user end what was given out before: sessions, reset tokens."""
    return "email" in changes or "passwordHash" in changes


def update(
    table: Table,
    user: User,
    changes: Mapping[Path, Value],
    also: Sequence[TransactAction] = (),
) -> None:
    """Change attributes of a user.

    A new `email` is claimed and the old one set free. A new `email` or `passwordHash` begins an
    epoch, which ends all sessions and reset tokens that were there.

    Args:
        table: the table.
        user: as he was when the changes were decided on.
        changes: what to set.
        also: what else to do in the same transaction.

    Raises:
        EmailTaken: another account has the new address.
        Conflict: the account changed at the same time, or a condition of `also` was false.
    """
    actions: list[TransactAction] = [
        TransactUpdate(
            keys.profile(user.id),
            Update(
                set=changes, add={"epoch": 1} if changes.keys() & {"email", "passwordHash"} else {}
            ),
            AllOf((_still("email", user.email), _still("passwordHash", user.password_hash))),
        )
    ]
    if "email" in changes:
        actions.append(_claim(keys.email(changes["email"]), user.id))
        if user.email is not None:
            actions.append(TransactDelete(keys.email(user.email)))
    try:
        table.transact([*actions, *also])
    except TransactionCancelled as cancelled:
        if "email" in changes and cancelled.reasons[1] is not None:
            raise errors.EmailTaken from None
        raise errors.Conflict from None


def remove_avatar(table: Table, user: UserId, now: Millis) -> None:
    """Take the picture of a user away, and every one that was chosen before and is not there yet.

    Raises:
        Unauthenticated: there is no such user.
    """
    update = Update(set={"avatarAt": now}, remove=["avatar"])
    try:
        table.update(keys.profile(user), update, when=Exists("PK"))
    except ConditionFailed:
        raise errors.Unauthenticated from None


def delete(table: Table, user: User) -> None:
    """Remove the account itself and set its address free.

    Raises:
        Conflict: the account changed at the same time: look at it again.
    """
    causes.mark(table, keys.profile(user.id))
    actions: list[TransactAction] = [
        TransactDelete(keys.profile(user.id), _still("email", user.email))
    ]
    if user.email is not None:
        actions.append(TransactDelete(keys.email(user.email), Equals("user", user.id)))
    try:
        table.transact(actions)
    except TransactionCancelled:
        raise errors.Conflict from None


def _still(attribute: str, value: str | None) -> Condition:
    """Return the condition that an account exists and has this value, or has none."""
    if value is None:
        return AllOf((Exists("PK"), Absent(attribute)))
    return Equals(attribute, value)


def _claim(address: Key, user: UserId) -> TransactPut:
    return TransactPut({"PK": address.pk, "SK": address.sk, "user": user}, Absent("PK"))
