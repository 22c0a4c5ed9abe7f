"""A server, people who talk to it over plain HTTP, and clients that others wrote."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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

    def settled(self, room_id: str, kind: str) -> None:
        """Return when the log of the room tells of something of a kind."""

        def told() -> bool:
            answer = self._client.get(f"/api/rooms/{room_id}/events", token=self.token)
            return any(event["type"] == kind for event in answer.json["items"])

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
