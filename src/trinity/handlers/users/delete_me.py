"""Remove my account."""

from contextlib import suppress

from trinity.bootstrap import operation
from trinity.common.requests import Caller
from trinity.domain import errors
from trinity.ports import Blobs, Cache, Clock, Table
from trinity.store import decks, matches, memberships, rooms, users


def delete_me(caller: Caller, *, table: Table, cache: Cache, blobs: Blobs, clock: Clock) -> None:
    """Remove the caller's account, sessions, memberships and votes.

    The account goes first, so nothing new can come to it. Should this break off, the change feed
    sees to the rest; doing it again finishes it too.
    """
    while (user := users.find(table, caller.user_id)) is not None:
        with suppress(errors.Conflict):  # it changed at this moment: look again
            users.delete(table, user)
    for room_id in memberships.erase(table, cache, caller.user_id):
        room = rooms.find(table, room_id, consistent=True)
        if room is not None:  # those who stay may agree now
            deck = decks.load(blobs, room.deck)
            matches.record_all(table, cache, room_id, deck.title, clock.now())


handler = operation(delete_me, status=204)
