"""Films and series of The Movie Database, https://developer.themoviedb.org/reference.

This product uses the TMDB API but is not endorsed or certified by TMDB. Its terms allow to keep
its data for six months at most; the cache here keeps it for hours.

Where TMDB cannot be asked, another catalogue answers, and someone is told. Modules for HTTP are
imported on the first question, and only here.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from trinity.common.resilience import (
    Budget,
    CircuitBreaker,
    CircuitOpen,
    OutOfTime,
    Retryable,
    chance,
    retry,
)
from trinity.domain.deck_selection import candidate, choose
from trinity.domain.ids import TitleId
from trinity.domain.titles import Genre, MediaType, Title, TitleFilter
from trinity.infrastructure.catalogue import cursor as cursors
from trinity.infrastructure.catalogue.text import words
from trinity.ports import Cache, Catalogue, TitlePage, Unavailable

if TYPE_CHECKING:
    from http.client import HTTPConnection

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
Item = TypeVar("Item")
Kind = Literal["movie", "tv"]

_HOUR = 3600.0
_SOURCE = "tmdb"
_KINDS: dict[Kind, MediaType] = {"movie": "movie", "tv": "series"}
_LAST_PAGE = 500
"""TMDB refuses further pages, whatever its `total_pages` says."""
_PAGES_A_SEARCH = 5
"""A search with filters that hardly anything passes ends after so many pages, with a cursor."""
_LONGEST_TEXT = 500
"""Characters. No title is that long, and TMDB would refuse the address."""
_PAGES_A_DECK = 30
_POOL = 4
"""So many candidates for each title of a deck, a page having twenty."""
_AT_ONCE = 8
_FEWEST_VOTES = 50
_PRIOR_VOTES, _PRIOR_MEAN = 500, 6.5
"""Of the Bayesian average: what a title without votes would be worth, and how firmly."""
_LARGEST_ANSWER = 8 << 20
_GATHERING_S = 20.0
"""What may be taken while nobody waits."""
_ENOUGH_TIME = 1.0
"""Seconds that must be left to ask for the details of one more title."""

# A genre of series stands for these of films, so that there is one vocabulary: Action & Adventure,
# Kids, Sci-Fi & Fantasy, War & Politics.
_AS_FILM_GENRES = {10759: (28, 12), 10762: (10751,), 10765: (878, 14), 10768: (10752,)}
_NO_GENRE = 10770
"""TV Movie says who paid for a film, not what it is like."""


class _Refused(Exception):
    """TMDB answered, and will answer the same to the same question."""


_TROUBLE = (Retryable, _Refused, CircuitOpen, OutOfTime, Unavailable)


class _Genre(msgspec.Struct):
    id: int
    name: str


class _Genres(msgspec.Struct):
    genres: list[_Genre]


class _Result(msgspec.Struct, omit_defaults=True):
    """What lists say of a film, a series or, in `search/multi`, a person."""

    id: int
    media_type: str = ""
    title: str | None = None
    name: str | None = None
    overview: str | None = None
    poster_path: str | None = None
    release_date: str | None = None
    first_air_date: str | None = None
    genre_ids: list[int] = []
    original_language: str | None = None
    vote_average: float = 0
    vote_count: int = 0
    adult: bool = False
    known_for: list["_Result"] = []


class _Page(msgspec.Struct):
    results: list[_Result]
    total_pages: int


class _Video(msgspec.Struct):
    site: str
    type: str
    key: str
    official: bool = False


class _Videos(msgspec.Struct):
    results: list[_Video] = []


class _Person(msgspec.Struct, omit_defaults=True):
    name: str
    job: str = ""


class _Credits(msgspec.Struct):
    cast: list[_Person] = []
    crew: list[_Person] = []


class _Service(msgspec.Struct):
    provider_id: int
    provider_name: str


class _Services(msgspec.Struct):
    results: list[_Service]


class _Offers(msgspec.Struct, omit_defaults=True):
    """Who streams a title in a region: by subscription, free of charge, with advertisements."""

    flatrate: list[_Service] = []
    free: list[_Service] = []
    ads: list[_Service] = []


class _OffersByRegion(msgspec.Struct):
    results: dict[str, _Offers] = {}


class _Details(msgspec.Struct, omit_defaults=True):
    id: int
    title: str | None = None
    name: str | None = None
    overview: str | None = None
    poster_path: str | None = None
    release_date: str | None = None
    first_air_date: str | None = None
    genres: list[_Genre] = []
    original_language: str | None = None
    vote_average: float = 0
    vote_count: int = 0
    runtime: int | None = None
    episode_run_time: list[int] = []
    created_by: list[_Person] = []
    videos: _Videos = msgspec.field(default_factory=_Videos)
    credits: _Credits = msgspec.field(default_factory=_Credits)
    offers: _OffersByRegion = msgspec.field(name="watch/providers", default_factory=_OffersByRegion)


class TmdbCatalogue:
    """The `Catalogue` over TMDB. It may be called from many threads.

    Genres of series are told in those of films, and asking for one finds series of the wider one:
    fantasy finds `Sci-Fi & Fantasy`. TMDB searches titles in all languages, and names of people
    lead to what they are known for.

    Args:
        token: returns the API read access token; `Unavailable` if it cannot just now.
        cache: keeps answers for hours.
        fallback: answers when TMDB does not, and for ids that are not TMDB's.
        warn: is told, in one line and without secrets, whenever the fallback had to answer.
        base_url: of the API.
        image_url: of posters, without the path that TMDB gives.
        language: of titles, overviews and genres, as `en-US`.
        timeout_s: seconds that one question may take, all requests for it included.
        now: seconds of a clock that never goes back.
        sleep: waits so many seconds.
        chance: numbers from 0 to 1, for jitter.
    """

    remote = True

    def __init__(
        self,
        token: Callable[[], str],
        *,
        cache: Cache,
        fallback: Catalogue,
        warn: Callable[[str], None],
        base_url: str = "https://api.themoviedb.org/3",
        image_url: str = "https://image.tmdb.org/t/p/w500",
        language: str = "en-US",
        timeout_s: float = 6.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = chance,
    ) -> None:
        self._token = token
        self._cache = cache
        self._fallback = fallback
        self._warn = warn
        self._base_url = base_url
        self._image_url = image_url
        self._language = language
        self._timeout_s = timeout_s
        self._now = now
        self._sleep = sleep
        self._chance = chance
        self._breaker = CircuitBreaker(now=now)

    # ------------------------------------------------------------------------------- Catalogue

    def genres(self) -> list[Genre]:
        """See `Catalogue.genres`. TMDB does not say how many titles there are of each."""

        def ask(session: "_Session") -> list[Genre]:
            names = set(self._vocabulary(session).names.values())
            return [Genre(id=_slug(name), name=name) for name in sorted(names)]

        return self._ask("genres", ask, self._fallback.genres)

    def search(
        self, text: str, where: TitleFilter, *, cursor: str | None = None, limit: int = 20
    ) -> TitlePage:
        """See `Catalogue.search`.

        A cursor of the fallback is answered by the fallback, so that pages go on as they began. A
        page may be short, or even empty, while there are more.
        """
        if cursor is not None and not cursor.startswith(_SOURCE + "."):
            return self._fallback.search(text, where, cursor=cursor, limit=limit)
        page, offset = (1, 0) if cursor is None else cursors.decode(cursor, _SOURCE, numbers=2)
        if not 1 <= page <= _LAST_PAGE:
            raise ValueError("not a cursor of this catalogue")
        if len(text) > _LONGEST_TEXT:
            return TitlePage([], None)

        def ask(session: "_Session") -> TitlePage:
            return self._search(session, text, where, page, offset, limit)

        return self._ask("search", ask, lambda: self._fallback.search(text, where, limit=limit))

    def titles(self, ids: Sequence[TitleId]) -> list[Title]:
        """See `Catalogue.titles`. While TMDB does not answer, its titles do not exist."""
        own = {each: key for each in ids if (key := _key(each)) is not None}
        others = [each for each in ids if each not in own]
        found = {title.id: title for title in self._fallback.titles(others)} if others else {}

        def ask(session: "_Session") -> list[Title]:
            vocabulary = self._vocabulary(session)
            answers = _each(lambda key: self._details(session, *key), list(own.values()))
            return [
                self._title(details, kind, vocabulary)
                for (kind, _), details in zip(own.values(), answers, strict=True)
                if details is not None
            ]

        if own:
            nothing: list[Title] = []
            found |= {title.id: title for title in self._ask("titles", ask, lambda: nothing)}
        return [found[each] for each in ids if each in found]

    def select(self, where: TitleFilter, *, size: int, seed: int) -> list[Title]:
        """See `Catalogue.select`; how is told in `trinity.domain.deck_selection`.

        The same seed gives the same deck as long as TMDB lists the same titles. Titles without a
        poster or an overview are left out: nobody can judge such a card.
        """

        def ask(session: "_Session") -> list[Title]:
            return self._select(session, where, size, seed)

        return self._ask("select", ask, lambda: self._fallback.select(where, size=size, seed=seed))

    def gather(self, where: TitleFilter, *, size: int, seed: int) -> list[Title]:
        """See `Catalogue.gather`. The fallback is not asked: it is there anyway."""
        try:
            with self._session(_GATHERING_S) as session:
                return self._select(session, where, size, seed)
        except _TROUBLE as trouble:
            raise Unavailable(f"TMDB could not answer: {trouble}") from trouble

    # ----------------------------------------------------------------------------- how it is done

    def _ask(self, what: str, ask: Callable[["_Session"], T], instead: Callable[[], T]) -> T:
        try:
            with self._session(self._timeout_s) as session:
                return ask(session)
        except _TROUBLE as trouble:
            self._warn(f"TMDB could not answer {what}: {trouble}. The fallback answers.")
            return instead()

    def _session(self, seconds: float) -> "_Session":
        return _Session(
            self._base_url,
            _checked(self._token()),
            Budget(seconds, now=self._now),
            attempt_s=self._timeout_s / 2,
        )

    def _search(
        self,
        session: "_Session",
        text: str,
        where: TitleFilter,
        page: int,
        offset: int,
        limit: int,
    ) -> TitlePage:
        vocabulary = self._vocabulary(session)
        asked = _Asked(where, vocabulary)
        found: list[Title] = []
        for number in range(page, page + _PAGES_A_SEARCH):
            if words(text):
                results, last = self._matching(session, text, number)
            else:
                results, last = self._discover(session, asked, number)
            fitting = [
                (place, result, kind)
                for place, (result, kind) in enumerate(results)
                if place >= offset and asked.fits(result, kind)
            ]
            if asked.services and words(text):
                fitting = self._streamed(session, fitting, where)
            room = limit - len(found)
            found += [self._title(result, kind, vocabulary) for _, result, kind in fitting[:room]]
            if len(fitting) > room:
                return TitlePage(found, cursors.encode(_SOURCE, number, fitting[room][0]))
            offset = 0
            if number >= last:
                return TitlePage(found, None)
            if len(found) == limit:
                break
        return TitlePage(found, cursors.encode(_SOURCE, number + 1, 0))

    def _matching(
        self, session: "_Session", text: str, page: int
    ) -> tuple[list[tuple[_Result, Kind]], int]:
        """Return a page of what matches a text, and the number of the last page.

        Of people, only those on the first page lead to titles, and only to titles that the text
        does not find anyway: no title comes up on two pages.
        """
        query = {"query": text, "include_adult": "false", "page": str(page)}
        answer = self._get(session, "/search/multi", query, _Page, ttl=_HOUR)
        asked = words(text)
        found: dict[tuple[str, int], tuple[_Result, Kind]] = {}
        for result in answer.results:
            known_for = result.known_for if page == 1 and result.media_type == "person" else []
            others = [r for r in known_for if not _named(r, asked)]
            for each in [result, *others]:
                for kind in _KINDS:
                    if each.media_type == kind:
                        found.setdefault((kind, each.id), (each, kind))
        return list(found.values()), min(answer.total_pages, _LAST_PAGE)

    def _discover(
        self, session: "_Session", asked: "_Asked", page: int
    ) -> tuple[list[tuple[_Result, Kind]], int]:
        """Return a page of what passes a filter, best known first, and the number of the last."""
        results: list[tuple[_Result, Kind]] = []
        last = 0
        for kind in asked.kinds:
            parameters = self._discovery(session, asked, kind)
            if parameters is None:
                continue
            parameters["page"] = str(page)
            answer = self._get(session, f"/discover/{kind}", parameters, _Page, ttl=6 * _HOUR)
            results += [(result, kind) for result in answer.results]
            last = max(last, min(answer.total_pages, _LAST_PAGE))
        # Two lists in one: the page of films and the page of series that have the same number.
        results.sort(key=lambda pair: -pair[0].vote_count)
        return results, last

    def _discovery(self, session: "_Session", asked: "_Asked", kind: Kind) -> dict[str, str] | None:
        """Return the filter in TMDB's parameters, None if nothing can pass it."""
        where = asked.where
        date = "primary_release_date" if kind == "movie" else "first_air_date"
        parameters = {
            "include_adult": "false",
            "sort_by": "vote_count.desc",
            "vote_count.gte": str(_FEWEST_VOTES),
        }
        if where.genres:
            genres = asked.genre_ids(kind)
            if not genres:
                return None
            parameters["with_genres"] = "|".join(map(str, genres))
        if where.year_from is not None:
            parameters[f"{date}.gte"] = f"{where.year_from:04}-01-01"
        if where.year_to is not None:
            parameters[f"{date}.lte"] = f"{where.year_to:04}-12-31"
        if where.min_rating is not None:
            parameters["vote_average.gte"] = str(where.min_rating)
        if where.language is not None:
            parameters["with_original_language"] = where.language.lower()
        if asked.services and where.region is not None:
            region = {"watch_region": where.region.upper()}
            known = self._get(
                session, f"/watch/providers/{kind}", region, _Services, ttl=24 * _HOUR
            )
            ids = [
                s.provider_id for s in known.results if s.provider_name.casefold() in asked.services
            ]
            if not ids:
                return None
            parameters |= region
            parameters["with_watch_providers"] = "|".join(map(str, ids))
        return parameters

    def _streamed(
        self,
        session: "_Session",
        results: Sequence[tuple[int, _Result, Kind]],
        where: TitleFilter,
    ) -> list[tuple[int, _Result, Kind]]:
        """Return those that one of the asked services carries; only their details say so."""
        services = {service.casefold() for service in where.providers}
        answers = _each(lambda each: self._details(session, each[2], each[1].id), results)
        return [
            each
            for each, details in zip(results, answers, strict=True)
            if details is not None
            and services & {name.casefold() for name in _carriers(details, where.region)}
        ]

    def _select(self, session: "_Session", where: TitleFilter, size: int, seed: int) -> list[Title]:
        vocabulary = self._vocabulary(session)
        asked = _Asked(where, vocabulary)
        first, last = self._discover(session, asked, 1)
        pages = min(last, _PAGES_A_DECK, -(-size * _POOL // (20 * max(1, len(asked.kinds)))))
        further = _each(lambda n: self._discover(session, asked, n)[0], range(2, pages + 1))
        results = [pair for page in (first, *further) for pair in page]
        pool = {
            _title_id(kind, result.id): (result, kind)
            for result, kind in sorted(results, key=lambda pair: _merit(pair[0]), reverse=True)
            if result.poster_path and result.overview and asked.fits(result, kind)
        }
        listed = {each: self._title(*pair, vocabulary) for each, pair in pool.items()}
        chosen = choose(
            [candidate(title) for title in listed.values()],
            size=size,
            seed=seed,
            mixed=len(where.genres) != 1,
        )

        def detailed(title_id: TitleId) -> Title | None:
            result, kind = pool[title_id]
            if session.budget.left() < _ENOUGH_TIME:
                return None
            try:
                details = self._details(session, kind, result.id)
            except _TROUBLE:
                return None
            return self._title(details, kind, vocabulary, where.region) if details else None

        answers = dict(zip(chosen, _each(detailed, chosen), strict=True))
        missing = sum(answer is None for answer in answers.values())
        if missing:
            self._warn(f"TMDB did not give the details of {missing} titles of {len(chosen)}.")
        return [answers[each] or listed[each] for each in chosen]

    def _details(self, session: "_Session", kind: Kind, number: int) -> _Details | None:
        """Return what TMDB knows of a title; None if there is none."""
        more = {"append_to_response": "videos,watch/providers,credits"}
        try:
            return self._get(session, f"/{kind}/{number}", more, _Details, ttl=24 * _HOUR)
        except _NotFound:
            return None

    def _vocabulary(self, session: "_Session") -> "_Vocabulary":
        films = self._get(session, "/genre/movie/list", {}, _Genres, ttl=24 * _HOUR)
        series = self._get(session, "/genre/tv/list", {}, _Genres, ttl=24 * _HOUR)
        return _Vocabulary(films.genres, series.genres)

    def _get(
        self,
        session: "_Session",
        path: str,
        parameters: Mapping[str, str],
        shape: type[S],
        *,
        ttl: float,
    ) -> S:
        from urllib.parse import urlencode

        query = urlencode({"language": self._language, **parameters})
        key = f"{_SOURCE}:{path}?{query}"
        kept = self._cache.get(key)
        if kept is not None:
            try:
                return msgspec.convert(kept, shape)
            except msgspec.ValidationError:
                pass  # written by another version of this program: ask again

        def attempt() -> S:
            return self._breaker.call(
                lambda: session.get(path, query, shape), failure=(Retryable, _Unauthorised)
            )

        answer = retry(attempt, budget=session.budget, chance=self._chance, sleep=self._sleep)
        self._cache.set(key, msgspec.to_builtins(answer), ttl=ttl)
        return answer

    def _title(
        self,
        source: _Result | _Details,
        kind: Kind,
        vocabulary: "_Vocabulary",
        region: str | None = None,
    ) -> Title:
        title = Title(
            id=_title_id(kind, source.id),
            title=source.title or source.name or "",
            media_type=_KINDS[kind],
            genres=vocabulary.of(source),
            year=_year(source),
            overview=source.overview or None,
            poster_url=self._image_url + source.poster_path if source.poster_path else None,
            rating=round(source.vote_average, 1) if source.vote_count else None,
            language=source.original_language,
        )
        if isinstance(source, _Result):
            return title
        directors = [p.name for p in source.credits.crew if p.job == "Director"]
        return msgspec.structs.replace(
            title,
            runtime_minutes=source.runtime or next(iter(source.episode_run_time), None),
            trailer_url=_trailer(source.videos.results),
            providers=_carriers(source, region),
            directors=tuple(directors or [p.name for p in source.created_by]),
            cast=tuple(p.name for p in source.credits.cast[:5]),
        )


class _Vocabulary:
    """The genres of films and series in one."""

    def __init__(self, films: Iterable[_Genre], series: Iterable[_Genre]) -> None:
        self.films = {g.id for g in films if g.id != _NO_GENRE}
        self.series = {g.id for g in series}
        self.names = {
            g.id: g.name
            for g in (*series, *films)
            if g.id not in _AS_FILM_GENRES and g.id != _NO_GENRE
        }

    def of(self, source: _Result | _Details) -> tuple[str, ...]:
        """Return the names of the genres of a title, the main one first."""
        given = source.genre_ids if isinstance(source, _Result) else [g.id for g in source.genres]
        ids = [own for g in given for own in _AS_FILM_GENRES.get(g, (g,))]
        return tuple(dict.fromkeys(self.names[g] for g in ids if g in self.names))


class _Asked:
    """A filter, understood."""

    def __init__(self, where: TitleFilter, vocabulary: _Vocabulary) -> None:
        self.where = where
        self.kinds = [
            kind
            for kind, media_type in _KINDS.items()
            if not where.media_types or media_type in where.media_types
        ]
        # Who streams what depends on where; without a region there is nothing to ask.
        self.services = {p.casefold() for p in where.providers} if where.region else set()
        self._vocabulary = vocabulary
        names = {genre.casefold() for genre in where.genres}
        self._genres = {
            g: name
            for g, name in vocabulary.names.items()
            if name.casefold() in names or _slug(name) in names
        }

    def genre_ids(self, kind: Kind) -> list[int]:
        """Return the numbers of the asked genres for films or for series."""
        if kind == "movie":
            return sorted(self._vocabulary.films & self._genres.keys())
        wider = {
            own
            for own, films in _AS_FILM_GENRES.items()
            if not self._genres.keys().isdisjoint(films)
        }
        return sorted(self._vocabulary.series & (self._genres.keys() | wider))

    def fits(self, result: _Result, kind: Kind) -> bool:
        """Tell whether a title passes, as far as a list of TMDB says enough."""
        where, year = self.where, _year(result)
        return (
            kind in self.kinds
            and not result.adult
            and (
                not where.genres
                or not set(self._genres.values()).isdisjoint(self._vocabulary.of(result))
            )
            and (where.year_from is None or (year is not None and year >= where.year_from))
            and (where.year_to is None or (year is not None and year <= where.year_to))
            and (
                where.min_rating is None
                or (result.vote_count > 0 and result.vote_average >= where.min_rating)
            )
            and (where.language is None or result.original_language == where.language.lower())
        )


def _checked(token: str) -> str:
    """Return a token that can be one. Any other would be quoted by the error of the HTTP library.

    Raises:
        _Refused: it cannot be one.
    """
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise _Refused("a token is printable ASCII without spaces")
    return token


class _Unauthorised(_Refused):
    """The token is not accepted."""


class _NotFound(_Refused):
    """There is no such thing."""


class _Error(msgspec.Struct):
    """The body of an error, https://developer.themoviedb.org/docs/errors."""

    status_code: int = 0
    status_message: str = ""


class _Session:
    """The requests for one question: they share its time and a few connections.

    Connections end with the question. Kept for the next one, they would mostly be found dead: a
    Lambda environment is frozen in between, and eight of them dead at once look like an outage.
    """

    def __init__(self, base_url: str, token: str, budget: Budget, *, attempt_s: float) -> None:
        self.budget = budget
        self._base_url = base_url
        self._token = token
        self._attempt_s = attempt_s
        self._idle: list[HTTPConnection] = []

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._idle:
            connection.close()

    def get(self, path: str, query: str, shape: type[S]) -> S:
        """Make one attempt.

        Raises:
            Retryable: no answer, or one of which another attempt may be rid.
            _Refused: it is not going to be answered.
        """
        from http.client import HTTPException

        time_left = Budget(min(self._attempt_s, self.budget.left()))
        connection = self._idle.pop() if self._idle else self._connect(time_left)
        try:
            status, after, body = self._exchange(connection, f"{path}?{query}", time_left)
        except (OSError, HTTPException) as error:
            connection.close()
            raise Retryable(f"{path}: {type(error).__name__}") from error
        except Retryable:
            connection.close()
            raise
        self._idle.append(connection)
        if status == 200:
            try:
                return msgspec.json.decode(body, type=shape)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Retryable(f"{path}: the answer is not what it should be: {error}") from error
        message = f"{path}: HTTP {status} {_reason(body)}".rstrip()
        if status == 429 or status >= 500:
            raise Retryable(message, after=after)
        raise {401: _Unauthorised, 404: _NotFound}.get(status, _Refused)(message)

    def _connect(self, time_left: Budget) -> "HTTPConnection":
        from http.client import HTTPConnection, HTTPSConnection
        from urllib.parse import urlsplit

        url = urlsplit(self._base_url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        return kind(url.hostname or "", url.port, timeout=max(time_left.left(), 0.001))

    def _exchange(
        self, connection: "HTTPConnection", target: str, time_left: Budget
    ) -> tuple[int, float, bytes]:
        """Return the status, the seconds of `Retry-After` and the body of an answer."""
        from urllib.parse import urlsplit

        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if connection.sock is None:
            connection.connect()
        sock = connection.sock
        sock.settimeout(max(time_left.left(), 0.001))
        connection.request("GET", urlsplit(self._base_url).path + target, headers=headers)
        response = connection.getresponse()
        body = bytearray()
        # A timeout of a socket begins anew with every byte, so what is left is set again and again.
        while piece := response.read1(1 << 16):
            body += piece
            if time_left.left() <= 0 or len(body) > _LARGEST_ANSWER:
                raise Retryable(f"{target.partition('?')[0]}: the answer is too slow or too long")
            sock.settimeout(max(time_left.left(), 0.001))
        if response.length:
            raise Retryable(f"{target.partition('?')[0]}: the answer was cut off")
        # Unlike `read`, `read1` leaves the response open, and with it the connection occupied.
        response.close()
        after = response.headers.get("Retry-After", "")
        return response.status, float(after) if after.isdecimal() else 0.0, bytes(body)


def _reason(body: bytes) -> str:
    """Return what TMDB says about an error, if it says it in its own way."""
    try:
        return msgspec.json.decode(body, type=_Error).status_message
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _each(function: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """Return what the function makes of each, a few at a time."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(function, items))


def _title_id(kind: Kind, number: int) -> TitleId:
    return TitleId(f"{_SOURCE}:{_KINDS[kind]}:{number}")


def _key(title_id: TitleId) -> tuple[Kind, int] | None:
    """Return what TMDB calls a title, None if the id is not one of TMDB's."""
    for kind in _KINDS:
        number = title_id.removeprefix(_title_id(kind, 0)[:-1])
        if number != title_id and number.isascii() and number.isdigit() and len(number) <= 9:
            return kind, int(number)
    return None


def _slug(name: str) -> str:
    return "-".join(words(name))


def _named(result: _Result, asked: Sequence[str]) -> bool:
    """Tell whether every asked word begins a word of the title."""
    own = words(result.title or result.name or "")
    return all(any(word.startswith(each) for word in own) for each in asked)


def _year(source: _Result | _Details) -> int | None:
    year = (source.release_date or source.first_air_date or "")[:4]
    return int(year) if len(year) == 4 and year.isascii() and year.isdigit() else None


def _merit(result: _Result) -> float:
    """Return how well known and well rated a title is: its Bayesian average times its fame.

    Fame is the logarithm of the number of votes: ten times the votes make a step, not ten.
    """
    votes = result.vote_count
    average = (_PRIOR_VOTES * _PRIOR_MEAN + votes * result.vote_average) / (_PRIOR_VOTES + votes)
    return average * math.log1p(votes)


def _trailer(videos: Sequence[_Video]) -> str | None:
    """Return the trailer on YouTube, an official one if there is one."""
    trailers = [v for v in videos if v.site == "YouTube" and v.type == "Trailer"]
    best = max(trailers, key=lambda v: v.official, default=None)
    return f"https://www.youtube.com/watch?v={best.key}" if best else None


def _carriers(details: _Details, region: str | None) -> tuple[str, ...]:
    """Return who streams a title in a region, for the price of a subscription at most."""
    offers = details.offers.results.get(region.upper() if region else "", _Offers())
    services = (*offers.flatrate, *offers.free, *offers.ads)
    return tuple(dict.fromkeys(service.provider_name for service in services))
