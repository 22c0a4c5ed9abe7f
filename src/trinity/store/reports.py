"""What is kept for reports, made of domain events alone, by `handlers/queues/analyse.py`.

A tally holds the newest vote of each member on a title, with its time: an entry is replaced only by
one of a larger `rev`, so it does not matter in which order votes are told, nor how often. A summary
holds what only ever comes to a room, and its `rev` counts the batches that were written. Whoever
has counted up reads everything, and writes what follows from it on condition that nobody who
counted further was there before: the last one has seen all.

Members are known here by a hash of room and user, which leads nowhere once the account is gone. So
nothing here has to be found when a room or an account is removed; it goes when it expires.
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from trinity.domain.consensus import Choice
from trinity.domain.domain_events import MatchFound, MemberJoined, RoomOpened, Vote
from trinity.domain.ids import DAY, BlobId, Millis, RoomId, TitleId, UserId, utc_day
from trinity.domain.reports import Cast, RoomOfDay, Taste
from trinity.ports import (
    Absent,
    AnyOf,
    ConditionFailed,
    Exists,
    Item,
    Less,
    Path,
    Table,
    TransactCheck,
    TransactionCancelled,
    TransactPut,
    Update,
    Value,
)
from trinity.store import keys

KEPT_FOR = Millis(90 * DAY)
"""From the last change on: longer than a room lives, and longer than events may come late."""
DAYS_KEPT_FOR = Millis(400 * DAY)

_VOTE, _MEMBER, _MATCH = "v:", "m:", "f:"


class Summary(NamedTuple):
    """What is known of a room.

    Attributes:
        rev: number of batches that were written so far.
        members: how many people ever joined.
        matched_at: when the first match was found.
        opened_at, deck: None as long as its `RoomOpened` has not come.
    """

    rev: int
    members: int
    matched_at: Millis | None
    opened_at: Millis | None
    deck: BlobId | None


Tallies = Mapping[TitleId, Mapping[str, Cast]]
"""The votes that stand, by title and by `known_as`."""


def known_as(room: RoomId, user: UserId) -> str:
    """Return what a user is called in what is kept of a room."""
    return hashlib.blake2s(f"{room} {user}".encode(), digest_size=8).hexdigest()


def record_vote(table: Table, room: RoomId, vote: Vote, now: Millis) -> None:
    """Keep a vote, unless a newer one of the same member on the same title is known."""
    name = _VOTE + known_as(room, vote.user_id)
    entry = {"choice": vote.choice or "", "rev": vote.rev, "at": vote.at}
    with suppress(ConditionFailed):
        table.update(
            keys.tally(room, vote.title_id),
            Update(set={name: entry, "expires": (now + KEPT_FOR) // 1000}),
            when=AnyOf((Absent(name), Less((name, "rev"), vote.rev))),
        )


def count_up(
    table: Table,
    room: RoomId,
    facts: Iterable[RoomOpened | MemberJoined | MatchFound],
    now: Millis,
) -> Summary:
    """Keep what has come to a room, and return all that is known of it; votes come first."""
    learned: dict[Path, Value] = {"expires": (now + KEPT_FOR) // 1000}
    for fact in facts:
        match fact:
            case RoomOpened():
                learned |= {"openedAt": fact.at, "deck": fact.deck}
            case MemberJoined():
                learned[_MEMBER + known_as(room, fact.user_id)] = True
            case MatchFound():
                learned[_MATCH + fact.title_id] = fact.at
    item = table.update(keys.summary(room), Update(set=learned, add={"rev": 1}))
    return _summary(item)


def _summary(item: Item) -> Summary:
    matched = [at for name, at in item.items() if name.startswith(_MATCH)]
    return Summary(
        rev=item["rev"],
        members=sum(name.startswith(_MEMBER) for name in item),
        matched_at=min(matched, default=None),
        opened_at=item.get("openedAt"),
        deck=item.get("deck"),
    )


def tallies(table: Table, room: RoomId, *, consistent: bool = False) -> Tallies:
    """Return the votes that stand in a room."""
    page = table.query(keys.report_pk(room), prefix=keys.TALLY, consistent=consistent)
    return {TitleId(i["SK"].removeprefix(keys.TALLY)): _standing(i) for i in page.items}


def _standing(item: Item) -> dict[str, Cast]:
    return {
        name.removeprefix(_VOTE): Cast(entry["at"], entry["choice"])
        for name, entry in item.items()
        if name.startswith(_VOTE) and entry["choice"]
    }


def votes_of(cast: Tallies, room: RoomId, user: UserId) -> dict[TitleId, Choice]:
    """Return what a user says in a room."""
    name = known_as(room, user)
    return {title: votes[name].choice for title, votes in cast.items() if name in votes}


# ------------------------------------------------------------------------ what follows from them


def put_day(table: Table, room: RoomId, summary: Summary, votes: int) -> None:
    """Let a room count for the day on which it was opened, once that is known."""
    if summary.opened_at is None:
        return
    key = keys.room_of_day(utc_day(summary.opened_at), room)
    shown = RoomOfDay(summary.opened_at, summary.members, votes, summary.matched_at)
    item = {
        "PK": key.pk,
        "SK": key.sk,
        "rev": summary.rev,
        **msgspec.to_builtins(shown),
        "expires": (summary.opened_at + DAYS_KEPT_FOR) // 1000,
    }
    with suppress(ConditionFailed):
        table.put(item, when=AnyOf((Absent("PK"), Less("rev", summary.rev))))


def of_day(table: Table, date: str) -> list[RoomOfDay]:
    """Return the rooms that were opened on a day like `2026-11-25`."""
    page = table.query(keys.day_pk(date))
    return [msgspec.convert(item, RoomOfDay) for item in page.items]


def put_taste(
    table: Table, room: RoomId, user: UserId, taste: Taste, rev: int, *, anew: bool
) -> None:
    """Keep what a user votes for in a room, as long as there is such an account.

    Args:
        table: the table.
        room: the room.
        user: whose taste.
        taste: all of it that the room shows.
        rev: of the summary that it was seen with.
        anew: only if there is nothing yet.
    """
    key = keys.taste(user, room)
    item = {"PK": key.pk, "SK": key.sk, "rev": rev, **msgspec.to_builtins(taste)}
    newer = Absent("PK") if anew else AnyOf((Absent("PK"), Less("rev", rev)))
    with suppress(TransactionCancelled):
        table.transact(
            [
                TransactPut(_plain(item), newer),
                TransactCheck(keys.profile(user), Exists("PK")),
            ]
        )


def tastes_of(table: Table, user: UserId) -> list[Taste]:
    """Return what a user votes for, room by room."""
    page = table.query(keys.user_pk(user), prefix=keys.TASTE)
    return [msgspec.convert(item, Taste) for item in page.items]


def _plain(value: Any) -> Any:
    """Return a value with lists where it has tuples."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
