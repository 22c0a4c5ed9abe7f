"""What is kept for reports, made of domain events alone, by `handlers/queues/analyse.py`.

The book of a room holds the newest vote of each member on each title, with its time, and what has
come to the room. A vote is replaced only by one of a larger `rev`, and the rest only ever grows, so
it does not matter in which order events come, nor how often. The book, how the room counts for its
day, and what its voters vote for are written by one transaction, on condition that the book is
still the one that was read.

Members are known here by a hash of room and user, which leads nowhere once the account is gone. So
nothing here has to be found when a room or an account is removed; it goes when it expires. What
somebody votes for lies with his account, and goes with it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from trinity.domain.consensus import Choice
from trinity.domain.domain_events import MatchFound, MemberJoined, RoomOpened, Vote
from trinity.domain.ids import DAY, BlobId, Millis, RoomId, TitleId, UserId, utc_day
from trinity.domain.reports import Cast, RoomOfDay, Taste
from trinity.ports import (
    Absent,
    Equals,
    Exists,
    Item,
    Key,
    Table,
    TransactAction,
    TransactCheck,
    TransactionCancelled,
    TransactPut,
)
from trinity.store import keys

KEPT_FOR = Millis(90 * DAY)
"""From the last change on: longer than a room lives, and longer than events may come late."""
DAYS_KEPT_FOR = Millis(400 * DAY)

MOST_VOTERS = 30
"""Of one write: each takes three of the hundred actions of a transaction."""


class Entry(NamedTuple):
    """The newest vote of a member on a title; `choice` is None if it was taken back."""

    choice: Choice | None
    rev: int
    at: Millis


Page = dict[TitleId, Entry]
"""All votes of one member."""


class Book(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of a room.

    Attributes:
        rev: how often it was written.
        opened_at, deck: None as long as its `RoomOpened` has not come.
        members: everybody who ever joined, as `known_as`.
        matches: when each was found.
        pages: the votes of each member, as `known_as`; each lies in an item of its own.
    """

    rev: int = 0
    opened_at: Millis | None = None
    deck: BlobId | None = None
    members: tuple[str, ...] = ()
    matches: dict[TitleId, Millis] = {}
    pages: dict[str, Page] = {}

    def learn(
        self,
        room: RoomId,
        facts: Iterable[RoomOpened | MemberJoined | MatchFound],
        votes: Iterable[Vote],
    ) -> "Book":
        """Return the book with what is news to it; the same book if nothing is."""
        opened_at, deck = self.opened_at, self.deck
        members, matches, pages = set(self.members), dict(self.matches), dict(self.pages)
        for fact in facts:
            match fact:
                case RoomOpened():
                    opened_at, deck = fact.at, fact.deck
                case MemberJoined():
                    members.add(known_as(room, fact.user_id))
                case MatchFound():
                    matches[fact.title_id] = fact.at
        for vote in votes:
            name = known_as(room, vote.user_id)
            known = pages.get(name, {}).get(vote.title_id)
            if known is None or known.rev < vote.rev:
                entry = Entry(vote.choice, vote.rev, vote.at)
                pages[name] = {**pages.get(name, {}), vote.title_id: entry}
        new = Book(
            rev=self.rev,
            opened_at=opened_at,
            deck=deck,
            members=tuple(sorted(members)),
            matches=matches,
            pages=pages,
        )
        return self if new == self else new

    def votes(self, name: str) -> dict[TitleId, Cast]:
        """Return the votes of a member that stand."""
        page = self.pages.get(name, {})
        return {title: Cast(e.at, e.choice) for title, e in page.items() if e.choice}


def known_as(room: RoomId, user: UserId) -> str:
    """Return what a user is called in what is kept of a room."""
    return hashlib.blake2s(f"{room} {user}".encode(), digest_size=8).hexdigest()


def book(table: Table, room: RoomId, *, consistent: bool = False) -> Book:
    """Return all that is known of a room."""
    whole: Item = {}
    pages: dict[str, Page] = {}
    for item in table.query(keys.report_pk(room), consistent=consistent).items:
        if item["SK"].startswith(keys.TALLY):
            votes = {TitleId(title): Entry(*entry) for title, entry in item["votes"].items()}
            pages[item["SK"].removeprefix(keys.TALLY)] = votes
        else:
            whole = item
    return msgspec.structs.replace(msgspec.convert(whole, Book), pages=pages)


def put(
    table: Table,
    room: RoomId,
    old: Book,
    new: Book,
    tastes: Mapping[UserId, Taste],
    now: Millis,
) -> bool:
    """Write a book, and what follows from it; tell whether nobody else has written it meanwhile.

    Args:
        table: the table.
        room: the room.
        old: the book as it was read.
        new: the same with something new in it.
        tastes: what users vote for in the room, for those whose votes are new. They must have an
            account.
        now: the present time.
    """
    expires = (now + KEPT_FOR) // 1000
    unchanged = Equals("rev", old.rev) if old.rev else Absent("PK")
    summary = msgspec.to_builtins(msgspec.structs.replace(new, rev=old.rev + 1, pages={}))
    del summary["pages"]
    actions: list[TransactAction] = [
        TransactPut(_item(keys.summary(room), **summary, expires=expires), unchanged)
    ]
    for name, page in new.pages.items():
        if page != old.pages.get(name):
            votes = {title: list(entry) for title, entry in page.items()}
            actions.append(TransactPut(_item(keys.page(room, name), votes=votes, expires=expires)))
    if new.opened_at is not None:
        actions.append(TransactPut(_of_day(room, new, new.opened_at)))
    for user, taste in tastes.items():
        actions.append(TransactPut(_item(keys.taste(user, room), **msgspec.to_builtins(taste))))
        actions.append(TransactCheck(keys.profile(user), Exists("PK")))
    try:
        table.transact(actions)
    except TransactionCancelled:
        return False
    return True


def _item(key: Key, **attributes: Any) -> Item:
    return {"PK": key.pk, "SK": key.sk, **attributes}


def _of_day(room: RoomId, new: Book, opened_at: Millis) -> Item:
    shown = RoomOfDay(
        opened_at,
        len(new.members),
        sum(len(new.votes(name)) for name in new.pages),
        min(new.matches.values(), default=None),
    )
    return _item(
        keys.room_of_day(utc_day(opened_at), room),
        **msgspec.to_builtins(shown),
        expires=(opened_at + DAYS_KEPT_FOR) // 1000,
    )


def of_day(table: Table, date: str) -> list[RoomOfDay]:
    """Return the rooms that were opened on a day like `2026-11-25`."""
    page = table.query(keys.day_pk(date))
    return [msgspec.convert(item, RoomOfDay) for item in page.items]


def has_taste(table: Table, room: RoomId, user: UserId) -> bool:
    """Tell whether it is known what a user votes for in a room."""
    return table.get(keys.taste(user, room)) is not None


def opened_on(table: Table, date: str) -> list[RoomId]:
    """Return which rooms were opened on a day, those that are gone since included."""
    return [
        RoomId(item["SK"].removeprefix(keys.ROOM + "#"))
        for item in table.query(keys.day_pk(date)).items
    ]


def tastes_of(table: Table, user: UserId) -> list[Taste]:
    """Return what a user votes for, room by room."""
    page = table.query(keys.user_pk(user), prefix=keys.TASTE)
    return [msgspec.convert(item, Taste) for item in page.items]
