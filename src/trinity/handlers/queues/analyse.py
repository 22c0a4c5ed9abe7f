"""Keep what reports are made of, as things happen.

Each room of a batch is written and counted up once, and then everything that follows from it is
written anew: how it counts for its day, and what those vote for who have just voted. See
`store/reports.py` for why neither order nor repetition matters.
"""

from trinity.bootstrap import worker
from trinity.domain.domain_events import (
    DomainEvent,
    MatchFound,
    MemberJoined,
    RoomOpened,
    Vote,
    VoteCast,
)
from trinity.domain.ids import RoomId
from trinity.domain.reports import taste
from trinity.ports import Blobs, Clock, Table
from trinity.store import decks, reports, rooms


class NotOpenedYet(Exception):
    """Votes have come before the news of their room, whose deck is not known; they come again."""


class _News:
    """What a batch has on one room."""

    def __init__(self) -> None:
        self.votes: list[Vote] = []
        self.facts: list[RoomOpened | MemberJoined | MatchFound] = []


def analyse(events: list[DomainEvent], *, table: Table, blobs: Blobs, clock: Clock) -> None:
    """Take in some events; once more, or in another order, does no harm.

    Raises:
        NotOpenedYet: the deck of a room is not known. All others are done.
    """
    by_room: dict[RoomId, _News] = {}
    for event in events:
        match event.fact:
            case VoteCast(room_id=room, votes=votes):
                by_room.setdefault(room, _News()).votes += votes
            case RoomOpened(room_id=room) | MemberJoined(room_id=room) | MatchFound(room_id=room):
                by_room.setdefault(room, _News()).facts.append(event.fact)
    early = [room for room, news in by_room.items() if not _learn(table, blobs, clock, room, news)]
    if early:
        raise NotOpenedYet(f"votes of {len(early)} rooms came early")


def _learn(table: Table, blobs: Blobs, clock: Clock, room: RoomId, news: _News) -> bool:
    """Take in what a batch has on a room; tell whether its deck is known, if it is needed."""
    now = clock.now()
    for vote in news.votes:
        reports.record_vote(table, room, vote, now)
    summary = reports.count_up(table, room, news.facts, now)
    cast = reports.tallies(table, room, consistent=True)
    reports.put_day(table, room, summary, sum(len(votes) for votes in cast.values()))
    voters = {vote.user_id for vote in news.votes}
    if not voters:
        return True
    deck = summary.deck
    if deck is None:
        opened = rooms.find(table, room)
        if opened is None:
            return False
        deck = opened.deck
    try:
        titles = decks.load(blobs, deck).by_id
    except KeyError:  # removed with its room: what was known of it before is better
        titles = {}
    for user in voters:
        mine = taste(reports.votes_of(cast, room, user), titles)
        reports.put_taste(table, room, user, mine, summary.rev, anew=not titles)
    return True


handler = worker(analyse)
