"""Keep what reports are made of, as things happen.

Each room of a batch is written once: its book, how it counts for its day, and what those vote for
who have just voted. See `store/reports.py` for why neither order nor repetition matters.
"""

from itertools import islice

from trinity.bootstrap import worker
from trinity.domain.domain_events import (
    DomainEvent,
    MatchFound,
    MemberJoined,
    RoomOpened,
    Vote,
    VoteCast,
)
from trinity.domain.errors import Conflict
from trinity.domain.ids import RoomId, UserId
from trinity.domain.reports import Taste, taste
from trinity.ports import Blobs, Clock, Table
from trinity.store import decks, reports, rooms, users
from trinity.store.reports import MOST_VOTERS, Book


class NotOpenedYet(Exception):
    """Votes have come before the news of their room, whose deck is not known; they come again."""


class _News:
    """What a batch has on one room."""

    def __init__(self) -> None:
        self.facts: list[RoomOpened | MemberJoined | MatchFound] = []
        self.votes: dict[UserId, list[Vote]] = {}


def analyse(events: list[DomainEvent], *, table: Table, blobs: Blobs, clock: Clock) -> None:
    """Take in some events; once more, or in another order, does no harm.

    Raises:
        NotOpenedYet: the deck of a room is not known. All others are done.
        Conflict: others wrote the same room again and again.
    """
    by_room: dict[RoomId, _News] = {}
    for event in events:
        match event.fact:
            case VoteCast(room_id=room, votes=votes):
                news = by_room.setdefault(room, _News())
                for vote in votes:
                    news.votes.setdefault(vote.user_id, []).append(vote)
            case RoomOpened(room_id=room) | MemberJoined(room_id=room) | MatchFound(room_id=room):
                by_room.setdefault(room, _News()).facts.append(event.fact)
    early = 0
    for room, news in by_room.items():
        try:
            _learn(table, blobs, clock, room, news)
        except NotOpenedYet:
            early += 1
    if early:
        raise NotOpenedYet(f"votes of {early} rooms came early")


def _learn(table: Table, blobs: Blobs, clock: Clock, room: RoomId, news: _News) -> None:
    """Take in what a batch has on a room."""
    voters = iter(news.votes)
    some = list(islice(voters, MOST_VOTERS))
    while True:
        _write(table, blobs, clock, room, news, some)
        some = list(islice(voters, MOST_VOTERS))
        if not some:
            return


def _write(
    table: Table, blobs: Blobs, clock: Clock, room: RoomId, news: _News, voters: list[UserId]
) -> None:
    votes = [vote for user in voters for vote in news.votes[user]]
    for _ in range(rooms.ATTEMPTS):
        old = reports.book(table, room, consistent=True)
        new = old.learn(room, news.facts, votes)
        if new is old:
            return
        tastes = _tastes(table, blobs, room, old, new, voters)
        if reports.put(table, room, old, new, tastes, clock.now()):
            return
    raise Conflict


def _tastes(
    table: Table, blobs: Blobs, room: RoomId, old: Book, new: Book, voters: list[UserId]
) -> dict[UserId, Taste]:
    """Return what those vote for who have accounts and new votes.

    Raises:
        NotOpenedYet: it is not known of which titles.
    """
    names = {user: reports.known_as(room, user) for user in voters}
    changed = [user for user in voters if new.pages[names[user]] != old.pages.get(names[user])]
    if not changed:
        return {}
    deck = new.deck
    if deck is None:
        opened = rooms.find(table, room)
        if opened is None:
            raise NotOpenedYet(f"the room {room}")
        deck = opened.deck
    try:
        titles = decks.load(blobs, deck).by_id
    except KeyError:  # removed with its room
        titles = {}
    return {
        user: taste({t: cast.choice for t, cast in new.votes(names[user]).items()}, titles)
        for user in changed
        if users.find(table, user) is not None
        # What was known while the deck was there is better than nothing.
        and (titles or not reports.has_taste(table, room, user))
    }


handler = worker(analyse)
