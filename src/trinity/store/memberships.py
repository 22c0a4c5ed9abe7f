"""What rooms know of a user, kept in step with the account.

Rooms show name and picture of each member, and accounts come and go; the two lie in different
partitions. The order is the one of votes and rooms: write mine, then read theirs. Whoever changes
the account then looks through its rooms; whoever joins a room then looks at the account once more.
Should a process die between the two, `streams/publish` finds the change of the account and does the
rest.
"""

from contextlib import suppress

from trinity.domain import errors
from trinity.domain.ids import RoomId, UserId
from trinity.domain.rooms import Room, called_after
from trinity.ports import Cache, Key, Path, Table, Value
from trinity.store import ballots, keys, rooms, sessions, users


def show_profile(table: Table, cache: Cache, user: UserId) -> None:
    """Let every room of a user show name and picture of the profile."""
    for pointer in rooms.of_user(table, user)[0]:
        show_profile_in(table, cache, pointer.room_id, user)


def show_profile_in(table: Table, cache: Cache, room_id: RoomId, user: UserId) -> bool:
    """Let a room show name and picture of the profile; tell whether there is such an account.

    The profile is read again after each write of the room, so of two that rename at once the one
    that is late does not leave the older name.
    """
    while (profile := users.find(table, user)) is not None:
        room = rooms.find(table, room_id, consistent=True)
        member = room.members.get(user) if room is not None else None
        shown = {"name": profile.name, "avatar": profile.shown_avatar}
        if member is None or (member.name, member.avatar) == (profile.name, profile.shown_avatar):
            return True
        rooms.show_member(table, cache, room_id, user, shown)
    return False


def erase(table: Table, cache: Cache, user: UserId) -> list[RoomId]:
    """Remove what is left of an account that is gone: sessions, memberships, votes.

    Returns:
        The rooms that the user was in: those who stay may agree now.
    """
    sessions.end_all(table, user)
    left = []
    for pointer in rooms.of_user(table, user)[0]:
        erase_in(table, cache, pointer.room_id, user)
        left.append(pointer.room_id)
    for item in table.query(keys.user_pk(user), consistent=True).items:
        table.delete(Key(item["PK"], item["SK"]))
    return left


def erase_in(table: Table, cache: Cache, room_id: RoomId, user: UserId) -> None:
    """Remove a user from a room: membership and votes at once.

    What is written already, events and matches, is gone through by `forget_gone` later, when the
    change feed has told of this, too. The note on that comes first, so it is not lost.
    """
    key = keys.gone(room_id, user)
    table.put({"PK": key.pk, "SK": key.sk, "room": room_id, "user": user, "looks": 0})
    _call_otherwise(table, cache, room_id, user)
    with suppress(errors.NotAMember, errors.RoomNotFound):
        rooms.remove_member(table, cache, room_id, user)
    for ballot in ballots.of_room(table, room_id, consistent=True).values():
        if user in ballot.votes:
            ballots.undo(table, room_id, ballot.title_id, user)
    rooms.erase_member(table, cache, room_id, user)
    room = rooms.find(table, room_id)
    if room is not None:
        table.delete(keys.my_room(user, room.created_at, room_id))


def _call_otherwise(table: Table, cache: Cache, room_id: RoomId, user: UserId) -> None:
    """Give a room that is called after somebody who goes for good another name."""

    def decide(room: Room) -> dict[Path, Value] | None:
        member = room.members.get(user)
        named = member is not None and room.name == called_after(member.name)
        return {"name": "Our room"} if named else None

    with suppress(errors.RoomNotFound):
        rooms.change(table, cache, room_id, decide)
