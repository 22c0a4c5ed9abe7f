"""A real server for tests, in a process of its own, and a small client to talk to it."""

import contextlib
import http.client
import json as jsonlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_ANNOUNCED = re.compile(r"^Trinity is at (http://\S+)", re.MULTILINE)
_STARTS_WITHIN_S = 30.0
_STOPS_WITHIN_S = 15.0
# The server closes idle connections after 5 s; nothing is ever sent on one that may be closing.
_IDLE_FOR_S = 2.0


def eventually(look: Callable[[], T | None], what: str, *, within_s: float = 10.0) -> T:
    """Look again and again until there is something to see; fail if it takes too long."""
    until = time.monotonic() + within_s
    while True:
        seen = look()
        if seen is not None and seen is not False:
            return seen
        if time.monotonic() > until:
            raise AssertionError(f"this did not happen within {within_s:g} s: {what}")
        time.sleep(0.02)


class Response(NamedTuple):
    """What came back; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return jsonlib.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem, None if this is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return None
        code: str = self.json["code"]
        return code

    def __str__(self) -> str:
        return f"{self.status} {self.headers} {self.body[:2000]!r}"


class Client:
    """Sends requests, each thread on a connection of its own that is kept.

    Args:
        base_url: of the server.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._url = urlsplit(self.base_url)
        self._timeout_s = timeout_s
        self._mine = threading.local()

    def _connection(self) -> http.client.HTTPConnection:
        now = time.monotonic()
        kept: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if kept is not None and now - self._mine.used_at > _IDLE_FOR_S:
            kept.close()
            kept = None
        if kept is None:
            kind = (
                http.client.HTTPSConnection
                if self._url.scheme == "https"
                else http.client.HTTPConnection
            )
            kept = kind(str(self._url.hostname), self._url.port, timeout=self._timeout_s)
            self._mine.connection = kept
        self._mine.used_at = now
        return kept

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request and return its response.

        Args:
            method: of HTTP.
            path: as it goes over the wire, with its query.
            json: a body to encode, or
            body: one as it is.
            token: an access token.
            headers: further ones; they win.
        """
        sent = {"content-type": "application/json"} if json is not None else {}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        content = jsonlib.dumps(json).encode() if json is not None else body
        connection = self._connection()
        try:
            connection.request(method, self._url.path + path, content, sent)
            answer = connection.getresponse()
            read = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._mine.connection = None
            raise
        if answer.will_close:
            self._mine.connection = None
        received: dict[str, str] = {}
        for name, value in answer.getheaders():
            known = received.get(name.lower())
            received[name.lower()] = value if known is None else f"{known}, {value}"
        return Response(answer.status, received, read)

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> Response:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)


class Server:
    """`trinity serve` with data of its own.

    Args:
        folder: for its data and its log.
        settings: more `TRINITY_*` variables, without the prefix: `{"RATE_LIMITS": "off"}`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self._log_path = folder / "server.log"
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.base_url = ""

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log_path.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def client(self) -> Client:
        """A new client of it."""
        return Client(self.base_url)

    def start(self) -> None:
        """Start it, and return when it is healthy."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TRINITY_")
        }
        environment |= {"TRINITY_PORT": "0", "TRINITY_DATA": str(self.data)}
        environment |= {f"TRINITY_{name}": value for name, value in self._settings.items()}
        with self._log_path.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [str(Path(sys.executable).parent / "trinity"), "serve"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        process = self._process

        def announced() -> str | None:
            written = self._log_path.read_bytes()[begin:].decode(errors="replace")
            if process.poll() is not None:
                self._process = None
                raise AssertionError(f"the server ended with {process.returncode}:\n{written}")
            found = _ANNOUNCED.search(written)
            return found[1] if found else None

        self.base_url = eventually(announced, "the server starts", within_s=_STARTS_WITHIN_S)
        client = self.client

        def healthy() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return client.get("/api/health").status == 200
            return False

        eventually(healthy, "the server is healthy", within_s=_STARTS_WITHIN_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait, and return its exit status; kill it if it does not."""
        if self._process is None:
            raise AssertionError("the server was not started")
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            return process.wait(_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"the server did not stop within {_STOPS_WITHIN_S:g} s:\n{self.log[-4000:]}"
            ) from None


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[Server]:
    """Run a server while the block is at work. Settings: `RATE_LIMITS="off"`."""
    server = Server(folder, settings)
    try:
        server.start()
        yield server
    finally:
        if server.is_running:
            server.stop()
