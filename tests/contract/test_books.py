"""What is kept for reports lies in every kind of table alike."""

import pytest

from tests.fakes import NOON, MemoryBlobs
from trinity.domain.domain_events import MatchFound, MemberJoined, RoomOpened, Vote
from trinity.domain.ids import utc_day
from trinity.domain.reports import RoomOfDay, taste
from trinity.domain.titles import Title
from trinity.domain.users import User
from trinity.ports import Table
from trinity.store import decks, reports, users
from trinity.store.reports import Entry

ROOM, ANA, BEN = "r1", "u1", "u2"
FILM = Title(id="t:movie:1", title="Heat", media_type="movie", genres=("Crime",), year=1995)


def vote(user: str, choice: str | None, rev: int) -> Vote:
    return Vote(title_id=FILM.id, user_id=user, choice=choice, rev=rev, at=NOON + rev)


def test_a_book_comes_back_as_it_was_written(table: Table) -> None:
    users.create_guest(table, User(id=ANA, name="Ana", created_at=NOON))
    deck = decks.store(MemoryBlobs(), (FILM,))
    opened = RoomOpened(
        room_id=ROOM, host_id=ANA, rule="unanimous", deck=deck, deck_size=1, secret=True, at=NOON
    )
    joined = [MemberJoined(room_id=ROOM, user_id=u, room_version=1) for u in (ANA, BEN)]
    empty = reports.book(table, ROOM, consistent=True)
    first = empty.learn(ROOM, [opened, *joined], [vote(ANA, "yes", 1), vote(BEN, None, 2)])
    mine = taste({FILM.id: "yes"}, {FILM.id: FILM})
    assert reports.put(table, ROOM, empty, first, {ANA: mine}, NOON)
    assert not reports.put(table, ROOM, empty, first, {}, NOON), "somebody has written it meanwhile"

    read = reports.book(table, ROOM, consistent=True)
    assert (read.rev, read.opened_at, read.deck, len(read.members)) == (1, NOON, deck, 2)
    assert read.pages == {
        reports.known_as(ROOM, ANA): {FILM.id: Entry("yes", 1, NOON + 1)},
        reports.known_as(ROOM, BEN): {FILM.id: Entry(None, 2, NOON + 2)},
    }
    assert reports.tastes_of(table, ANA) == [mine]
    assert reports.of_day(table, utc_day(NOON)) == [RoomOfDay(NOON, 2, 1)]

    found = MatchFound(
        room_id=ROOM, title_id=FILM.id, title="Heat", user_ids=(ANA, BEN), rule="share", at=NOON + 9
    )
    assert read.learn(ROOM, [opened, *joined], [vote(ANA, "no", 1)]) is read, "nothing is news"
    second = read.learn(ROOM, [found], [vote(BEN, "super", 3)])
    assert reports.put(table, ROOM, read, second, {}, NOON)
    assert reports.of_day(table, utc_day(NOON)) == [RoomOfDay(NOON, 2, 2, NOON + 9)]
    assert reports.book(table, ROOM, consistent=True).matches == {FILM.id: NOON + 9}


@pytest.mark.parametrize("there", [True, False])
def test_a_taste_is_kept_for_who_has_an_account_alone(table: Table, there: bool) -> None:
    if there:
        users.create_guest(table, User(id=ANA, name="Ana", created_at=NOON))
    empty = reports.book(table, ROOM)
    new = empty.learn(ROOM, [], [vote(ANA, "yes", 1)])
    assert reports.put(table, ROOM, empty, new, {ANA: taste({FILM.id: "yes"}, {})}, NOON) == there
    assert len(reports.tastes_of(table, ANA)) == there
