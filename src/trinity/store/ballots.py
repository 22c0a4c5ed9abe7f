"""Votes in the table: one item per title, one attribute per voter.

A vote is one write. It sets the voter's own attribute, so votes of different people never touch
each other's, repeating one changes nothing, and the write returns the ballot as it is at that very
moment. `replaced` holds what the newest write took the place of; `rev` counts the writes, so that a
match can be recorded only if the ballot is still the one that was looked at.
"""

from collections.abc import Mapping
from typing import cast as as_type

import msgspec

from trinity.domain.consensus import Choice
from trinity.domain.ids import RoomId, TitleId, UserId
from trinity.ports import ConditionFailed, Exists, Item, Old, Table, Update
from trinity.store import keys

_VOTE = "v:"


class Ballot(msgspec.Struct, frozen=True):
    """The votes on one title at one moment.

    Attributes:
        replaced: the earlier vote that the newest write changed, None if there was none.
        rev: number of writes so far.
    """

    title_id: TitleId
    votes: Mapping[UserId, Choice]
    replaced: Choice | None
    rev: int


def from_item(item: Item) -> Ballot:
    """Return the ballot that lies in an item."""
    skip = len(_VOTE)
    return Ballot(
        keys.title_id(item["SK"]),
        {UserId(name[skip:]): vote for name, vote in item.items() if name.startswith(_VOTE)},
        as_type("Choice | None", item["replaced"] or None),
        item["rev"],
    )


def newcomers(after: Item | None, before: Item | None) -> list[UserId]:
    """Return who has a vote in one state of a ballot and none in another; None: no ballot."""
    names = (after or {}).keys() - (before or {}).keys()
    return [UserId(name[len(_VOTE) :]) for name in names if name.startswith(_VOTE)]


def changed(after: Item, before: Item | None) -> list[tuple[UserId, Choice | None]]:
    """Return whose votes differ in two states of a ballot, and what they are after it."""
    old = before or {}
    names = [name for name in after if name.startswith(_VOTE) and after[name] != old.get(name)]
    gone = [name for name in old if name.startswith(_VOTE) and name not in after]
    return [(UserId(name[len(_VOTE) :]), after[name]) for name in names] + [
        (UserId(name[len(_VOTE) :]), None) for name in gone
    ]


def rev(item: Item) -> int:
    """Return the number of writes of a ballot."""
    number: int = item["rev"]
    return number


def cast(
    table: Table, room: RoomId, title: TitleId, user: UserId, choice: Choice, *, expires: int
) -> Ballot:
    """Set somebody's vote on a title, and return the ballot as it is right after.

    Args:
        table: the table.
        room: the room; whether the user may vote there is the caller's to know.
        title: a title of its deck.
        user: whose vote.
        choice: the vote.
        expires: when the ballot may be removed, in seconds since 1970.
    """
    mine = _VOTE + user
    update = Update(
        set={mine: choice, "replaced": Old(mine, ""), "expires": expires}, add={"rev": 1}
    )
    return from_item(table.update(keys.ballot(room, title), update))


def undo(table: Table, room: RoomId, title: TitleId, user: UserId) -> Ballot | None:
    """Take somebody's vote on a title back; return the ballot, None if there was no such vote."""
    mine = _VOTE + user
    update = Update(set={"replaced": Old(mine, "")}, add={"rev": 1}, remove=[mine])
    try:
        return from_item(table.update(keys.ballot(room, title), update, when=Exists(mine)))
    except ConditionFailed:
        return None


def find(table: Table, room: RoomId, title: TitleId) -> Ballot | None:
    """Return the ballot on a title as it is now."""
    item = table.get(keys.ballot(room, title), consistent=True)
    return from_item(item) if item is not None else None


def of_room(table: Table, room: RoomId, *, consistent: bool = False) -> dict[TitleId, Ballot]:
    """Return all ballots of a room by title."""
    page = table.query(keys.room_pk(room), prefix=keys.BALLOT, consistent=consistent)
    return {ballot.title_id: ballot for ballot in map(from_item, page.items)}
