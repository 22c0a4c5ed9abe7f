"""Remove my account."""

from contextlib import suppress

from trinity.bootstrap import operation
from trinity.common.requests import Caller
from trinity.domain import errors
from trinity.domain.ids import RoomId, UserId
from trinity.ports import Blobs, Cache, Clock, Key, Table
from trinity.store import ballots, decks, keys, matches, rooms, sessions, users


def delete_me(caller: Caller, *, table: Table, cache: Cache, blobs: Blobs, clock: Clock) -> None:
    """Remove the caller's account, sessions, memberships and votes.

    The account goes last: should this break off, doing it again finishes it.
    """
    user = users.find(table, caller.user_id)
    if user is None:
        return
    sessions.end_all(table, user.id)
    for pointer in rooms.of_user(table, user.id)[0]:
        _leave_no_trace(table, cache, blobs, pointer.room_id, user.id, clock)
        table.delete(Key(keys.user_pk(user.id), pointer.sort_key))
    users.delete(table, user)


def _leave_no_trace(
    table: Table, cache: Cache, blobs: Blobs, room_id: RoomId, user: UserId, clock: Clock
) -> None:
    with suppress(errors.NotAMember, errors.RoomNotFound):
        rooms.remove_member(table, cache, room_id, user)
    for ballot in ballots.of_room(table, room_id, consistent=True).values():
        if user in ballot.votes:
            ballots.undo(table, room_id, ballot.title_id, user)
    rooms.erase_member(table, cache, room_id, user)
    room = rooms.find(table, room_id)
    if room is not None:  # those who stay may agree now
        deck = decks.load(blobs, room.deck)
        matches.record_all(table, cache, room_id, deck.title, clock.now())


handler = operation(delete_me, status=204)
