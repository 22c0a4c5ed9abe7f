"""Matches in the table.

The order that never misses a match: write mine, then read theirs. A vote writes its ballot and then
reads the room; whoever leaves, joins, is put out or changes the rule writes the room and then reads
the ballots. Whichever of two such writes lands last sees the other one, so an agreement that both
make together is seen by at least one of them.

The order that never makes two: a match is recorded by one transaction that finds no match of the
title, the room at the version and the ballot at the revision that were looked at. So a recorded
match was true at the moment it was recorded, and it decides the room in the same instant.

Should a process die between the two steps, `streams/publish` finds the agreement in the change
feed and records it.
"""

from collections.abc import Callable, Iterable

import msgspec

from trinity.domain import errors
from trinity.domain.consensus import agreement, kind
from trinity.domain.ids import Millis, RoomId, TitleId, UserId
from trinity.domain.rooms import LatestMatch, Match, Room, newest_first
from trinity.domain.titles import Title
from trinity.ports import (
    Absent,
    AllOf,
    Cache,
    Equals,
    Item,
    Path,
    Table,
    TransactCheck,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
    Value,
)
from trinity.store import ballots, keys, rooms
from trinity.store.ballots import Ballot


def from_item(item: Item) -> Match:
    """Return the match that lies in an item."""
    return msgspec.convert(item, Match)


def of_room(table: Table, room: Room) -> list[Match]:
    """Return the matches of a room, newest first; a room that has none costs nothing."""
    if room.match_count == 0:
        return []
    page = table.query(keys.room_pk(room.id), prefix=keys.MATCH, consistent=True)
    return newest_first([from_item(item) for item in page.items])


def agreed(room: Room, ballot: Ballot) -> tuple[UserId, ...] | None:
    """Return who agrees on a title by the rule of a room, None if that is not enough."""
    return agreement(room.rule, ballot.votes, room.present, room.eased)


def only_counted(old: Item, new: Item) -> bool:
    """Tell whether a write of a room was that of a match, and did not decide it.

    Such a write changes nothing else (see `_recording`), and each match has an item of its own
    that tells more. Rooms of a hundred need not be compared then.
    """
    counted: bool = old["matchCount"] != new["matchCount"] and old["state"] == new["state"]
    return counted


def record(
    table: Table,
    cache: Cache,
    room_id: RoomId,
    looked_at: Iterable[Ballot],
    title_of: Callable[[TitleId], Title],
    now: Millis,
) -> list[Match]:
    """Record every agreement among these ballots, in their order, while the room is open.

    To be called after a write: the room is read here, and not before.

    Args:
        table: the table.
        cache: forgets what it knew about the room when this decides it.
        room_id: the room.
        looked_at: ballots as they were at or after the write that led here.
        title_of: the title of an id, for the match to carry.
        now: the time that the match will bear.

    Returns:
        The matches of these titles, those included that somebody else recorded first.

    Raises:
        Conflict: others wrote the same room and ballots again and again; nothing is lost, and
            repeating the operation tries again.
    """
    pending = list(looked_at)
    found: list[Match] = []
    room = rooms.find(table, room_id, consistent=True) if pending else None
    attempts = 0
    while room is not None and pending:
        ballot = pending[0]
        agreeing = agreed(room, ballot)
        if agreeing is None:
            pending.pop(0)
            continue
        already = table.get(keys.match(room_id, ballot.title_id), consistent=True)
        if already is not None:
            found.append(from_item(already))
            pending.pop(0)
            continue
        if room.state_at(now) != "open":
            # Somebody else's match decided the room: it may be on one of these titles.
            titles = {one.title_id for one in pending}
            return found + [m for m in of_room(table, room) if m.title_id in titles]
        match = Match(
            title_id=ballot.title_id,
            title=title_of(ballot.title_id),
            at=now,
            user_ids=agreeing,
            kind=kind(room.rule),
        )
        try:
            table.transact(_recording(room, ballot, match))
        except TransactionCancelled:
            attempts += 1
            if attempts == rooms.ATTEMPTS:
                raise errors.Conflict from None
            newer = ballots.find(table, room_id, ballot.title_id)
            if newer is not None:
                pending[0] = newer
        else:
            found.append(match)
            pending.pop(0)
            if _decides(room):
                rooms.forget(cache, room_id)
        room = rooms.find(table, room_id, consistent=True) if pending else None
    return found


def record_all(
    table: Table,
    cache: Cache,
    room_id: RoomId,
    title_of: Callable[[TitleId], Title],
    now: Millis,
) -> list[Match]:
    """Record every agreement of a room whose members or rule have just been written."""
    cast = ballots.of_room(table, room_id, consistent=True)
    return record(table, cache, room_id, cast.values(), title_of, now)


def _decides(room: Room) -> bool:
    """Tell whether the next match decides the room."""
    return room.decide_at is not None and room.match_count + 1 >= room.decide_at


def _recording(
    room: Room, ballot: Ballot, match: Match
) -> list[TransactPut | TransactUpdate | TransactCheck]:
    key = keys.match(room.id, match.title_id)
    latest = LatestMatch(match.title_id, match.title.title, match.at)
    changes: dict[Path, Value] = {"latestMatch": msgspec.to_builtins(latest)}
    if _decides(room):
        changes["state"] = "decided"
    return [
        TransactPut(
            {
                "PK": key.pk,
                "SK": key.sk,
                **msgspec.to_builtins(match),
                "expires": rooms.expires(room),
            },
            Absent("PK"),
        ),
        TransactUpdate(
            keys.room(room.id),
            Update(set=changes, add={"matchCount": 1, "version": 1}),
            AllOf((Equals("version", room.version), Equals("state", "open"))),
        ),
        TransactCheck(keys.ballot(room.id, ballot.title_id), Equals("rev", ballot.rev)),
    ]
