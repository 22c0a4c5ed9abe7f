"""What is particular to TMDB: its answers, its bad days and its terms."""

import json
import socket
import threading

import pytest

from tests import tmdb_stub
from tests.tmdb_stub import Trouble
from trinity.domain.ids import TitleId
from trinity.domain.titles import Genre, Title, TitleFilter
from trinity.infrastructure.external_apis.tmdb import TmdbCatalogue
from trinity.ports import TitlePage, Unavailable

EVERYTHING = TitleFilter()
SPARE = Title(id=TitleId("spare:movie:1"), title="Spare", media_type="movie", genres=())
HOUR = 3600


class Spare:
    """A fallback that can be told from TMDB."""

    def genres(self):
        return [Genre(id="spare", name="Spare")]

    def search(self, text, where, *, cursor=None, limit=20):
        if cursor not in (None, "spare.2"):
            raise ValueError("not a cursor of this catalogue")
        return TitlePage([SPARE], "spare.2" if cursor is None else None)

    def titles(self, ids):
        return [SPARE for each in ids if each == SPARE.id]

    def select(self, where, *, size, seed):
        return [SPARE]


class Memory:
    """A cache that shows what it holds."""

    def __init__(self):
        self.values = {}
        self.ttls = []

    def get(self, key):
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key, value, *, ttl):
        self.values[key] = json.dumps(value)
        self.ttls.append(ttl)

    def delete(self, key):
        self.values.pop(key, None)

    def increment(self, key, *, ttl):
        raise NotImplementedError


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.time = 1000.0
        self.slept = []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


class World:
    """A catalogue with everything around it."""

    def __init__(self, stub):
        self.stub = stub
        self.cache = Memory()
        self.clock = Clock()
        self.warnings = []
        self.catalogue = self.another()

    def another(self, token=tmdb_stub.TOKEN, **options):
        options = {"base_url": self.stub.url, "timeout_s": 8.0, **options}
        return TmdbCatalogue(
            lambda: token,
            cache=self.cache,
            fallback=Spare(),
            warn=self.warnings.append,
            now=self.clock.now,
            sleep=self.clock.sleep,
            chance=lambda: 0.5,
            **options,
        )


@pytest.fixture
def world():
    with tmdb_stub.running() as stub:
        yield World(stub)


def test_what_is_gathered_while_nobody_waits_is_as_good_as_what_is_selected(world):
    gathered = world.catalogue.gather(EVERYTHING, size=20, seed=1)
    assert gathered == world.catalogue.select(EVERYTHING, size=20, seed=1)
    assert all(title.runtime_minutes for title in gathered)  # only details say so
    assert not world.warnings


def test_nothing_of_the_fallback_is_gathered(world):
    world.stub.fail(Trouble(503))
    with pytest.raises(Unavailable, match="TMDB could not answer"):
        world.catalogue.gather(EVERYTHING, size=20, seed=1)


@pytest.mark.parametrize("token", ["", "not one", "wrong"])
def test_nothing_is_gathered_with_a_token_that_is_none(world, token):
    with pytest.raises(Unavailable):
        world.another(token).gather(EVERYTHING, size=20, seed=1)


def test_gathering_waits_as_long_as_tmdb_asks_for(world):
    world.stub.fail(Trouble(429, headers=(("Retry-After", "3"),)), path="/discover", times=1)
    assert len(world.catalogue.gather(EVERYTHING, size=5, seed=1)) == 5
    assert max(world.clock.slept) >= 3


# -------------------------------------------------------------------------------- good days


def test_a_title_has_all_that_a_card_shows(world):
    [title] = world.catalogue.titles([TitleId("tmdb:movie:607")])
    assert title == Title(
        id=TitleId("tmdb:movie:607"),
        title="Brass Harbour",
        media_type="movie",
        genres=("Family", "Comedy"),
        year=1967,
        overview="An invented story, number 7.",
        poster_url="https://image.tmdb.org/t/p/w500/poster607.jpg",
        runtime_minutes=97,
        rating=5.7,
        trailer_url="https://www.youtube.com/watch?v=trailer607",
        language="ja",
        directors=("Ines Farrow",),
        cast=("Player 0", "Player 1", "Player 2", "Player 3", "Player 4"),
    )


def test_a_series_has_its_makers_and_the_length_of_an_episode(world):
    [title] = world.catalogue.titles([TitleId("tmdb:series:1300")])
    assert (title.title, title.media_type, title.year) == ("The Harbour of Amber", "series", 1960)
    assert (title.directors, title.runtime_minutes) == (("Milo Vance",), 45)


def test_genres_of_series_are_told_in_those_of_films(world):
    names = {genre.name for genre in world.catalogue.genres()}
    assert {"Science Fiction", "Fantasy", "Action", "War", "Family", "Soap"} <= names
    assert names.isdisjoint({"Sci-Fi & Fantasy", "Action & Adventure", "Kids", "TV Movie"})
    [title] = world.catalogue.titles([TitleId("tmdb:series:1300")])
    assert title.genres[:2] == ("Action", "Adventure")
    where = TitleFilter(genres=("fantasy",), media_types=("series",))
    found = world.catalogue.search("", where).titles
    assert found
    assert all("Fantasy" in title.genres for title in found)


def test_a_title_without_votes_has_no_rating(world):
    [title] = world.catalogue.titles([TitleId("tmdb:movie:9003")])
    assert title.rating is None
    assert title.genres == ("Drama",)


def test_titles_for_adults_only_are_never_shown(world):
    found = world.catalogue.search("amber after", EVERYTHING).titles
    assert found == []
    assert world.stub.asked("/search/multi")[0].query["include_adult"] == "false"


def test_ids_of_other_sources_go_to_the_fallback(world):
    ids = [TitleId("tmdb:movie:601"), SPARE.id, TitleId("tmdb:series:1301")]
    assert [title.id for title in world.catalogue.titles(ids)] == ids
    assert world.catalogue.titles([SPARE.id]) == [SPARE]
    assert world.warnings == []


def test_a_filter_is_passed_on_in_the_terms_of_tmdb(world):
    where = TitleFilter(
        media_types=("movie",),
        genres=("drama", "COMEDY"),
        year_from=1970,
        year_to=1999,
        min_rating=6.5,
        language="FR",
        providers=("kino plus", "Unheard Of"),
        region="us",
    )
    world.catalogue.search("", where)
    assert world.stub.asked("/discover/movie")[0].query == {
        "language": "en-US",
        "include_adult": "false",
        "sort_by": "vote_count.desc",
        "vote_count.gte": "50",
        "with_genres": "18|35",
        "primary_release_date.gte": "1970-01-01",
        "primary_release_date.lte": "1999-12-31",
        "vote_average.gte": "6.5",
        "with_original_language": "fr",
        "watch_region": "US",
        "with_watch_providers": "337",
        "page": "1",
    }
    assert world.stub.asked("/discover/tv") == []


def test_a_deck_for_a_service_holds_what_it_carries_in_that_region(world):
    where = TitleFilter(providers=("Streamline",), region="ES")
    deck = world.catalogue.select(where, size=10, seed=1)
    assert len(deck) == 10
    assert all("Streamline" in title.providers for title in deck)
    elsewhere = world.catalogue.select(TitleFilter(region="US"), size=10, seed=1)
    assert any("Streamline" not in title.providers for title in elsewhere)
    assert all(title.providers for title in elsewhere)


def test_a_search_for_a_service_holds_what_it_carries_in_that_region(world):
    where = TitleFilter(providers=("Streamline",), region="ES", media_types=("movie",))
    found = world.catalogue.search("amber", where).titles
    numbers = {int(title.id.rpartition(":")[2]) for title in found}
    own = {each["id"] for each in tmdb_stub.TITLES["movie"] if "Amber" in each["title"]}
    assert numbers == {n for n in (*own, 9002, 9003) if (n + 1) % 3 == 0}


def test_a_service_nobody_knows_carries_nothing(world):
    where = TitleFilter(providers=("Unheard Of",), region="ES")
    assert world.catalogue.select(where, size=10, seed=1) == []
    assert world.warnings == []


def test_services_without_a_region_do_not_matter(world):
    deck = world.catalogue.select(TitleFilter(providers=("Unheard Of",)), size=10, seed=1)
    assert len(deck) == 10
    assert world.stub.asked("/watch") == []


def test_a_deck_holds_no_card_that_nobody_can_judge(world):
    deck = world.catalogue.select(EVERYTHING, size=100, seed=1)
    assert len(deck) == 100
    assert "Amber Nothing" not in {title.title for title in deck}
    assert all(title.poster_url and title.overview for title in deck)


def test_every_card_of_a_deck_has_its_trailer(world):
    deck = world.catalogue.select(EVERYTHING, size=30, seed=1)
    assert all(title.trailer_url for title in deck)
    assert world.warnings == []


def test_no_page_behind_the_five_hundredth_is_asked_for(world):
    page = {"page": 500, "results": [], "total_pages": 38_000, "total_results": 760_000}
    world.stub.fail(Trouble(status=200, body=json.dumps(page).encode()), path="/discover")
    found = world.catalogue.search("", EVERYTHING, cursor="tmdb.498.0")
    assert found == TitlePage([], None)
    assert {r.query["page"] for r in world.stub.asked("/discover")} == {"498", "499", "500"}


def test_a_search_that_finds_nothing_for_long_pauses_with_a_cursor(world):
    page = {"page": 1, "results": [], "total_pages": 400, "total_results": 8_000}
    world.stub.fail(Trouble(status=200, body=json.dumps(page).encode()), path="/search")
    assert world.catalogue.search("amber", EVERYTHING) == TitlePage([], "tmdb.6.0")


# -------------------------------------------------------------------------------- the cache


def test_the_same_question_is_asked_once(world):
    first = world.catalogue.select(EVERYTHING, size=10, seed=1)
    asked = len(world.stub.requests)
    assert world.another().select(EVERYTHING, size=10, seed=1) == first
    assert len(world.stub.requests) == asked


def test_nothing_is_kept_longer_than_a_day(world):
    world.catalogue.select(TitleFilter(providers=("Streamline",), region="ES"), size=5, seed=1)
    world.catalogue.search("amber", EVERYTHING)
    assert world.cache.ttls
    assert max(world.cache.ttls) <= 24 * HOUR


def test_a_cached_value_of_another_shape_is_asked_for_again(world):
    expected = world.catalogue.genres()
    for key in world.cache.values:
        world.cache.values[key] = '{"genres": 7}'
    assert world.catalogue.genres() == expected
    assert world.warnings == []


# -------------------------------------------------------------------------------- bad days


def cannot_connect(world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    world.catalogue = world.another(base_url=f"http://127.0.0.1:{port}/3")


BAD_DAYS = {
    "the token is refused": Trouble(401),
    "it is rate limited": Trouble(429),
    "it is broken": Trouble(500),
    "it is offline": Trouble(503),
    "the answer is no JSON": Trouble(200, b"<html>It works!</html>"),
    "the answer is JSON of another shape": Trouble(200, b'{"genres": "none"}'),
    "the answer is not UTF-8": Trouble(200, b'{"genres": [{"id": 1, "name": "\xff"}]}'),
    "the answer is empty": Trouble(200, b""),
    "the answer is cut off": Trouble(200, b'{"genres": []}          ', cut=5),
    "the error is no JSON": Trouble(502, b"Bad Gateway"),
    "it sends elsewhere": Trouble(302, b"", (("Location", "http://127.0.0.1:1/"),)),
}


@pytest.mark.parametrize("day", BAD_DAYS)
def test_on_a_bad_day_the_fallback_answers_and_someone_is_told(world, day):
    world.stub.fail(BAD_DAYS[day])
    assert_fallback_answers(world)


def test_when_nobody_listens_the_fallback_answers_and_someone_is_told(world):
    cannot_connect(world)
    assert_fallback_answers(world)


def assert_fallback_answers(world):
    assert world.catalogue.genres() == Spare().genres()
    assert world.catalogue.search("amber", EVERYTHING) == TitlePage([SPARE], "spare.2")
    assert world.catalogue.search("", EVERYTHING, cursor="tmdb.2.0").titles == [SPARE]
    assert world.catalogue.select(EVERYTHING, size=5, seed=1) == [SPARE]
    assert world.catalogue.titles([TitleId("tmdb:movie:601"), SPARE.id]) == [SPARE]
    assert len(world.warnings) == 5
    assert tmdb_stub.TOKEN not in "".join(world.warnings)


def test_an_answer_that_does_not_come_is_not_waited_for(world):
    never = threading.Event()
    world.stub.fail(Trouble(200, b"{}", hold=never))
    try:
        assert world.another(timeout_s=0.2).genres() == Spare().genres()
    finally:
        never.set()
    assert "TimeoutError" in world.warnings[0]


def test_one_failure_is_made_good_by_another_attempt(world):
    world.stub.fail(Trouble(500), times=1)
    assert len(world.catalogue.genres()) > 1
    assert world.warnings == []
    assert len(world.clock.slept) == 1


def test_tmdb_is_left_alone_as_long_as_it_asks(world):
    world.stub.fail(Trouble(429, headers=(("Retry-After", "3"),)), times=1)
    assert len(world.catalogue.genres()) > 1
    assert world.clock.slept == [pytest.approx(3.05)]
    assert world.warnings == []


def test_a_wait_longer_than_the_budget_is_not_begun(world):
    world.stub.fail(Trouble(429, headers=(("Retry-After", "60"),)), times=1)
    assert world.catalogue.genres() == Spare().genres()
    assert world.clock.slept == []
    assert "HTTP 429" in world.warnings[0]


def test_after_failures_in_a_row_tmdb_is_not_asked_for_a_while(world):
    world.stub.fail(Trouble(500))
    for _ in range(4):
        world.catalogue.genres()
    asked = len(world.stub.requests)
    world.stub.recover()
    assert world.catalogue.genres() == Spare().genres()
    assert len(world.stub.requests) == asked == 5
    world.clock.time += 31
    assert len(world.catalogue.genres()) > 1


def test_a_title_that_does_not_exist_says_nothing_about_the_health_of_tmdb(world):
    unknown = [TitleId(f"tmdb:movie:{n}") for n in range(10, 30)]
    assert world.catalogue.titles(unknown) == []
    assert world.warnings == []
    assert len(world.catalogue.titles([TitleId("tmdb:movie:601")])) == 1


def test_a_deck_without_details_is_still_a_deck(world):
    world.stub.fail(Trouble(500), path="/movie/")
    world.stub.fail(Trouble(500), path="/tv/")
    deck = world.catalogue.select(EVERYTHING, size=10, seed=1)
    assert len(deck) == 10
    assert all(title.id.startswith("tmdb:") and title.poster_url for title in deck)
    assert world.warnings == ["TMDB did not give the details of 10 titles of 10."]


def test_pages_go_on_where_they_began(world):
    world.stub.fail(Trouble(500))
    cursor = world.catalogue.search("amber", EVERYTHING).cursor
    world.stub.recover()
    world.clock.time += 31
    assert world.catalogue.search("amber", EVERYTHING, cursor=cursor) == TitlePage([SPARE], None)
    assert world.catalogue.search("amber", EVERYTHING).titles != [SPARE]


# -------------------------------------------------------------------------------- the token


def test_the_token_goes_into_the_header_and_nowhere_else(world):
    world.catalogue.select(TitleFilter(region="US"), size=3, seed=1)
    world.catalogue.search("amber", EVERYTHING)
    for request in world.stub.requests:
        assert request.authorization == f"Bearer {tmdb_stub.TOKEN}"
        assert tmdb_stub.TOKEN not in request.path + str(request.query)
    assert tmdb_stub.TOKEN not in str(world.cache.values)
    assert tmdb_stub.TOKEN not in repr(world.catalogue)


@pytest.mark.parametrize("token", ["", "se cret", "sec\r\nret", "sécret", "sec\x00ret"])
def test_a_token_that_no_header_can_hold_is_never_sent_and_never_told(world, token):
    assert world.another(token=token).search("amber", EVERYTHING).titles == [SPARE]
    assert "a token is printable" in world.warnings[-1]
    assert "ret" not in world.warnings[-1]
    assert world.stub.requests == []


def test_while_the_token_cannot_be_read_the_fallback_answers(world):
    def unread():
        raise Unavailable("no secret")

    catalogue = world.another()
    catalogue._token = unread
    assert catalogue.search("amber", EVERYTHING).titles == [SPARE]
    assert "no secret" in world.warnings[-1]
    assert world.stub.requests == []
