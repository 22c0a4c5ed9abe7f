"""The list of films that ships with Trinity: 17,000 films of 1940 to 2014, always at hand.

`tools/build_catalogue.py` makes the file, and says where its content comes from and in which order
its films stand. Nothing is loaded before the first question, and then only the pages that answer
it.
"""

import sys
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trinity.domain.deck_selection import Candidate, choose, film_key
from trinity.domain.ids import TitleId
from trinity.domain.titles import Genre, Title, TitleFilter
from trinity.infrastructure.catalogue import cursor as cursors
from trinity.infrastructure.catalogue.text import words
from trinity.ports import TitlePage

if TYPE_CHECKING:
    import sqlite3

_ID = "wikidata:movie:tt"
_CURSOR = "films"
_MOST_WORDS = 40
"""More different words than any film has in its title and names: nothing matches them."""
_POOL = 8
"""So many candidates for each title of a deck. The chance of what is behind them is slight."""

_Query = tuple[str, str, str]
"""What to select, the query's own condition, and the column that holds the rank.

Every query walks the films by rank, which is the order of the answer, from where the last page
ended, and stops when the page is full. The rank of a match is the `rowid` of the word index: SQLite
does not see that it is that of the film as well, and would read and sort all matches.
"""
_COLUMNS = (
    "SELECT films.rank, imdb, films.title, year, runtime, rating, language, genres,"
    " directors, actors"
)
_LISTED = (
    _COLUMNS + " FROM films",
    "films.rank > :after",
    "films.rank",
)
_EXACT = (
    _COLUMNS + " FROM films",
    "films.rank > :after AND title_hash = :hash",
    "films.rank",
)
_MATCHING = (
    _COLUMNS + " FROM search JOIN films ON films.rank = search.rowid",
    "search MATCH :match AND search.rowid > :after AND title_hash <> :hash",
    "search.rowid",
)
_BY_ID = "films.imdb IN (SELECT value FROM json_each(:numbers))"
_POOLED = (
    "SELECT imdb, title, year, substr(genres, 1, 1) FROM films",
    "films.rank > 0",
    "films.rank",
)


class EmbeddedCatalogue:
    """The `Catalogue` over the shipped list. It may be called from many threads.

    All titles are films. It does not know who streams what: `providers` and `region` of a filter
    are ignored, so that a deck for people with one service is still a deck.
    """

    remote = False

    def __init__(self) -> None:
        import threading

        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        self._names: dict[str, str] = {}

    def genres(self) -> list[Genre]:
        """See `Catalogue.genres`."""
        rows = self._query("SELECT id, name, films FROM genres ORDER BY name", {})
        return [Genre(id=id_, name=name, titles=films) for id_, name, films in rows]

    def search(
        self, text: str, where: TitleFilter, *, cursor: str | None = None, limit: int = 20
    ) -> TitlePage:
        """See `Catalogue.search`.

        Exact titles come first, then titles that have all the words, then films that have some of
        them in the names of their directors and actors; each best known first. A text without
        letters and digits counts as empty.
        """
        stage, after = cursors.decode(cursor, _CURSOR, numbers=2) if cursor is not None else (0, 0)
        asked = list(dict.fromkeys(words(text)))
        filtered = self._filter(where)
        # The words of the list are all ASCII once folded.
        if filtered is None or len(asked) > _MOST_WORDS or not all(map(str.isascii, asked)):
            return TitlePage([], None)
        conditions, parameters = filtered
        found: list[Title] = []
        stages = _stages(text, asked)
        for number in range(stage, len(stages)):
            query, matching = stages[number]
            page = {"after": after, "limit": limit - len(found) + 1, **matching, **parameters}
            rows = self._query(_ordered(query, conditions), page)
            if len(rows) > limit - len(found):
                # One more than was asked for: there is a next page, which begins with this one.
                found += [self._title(row) for row in rows[:-1]]
                return TitlePage(found, cursors.encode(_CURSOR, number, rows[-1][0] - 1))
            found += [self._title(row) for row in rows]
            after = 0
        return TitlePage(found, None)

    def titles(self, ids: Sequence[TitleId]) -> list[Title]:
        """See `Catalogue.titles`."""
        return self._titles([n for each in ids if (n := _number(each)) is not None])

    def select(self, where: TitleFilter, *, size: int, seed: int) -> list[Title]:
        """See `Catalogue.select`; how is told in `trinity.domain.deck_selection`."""
        filtered = self._filter(where)
        if filtered is None:
            return []
        conditions, parameters = filtered
        parameters["limit"] = size * _POOL
        pool = [
            Candidate(TitleId(_id(number)), film_key(title, year, "movie"), genre)
            for number, title, year, genre in self._query(_ordered(_POOLED, conditions), parameters)
        ]
        return self.titles(choose(pool, size=size, seed=seed, mixed=len(where.genres) != 1))

    def gather(self, where: TitleFilter, *, size: int, seed: int) -> list[Title]:
        """See `Catalogue.gather`."""
        return self.select(where, size=size, seed=seed)

    def _filter(self, where: TitleFilter) -> tuple[list[str], dict[str, Any]] | None:
        """Return conditions and their parameters; None if no film can meet them."""
        if where.media_types and "movie" not in where.media_types:
            return None
        conditions: list[str] = []
        parameters: dict[str, Any] = {}
        if where.genres:
            asked = {genre.casefold() for genre in where.genres}
            rows = self._query("SELECT letter, id, name FROM genres", {})
            letters = [r[0] for r in rows if r[1] in asked or r[2].casefold() in asked]
            if not letters:
                return None
            conditions.append(
                "films.rank IN (SELECT rank FROM genre_films"
                " WHERE letter IN (SELECT value FROM json_each(:letters)))"
            )
            parameters["letters"] = msgspec.json.encode(letters).decode()
        if where.year_from is not None:
            conditions.append("year >= :year_from")
            parameters["year_from"] = min(max(where.year_from, 0), 9999)
        if where.year_to is not None:
            conditions.append("year <= :year_to")
            parameters["year_to"] = min(max(where.year_to, 0), 9999)
        if where.min_rating is not None:
            conditions.append("rating >= :min_rating")
            parameters["min_rating"] = where.min_rating * 10 - 1e-6  # 8.2 * 10 exceeds 82
        if where.language is not None:
            parameters["language"] = where.language.lower()
            conditions.append("language = :language")
            if parameters["language"] != "en":
                conditions.append("language <> 'en'")  # lets SQLite see that the index will do
        return conditions, parameters

    def _titles(self, numbers: Sequence[int]) -> list[Title]:
        query = " WHERE ".join((_LISTED[0], _BY_ID))
        rows = self._query(query, {"numbers": msgspec.json.encode(numbers).decode()})
        found = {row[1]: self._title(row) for row in rows}
        return [found[number] for number in numbers if number in found]

    def _title(self, row: Sequence[Any]) -> Title:
        _, number, title, year, runtime, rating, language, genres, directors, actors = row
        return Title(
            id=TitleId(_id(number)),
            title=title,
            media_type="movie",
            genres=tuple(self._genre_names()[letter] for letter in genres),
            year=year,
            runtime_minutes=runtime,
            rating=None if rating is None else rating / 10,
            language=language,
            directors=tuple(directors.split("|")) if directors else (),
            cast=tuple(actors.split("|")) if actors else (),
        )

    def _genre_names(self) -> Mapping[str, str]:
        if not self._names:
            self._names = dict(self._query("SELECT letter, name FROM genres", {}))
        return self._names

    def _query(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        # One connection for all threads: a question takes a few milliseconds at most, and the
        # memory stays that of one.
        with self._lock:
            if self._opened is None:
                self._opened = _open()
            return self._opened.execute(query, parameters).fetchall()


def _open() -> "sqlite3.Connection":
    import sqlite3
    from pathlib import Path

    # Beside this module or, for a Lambda function, in a layer, which is on the path of modules.
    folders = (Path(__file__).parent, *map(Path, sys.path))
    file = next(path for folder in folders if (path := folder / "films.sqlite").is_file())
    uri = file.resolve().as_uri()
    return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)


def _ordered(query: _Query, conditions: Sequence[str]) -> str:
    """Return a query with its own and further conditions, by rank."""
    select, condition, rank = query
    every = " AND ".join((condition, *conditions))
    return " ".join((select, "WHERE", every, "ORDER BY", rank, "LIMIT :limit"))


def _stages(text: str, asked: Sequence[str]) -> list[tuple[_Query, dict[str, Any]]]:
    """Return the queries whose answers, one after the other, are that of a search."""
    if not asked:
        return [(_LISTED, {})]
    # The words are letters and digits alone, quoted: no operator of FTS5 can be among them.
    every = " AND ".join(f'"{word}"*' for word in asked)
    exact = {"hash": zlib.crc32(" ".join(words(text)).encode())}
    in_title = f"{{title}} : ({every})"
    return [
        (_EXACT, exact),
        (_MATCHING, {"match": in_title, **exact}),
        (_MATCHING, {"match": f"({every}) NOT ({in_title})", **exact}),
    ]


def _id(number: int) -> str:
    return f"{_ID}{number:07}"


def _number(title_id: str) -> int | None:
    """Return the number in one of our ids, None if it is not one as we write them."""
    digits = title_id.removeprefix(_ID)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        return None
    return int(digits) if _id(int(digits)) == title_id else None
