"""Somebody removes his account: nothing that is kept names him any more.

Everything there is gets seeded through the API of a running server, then every table of the
database and every file of the data folder is searched.
"""

import io
import json
import sqlite3
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import forms
from tests.fakes import FakeClock
from tests.server import Client, Server, eventually, running
from trinity.bootstrap import Services
from trinity.common.settings import Settings
from trinity.domain.ids import DAY, HOUR, Millis
from trinity.handlers.schedules.forget_gone import forget_gone
from trinity.handlers.schedules.sweep_uploads import sweep_uploads
from trinity.handlers.schedules.tidy_archive import tidy_archive
from trinity.store import gone

STAYS_A_WHILE = {
    "table changes": "the change feed, which is trimmed after 24 hours",
    "table items RESET": "a way to set a new password, for an hour; it works no more",
    "table messages": "news on its way, for four days at most, or fourteen among dead letters",
    "mailbox": "mails that were sent",
}
"""Where somebody who is gone may still be named, and why; docs/data-rights.md says so too."""

URL = "https://trinity.example"
"""Tokens are good as long as the server has this name."""
PASSWORD = "correct horse battery"


def picture(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1300, 900), colour).save(file, "PNG")
    return file.getvalue()


class Evening:
    """Two people who have used everything."""

    def __init__(self, server: Server) -> None:
        self.client = server.client
        self.name = f"Zo{uuid.uuid4().hex[:10]}"
        self.email = f"{uuid.uuid4().hex}@example.org"
        body = {"name": self.name, "email": self.email, "password": PASSWORD}
        session = self._done(self.client.post("/api/auth/register", json=body)).json
        self.id, self.token = session["user"]["id"], session["accessToken"]
        other = self._done(self.client.post("/api/auth/guest", json={"name": "Ben"})).json
        self.other = other["accessToken"]
        self._play()

    def _done(self, answer):
        assert answer.status < 300, answer
        return answer

    def _play(self) -> None:
        post, get = self.client.post, self.client.get
        deck = {"source": "list", "items": [{"title": "jaws"}, {"title": "heat"}]}
        headers = {"idempotency-key": "once"}
        room = self._done(
            post("/api/rooms", token=self.token, json={"deck": deck}, headers=headers)
        ).json
        self.room = room["id"]
        self._done(post("/api/rooms/join", token=self.other, json={"code": room["code"]}))
        invitation = {"email": f"{uuid.uuid4().hex}@example.org"}
        self._done(post(f"/api/rooms/{self.room}/invitations", token=self.token, json=invitation))
        cards = get(f"/api/rooms/{self.room}/deck", token=self.token).json["items"]
        for token in (self.token, self.other):
            for card, choice in zip(cards, ("no", "yes"), strict=True):
                vote = {"titleId": card["id"], "choice": choice}
                self._done(post(f"/api/rooms/{self.room}/votes", token=token, json=vote))
        self.picture = self._send("avatar", picture((200, 30, 40)))
        self._send("cover", picture((30, 200, 40)), roomId=self.room)
        self._ask("avatar", 10)  # and changes his mind
        hook = {"url": "https://hooks.example.org/trinity"}
        self._done(post("/api/me/webhooks", token=self.token, json=hook))
        self._done(post("/api/auth/password/forgot", json={"email": self.email}))
        eventually(
            lambda: any(
                event["type"] == "matchFound"
                for event in get(f"/api/rooms/{self.room}/events", token=self.other).json["items"]
            ),
            "the match is told",
        )
        eventually(
            lambda: get("/api/me/report", token=self.token).status == 200, "there is a report"
        )

    def _ask(self, kind: str, size: int, **fields: str) -> dict[str, Any]:
        body = {"kind": kind, "contentType": "image/png", "size": size, **fields}
        form = self._done(self.client.post("/api/uploads", token=self.token, json=body)).json
        form["url"] = f"{self.client.base_url}/uploads"
        return form

    def _send(self, kind: str, content: bytes, **fields: str) -> str:
        """Send a picture, and return the name of the file that shows it."""
        form = self._ask(kind, len(content), **fields)
        assert forms.post(form["url"], form["fields"], content).status == 204
        path = f"/api/uploads/{form['uploadId']}"
        told = eventually(lambda: self.client.get(path, token=self.token).json.get("url"), kind)
        return str(told).rpartition("/")[2].removesuffix(".webp")

    def leave_for_good(self) -> None:
        self._done(self.client.delete("/api/me", token=self.token))

        def told() -> bool:
            log = self.client.get(f"/api/rooms/{self.room}/events", token=self.other).json["items"]
            return any(event["type"] == "memberLeft" for event in log)

        eventually(told, "his going is told")


@pytest.fixture
def left(tmp_path: Path) -> tuple[Evening, Path]:
    """Somebody who has left for good, and the data of the server, which has stopped."""
    with running(tmp_path, RATE_LIMITS="off", PUBLIC_URL=URL) as server:
        evening = Evening(server)
        evening.leave_for_good()
        _let_queues_run_empty(server.data)
        data = server.data
    return evening, data


def _let_queues_run_empty(data: Path) -> None:
    def empty() -> bool:
        with sqlite3.connect(f"file:{data}/trinity.sqlite?mode=ro", uri=True) as database:
            waiting = database.execute(
                "SELECT count(*) FROM messages WHERE queue NOT LIKE 'archive%'"
                " AND queue NOT LIKE 'deliver%'"
            ).fetchone()
        return waiting[0] == 0

    eventually(empty, "the queues have run empty", within_s=30)


def _named_in(data: Path, words: list[str]) -> set[str]:
    """Return the places that hold one of the words."""
    found = set()
    with sqlite3.connect(data / "trinity.sqlite") as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                if any(word in str(row) for word in words):
                    kind = f" {row[0].partition('#')[0]}" if table == "items" else ""
                    found.add(f"table {table}{kind}")
    for file in data.rglob("*"):
        if file.is_file() and not file.name.startswith("trinity.sqlite"):
            content = file.read_bytes()
            if file.suffix == ".gz":
                content = zlib.decompress(content, wbits=31)
            if any(word.encode() in content for word in words):
                found.add(file.relative_to(data).parts[0])
    return found


def test_nothing_that_is_kept_names_who_is_gone(left: tuple[Evening, Path], tmp_path: Path) -> None:
    evening, data = left
    words = [evening.id, evening.name, evening.email, evening.picture]
    pictures = data / "media"
    assert len([path for path in pictures.rglob("*") if path.is_file()]) == 6
    assert (pictures / evening.picture[:2] / evening.picture).exists()
    before = _named_in(data, words)
    assert "table items ROOM" in before, "nobody was named even before: this test sees nothing"
    services = Services(Settings(data=data))
    try:
        forget_gone(table=services.table)
        assert gone.notes(services.table), "one look is not enough: the feed may be behind"
        forget_gone(table=services.table)
        assert gone.notes(services.table) == []
        later = FakeClock(Millis(services.clock.now() + HOUR))
        ports = {"table": services.table, "uploads": services.uploads, "queues": services.queues}
        sweep_uploads(**ports, media=services.media, clock=later)
        # The first run after the day is over.
        tidy_archive(archive=services.archive, at=Millis(int(time.time() * 1000) + DAY))
    finally:
        services.store.close()
    # In the archive it stands for some weeks who has gone, so that what comes late is known.
    assert _named_in(data, [evening.name, evening.email]) - STAYS_A_WHILE.keys() == set()
    assert _named_in(data, words) - STAYS_A_WHILE.keys() <= {"archive"}
    assert len([path for path in pictures.rglob("*") if path.is_file()]) == 3, "the cover stays"
    assert not (pictures / evening.picture[:2] / evening.picture).exists()
    assert list((data / "uploads").iterdir()) == []
    log = (tmp_path / "server.log").read_text()
    assert not any(word in log for word in words)


def test_those_who_stay_see_what_happened_without_a_name(left: tuple[Evening, Path]) -> None:
    evening, data = left
    services = Services(Settings(data=data))
    try:
        forget_gone(table=services.table)
    finally:
        services.store.close()
    with running(data.parent, RATE_LIMITS="off", PUBLIC_URL=URL) as server:
        client: Client = server.client
        log = client.get(f"/api/rooms/{evening.room}/events", token=evening.other).json["items"]
        room = client.get(f"/api/rooms/{evening.room}", token=evening.other)
    assert evening.id not in json.dumps(log)
    assert [event["cursor"] for event in log] == [str(n + 1) for n in range(len(log))]
    names = [event["data"]["name"] for event in log if event["type"] == "memberJoined"]
    assert gone.NAMELESS in names
    assert room.status == 200
