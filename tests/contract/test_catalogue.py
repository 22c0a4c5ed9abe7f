"""What every adapter of the `Catalogue` port does alike."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests import tmdb_stub
from trinity.domain.deck_selection import film_key
from trinity.domain.ids import TitleId
from trinity.domain.titles import TitleFilter
from trinity.infrastructure.catalogue.embedded import EmbeddedCatalogue
from trinity.infrastructure.external_apis.tmdb import TmdbCatalogue
from trinity.ports import Catalogue

EVERYTHING = TitleFilter()
MALFORMED_CURSORS = ["", ".", "films", "tmdb", "films.1", "tmdb.1", "films.-1.2", "tmdb.1.x",
                     "films.1.9999999999", "tmdb.0.0", "tmdb.501.0", "films.1.²", "tmdb.1.2.3",
                     "e30=", "'; --", "💥", "\x00"]  # fmt: skip
ODD_TEXTS = ["'", '"', '""', '"unclosed', "a OR", "AND", "NOT x", "NEAR(a b, 3)", "*", "a*b", "^a",
             "title:", "{title names}: a", "-", "+", "(", "))((", "a\x00b", "\x00", "\ud7ff", "🎬",
             "ﬁ", "e\u0301", "%", "_", "\\", "\r\n\t", "';DROP TABLE films;--", "ẞ", "漢字",
             "a" * 10_000, "a " * 5_000, " ".join(f"w{i}" for i in range(2_000))]  # fmt: skip


class NoCache:
    def get(self, key):
        return None

    def set(self, key, value, *, ttl):
        pass

    def delete(self, key):
        pass

    def increment(self, key, *, ttl):
        return 1, ttl


class Case(NamedTuple):
    """A catalogue and what is known to be in it."""

    catalogue: Catalogue
    text: str  # what someone types, without the accents
    title: str  # what it finds first
    person: str
    known_for: str
    many: str  # finds several pages
    genre: tuple[str, str]  # id and name
    language: str


def embedded() -> Iterator[Case]:
    yield Case(
        EmbeddedCatalogue(),
        "VIRGIN spring",
        "The Virgin Spring",
        "audrey tautou",
        "Amélie",
        "star",
        ("science-fiction", "Science Fiction"),
        "fr",
    )


def tmdb() -> Iterator[Case]:
    failures: list[str] = []
    with tmdb_stub.running() as stub:
        catalogue = TmdbCatalogue(
            lambda: tmdb_stub.TOKEN,
            cache=NoCache(),
            fallback=EmbeddedCatalogue(),
            warn=failures.append,
            base_url=stub.url,
        )
        yield Case(
            catalogue,
            "emerald LANTERN",
            "Émerald Lantern",
            "zora quill",
            TITLES_OF_ZORA[0],
            "o",
            ("science-fiction", "Science Fiction"),
            "fr",
        )
    assert failures == [], "the fallback answered in place of TMDB"


TITLES_OF_ZORA = [each.get("title") or each["name"] for each in tmdb_stub.PERSON["known_for"]]


@pytest.fixture(params=[embedded, tmdb], ids=["embedded", "tmdb"])
def case(request):
    yield from request.param()


def walk(catalogue, text, where, *, limit):
    """Return the titles of all pages."""
    found, cursor = [], None
    for _ in range(2_000):
        page = catalogue.search(text, where, cursor=cursor, limit=limit)
        assert len(page.titles) <= limit
        found += page.titles
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


def test_genres_are_named_once_in_alphabetical_order(case):
    names = [genre.name for genre in case.catalogue.genres()]
    assert names == sorted(set(names))
    assert {genre.id for genre in case.catalogue.genres()} >= {"drama", "comedy", case.genre[0]}
    assert {g.name for g in case.catalogue.genres() if g.id == case.genre[0]} == {case.genre[1]}


def test_a_title_is_found_whatever_the_letter_case_and_accents(case):
    assert case.catalogue.search(case.text, EVERYTHING).titles[0].title == case.title
    assert case.catalogue.search(case.title, EVERYTHING).titles[0].title == case.title


def test_every_word_finds_by_its_beginning(case):
    beginnings = " ".join(word[:-1] for word in case.text.split())
    found = case.catalogue.search(beginnings, EVERYTHING).titles
    assert case.title in [title.title for title in found]


def test_every_word_must_match(case):
    assert case.catalogue.search(f"{case.text} zzyzx", EVERYTHING).titles == []


def test_the_name_of_a_person_finds_what_they_are_known_for(case):
    found = walk(case.catalogue, case.person, EVERYTHING, limit=20)
    assert case.known_for in [title.title for title in found]


def test_an_empty_text_lists_everything(case):
    page = case.catalogue.search("", EVERYTHING, limit=20)
    assert len(page.titles) == 20
    assert page.cursor is not None
    assert case.catalogue.search("  \t", EVERYTHING, limit=20) == page


@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: ascii(text[:20]))
def test_whatever_people_type_is_only_text(case, text):
    page = case.catalogue.search(text, EVERYTHING, limit=5)
    assert len(page.titles) <= 5


@pytest.mark.parametrize("cursor", MALFORMED_CURSORS, ids=ascii)
def test_a_cursor_of_nobody_is_refused(case, cursor):
    with pytest.raises(ValueError, match="cursor"):
        case.catalogue.search("", EVERYTHING, cursor=cursor)


@pytest.mark.parametrize("limit", [3, 7, 20, 33])
def test_pages_hold_every_title_exactly_once(case, limit):
    where = TitleFilter(genres=(case.genre[0],), year_from=1970, year_to=2010)
    for text in ("", case.many):
        ids = [title.id for title in walk(case.catalogue, text, where, limit=limit)]
        whole = [title.id for title in walk(case.catalogue, text, where, limit=200)]
        assert len(ids) > 1
        assert len(set(ids)) == len(ids)
        assert sorted(ids) == sorted(whole)


def test_many_matches_come_in_pages_without_repetition(case):
    ids = [title.id for title in walk(case.catalogue, case.many, EVERYTHING, limit=11)]
    assert len(ids) > 22
    assert len(set(ids)) == len(ids)


FILTERS = {
    "years": (
        TitleFilter(year_from=1990, year_to=1999),
        lambda t: t.year is not None and 1990 <= t.year <= 1999,
    ),
    "rating": (
        TitleFilter(min_rating=8.0),
        lambda t: t.rating is not None and t.rating >= 8.0,
    ),
    "language": (TitleFilter(language="FR"), lambda t: t.language == "fr"),
    "genre": (TitleFilter(genres=("comedy",)), lambda t: "Comedy" in t.genres),
    "genres": (
        TitleFilter(genres=("WAR", "science FICTION")),
        lambda t: {"War", "Science Fiction"} & set(t.genres),
    ),
    "kind": (TitleFilter(media_types=("movie",)), lambda t: t.media_type == "movie"),
    "all": (
        TitleFilter(genres=("drama", "comedy"), year_to=2005, min_rating=5.5, language="fr"),
        lambda t: (
            {"Drama", "Comedy"} & set(t.genres)
            and t.year <= 2005
            and (t.rating or 0) >= 5.5
            and t.language == "fr"
        ),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_listing_holds_only_what_passes_the_filter(case, name):
    where, passes = FILTERS[name]
    found = case.catalogue.search("", where, limit=40).titles
    assert found
    assert [title for title in found if not passes(title)] == []


@pytest.mark.parametrize("name", FILTERS)
def test_a_search_holds_only_what_passes_the_filter(case, name):
    where, passes = FILTERS[name]
    every = walk(case.catalogue, case.many, EVERYTHING, limit=200)
    found = walk(case.catalogue, case.many, where, limit=200)
    assert found
    assert {t.id for t in found} == {t.id for t in every if passes(t)}


@pytest.mark.parametrize("name", FILTERS)
def test_a_deck_holds_only_what_passes_the_filter(case, name):
    where, passes = FILTERS[name]
    deck = case.catalogue.select(where, size=8, seed=5)
    assert deck
    assert [title for title in deck if not passes(title)] == []


def test_a_genre_goes_by_its_name_and_its_id(case):
    by_id = case.catalogue.select(TitleFilter(genres=(case.genre[0],)), size=9, seed=1)
    by_name = case.catalogue.select(TitleFilter(genres=(case.genre[1].upper(),)), size=9, seed=1)
    assert [title.id for title in by_id] == [title.id for title in by_name] != []


@pytest.mark.parametrize(
    "where",
    [
        TitleFilter(genres=("no such genre",)),
        TitleFilter(media_types=("other",)),
        TitleFilter(year_from=2000, year_to=1999),
        TitleFilter(year_from=10**30),
        TitleFilter(language="tlh"),
        TitleFilter(min_rating=10.1),
    ],
    ids=str,
)
def test_a_filter_that_nothing_passes_finds_nothing(case, where):
    assert walk(case.catalogue, "", where, limit=20) == []
    assert walk(case.catalogue, case.many, where, limit=20) == []
    assert case.catalogue.select(where, size=5, seed=1) == []


def test_titles_come_in_the_order_asked_for_and_unknown_ones_are_left_out(case):
    known = [title.id for title in case.catalogue.search("", EVERYTHING, limit=6).titles]
    prefix = known[0].rpartition(":")[0]
    unknown = [TitleId(each) for each in (
        f"{prefix}:0", f"{prefix}:", f"{prefix}:x", f"{prefix}:{'9' * 40}", "", "nobody:movie:1",
        known[0] + " ", known[0] + "\x00", known[0].upper(), prefix,
    )]  # fmt: skip
    asked = [known[3], *unknown, known[0], known[5]]
    assert [title.id for title in case.catalogue.titles(asked)] == [known[3], known[0], known[5]]
    assert case.catalogue.titles([]) == []


def test_a_title_is_the_same_by_id_as_in_a_list(case):
    listed = case.catalogue.search(case.text, EVERYTHING, limit=1).titles[0]
    [title] = case.catalogue.titles([listed.id])
    fields = ("id", "title", "year", "media_type", "genres", "rating", "language", "poster_url")
    assert [getattr(title, f) for f in fields] == [getattr(listed, f) for f in fields]


@pytest.mark.parametrize("size", [1, 5, 30])
def test_a_deck_has_the_size_asked_for_and_no_film_twice(case, size):
    deck = case.catalogue.select(EVERYTHING, size=size, seed=11)
    assert len(deck) == size
    assert len({film_key(t.title, t.year, t.media_type) for t in deck}) == size


def test_the_same_seed_gives_the_same_deck_and_another_seed_another(case):
    deck = case.catalogue.select(EVERYTHING, size=20, seed=11)
    assert case.catalogue.select(EVERYTHING, size=20, seed=11) == deck
    assert case.catalogue.select(EVERYTHING, size=20, seed=12) != deck


def test_no_genre_has_more_than_a_quarter_of_a_deck_that_asks_for_none(case):
    deck = case.catalogue.select(EVERYTHING, size=40, seed=2)
    main = [title.genres[0] if title.genres else "" for title in deck]
    assert max(map(main.count, main)) <= 10
