"""Who is in a room just now: a lease for each member, in the table.

AppSync tells nobody when a subscription or its socket ends, so presence rests on what clients do:
following a room and reading its events takes a lease, or renews it, and a lease that is not renewed
ends by itself. Nothing counts connections: a process that dies or a phone in a tunnel leaves
nothing behind but a lease that ends, and several devices of one member share one.

A lease is an item. Renewing it changes the item; only one that comes or goes is news, and the
change feed carries no other. So a lease that has ended is removed before its member takes a new
one, and by whoever else renews next: everybody who could see that somebody is gone renews himself.
"""

from collections.abc import Mapping
from contextlib import suppress

from trinity.domain.ids import Millis, RoomId, UserId
from trinity.domain.rooms import Room
from trinity.ports import ConditionFailed, Equals, Table
from trinity.store import keys

LEASE = Millis(45_000)
"""How long a sign of life holds: two may be lost of those who give one every 15 seconds."""

RENEW_AFTER = Millis(15_000)
"""A lease that is younger is left alone, however often its member asks."""


def note(table: Table, room: Room, user: UserId, now: Millis) -> frozenset[UserId]:
    """Note that a member is in the room now; return who is.

    Costs a query; and a write, but no more often than every `RENEW_AFTER`.
    """
    leases = _leases(table, room.id)
    if leases.get(user, 0) <= now + LEASE - RENEW_AFTER:
        for one, until in leases.items():
            if until <= now:
                # Unless it was renewed meanwhile.
                with suppress(ConditionFailed):
                    table.delete(keys.here(room.id, one), when=Equals("until", until))
        key, until = keys.here(room.id, user), Millis(now + LEASE)
        table.put({"PK": key.pk, "SK": key.sk, "until": until, "expires": until // 1000 + 1})
        leases = {**leases, user: until}
    return _online(room, leases, now)


def online(table: Table, room: Room, now: Millis, *, consistent: bool = False) -> frozenset[UserId]:
    """Return which of the active members are in the room now."""
    return _online(room, _leases(table, room.id, consistent=consistent), now)


def end(table: Table, room: RoomId, user: UserId) -> None:
    """Note that somebody is not in the room any more."""
    table.delete(keys.here(room, user))


def _leases(table: Table, room: RoomId, *, consistent: bool = False) -> Mapping[UserId, Millis]:
    page = table.query(keys.room_pk(room), prefix=keys.HERE, consistent=consistent)
    return {UserId(item["SK"][len(keys.HERE) :]): Millis(item["until"]) for item in page.items}


def _online(room: Room, leases: Mapping[UserId, Millis], now: Millis) -> frozenset[UserId]:
    return frozenset(user for user, until in leases.items() if now < until) & room.present
