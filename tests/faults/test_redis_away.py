"""Redis stops, hangs, fills up or forgets in the middle of an evening, and nobody is the worse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.people import Person
from tests.redis_server import RedisServer
from tests.server import Server, eventually, running
from trinity.common.rate_limits import PER_ACCOUNT

WARNING = "the shared cache is away: each process counts for itself"


class Trouble(NamedTuple):
    """What befalls Redis.

    Attributes:
        away: whether it can be noticed while it lasts.
    """

    begin: Callable[[RedisServer], None]
    end: Callable[[RedisServer], None]
    away: bool = True


TROUBLES = {
    "stopped": Trouble(RedisServer.stop, RedisServer.start),
    "hangs": Trouble(RedisServer.freeze, RedisServer.thaw),
    "full": Trouble(RedisServer.fill, RedisServer.empty),
    "wiped": Trouble(RedisServer.wipe, lambda _: None, away=False),
}


def health(server: Server) -> tuple[str, str]:
    answer = server.client.get("/api/health")
    assert answer.status == 200
    return answer.json["status"], answer.json["checks"]["cache"]


def attempts(server: Server, email: str) -> list[int]:
    """Guess a password until that is refused; return the statuses."""
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 100:
        guess = {"email": email, "password": "wrong horse"}
        statuses.append(server.client.post("/api/auth/login", json=guess).status)
    return statuses


def refresh(server: Server, token: str) -> str:
    answer = server.client.post("/api/auth/refresh", json={"refreshToken": token})
    assert answer.status == 200, answer
    renewed: str = answer.json["refreshToken"]
    return renewed


@pytest.mark.parametrize("name", TROUBLES)
def test_an_evening_goes_on_whatever_befalls_redis(name: str, tmp_path: Path) -> None:
    trouble = TROUBLES[name]
    with (
        RedisServer(tmp_path) as redis,
        running(tmp_path / "trinity", REDIS_URL=redis.url) as server,
    ):
        ana, ben = Person(server.client, "Ana"), Person(server.client, "Ben")
        session = server.client.post("/api/auth/guest", json={"name": "Cem"}).json["refreshToken"]
        email = f"{name}@example.org"
        account = {"email": email, "password": "correct horse battery", "name": "Dee"}
        assert server.client.post("/api/auth/register", json=account).status == 201
        room = ana.create()
        assert ben.join(room["code"]).status == 200
        first, second, third = ana.deck(room["id"])
        assert ana.vote(room["id"], first, "no").status == 200
        assert redis.client.keys("trinity:rate:*")
        assert health(server) == ("ok", "ok")

        trouble.begin(redis)
        assert health(server) == (("degraded", "down") if trouble.away else ("ok", "ok"))
        session = refresh(server, session)  # nobody is logged out
        assert ana.get("/api/me").status == 200
        eve = Person(server.client, "Eve")
        assert eve.join(room["code"]).status == 200
        assert eve.post(f"/api/rooms/{room['id']}/leave").status == 204
        assert ana.vote(room["id"], second).status == 200
        matches = ben.vote(room["id"], second).json["matches"]
        assert [match["titleId"] for match in matches] == [second]
        statuses = attempts(server, email)  # and nobody may guess for ever
        assert statuses == [401] * PER_ACCOUNT["login"].most + [429]
        trouble.end(redis)

        eventually(lambda: health(server) == ("ok", "ok"), "the cache is back")
        refresh(server, session)
        results = ana.get(f"/api/rooms/{room['id']}/results").json
        assert [match["titleId"] for match in results["matches"]] == [second]
        left = {title["id"] for title in ben.get(f"/api/rooms/{room['id']}/next").json["items"]}
        assert left <= {first, third}
        log = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
        assert sum(line["message"] == WARNING for line in log) == trouble.away
        assert [line for line in log if line["level"] == "ERROR"] == []
