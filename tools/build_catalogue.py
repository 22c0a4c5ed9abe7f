"""Make the list of films that ships with Trinity: `make catalogue`.

Reads the film table of the PyPI package `bokeh_sampledata` (structured data of Wikidata, CC0 1.0),
cleans it, orders it and writes `films.sqlite`, and prints what it left out and why. The same input
and the same SQLite give the same bytes.

How the films are ordered, best first. A film should be both known and liked, so its score is the
geometric mean of two ranks between 0 and 1, with knowledge counting twice:

* **Known**: the share of films with fewer critics' reviews. Recent films are reviewed much more
  than older ones of the same fame, so one third is the share among all films and two thirds are
  the share among the films of the eleven years around its own. Votes of users are not in the data
  (the columns are empty), and box office is there for one film in six, in money of its day.
* **Liked**: the rank of the Bayesian average of the critics' scores, (m·C + n·r) / (m + n) with n
  reviews of mean r, C the mean of all films and m the median number of reviews. It keeps five
  enthusiastic reviews from beating three hundred good ones. See Evan Miller, "Bayesian Average
  Ratings" (2012), and the formula that IMDb printed under its Top 250 for many years.
"""

import argparse
import hashlib
import html
import importlib.util
import re
import sqlite3
import sys
import unicodedata
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from trinity.infrastructure.catalogue.text import index_words, words

SOURCE_SHA256 = "1d9c6a02e488d0354b2309e16130c58820a91ac2ce417e814c5964f9579a65ac"
"""Of movies.db in bokeh_sampledata 2026.1, as its own licenses/datasets.json states it."""

TARGET = Path(__file__).parents[1] / "src/trinity/infrastructure/catalogue/films.sqlite"

FIRST_YEAR, LAST_YEAR = 1888, 2026
"""Roundhay Garden Scene; the year of the snapshot."""
SHORTEST, LONGEST = 5, 900
"""Minutes. The list holds seven-minute shorts and the thirteen hours of Out 1, both real; what is
below is a slip of the source (Machuca: one minute)."""
FEWEST_REVIEWS = 5
"""A mean of fewer reviews is not shown as a rating."""
CAST_SHOWN, CAST_SEARCHED = 5, 12
"""So many names stand on a card, and so many find a film. The source has up to a hundred, in
alphabetical order, extras included; all of them would double the file."""

GENRES = {
    "Action": "Action",
    "Adventure": "Adventure",
    "Animation": "Animation",
    "Comedy": "Comedy",
    "Crime": "Crime",
    "Documentary": "Documentary",
    "Drama": "Drama",
    "Family": "Family",
    "Fantasy": "Fantasy",
    "History": "History",
    "Horror": "Horror",
    "Music": "Music",
    "Musical": "Music",
    "Mystery": "Mystery",
    "Romance": "Romance",
    "Sci-Fi": "Science Fiction",
    "Thriller": "Thriller",
    "War": "War",
    "Western": "Western",
}
"""The source's genre to ours, which is TMDB's. `Biography` and `Sport` are no genres there: such a
film goes by its other genres, and is a drama if it has none."""

LANGUAGES = {
    "Abkhaz": "ab", "Afrikaans": "af", "Albanian": "sq", "American English": "en",
    "Amharic": "am", "Arabic": "ar", "Armenian": "hy", "Australian English": "en",
    "Azerbaijani": "az", "Bambara": "bm", "Bangla": "bn", "Basque": "eu", "Belarusian": "be",
    "Bosnian": "bs", "Brazilian Portuguese": "pt", "Bulgarian": "bg", "Burmese": "my",
    "Cantonese": "zh", "Catalan": "ca", "Chechen": "ce", "Chinese": "zh",
    "Classical Arabic": "ar", "Corsican": "co", "Croatian": "hr", "Czech": "cs", "Danish": "da",
    "Dari": "fa", "Dutch": "nl", "Dzongkha": "dz", "Egyptian Arabic": "ar", "English": "en",
    "Esperanto": "eo", "Estonian": "et", "Filipino": "tl", "Finnish": "fi",
    "Flemish Dutch": "nl", "French": "fr", "Fula": "ff", "Galician": "gl", "Georgian": "ka",
    "German": "de", "Greek": "el", "Guarani": "gn", "Gujarati": "gu", "Hakka Chinese": "zh",
    "Hebrew": "he", "Herero": "hz", "Hindi": "hi", "Hungarian": "hu", "Icelandic": "is",
    "Indonesian": "id", "Inuktitut": "iu", "Irish": "ga", "Italian": "it", "Japanese": "ja",
    "Javanese": "jv", "Kashmiri": "ks", "Kazakh": "kk", "Khmer": "km", "Kinyarwanda": "rw",
    "Korean": "ko", "Kurdish language": "ku", "Kyrgyz": "ky", "Lao": "lo", "Latin": "la",
    "Latvian": "lv", "Lingala": "ln", "Lithuanian": "lt", "Luganda": "lg", "Macedonian": "mk",
    "Malay": "ms", "Malayalam": "ml", "Maltese": "mt", "Mandarin": "zh", "Marathi": "mr",
    "Modern Greek": "el", "Modern Hebrew": "he", "Mongolian": "mn", "Moroccan Arabic": "ar",
    "Māori": "mi", "Navajo": "nv", "Nepali": "ne", "Northern Sami": "se", "Norwegian": "no",
    "Occitan": "oc", "Pashto": "ps", "Persian": "fa", "Polish": "pl", "Portuguese": "pt",
    "Punjabi": "pa", "Putonghua": "zh", "Quebec French": "fr", "Quechua": "qu",
    "Romanian": "ro", "Russian": "ru", "Samoan": "sm", "Scottish Gaelic": "gd",
    "Serbian": "sr", "Serbo-Croatian": "sh", "Sesotho": "st", "Shanghainese": "zh",
    "Sichuanese": "zh", "Slovak": "sk", "Slovene": "sl", "Somali": "so", "Spanish": "es",
    "Standard Chinese": "zh", "Standard Taiwanese Mandarin": "zh", "Swahili": "sw",
    "Swedish": "sv", "Swiss German": "de", "Tagalog": "tl", "Taiwanese Hokkien": "zh",
    "Tajik": "tg", "Tamil": "ta", "Tatar": "tt", "Telugu": "te", "Thai": "th", "Tibetan": "bo",
    "Tigrinya": "ti", "Tswana": "tn", "Turkish": "tr", "Ukrainian": "uk", "Urdu": "ur",
    "Vietnamese": "vi", "Welsh": "cy", "Wolof": "wo", "Wu Chinese": "zh", "Xhosa": "xh",
    "Yiddish": "yi", "Yoruba": "yo", "Yue Chinese": "zh", "Zulu": "zu",
}  # fmt: skip
"""ISO 639-1. Languages without a code there (and Klingon) are left out."""

SPOKEN = {
    "Argentina": "es", "Australia": "en", "Austria": "de", "Belgium": "fr nl", "Brazil": "pt",
    "Canada": "en fr", "Chile": "es", "Colombia": "es", "Cuba": "es", "Czech Republic": "cs",
    "Czechoslovakia": "cs sk", "Denmark": "da", "Finland": "fi", "France": "fr",
    "Germany": "de", "Greece": "el", "Hong Kong": "zh", "Hungary": "hu", "Iceland": "is",
    "India": "hi", "Indonesia": "id", "Iran": "fa", "Ireland": "en", "Israel": "he",
    "Italy": "it", "Japan": "ja", "Mexico": "es", "Netherlands": "nl", "New Zealand": "en",
    "Norway": "no", "People's Republic of China": "zh", "Peru": "es", "Poland": "pl",
    "Portugal": "pt", "Romania": "ro", "Russia": "ru", "South Africa": "en",
    "South Korea": "ko", "Soviet Union": "ru", "Spain": "es", "Sweden": "sv",
    "Switzerland": "de fr it", "Taiwan": "zh", "Thailand": "th", "Turkey": "tr",
    "United Kingdom": "en", "United States": "en", "West Germany": "de",
}  # fmt: skip
"""The main languages of the countries that make most films: which one of several languages of a
film is its own."""

SCHEMA = """
CREATE TABLE films (
    rank INTEGER PRIMARY KEY,   -- 1 is the best known and liked
    imdb INTEGER NOT NULL,      -- the number in the IMDb id
    title TEXT NOT NULL,
    title_hash INTEGER NOT NULL,  -- CRC-32 of its words: finds exact titles
    year INTEGER NOT NULL,
    runtime INTEGER,            -- minutes
    rating INTEGER,             -- tenths, 0 to 100
    language TEXT,              -- ISO 639-1
    genres TEXT NOT NULL,       -- one letter each (genres.letter), the most telling first
    directors TEXT NOT NULL,    -- names, separated by |
    actors TEXT NOT NULL        -- names, separated by |
) STRICT;
CREATE TABLE genres (
    letter TEXT PRIMARY KEY, id TEXT NOT NULL, name TEXT NOT NULL, films INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE genre_films (
    letter TEXT NOT NULL, rank INTEGER NOT NULL, PRIMARY KEY (letter, rank)
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5 (
    title, names, content = '', detail = column, columnsize = 0,
    tokenize = 'unicode61 remove_diacritics 2'
);
"""
INDEXES = """
CREATE UNIQUE INDEX films_imdb ON films (imdb);
CREATE INDEX films_title_hash ON films (title_hash);
CREATE INDEX films_language ON films (language) WHERE language <> 'en';  -- most are
CREATE INDEX films_year ON films (year);
"""

MOJIBAKE = re.compile("[\ufffd\x80-\x9f]|Ã[\x80-\xbf]|â€|Â[\xa0-\xbf]")
SUFFIX = re.compile(r"^(?:[JS]r\.?|I{1,3}|IV|M\.?D\.?|Ph\.?D\.?)$")


class Source(msgspec.Struct, frozen=True):
    """A row of the source, its columns as they come."""

    imdb: str
    title: str
    year: int
    runtime: float | None
    genre: str
    director: str
    cast: str
    language: str | None
    country: str | None
    metacritic: int | None
    score: float | None
    reviews: int | None


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """A film as it will be shipped, but for its place in the order."""

    imdb: int
    title: str
    year: int
    runtime: int | None
    rating: float | None
    language: str | None
    genres: tuple[str, ...]
    directors: tuple[str, ...]
    cast: tuple[str, ...]
    reviews: int


class Report(Counter[str]):
    """How often each thing was dropped or mended, by reason."""

    def print(self, read: int, kept: int) -> None:
        """Print the table."""
        lines = [("films read", read), *sorted(self.items()), ("films kept", kept)]
        width = max(len(reason) for reason, _ in lines)
        for reason, count in lines:
            print(f"{reason:<{width}}  {count:>6}")


def source_path() -> Path:
    """Return where the installed package keeps its film table.

    The package itself is not imported: it would want pandas.

    Raises:
        SystemExit: it is not installed, or is of another version.
    """
    spec = importlib.util.find_spec("bokeh_sampledata")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("bokeh_sampledata is missing: pip install -r requirements/catalogue.lock")
    path = Path(spec.submodule_search_locations[0]) / "_data/movies.db"
    if hashlib.sha256(path.read_bytes()).hexdigest() != SOURCE_SHA256:
        sys.exit(f"{path} is not the film table of bokeh_sampledata 2026.1")
    return path


def read(path: Path) -> list[Source]:
    """Return all rows in the order of their IMDb ids."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            """SELECT imdbID, Title, Year, Runtime, Genre, Director, "Cast", Language, Country,
                      Metacritic, tomatoes.Rating, Reviews
               FROM omdb JOIN tomatoes USING (ID) ORDER BY imdbID, ID"""
        )
        return [Source(*row) for row in rows]


def tidy(text: str) -> str:
    """Undo HTML entities, odd white space and control characters; compose accents."""
    text = unicodedata.normalize("NFC", html.unescape(text))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def names(text: str) -> list[str]:
    """Split a list of names at its commas, but leave `Sammy Davis, Jr.` whole."""
    found: list[str] = []
    for part in tidy(text).split(", "):
        if SUFFIX.match(part) and found:
            found[-1] = f"{found[-1]} {part}"
        elif part and part not in found and not MOJIBAKE.search(part):
            found.append(part.replace("|", " "))
    return found


def language(row: Source, report: Report) -> str | None:
    """Return the original language.

    The source gives all languages of a film in alphabetical order. With several, it is the one
    that most of its countries speak; a tie is English if that is among them, else left open.
    """
    listed = [code for name in (row.language or "").split(", ") if (code := LANGUAGES.get(name))]
    if len(set(listed)) <= 1:
        return listed[0] if listed else None
    spoken = Counter(
        code
        for country in (row.country or "").split(", ")
        for code in SPOKEN.get(country, "").split()
        if code in listed
    )
    most = max(spoken.values(), default=0)
    best = [code for code in spoken if spoken[code] == most]
    if len(best) == 1:
        return best[0]
    if "en" in best:
        return "en"
    report["language: several, none more likely, left open"] += 1
    return None


def genres(row: Source, report: Report) -> set[str]:
    """Return the genres in our vocabulary."""
    listed = [name for name in row.genre.split(", ") if name]
    known = {GENRES[name] for name in listed if name in GENRES}
    if not listed:
        report["genre: none in the source"] += 1
    elif not known:
        report["genre: only Biography or Sport, now Drama"] += 1
        known.add("Drama")
    elif len(known) < len(set(listed)):
        report["genre: Biography or Sport taken away"] += 1
    return known


def rating(row: Source, report: Report) -> float | None:
    """Return the critics' mean score, 0 to 10; Metacritic's where that is missing."""
    if (row.reviews or 0) < FEWEST_REVIEWS:
        report[f"rating: fewer than {FEWEST_REVIEWS} reviews, left open"] += 1
        return None
    if row.score is not None and 0 < row.score <= 10:
        return row.score
    if row.metacritic is not None:
        report["rating: Metacritic's taken"] += 1
        return row.metacritic / 10
    report["rating: none in the source"] += 1
    return None


def clean(rows: Sequence[Source], report: Report) -> list[Film]:
    """Mend what can be mended and drop the rest."""
    genre_count = Counter(g for row in rows for g in genres(row, Report()))
    fame: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        cast = names(row.cast)
        for name in cast:
            fame[name] += (row.reviews or 0) / len(cast)
    films: list[Film] = []
    for row in rows:
        title = re.sub(r" \((?:\d{4} )?film\)$", "", tidy(row.title))
        if title != row.title:
            report["title: mended"] += 1
        if not title or MOJIBAKE.search(title) or re.fullmatch(r"Q\d+", title):
            report["dropped: broken title"] += 1
            continue
        if not re.fullmatch(r"tt\d{7,8}", row.imdb):
            report["dropped: no IMDb id"] += 1
            continue
        if not FIRST_YEAR <= row.year <= LAST_YEAR:
            report["dropped: impossible year"] += 1
            continue
        runtime = None if row.runtime is None else round(row.runtime)
        if runtime is not None and not SHORTEST <= runtime <= LONGEST:
            report["runtime: impossible, left open"] += 1
            runtime = None
        films.append(
            Film(
                imdb=int(row.imdb[2:]),
                title=title,
                year=row.year,
                runtime=runtime,
                rating=rating(row, report),
                language=language(row, report),
                # The source's order says nothing; the rarer genre tells more about a film.
                genres=tuple(sorted(genres(row, report), key=lambda g: (genre_count[g], g))),
                directors=tuple(names(row.director)),
                # The source is alphabetical. Who is in many well-known films is who people look
                # for, and more so the fewer names a film lists: those are its leads.
                cast=tuple(sorted(names(row.cast), key=lambda name: (-fame[name], name))),
                reviews=row.reviews or 0,
            )
        )
    return films


def without_duplicates(films: Iterable[Film], report: Report) -> list[Film]:
    """Keep the most reviewed entry of each film.

    Entries are of one film if they share their IMDb id (a later cut has an entry of its own), or
    title and director within a year. Titles are compared with their punctuation: X+Y is not X/Y.
    """
    kept: list[Film] = []
    by_id: set[int] = set()
    by_title: dict[str, list[Film]] = {}
    for film in sorted(films, key=lambda f: (-f.reviews, f.imdb, f.year)):
        same_title = by_title.setdefault(film.title.casefold(), [])
        if film.imdb in by_id:
            report["dropped: another entry has the same IMDb id"] += 1
        elif any(
            abs(film.year - other.year) <= 1 and set(film.directors) & set(other.directors)
            for other in same_title
        ):
            report["dropped: same title and director within a year"] += 1
        else:
            kept.append(film)
            same_title.append(film)
            by_id.add(film.imdb)
    return kept


def share_below(values: Iterable[float]) -> Callable[[float], float]:
    """Return the function that ranks a value among these: 0 none is smaller, 1 all are."""
    ordered = sorted(values)
    return lambda v: (bisect_left(ordered, v) + bisect_right(ordered, v)) / 2 / len(ordered)


def best_first(films: Sequence[Film]) -> list[Film]:
    """Order the films as the docstring of this file says."""
    reviewed = share_below(film.reviews for film in films)
    reviewed_then = {
        year: share_below(film.reviews for film in films if abs(film.year - year) <= 5)
        for year in {film.year for film in films}
    }
    ratings = [film.rating for film in films if film.rating is not None]
    mean = sum(ratings) / len(ratings)
    weight = sorted(film.reviews for film in films)[len(films) // 2]

    def average(film: Film) -> float:
        own = mean if film.rating is None else film.rating
        return (weight * mean + film.reviews * own) / (weight + film.reviews)

    liked = share_below(average(film) for film in films)

    def score(film: Film) -> float:
        known = reviewed(film.reviews) / 3 + reviewed_then[film.year](film.reviews) * 2 / 3
        return known * known * liked(average(film))  # the cube of the mean orders as the mean

    return sorted(films, key=lambda film: (-score(film), film.imdb))


def write(films: Sequence[Film], path: Path) -> None:
    """Write the database anew."""
    path.unlink(missing_ok=True)
    counts = Counter(genre for film in films for genre in film.genres)
    letters = {genre: chr(ord("a") + i) for i, genre in enumerate(sorted(counts))}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO genres VALUES (?, ?, ?, ?)",
            [(letters[g], g.lower().replace(" ", "-"), g, counts[g]) for g in sorted(counts)],
        )
        for rank, film in enumerate(films, 1):
            title_words = index_words(film.title)
            people = (*film.directors, *film.cast[:CAST_SEARCHED])
            name_words = [w for name in people for w in index_words(name)]
            strange = [w for w in (*title_words, *name_words) if not w.isascii()]
            if strange:
                sys.exit(f"{film.title}: teach catalogue/text.py to fold {strange}")
            connection.execute(
                "INSERT INTO films VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    rank,
                    film.imdb,
                    film.title,
                    zlib.crc32(" ".join(words(film.title)).encode()),
                    film.year,
                    film.runtime,
                    None if film.rating is None else round(film.rating * 10),
                    film.language,
                    "".join(letters[genre] for genre in film.genres),
                    "|".join(film.directors),
                    "|".join(film.cast[:CAST_SHOWN]),
                ),
            )
            connection.executemany(
                "INSERT INTO genre_films VALUES (?, ?)",
                [(letters[genre], rank) for genre in film.genres],
            )
            connection.execute(
                "INSERT INTO search (rowid, title, names) VALUES (?, ?, ?)",
                (rank, " ".join(title_words), " ".join(dict.fromkeys(name_words))),
            )
        connection.execute("INSERT INTO search (search) VALUES ('optimize')")
        connection.executescript(INDEXES)
        connection.commit()
        connection.execute("ANALYZE")
        connection.commit()
        connection.execute("VACUUM")


def main() -> None:
    """Build the list and say what became of the source."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--source", type=Path, help="movies.db of bokeh_sampledata 2026.1")
    arguments.add_argument("--target", type=Path, default=TARGET)
    options = arguments.parse_args()
    rows = read(options.source or source_path())
    report = Report()
    films = best_first(without_duplicates(clean(rows, report), report))
    write(films, options.target)
    report.print(len(rows), len(films))
    print(f"{options.target.name}: {options.target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
