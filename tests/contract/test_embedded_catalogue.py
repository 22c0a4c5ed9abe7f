"""What is particular to the list that ships with Trinity."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.ids import TitleId
from trinity.domain.titles import TitleFilter
from trinity.infrastructure.catalogue import embedded, text
from trinity.infrastructure.catalogue.embedded import EmbeddedCatalogue

EVERYTHING = TitleFilter()
CATALOGUE = EmbeddedCatalogue()


def found(typed, where=EVERYTHING, limit=20):
    return [title.title for title in CATALOGUE.search(typed, where, limit=limit).titles]


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("amelie", "Amélie"),
        ("AMÉLIE", "Amélie"),
        ("ame\u0301lie", "Amélie"),
        ("spiderman", "Spider-Man"),
        ("spider-man", "Spider-Man"),
        ("xmen", "X-Men"),
        ("mash", "MASH"),
        ("schindlers", "Schindler's List"),
        ("schindler’s list", "Schindler's List"),
        ("fast and furious", "Fast & Furious"),
        ("fast & furious", "Fast & Furious"),
        ("walle", "WALL-E"),
        ("nolan incep", "Inception"),
        ("kieslowski red", "Three Colours: Red"),
        ("500 days", "(500) Days of Summer"),
    ],
)
def test_a_film_is_found_the_way_people_type_it(typed, title):
    assert title in found(typed)


@pytest.mark.parametrize("title", ["Up", "Her", "Z", "Alien", "The Matrix", "M*A*S*H", "Hero"])
def test_the_film_that_is_called_exactly_so_comes_first(title):
    first = found(title.replace("*", ""))[0]
    assert text.words(first) == text.words(title.replace("*", ""))


def test_films_with_the_words_in_their_title_precede_those_with_a_person_of_that_name():
    titles = found("wood", limit=200)
    in_title = [any(w.startswith("wood") for w in text.index_words(t)) for t in titles]
    assert in_title == sorted(in_title, reverse=True)
    assert {True, False} == set(in_title)


@given(st.text(max_size=40))
def test_no_text_breaks_a_search(typed):
    page = CATALOGUE.search(typed, EVERYTHING, limit=3)
    assert len(page.titles) <= 3


@pytest.mark.parametrize("operator", ["OR", "AND", "NOT", "NEAR", "-", "*", "^", "title:", "+"])
def test_an_operator_of_the_search_engine_is_a_word_like_any_other(operator):
    def hits(typed):
        return {t.id for t in CATALOGUE.search(typed, EVERYTHING, limit=20_000).titles}

    both = hits("alien") & hits(operator)
    assert hits(f"alien {operator}") == both


def test_a_text_of_more_words_than_a_title_has_finds_nothing_at_once():
    assert steps(" ".join(f"a{n}" for n in range(5_000)), EVERYTHING) == 0


def test_paging_reads_the_whole_list_once():
    ids, cursor = [], None
    while True:
        page = CATALOGUE.search("", EVERYTHING, cursor=cursor, limit=999)
        ids += [title.id for title in page.titles]
        cursor = page.cursor
        if cursor is None:
            break
    assert len(ids) == len(set(ids)) == 17_470


def test_no_cursor_is_given_when_the_last_page_is_full():
    page = CATALOGUE.search("the matrix", EVERYTHING, limit=20)
    assert page.cursor is None
    full = CATALOGUE.search("the matrix", EVERYTHING, limit=len(page.titles))
    assert full == page


def test_the_list_begins_with_films_that_are_both_known_and_liked():
    titles = CATALOGUE.search("", EVERYTHING, limit=100).titles
    assert min(title.rating or 0 for title in titles) > 7
    assert {"The Social Network", "Up", "Pulp Fiction"} <= {title.title for title in titles}


def test_the_number_of_titles_of_a_genre_is_how_many_it_lists():
    for genre in CATALOGUE.genres():
        where = TitleFilter(genres=(genre.id,))
        assert len(CATALOGUE.search("", where, limit=20_000).titles) == genre.titles


def test_who_streams_what_is_not_known_and_does_not_empty_a_deck():
    where = TitleFilter(providers=("Anything",), region="ES")
    assert CATALOGUE.select(where, size=5, seed=1) == CATALOGUE.select(EVERYTHING, size=5, seed=1)


def test_series_are_not_in_the_list():
    assert CATALOGUE.select(TitleFilter(media_types=("series",)), size=5, seed=1) == []
    both = TitleFilter(media_types=("series", "movie"))
    assert len(CATALOGUE.select(both, size=5, seed=1)) == 5


def test_an_id_that_is_not_written_as_the_list_writes_it_is_unknown():
    [known] = CATALOGUE.titles([TitleId("wikidata:movie:tt0133093")])
    assert known.title == "The Matrix"
    near = ["wikidata:movie:tt133093", "wikidata:movie:tt00133093", "wikidata:movie:0133093",
            "wikidata:series:tt0133093", "wikidata:movie:tt013309³"]  # fmt: skip
    assert CATALOGUE.titles([TitleId(each) for each in near]) == []


def test_many_threads_get_the_answers_that_one_gets():
    texts = ["star", "the", "amelie", "", "tom hanks", "a"] * 10
    alone = [found(each) for each in texts]
    shared = EmbeddedCatalogue()
    with ThreadPoolExecutor(12) as pool:
        pages = list(pool.map(lambda each: shared.search(each, EVERYTHING), texts))
    assert [[title.title for title in page.titles] for page in pages] == alone


# ------------------------------------------------------------------------------ how much work it is


def plans(typed, where):
    """Return the lines of SQLite's plans for all queries of one search and one deck."""
    catalogue = EmbeddedCatalogue()
    queries = []
    catalogue.genres()
    catalogue._opened.set_trace_callback(queries.append)
    catalogue.search(typed, where, limit=20)
    catalogue.select(where, size=20, seed=1)
    catalogue._opened.set_trace_callback(None)
    lines = []
    for query in queries:
        if "films" in query:
            rows = catalogue._opened.execute(f"EXPLAIN QUERY PLAN {query}")
            lines += [row[3] for row in rows]
    assert lines
    return lines


def steps(typed, where, *, limit=20):
    """Return how many thousand steps SQLite's machine takes for one search."""
    catalogue = EmbeddedCatalogue()
    catalogue.search("", EVERYTHING, limit=1)
    taken = []

    def count():
        taken.append(1)
        return 0

    catalogue._opened.set_progress_handler(count, 1000)
    catalogue.search(typed, where, limit=limit)
    return len(taken)


@pytest.mark.parametrize("typed", ["", "star"])
@pytest.mark.parametrize(
    "where",
    [
        EVERYTHING,
        TitleFilter(genres=("western",)),
        TitleFilter(language="fr"),
        TitleFilter(year_from=1950, year_to=1955),
        TitleFilter(genres=("war", "drama"), language="de", year_from=1980, min_rating=7),
    ],
    ids=str,
)
def test_no_question_scans_a_table_of_films(typed, where):
    # The names of the 18 genres are read whole, and the words of a search are an index.
    scans = [line for line in plans(typed, where) if line.startswith("SCAN")]
    allowed = ("SCAN genres", "SCAN search VIRTUAL TABLE INDEX", "SCAN json_each")
    assert [line for line in scans if not line.startswith(allowed)] == []


def test_a_rare_language_is_found_by_its_index():
    lines = plans("", TitleFilter(language="th"))
    assert any("films_language" in line for line in lines)


def test_a_search_goes_through_the_word_index():
    assert any("VIRTUAL TABLE INDEX" in line and ":M" in line for line in plans("star", EVERYTHING))


@pytest.mark.parametrize(
    ("typed", "where", "most"),
    [
        ("", EVERYTHING, 2),
        ("", TitleFilter(language="th"), 3),
        ("the", EVERYTHING, 3),
        ("a", EVERYTHING, 3),
        ("tom hanks", EVERYTHING, 3),
        ("the", TitleFilter(genres=("drama",)), 60),
        ("the", TitleFilter(genres=("western",)), 20),
        ("the", TitleFilter(language="th"), 60),
    ],
    ids=str,
)
def test_a_page_costs_what_it_holds_and_not_what_the_list_holds(typed, where, most):
    assert steps(typed, where) <= most
    assert steps("", EVERYTHING, limit=17_000) > 50  # the measure itself works


def test_importing_the_catalogue_loads_neither_the_list_nor_heavy_modules():
    code = (
        "import sys, trinity.infrastructure.catalogue.embedded as e; e.EmbeddedCatalogue();"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "trinity.infrastructure.catalogue.embedded" in loaded
    heavy = {"sqlite3", "random", "http.client", "asyncio", "urllib.request", "hashlib", "logging",
             "ssl", "pathlib", "concurrent.futures"}  # fmt: skip
    assert heavy & loaded == set()


def test_the_list_cannot_be_written_to():
    CATALOGUE.genres()
    with pytest.raises(Exception, match="readonly"):
        CATALOGUE._opened.execute("DELETE FROM films")


def test_the_id_of_a_film_with_eight_digits_keeps_them():
    assert embedded._number("wikidata:movie:tt10234567") == 10_234_567
    assert embedded._id(10_234_567) == "wikidata:movie:tt10234567"
