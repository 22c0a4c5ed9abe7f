"""Putting together what a member sees of a room."""

from trinity.common.shapes import RoomShape
from trinity.domain.decks import progress
from trinity.domain.ids import Millis
from trinity.domain.rooms import Room
from trinity.ports import Table
from trinity.store import ballots, matches, presence


def room_shape(table: Table, room: Room, *, now: Millis, base_url: str) -> RoomShape:
    """Return the shape of a room with its matches, how far everybody is, and who is here."""
    votes = [ballot.votes for ballot in ballots.of_room(table, room.id).values()]
    return RoomShape.of(
        room,
        matches.of_room(table, room),
        progress(votes, room.members),
        presence.online(table, room, now),
        now=now,
        base_url=base_url,
    )
