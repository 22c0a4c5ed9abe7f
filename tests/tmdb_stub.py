"""A small TMDB on this machine: the endpoints Trinity uses, in the shapes TMDB answers in.

Every title, person and service is invented. A test can have it answer as TMDB does on a bad day.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from trinity.infrastructure.catalogue.text import words

TOKEN = "stub.read.access.token"
MOVIE_GENRES = {
    28: "Action", 12: "Adventure", 16: "Animation", 35: "Comedy", 80: "Crime", 99: "Documentary",
    18: "Drama", 10751: "Family", 14: "Fantasy", 36: "History", 27: "Horror", 10402: "Music",
    9648: "Mystery", 10749: "Romance", 878: "Science Fiction", 10770: "TV Movie",
    53: "Thriller", 10752: "War", 37: "Western",
}  # fmt: skip
TV_GENRES = {
    10759: "Action & Adventure", 16: "Animation", 35: "Comedy", 80: "Crime", 99: "Documentary",
    18: "Drama", 10751: "Family", 10762: "Kids", 9648: "Mystery", 10763: "News",
    10764: "Reality", 10765: "Sci-Fi & Fantasy", 10766: "Soap", 10767: "Talk",
    10768: "War & Politics", 37: "Western",
}  # fmt: skip
SERVICES = {8: "Streamline", 119: "Lanternbox", 337: "Kino Plus"}
_FIRST = ("Amber", "Brass", "Cobalt", "Dusty", "Émerald", "Frozen", "Gilded", "Hollow", "Ivory")
_SECOND = ("Harbour", "Lantern", "Meadow", "Orchard", "Parade", "Quarry", "River")
_LANGUAGES = ("en", "en", "fr", "ja")


class Request(NamedTuple):
    """What was asked."""

    path: str
    query: dict[str, str]
    authorization: str | None


class Trouble(NamedTuple):
    """One bad answer.

    Attributes:
        status: of the answer.
        body: of the answer; TMDB's own error body if None.
        headers: further headers.
        cut: bytes of the body that are announced but never sent.
        hold: the answer waits for this.
    """

    status: int = 500
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    hold: threading.Event | None = None


ERRORS = {
    401: (7, "Invalid API key: You must be granted a valid key."),
    404: (34, "The resource you requested could not be found."),
    422: (22, "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer."),
    429: (25, "Your request count (#) is over the allowed limit of (40)."),
    500: (11, "Internal error: Something went wrong, contact TMDb."),
    503: (9, "Service offline: This service is temporarily offline, try again later."),
}


def _titles(kind: str) -> list[dict]:
    genres = list(MOVIE_GENRES if kind == "movie" else TV_GENRES)
    made = []
    for n, (first, second) in enumerate((f, s) for f in _FIRST for s in _SECOND):
        number = (600 if kind == "movie" else 1300) + n
        name = f"{first} {second}" if kind == "movie" else f"The {second} of {first}"
        date = f"{1960 + n}-05-17"
        own = {"title": name, "original_title": name, "release_date": date, "video": False}
        if kind == "tv":
            own = {"name": name, "original_name": name, "first_air_date": date}
            own["origin_country"] = ["US"]
        made.append(
            {
                "id": number,
                **own,
                "adult": False,
                "backdrop_path": None,
                "overview": f"An invented story, number {n}.",
                "poster_path": f"/poster{number}.jpg",
                "genre_ids": [genres[n % len(genres)], genres[(3 * n + 1) % len(genres)]],
                "original_language": _LANGUAGES[n % 4],
                "popularity": 10.0 + n,
                "vote_average": round(5 + n % 45 / 10, 3),
                "vote_count": 60 + 37 * (n * 29 % 63),
            }
        )
    return made


TITLES = {"movie": _titles("movie"), "tv": _titles("tv")}
ADULT = {**TITLES["movie"][0], "id": 9001, "adult": True, "title": "Amber After Midnight"}
BARE = {
    **TITLES["movie"][1], "id": 9002, "title": "Amber Nothing", "poster_path": None,
    "overview": "", "release_date": "", "vote_count": 5000,
}  # fmt: skip
UNRATED = {
    **TITLES["movie"][2], "id": 9003, "title": "Amber Unseen", "vote_average": 0.0,
    "vote_count": 0, "genre_ids": [10770, 18],
}  # fmt: skip
PERSON = {
    "id": 31, "name": "Zora Quill", "original_name": "Zora Quill", "media_type": "person",
    "adult": False, "popularity": 3.2, "gender": 1, "known_for_department": "Acting",
    "profile_path": None,
    "known_for": [
        {**TITLES["movie"][5], "media_type": "movie"},
        {**TITLES["tv"][6], "media_type": "tv"},
    ],
}  # fmt: skip


def services_of(number: int) -> dict:
    """Return `watch/providers` of a title: one service in the US, another in Spain."""
    ids = sorted(SERVICES)

    def service(at: int) -> dict:
        return {
            "logo_path": f"/logo{ids[at % 3]}.jpg",
            "provider_id": ids[at % 3],
            "provider_name": SERVICES[ids[at % 3]],
            "display_priority": at % 3,
        }

    link = f"https://www.themoviedb.org/movie/{number}/watch"
    return {
        "results": {
            "US": {"link": link, "flatrate": [service(number)], "rent": [service(number + 2)]},
            "ES": {"link": link, "flatrate": [service(number + 1)]},
        }
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class TmdbStub:
    """The server. `requests` is what was asked; `trouble` comes before all proper answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._trouble: list[tuple[str, Trouble]] = []
        self._always: list[tuple[str, Trouble]] = []
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionResetError:  # a client that went away between two requests
                    self.close_connection = True

            def do_GET(self) -> None:
                stub.handle(self)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/3"

    def fail(self, trouble: Trouble, *, path: str = "/", times: int | None = None) -> None:
        """Answer the next requests whose path starts so with trouble; all of them for None."""
        if times is None:
            self._always.append((path, trouble))
        else:
            self._trouble += [(path, trouble)] * times

    def recover(self) -> None:
        """Answer properly from now on."""
        self._trouble.clear()
        self._always.clear()

    def asked(self, path: str) -> list[Request]:
        """Return the requests whose path starts so."""
        return [each for each in self.requests if each.path.startswith(path)]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        url = urlsplit(handler.path)
        path = url.path.removeprefix("/3")
        request = Request(path, dict(parse_qsl(url.query)), handler.headers["Authorization"])
        with self._lock:
            self.requests.append(request)
            trouble = next((t for p, t in self._always if path.startswith(p)), None)
            for each in self._trouble:
                if trouble is None and path.startswith(each[0]):
                    trouble = each[1]
                    self._trouble.remove(each)
                    break
        if trouble is None:
            status, body = answer(request)
            trouble = Trouble(status=status, body=json.dumps(body).encode())
        if trouble.hold:
            trouble.hold.wait(10)
        body = trouble.body
        if body is None:
            code, message = ERRORS[trouble.status]
            error = {"success": False, "status_code": code, "status_message": message}
            body = json.dumps(error).encode()
        try:
            handler.send_response(trouble.status)
            handler.send_header("Content-Type", "application/json;charset=utf-8")
            handler.send_header("Content-Length", str(len(body)))
            for name, value in trouble.headers:
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body[: len(body) - trouble.cut])
        except OSError:  # the client did not wait for it
            handler.close_connection = True
        if trouble.cut:
            handler.close_connection = True


@contextmanager
def running() -> Iterator[TmdbStub]:
    """Serve on a free port."""
    stub = TmdbStub()
    thread = threading.Thread(target=stub._server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        stub._server.shutdown()
        stub._server.server_close()
        thread.join()


def _error(status: int) -> tuple[int, dict]:
    code, message = ERRORS[status]
    return status, {"success": False, "status_code": code, "status_message": message}


def answer(request: Request) -> tuple[int, dict]:
    """Return what TMDB answers on a good day."""
    if request.authorization != f"Bearer {TOKEN}":
        return _error(401)
    match request.path.strip("/").split("/"):
        case ["genre", ("movie" | "tv") as kind, "list"]:
            genres = MOVIE_GENRES if kind == "movie" else TV_GENRES
            return 200, {"genres": [{"id": i, "name": n} for i, n in genres.items()]}
        case ["search", "multi"]:
            return _page(_search(request.query), request.query)
        case ["discover", ("movie" | "tv") as kind]:
            return _page(_discover(kind, request.query), request.query)
        case ["watch", "providers", "movie" | "tv"]:
            rows = [{"provider_id": i, "provider_name": n} for i, n in SERVICES.items()]
            return 200, {"results": rows}
        case [("movie" | "tv") as kind, number]:
            known = [*TITLES[kind], ADULT, BARE, UNRATED]
            found = [each for each in known if str(each["id"]) == number]
            return (200, _details(kind, found[0])) if found else _error(404)
    return _error(404)


def _page(results: list[dict], query: dict[str, str]) -> tuple[int, dict]:
    page = int(query.get("page", "1"))
    if not 1 <= page <= 500:
        return _error(422)
    return 200, {
        "page": page,
        "results": results[20 * (page - 1) : 20 * page],
        "total_pages": -(-len(results) // 20),
        "total_results": len(results),
    }


def _search(query: dict[str, str]) -> list[dict]:
    def matches(each: dict) -> bool:
        own = words(each.get("title") or each["name"])
        return all(any(w.startswith(a) for w in own) for a in words(query["query"]))

    everything = [
        PERSON,
        *({**each, "media_type": "movie"} for each in (*TITLES["movie"], ADULT, BARE, UNRATED)),
        *({**each, "media_type": "tv"} for each in TITLES["tv"]),
    ]
    return sorted(filter(matches, everything), key=lambda each: -each["popularity"])


def _discover(kind: str, query: dict[str, str]) -> list[dict]:
    date = "primary_release_date" if kind == "movie" else "first_air_date"
    own_date = "release_date" if kind == "movie" else "first_air_date"
    found = [*TITLES[kind], BARE] if kind == "movie" else TITLES[kind]
    for name, value in query.items():
        match name:
            case "with_genres":
                asked = set(map(int, value.split("|")))
                found = [t for t in found if asked & set(t["genre_ids"])]
            case "vote_count.gte":
                found = [t for t in found if t["vote_count"] >= float(value)]
            case "vote_average.gte":
                found = [t for t in found if t["vote_average"] >= float(value)]
            case "with_original_language":
                found = [t for t in found if t["original_language"] == value]
            case "with_watch_providers":
                region = query["watch_region"]
                asked = set(map(int, value.split("|")))
                found = [
                    t
                    for t in found
                    if asked
                    & {
                        s["provider_id"]
                        for s in services_of(t["id"])["results"].get(region, {}).get("flatrate", [])
                    }
                ]
            case _ if name == f"{date}.gte":
                found = [t for t in found if t[own_date] >= value]
            case _ if name == f"{date}.lte":
                found = [t for t in found if t[own_date] <= value]
    return sorted(found, key=lambda t: (-t["vote_count"], t["id"]))


def _details(kind: str, title: dict) -> dict:
    names = MOVIE_GENRES if kind == "movie" else TV_GENRES
    number = title["id"]

    def video(key: str, type_: str, *, official: bool, site: str = "YouTube") -> dict:
        return {
            "iso_639_1": "en", "iso_3166_1": "US", "name": type_, "key": key, "site": site,
            "size": 1080, "type": type_, "official": official, "id": f"video-{key}",
            "published_at": "2020-01-01T00:00:00.000Z",
        }  # fmt: skip

    own = {"runtime": 90 + number % 50, "budget": 0, "imdb_id": f"tt{number:07}"}
    if kind == "tv":
        own = {"episode_run_time": [45], "number_of_seasons": 2}
        own["created_by"] = [{"id": 77, "name": "Milo Vance", "gender": 2}]
    crew = [{"id": 70, "name": "Ines Farrow", "job": "Director", "department": "Directing"}]
    crew += [{"id": 71, "name": "Otto Bly", "job": "Writer", "department": "Writing"}]
    rest = {key: value for key, value in title.items() if key != "genre_ids"}
    return {
        **rest,
        **own,
        "genres": [{"id": i, "name": names[i]} for i in title["genre_ids"] if i in names],
        "status": "Released",
        "tagline": "",
        "videos": {
            "results": [
                video("clip", "Clip", official=True),
                video("fan", "Trailer", official=False),
                video("elsewhere", "Trailer", official=True, site="Vimeo"),
                video(f"trailer{number}", "Trailer", official=True),
            ]
        },
        "watch/providers": services_of(number),
        "credits": {
            "cast": [{"id": 31 + i, "name": f"Player {i}", "order": i} for i in range(9)],
            "crew": crew if kind == "movie" else crew[1:],
        },
    }
