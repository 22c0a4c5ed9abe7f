"""`trinity report`, beside a server that runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_cli import refusal, trinity
from tests.faults.people import Person
from tests.server import Server, eventually, running

TAKES_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("report"), RATE_LIMITS="off") as server:
        yield server


@pytest.fixture(scope="module")
def room(server: Server) -> dict:
    """A room that has matched; its votes have reached the report."""
    ana, ben = Person(server.client, "Ana"), Person(server.client, "[red]Ben")
    room = ana.create(titles=4, stopAt="never", secret=False, name="Friday")
    ben.join(room["code"])
    for person, choices in ((ana, ("yes", "no", "no")), (ben, ("super", "no", "yes"))):
        for title, choice in zip(ana.deck(room["id"]), choices, strict=False):
            assert person.vote(room["id"], title, choice).status == 200

    def counted() -> bool:
        done = trinity("report", "--json", DATA=str(server.data))
        assert done.returncode == 0, done.stderr
        today = json.loads(done.stdout)[-1]
        return (today["rooms"], today["members"], today["votes"], today["matched"]) == (1, 2, 6, 1)

    eventually(counted, "the day counts the room", within_s=TAKES_S)
    return room


def test_days_are_told(server: Server, room: dict) -> None:
    done = trinity("report", "--days", "3", DATA=str(server.data))
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 (100%)" in done.stdout
    days = json.loads(trinity("report", "--days", "3", "--json", DATA=str(server.data)).stdout)
    assert [day["rooms"] for day in days] == [0, 0, 1]
    assert days[2]["matchRate"] == 1
    assert days[2]["p50Ms"] == days[2]["p90Ms"] >= 0


@pytest.mark.parametrize("name", ["id", "code"])
def test_a_room_is_told_by_id_or_code(server: Server, room: dict, name: str) -> None:
    done = trinity("report", "--room", room[name].lower(), DATA=str(server.data))
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("Friday", "6 votes", "1 match", "3/4", "[red]Ben", "33%", "67%"):
        assert text in done.stdout
    shown = json.loads(
        trinity("report", "--room", room[name], "--json", DATA=str(server.data)).stdout
    )
    assert (shown["roomId"], shown["votes"]) == (room["id"], 6)


def test_a_secret_room_keeps_its_secrets_from_the_terminal(server: Server) -> None:
    ana, ben = Person(server.client, "Ana"), Person(server.client, "Ben")
    secret = ana.create(titles=4)
    ben.join(secret["code"])
    done = trinity("report", "--room", secret["code"], DATA=str(server.data))
    assert done.returncode == 0
    assert "Votes are secret" in done.stdout
    assert "agree " not in done.stdout


def test_a_room_that_does_not_exist_is_refused(server: Server) -> None:
    for name in ("ABCDEF", "nowhere", "", "ROOM#"):
        done = trinity("report", "--room", name, DATA=str(server.data))
        assert "there is no room" in refusal(done, 1)


def test_where_nothing_happened_the_report_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        done = trinity("report", DATA=str(server.data))
    assert (done.returncode, done.stdout) == (0, "No room was opened in the last 14 days.\n")


def test_without_data_there_is_no_report(tmp_path: Path) -> None:
    assert "there is no data" in refusal(trinity("report", DATA=str(tmp_path / "none")), 1)


@pytest.mark.parametrize(
    "words", [("--days", "0"), ("--days", "x"), ("--days", "1", "--room", "a")]
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    done = trinity("report", *words, DATA=str(tmp_path))
    assert done.returncode == 2
    assert "usage: trinity report" in done.stderr
