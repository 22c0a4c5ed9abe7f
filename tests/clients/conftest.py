"""A server, people who talk to it over plain HTTP, and clients that others wrote."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.server import Client, eventually, running

HERE = Path(__file__).parent
_INSTALLED_WITHIN_S = 300.0

Installed = Callable[[str], Path]


class Person:
    """A guest with plain HTTP, and nothing else."""

    def __init__(self, base_url: str, name: str) -> None:
        self._client = Client(base_url)
        session = self.post("/api/auth/guest", {"name": name}, expected=201)
        self.id: str = session["user"]["id"]
        self.token: str = session["accessToken"]

    def post(self, path: str, body: Any, *, expected: int = 200) -> Any:
        token = getattr(self, "token", None)
        answer = self._client.post(path, json=body, token=token)
        assert answer.status == expected, answer
        return answer.json

    def graphql(self, query: str, **variables: Any) -> Any:
        """Ask by GraphQL, and return the data."""
        answer = self.post("/graphql", {"query": query, "variables": variables})
        assert "errors" not in answer, answer
        return answer["data"]

    def open_room(self, *titles: str) -> Any:
        deck = {"source": "list", "items": [{"title": title} for title in titles]}
        return self.post("/api/rooms", {"name": "Friday", "deck": deck}, expected=201)

    def join(self, code: str) -> Any:
        return self.post("/api/rooms/join", {"code": code})

    def rename(self, room_id: str, name: str) -> None:
        answer = self._client.patch(f"/api/rooms/{room_id}", json={"name": name}, token=self.token)
        assert answer.status == 200, answer

    def title_id(self, room_id: str, title: str) -> str:
        answer = self._client.get(f"/api/rooms/{room_id}/deck", token=self.token)
        [found] = [item["id"] for item in answer.json["items"] if item["title"] == title]
        assert isinstance(found, str)
        return found

    def say_yes(self, room_id: str, title_id: str) -> Any:
        vote = {"titleId": title_id, "choice": "yes"}
        return self.post(f"/api/rooms/{room_id}/votes", vote)

    def read(self, room_id: str) -> Any:
        """Read the events of a room."""
        answer = self._client.get(f"/api/rooms/{room_id}/events", token=self.token)
        assert answer.status == 200, answer
        return answer.json["items"]

    def settled(self, room_id: str, kind: str) -> None:
        """Return when the log of the room tells of something of a kind."""

        def told() -> bool:
            return any(event["type"] == kind for event in self.read(room_id))

        eventually(told, f"the room tells of {kind}")


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server."""
    with running(tmp_path_factory.mktemp("clients"), RATE_LIMITS="off") as server:
        yield server.base_url


@pytest.fixture
def ana(url: str) -> Person:
    return Person(url, "Ana")


@pytest.fixture
def ben(url: str) -> Person:
    return Person(url, "Ben")


class Relay:
    """A way to the server that can be cut off. Used as a phone's network is: it comes back.

    Attributes:
        url: where clients find the server.
    """

    def __init__(self, to: str) -> None:
        server = urlsplit(to)
        self._to = (str(server.hostname), server.port or 80)
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while carried := source.recv(65536):
                target.sendall(carried)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection without a word."""
        ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


@pytest.fixture
def relay(url: str) -> Iterator[Relay]:
    relay = Relay(url)
    yield relay
    relay.close()


@pytest.fixture(scope="session")
def installed() -> Installed:
    """Install what a folder's package-lock.json names, if that is not there yet."""

    def install(name: str) -> Path:
        folder = HERE / name
        packages = folder / "node_modules"
        wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
        stamp = packages / ".installed"
        with (HERE / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at a time install it once
            if not stamp.exists() or stamp.read_text() != wanted:
                npm = shutil.which("npm")
                assert npm is not None, "npm is needed: it comes with Node.js"
                done = subprocess.run(
                    [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                    cwd=folder,
                    env={**os.environ, "NODE_ENV": "development"},
                    capture_output=True,
                    text=True,
                    timeout=_INSTALLED_WITHIN_S,
                    check=False,
                )
                assert done.returncode == 0, done.stdout + done.stderr
                stamp.write_text(wanted)
        return folder

    return install
