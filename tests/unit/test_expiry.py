"""A room takes votes for a week, and is kept for sixty days."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import World, title_id
from trinity.common.shapes import rfc3339
from trinity.domain.consensus import AtLeast
from trinity.domain.errors import RoomClosed
from trinity.domain.ids import DAY
from trinity.domain.rooms import KEPT_FOR, OPEN_FOR
from trinity.handlers.rooms.get import GetRoom, get_room
from trinity.handlers.rooms.list import ListRooms, list_rooms
from trinity.handlers.votes.results import GetResults, get_results


class Evening(World):
    """A host and a guest in a room of three films; both have voted, and a third one may come."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.host, self.friend, self.late = (self.guest(name) for name in ("Ana", "Ben", "Cleo"))
        self.opened = self.create(self.host)
        self.room: str = self.opened.id
        self.join(self.friend, self.opened.code)
        self.vote(self.host, self.room, 0, "yes")
        self.vote(self.friend, self.room, 0, "no")

    def look(self) -> Any:
        return self.call(get_room, GetRoom(room_id=self.room), self.host)

    def listed(self) -> Any:
        return self.call(list_rooms, ListRooms(), self.friend).items[0]

    def results(self) -> Any:
        return self.call(get_results, GetResults(room_id=self.room), self.friend)

    def set_open(self) -> Any:
        return self.update(self.host, self.room, state="open")


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path)
    yield evening
    evening.store.close()


@pytest.fixture
def expired(evening: Evening) -> Evening:
    evening.clock.advance(OPEN_FOR)
    return evening


def test_a_room_is_open_for_a_week_and_then_expired(evening: Evening) -> None:
    assert evening.opened.expires_at == rfc3339(evening.clock.time + 7 * DAY)
    evening.clock.advance(7 * DAY - 1)
    assert (evening.look().state, evening.listed().state) == ("open", "open")
    evening.clock.advance(1)
    assert (evening.look().state, evening.listed().state) == ("expired", "expired")


def test_an_expired_room_takes_neither_people_nor_votes(expired: Evening) -> None:
    with pytest.raises(RoomClosed):
        expired.join(expired.late, expired.opened.code)
    with pytest.raises(RoomClosed):
        expired.vote(expired.friend, expired.room, 0, "yes")
    with pytest.raises(RoomClosed):
        expired.undo(expired.friend, expired.room, 0)
    assert expired.look().matches == []


def test_a_vote_does_not_slip_in_because_the_room_was_open_a_moment_ago(evening: Evening) -> None:
    evening.clock.advance(OPEN_FOR - 1000)
    evening.vote(evening.friend, evening.room, 1, "no")  # from now on the room is remembered
    evening.clock.advance(1000)
    with pytest.raises(RoomClosed):
        evening.vote(evening.friend, evening.room, 0, "yes")


def test_an_agreement_that_comes_too_late_is_no_match(expired: Evening) -> None:
    """Whoever leaves or changes the rule may complete one, but the room has ended."""
    expired.update(expired.host, expired.room, rule=AtLeast(1))
    assert expired.look().matches == []


def test_a_secret_room_that_has_expired_shows_its_ranking(evening: Evening) -> None:
    assert evening.results().ranking == []
    evening.clock.advance(OPEN_FOR)
    [row] = evening.results().ranking
    assert (row.title_id, row.yes, row.no) == (title_id(0), 1, 1)


def test_an_expired_room_can_be_closed(expired: Evening) -> None:
    assert expired.update(expired.host, expired.room, state="closed").state == "closed"
    expired.clock.advance(OPEN_FOR)
    assert expired.look().state == "closed"


def test_an_expired_room_that_is_opened_again_is_open_for_another_week(expired: Evening) -> None:
    again = expired.set_open()
    assert (again.state, again.expires_at) == ("open", rfc3339(expired.clock.time + OPEN_FOR))
    expired.join(expired.late, expired.opened.code)
    expired.vote(expired.late, expired.room, 0, "yes")
    [match] = expired.vote(expired.friend, expired.room, 0, "yes").matches
    assert match.title_id == title_id(0)


def test_no_room_is_open_longer_than_it_is_kept(evening: Evening) -> None:
    end = evening.clock.time + KEPT_FOR
    evening.clock.advance(KEPT_FOR - DAY)
    assert evening.set_open().expires_at == rfc3339(end)
    evening.clock.advance(DAY)
    assert evening.look().state == "expired"
    assert evening.set_open().state == "expired"


def test_all_that_belongs_to_a_room_goes_at_one_time(evening: Evening) -> None:
    evening.drain(evening.feeds_at(0))
    end = (evening.clock.time + KEPT_FOR) // 1000
    items = [
        *evening.table.query(f"ROOM#{evening.room}").items,
        *evening.table.query(f"CODE#{evening.opened.code}").items,
        *evening.table.query(f"USER#{evening.friend}", prefix="ROOM#").items,
    ]
    assert {item["SK"].partition("#")[0] for item in items} == {
        "ROOM", "CODE", "BALLOT", "EVENT", "LOG"
    }  # fmt: skip
    assert {item["expires"] for item in items} == {end}
