"""Titles that people wish for are gathered ahead, and decks are drawn from them."""

from collections import OrderedDict
from pathlib import Path

import pytest

from tests.fakes import NOON, ListCatalogue, World
from trinity.domain.ids import DAY, HOUR, Millis, UserId
from trinity.domain.titles import Title, TitleFilter
from trinity.handlers.rooms.create import CreateRoom, FromCatalogue, create_room
from trinity.handlers.schedules.refresh_catalogue import (
    MOST_SHELVES,
    TITLES,
    refresh_catalogue,
)
from trinity.ports import Key, Unavailable
from trinity.store import decks, rooms, shelves

DRAMA = TitleFilter(genres=("Drama",))


class RemoteCatalogue(ListCatalogue):
    """One that somebody else keeps: it counts what it is asked."""

    remote = True

    def __init__(self, size: int = 300) -> None:
        super().__init__(size)
        self.selected = 0
        self.gathered: list[TitleFilter] = []
        self.away = False

    def select(self, where: TitleFilter, *, size: int, seed: int) -> list[Title]:
        self.selected += 1
        return super().select(where, size=size, seed=seed)

    def gather(self, where: TitleFilter, *, size: int, seed: int) -> list[Title]:
        if self.away:
            raise Unavailable("TMDB could not answer")
        self.gathered.append(where)
        return super().select(where, size=size, seed=seed)


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, level: str, message: str, **_: object) -> None:
        self.said.append(message)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.catalogue = RemoteCatalogue()
    return world


@pytest.fixture
def ana(world: World) -> UserId:
    return world.guest("Ana")


def deck_of(world: World, user: UserId, *, size: int = 50, genre: str = "Drama") -> list[str]:
    """Open a room; return the titles of its deck."""
    wishes = FromCatalogue(genres=(genre,), size=size)
    room = world.call(create_room, CreateRoom(deck=wishes), user)
    deck = rooms.get(world.table, room.id, consistent=True).deck
    return [title.id for title in decks.load(world.blobs, deck).titles]


def refresh(world: World, at: Millis | None = None) -> list[str]:
    """Let the clock call; return what the log was told."""
    log = Lines()
    at = world.clock.time if at is None else at
    given = {"table": world.table, "blobs": world.blobs, "catalogue": world.catalogue}
    refresh_catalogue(**given, log=log, at=at)
    return log.said


def test_a_wish_is_gathered_for_and_the_next_deck_asks_nobody(world, ana):
    deck_of(world, ana)
    refresh(world)
    assert world.catalogue.gathered == [TitleFilter(genres=("drama",))]
    deck = deck_of(world, ana)
    assert world.catalogue.selected == 1
    assert len(set(deck)) == 50
    assert deck != deck_of(world, ana)  # two groups do not see the same


def test_the_same_wish_in_other_words_is_the_same(world, ana):
    deck_of(world, ana, genre="Drama")
    refresh(world)
    deck_of(world, ana, genre="DRAMA")
    assert world.catalogue.selected == 1
    deck_of(world, ana, genre="Comedy")
    assert world.catalogue.selected == 2


def test_a_shelf_that_was_not_filled_for_long_is_none(world, ana):
    deck_of(world, ana)
    refresh(world)
    world.clock.advance(shelves.FRESH_FOR - 1)
    deck_of(world, ana)
    assert world.catalogue.selected == 1
    world.clock.advance(1)
    deck_of(world, ana)
    assert world.catalogue.selected == 2


def test_a_shelf_whose_titles_have_not_come_to_this_region_yet_is_none(world, ana, monkeypatch):
    monkeypatch.setattr(decks, "_remembered", OrderedDict())
    deck_of(world, ana)
    refresh(world)
    [shelf] = shelves.wanted(world.table, NOON)
    world.blobs.delete(shelf.titles)
    assert len(deck_of(world, ana)) == 50
    assert world.catalogue.selected == 2


def test_a_deck_that_the_shelf_has_no_choice_for_is_asked_for(world, ana):
    deck_of(world, ana)
    refresh(world)
    deck_of(world, ana, size=TITLES // 2)
    assert world.catalogue.selected == 1
    deck_of(world, ana, size=TITLES // 2 + 1)
    assert world.catalogue.selected == 2


def test_a_wish_that_nobody_had_for_a_week_is_forgotten(world, ana):
    deck_of(world, ana)
    refresh(world, Millis(NOON + shelves.WANTED_FOR - 1000))
    assert len(world.catalogue.gathered) == 1
    refresh(world, Millis(NOON + shelves.WANTED_FOR))
    assert len(world.catalogue.gathered) == 1


def test_a_deck_from_the_shelf_keeps_its_wish_alive(world, ana):
    deck_of(world, ana)
    refresh(world)
    world.clock.advance(DAY)
    deck_of(world, ana)
    assert world.catalogue.selected == 1
    refresh(world, Millis(NOON + shelves.WANTED_FOR + 12 * HOUR))
    assert len(world.catalogue.gathered) == 2


def test_a_run_that_is_made_again_asks_for_nothing_twice(world, ana):
    deck_of(world, ana)
    refresh(world, NOON)
    refresh(world, NOON)
    assert len(world.catalogue.gathered) == 1
    refresh(world, Millis(NOON + 12 * HOUR))
    assert len(world.catalogue.gathered) == 2


def test_a_run_is_bounded_and_takes_the_newest_wishes(world, ana):
    for number in range(MOST_SHELVES + 2):
        deck_of(world, ana, genre=f"Genre {number}")
        world.clock.advance(HOUR)
    refresh(world)
    newest = [f"genre {number}" for number in range(MOST_SHELVES + 1, 1, -1)]
    assert [where.genres[0] for where in world.catalogue.gathered] == newest


def test_a_catalogue_that_is_away_leaves_what_was_gathered(world, ana):
    deck_of(world, ana)
    refresh(world)
    world.catalogue.away = True
    with pytest.raises(Unavailable):
        refresh(world, Millis(NOON + 12 * HOUR))
    deck_of(world, ana)
    assert world.catalogue.selected == 1


def test_a_wish_that_was_forgotten_while_it_was_gathered_for_does_not_come_back(world, ana):
    deck_of(world, ana)
    [shelf] = shelves.wanted(world.table, NOON)
    [item] = world.table.query("CATALOGUE").items
    world.table.delete(Key(item["PK"], item["SK"]))
    world.catalogue.gather = lambda where, *, size, seed: []
    refresh(world)
    assert shelves.find(world.table, shelf.where) is None


def test_without_tmdb_nothing_is_noted_and_a_run_says_that_there_is_nothing_to_do(world, ana):
    world.catalogue = ListCatalogue()
    deck_of(world, ana)
    assert world.table.query("CATALOGUE").items == []
    [said] = refresh(world)
    assert "nothing to refresh" in said
