"""What can be relied on in the list that ships with Trinity, and how it is made from its source."""

import importlib.util
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import trinity.infrastructure.catalogue
from trinity.infrastructure.catalogue.text import index_words, words

ROOT = Path(__file__).parents[2]
FOLDER = Path(trinity.infrastructure.catalogue.__file__).parent
FILMS = FOLDER / "films.sqlite"
GENRES = {
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family",
    "Fantasy", "History", "Horror", "Music", "Mystery", "Romance", "Science Fiction", "Thriller",
    "War", "Western",
}  # fmt: skip


@pytest.fixture(scope="module")
def films():
    with closing(sqlite3.connect(f"{FILMS.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build", ROOT / "tools/build_catalogue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(films):
    for row in films.execute("SELECT title, directors, actors FROM films"):
        yield row["title"]
        yield from filter(None, f"{row['directors']}|{row['actors']}".split("|"))


def test_the_list_holds_what_the_report_of_the_build_says(films):
    assert films.execute("SELECT count(*) FROM films").fetchone()[0] == 17_470
    assert films.execute("SELECT max(rank) FROM films").fetchone()[0] == 17_470


def test_the_file_stays_small():
    assert FILMS.stat().st_size < 5_000_000


def test_the_file_is_whole_and_needs_no_journal(films):
    assert films.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert films.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert films.execute("PRAGMA freelist_count").fetchone()[0] == 0


def test_no_film_is_listed_twice(films):
    assert films.execute("SELECT count(DISTINCT imdb) FROM films").fetchone()[0] == 17_470
    rows = films.execute(
        """SELECT title, year FROM films WHERE directors <> ''
           GROUP BY lower(title), year, directors HAVING count(*) > 1"""
    ).fetchall()
    assert [tuple(row) for row in rows] == []


def test_no_text_is_garbled_or_untidy(films):
    bad = re.compile(
        "[\ufffd\x00-\x1f\x7f-\x9f]|Ã[\x80-\xbf]|â€|Â[\xa0-\xbf]|&#?\\w+;|^\\s|\\s$|\\s\\s"
    )
    assert [each for each in texts(films) if not each or bad.search(each)] == []


def test_no_title_carries_the_name_of_an_encyclopedia_page(films):
    titles = [row[0] for row in films.execute("SELECT title FROM films")]
    assert [t for t in titles if re.search(r"\((\d{4} )?film\)$|^Q\d+$", t)] == []


def test_numbers_are_possible(films):
    low = films.execute("SELECT min(year), min(runtime), min(rating), min(imdb) FROM films")
    high = films.execute("SELECT max(year), max(runtime), max(rating) FROM films")
    assert tuple(low.fetchone()) >= (1940, 5, 0, 1)
    year, runtime, rating = high.fetchone()
    assert (year, rating) <= (2014, 100)
    assert runtime <= 900
    assert films.execute("SELECT count(*) FROM films WHERE rating IS NULL").fetchone()[0] < 200


def test_every_genre_is_of_the_vocabulary_and_has_films(films):
    rows = films.execute("SELECT letter, id, name, films FROM genres").fetchall()
    assert {row["name"] for row in rows} == GENRES
    assert all(row["id"] == row["name"].lower().replace(" ", "-") for row in rows)
    assert all(row["films"] > 0 for row in rows)
    letters = {row["letter"] for row in rows}
    used = {c for row in films.execute("SELECT genres FROM films") for c in row[0]}
    assert used == letters


def test_languages_are_two_letters(films):
    rows = films.execute("SELECT DISTINCT language FROM films WHERE language IS NOT NULL")
    languages = {row[0] for row in rows}
    assert {"en", "fr", "ja"} <= languages
    assert [each for each in languages if not re.fullmatch("[a-z]{2}", each)] == []


def test_different_titles_have_different_hashes(films):
    rows = films.execute("SELECT title_hash, title FROM films").fetchall()
    assert len({row[0] for row in rows}) == len({" ".join(words(row[1])) for row in rows})


def test_every_word_of_a_title_is_plain_ascii_once_folded(films):
    assert [t for t in texts(films) if not all(map(str.isascii, index_words(t)))] == []


def test_the_source_and_its_terms_are_named():
    text = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for part in (
        "Wikidata contributors",
        "CC0 1.0",
        "bokeh_sampledata",
        "This product uses the TMDB API but is not endorsed or certified by TMDB.",
        "JustWatch",
    ):
        assert part in text


# ------------------------------------------------------------------------- how the build cleans


def row(build, **values):
    film = {
        "imdb": "tt0000001", "title": "Invented", "year": 2001, "runtime": 100.0,
        "genre": "Drama", "director": "Ann Director", "cast": "Bob Player", "language": "English",
        "country": "United States", "metacritic": None, "score": 7.0, "reviews": 50,
    }  # fmt: skip
    return build.Source(**{**film, **values})


def cleaned(build, **values):
    films = build.clean([row(build, **values)], build.Report())
    return films[0] if films else None


@pytest.mark.parametrize(
    ("raw", "tidy"),
    [
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("  Two\u00a0 spaces\n", "Two spaces"),
        ("Ame\u0301lie", "Amélie"),
        ("Faust (2011 film)", "Faust"),
        ("Godspell (film)", "Godspell"),
        ("(500) Days of Summer", "(500) Days of Summer"),
        ("Frontier(s)", "Frontier(s)"),
    ],
)
def test_a_title_is_tidied(build, raw, tidy):
    assert cleaned(build, title=raw).title == tidy


@pytest.mark.parametrize(
    "broken",
    [
        {"title": "AmÃ©lie"},
        {"title": "Itâ€™s"},
        {"title": "\ufffd"},
        {"title": "  "},
        {"title": "Q12345"},
        {"imdb": "nm0000001"},
        {"year": 1700},
        {"year": 3000},
    ],
    ids=str,
)
def test_what_cannot_be_mended_is_dropped(build, broken):
    assert cleaned(build, **broken) is None


def test_an_impossible_runtime_is_left_open(build):
    assert cleaned(build, runtime=1.0).runtime is None
    assert cleaned(build, runtime=5000.0).runtime is None
    assert cleaned(build, runtime=7.0).runtime == 7


def test_a_genre_that_is_none_gives_way_to_those_that_are(build):
    assert cleaned(build, genre="Biography, Sci-Fi").genres == ("Science Fiction",)
    assert cleaned(build, genre="Biography").genres == ("Drama",)
    assert cleaned(build, genre="").genres == ()


@pytest.mark.parametrize(
    ("languages", "countries", "code"),
    [
        ("French", "United States", "fr"),
        ("English, Hindi, Standard Chinese", "People's Republic of China, Taiwan", "zh"),
        ("English, French, German", "Germany, United States", "en"),
        ("French, German", "Austria", "de"),
        ("Danish, Swedish", "Denmark, Sweden", None),
        ("Klingon", "United States", None),
        (None, "United States", None),
    ],
)
def test_the_original_language_is_the_one_of_its_countries(build, languages, countries, code):
    assert cleaned(build, language=languages, country=countries).language == code


def test_a_rating_is_the_mean_of_the_critics(build):
    assert cleaned(build, score=8.1, metacritic=50).rating == 8.1
    assert cleaned(build, score=None, metacritic=85).rating == 8.5
    assert cleaned(build, score=None).rating is None
    assert cleaned(build, score=9.9, reviews=4).rating is None


def test_a_suffix_belongs_to_the_name_before_it(build):
    assert build.names("Ann One, Sam Two, Jr., Tim Three") == [
        "Ann One",
        "Sam Two Jr.",
        "Tim Three",
    ]


def test_one_film_is_kept_of_several_entries_and_it_is_the_most_reviewed(build):
    films = build.clean(
        [
            row(build, title="Cut", reviews=9),
            row(build, title="Cut Redux", reviews=90),
            row(build, imdb="tt0000002", title="Other", year=2000, reviews=10),
            row(build, imdb="tt0000003", title="OTHER", year=2001, reviews=20),
            row(build, imdb="tt0000004", title="Other", year=2001, director="Cy Else", reviews=5),
        ],
        build.Report(),
    )
    kept = build.without_duplicates(films, build.Report())
    assert [film.title for film in kept] == ["Cut Redux", "OTHER", "Other"]


def test_few_enthusiasts_do_not_beat_many_who_like_a_film(build):
    rows = [row(build, imdb=f"tt{n:07}", score=6.0, reviews=n) for n in range(10, 60)]
    rows.append(row(build, imdb="tt0000100", title="Darling of five", score=10.0, reviews=5))
    rows.append(row(build, imdb="tt0000101", title="Liked by many", score=8.0, reviews=300))
    ordered = build.best_first(build.clean(rows, build.Report()))
    assert ordered[0].title == "Liked by many"
    assert ordered[-1].title == "Darling of five"


def test_the_same_films_make_the_same_bytes(build, tmp_path):
    rows = [row(build, imdb=f"tt{n:07}", title=f"Film {n}", reviews=n) for n in range(5, 300)]
    for name in ("one", "two"):
        build.write(build.best_first(build.clean(rows, build.Report())), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
