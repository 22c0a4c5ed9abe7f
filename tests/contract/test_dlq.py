"""`trinity dlq` on both hosts: nothing is lost, nothing is dropped that was not meant."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import ministack
from tests.contract.test_failed_calls import note as failed_calls_note
from tests.contract.test_queues import CALM, QUEUES, AwsPost, SqlitePost, arrivals
from trinity import cli, topology
from trinity.common.dead_letters import DeadLetters
from trinity.infrastructure.messaging.failed_calls import FailedCalls
from trinity.infrastructure.messaging.sqs import SqsQueues
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.infrastructure.system.clock import SystemClock
from trinity.ports import Message, Queues, Unavailable

EVENT = json.dumps({"detail-type": "MatchFound", "detail": {"id": "e1", "title": "Amélie"}})


class Office:
    """Queues, and the command line with the settings for them."""

    def __init__(self, queues: Queues, capsys: pytest.CaptureFixture[str]) -> None:
        self.queues = queues
        self._capsys = capsys

    def bury(self, *bodies: str) -> None:
        self.queues.send("calm-dead", bodies)

    def run(self, *words: str) -> tuple[int, str, str]:
        """Return exit status and both outputs."""
        status = cli.main(["dlq", *words])
        out, err = self._capsys.readouterr()
        return status, out, err

    def json(self, *words: str, status: int = 0) -> Any:
        found, out, _ = self.run(*words, "--json")
        assert found == status
        return json.loads(out)

    def ids(self) -> dict[str, str]:
        """Return the ids of the dead messages by their bodies."""
        return {shown["body"]: shown["id"] for shown in self.json("show", "calm")}


@pytest.fixture(params=["sqlite", "aws"])
def office(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Office:
    monkeypatch.setattr(topology, "QUEUES", QUEUES)
    if request.param == "sqlite":
        monkeypatch.setenv("TRINITY_DATA", str(tmp_path))
        store = SqliteStore(tmp_path / "trinity.sqlite")
        return Office(SqliteQueues(store, QUEUES, SystemClock()), capsys)
    endpoint = request.getfixturevalue("aws")
    return on_aws(endpoint, monkeypatch, capsys)


def on_aws(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Office:
    monkeypatch.setattr(topology, "QUEUES", QUEUES)
    post = AwsPost(endpoint)
    post.sqs.create_queue(QueueName=post.prefix + topology.FAILED_CALLS)
    use_aws(monkeypatch, endpoint, post.prefix)
    return Office(post.queues, capsys)


def use_aws(monkeypatch: pytest.MonkeyPatch, endpoint: str, prefix: str) -> None:
    """Let the command line find the queues of MiniStack, which hides nothing from short looks."""
    monkeypatch.setenv("TRINITY_QUEUE_PREFIX", prefix)
    for name, value in ministack.environment(endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(SqsQueues.__init__.__kwdefaults__, "wait_s", 0)


def test_the_list_counts_what_waits_and_what_is_dead(office: Office) -> None:
    office.queues.send("calm", ["a", "b"])
    office.bury("c")
    counts = [
        {"queue": "calm", "waiting": 2, "dead": 1},
        {"queue": "quick", "waiting": 0, "dead": 0},
    ]
    assert office.json("list")[:2] == counts
    status, out, err = office.run("list")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[:3] == [["queue", "waiting", "dead"], ["calm", "2", "1"], ["quick", "0", "0"]]


def test_what_is_dead_is_shown_and_stays(office: Office) -> None:
    assert office.run("show", "calm") == (0, "nothing is dead in calm\n", "")
    office.bury(EVENT, "no JSON")
    for _ in range(2):
        status, out, err = office.run("show", "calm")
        assert (status, err) == (0, "")
        lines = out.splitlines()
        assert len(lines) == 2
        pattern = r"\S{36}  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z(  MatchFound)?"
        assert all(re.fullmatch(pattern, line) for line in lines)
    shown = {json.dumps(message["body"]): message for message in office.json("show", "calm")}
    assert shown.keys() == {json.dumps(json.loads(EVENT)), '"no JSON"'}
    assert office.queues.count("calm-dead") == 2


def test_one_message_is_shown_whole(office: Office) -> None:
    office.bury(EVENT, *(str(n) for n in range(1, 13)))
    [wanted] = [m["id"] for m in office.json("show", "calm") if isinstance(m["body"], dict)]
    status, out, _ = office.run("show", "calm", wanted)
    assert status == 0
    assert "Amélie" in out
    assert json.loads(out)["body"] == json.loads(EVENT)
    assert len(office.json("show", "calm")) == 13, "all others are there as before"
    status, out, err = office.run("show", "calm", "unknown")
    assert (status, out) == (1, "")
    assert err == "trinity: there is no dead message unknown in calm\n"


def test_no_more_is_shown_than_asked_for(office: Office) -> None:
    office.bury(*map(str, range(25)))
    assert len(office.json("show", "calm", "--limit", "7")) == 7
    assert len(office.json("show", "calm")) == 25


def test_one_message_is_sent_back_and_the_others_stay(office: Office) -> None:
    office.bury(*(f"m{n}" for n in range(15)))
    wanted = office.ids()["m11"]
    assert office.json("redrive", "calm", wanted) == {
        "redriven": [wanted],
        "missing": [],
        "failed": {},
    }
    [message] = arrivals_of(office, "calm", 1)
    assert (message.body, message.receives) == ("m11", 1)
    assert office.ids().keys() == {f"m{n}" for n in range(15)} - {"m11"}


def test_all_are_sent_back(office: Office) -> None:
    office.bury(*(f"m{n}" for n in range(25)))
    assert office.run("redrive", "calm", "--all") == (0, "25 redriven\n", "")
    assert office.queues.count("calm-dead") == 0
    assert office.run("redrive", "calm", "--all") == (0, "0 redriven\n", "")
    bodies = {message.body for message in arrivals_of(office, "calm", 25)}
    assert bodies == {f"m{n}" for n in range(25)}


def test_what_is_dropped_is_gone_and_nothing_else(office: Office) -> None:
    office.bury("a", "b", "c")
    ids = office.ids()
    assert office.run("drop", "calm", ids["a"], ids["b"]) == (0, "2 dropped\n", "")
    assert office.ids().keys() == {"c"}
    dropped = office.json("drop", "calm", "--all")
    assert dropped == {"dropped": [ids["c"]], "missing": [], "failed": {}}
    assert office.queues.count("calm-dead") == office.queues.count("calm") == 0


def test_an_id_that_is_not_there_is_named_and_the_others_are_settled(office: Office) -> None:
    office.bury("a", "b")
    wanted = office.ids()["a"]
    status, out, err = office.run("drop", "calm", "unknown", wanted)
    assert (status, out) == (1, "1 dropped\n")
    assert err == "trinity: there is no dead message unknown in calm\n"
    assert office.ids().keys() == {"b"}
    answer = office.json("redrive", "calm", "unknown", status=1)
    assert answer == {"redriven": [], "missing": ["unknown"], "failed": {}}


@pytest.mark.parametrize("words", [("redrive", "calm"), ("drop", "calm", "some-id", "--all")])
def test_nothing_happens_unless_it_is_clear_what_is_meant(
    office: Office, words: tuple[str, ...]
) -> None:
    office.bury("a")
    status, out, err = office.run(*words)
    assert (status, out) == (1, "")
    assert err == "trinity: name the messages by their IDs, or say --all\n"
    assert office.queues.count("calm-dead") == 1


def test_an_unknown_queue_is_refused_with_the_names_of_those_there_are(office: Office) -> None:
    status, out, err = office.run("show", "calm-dead")
    assert (status, out) == (1, "")
    assert err.startswith("trinity: there is no queue calm-dead, but there are: calm, quick")


# ----------------------------------------------------------- what AWS gave up, and keeps a note of


@pytest.fixture
def aws_office(
    aws: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Office:
    return on_aws(aws, monkeypatch, capsys)


CLOCK = json.dumps({"schedule": "forget-gone", "time": "2026-11-25T12:15:00Z"})


def test_calls_that_were_given_up_are_counted_and_shown(aws_office: Office) -> None:
    batch = failed_calls_note("stream", "shard", "1", "1")
    aws_office.queues.send(topology.FAILED_CALLS, [CLOCK, batch])
    assert aws_office.json("list")[-1] == {"queue": "stream-failures", "waiting": None, "dead": 2}
    assert aws_office.run("list")[1].splitlines()[-1].split() == ["stream-failures", "-", "2"]
    status, out, _ = aws_office.run("show", "stream-failures")
    assert status == 0
    assert {line.split("Z  ", 1)[1] for line in out.splitlines()} == {
        "forget-gone at 2026-11-25T12:15:00Z",
        "1 change for trinity-test-emit:live",
    }
    ids = [message["id"] for message in aws_office.json("show", "stream-failures")]
    assert aws_office.json("drop", "stream-failures", *ids)["missing"] == []
    assert aws_office.queues.count(topology.FAILED_CALLS) == 0


def test_calls_that_were_given_up_are_made_again(
    aws_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(FailedCalls, "again", lambda _, body: called.append(body))
    aws_office.queues.send(topology.FAILED_CALLS, [CLOCK])
    assert aws_office.run("redrive", "stream-failures", "--all") == (0, "1 redriven\n", "")
    assert called == [CLOCK]
    assert aws_office.queues.count(topology.FAILED_CALLS) == 0


def test_calls_that_cannot_be_made_again_are_named_and_stay_and_hold_up_no_other(
    aws_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, called = FailedCalls.again, list[str]()

    def note_or_call(self: FailedCalls, body: str) -> None:
        called.append(body) if body == CLOCK else again(self, body)

    monkeypatch.setattr(FailedCalls, "again", note_or_call)
    old = '{"schedule": "of-old", "time": "then"}'
    cut = '{"DDBStreamBatchInfo": {"shardId": "1"}}'
    aws_office.queues.send(topology.FAILED_CALLS, [old, CLOCK, cut])
    left = [m for m in aws_office.json("show", "stream-failures") if m["body"] != json.loads(CLOCK)]
    status, out, err = aws_office.run("redrive", "stream-failures", "--all")
    assert (status, out, called) == (1, "1 redriven\n", [CLOCK])
    reason = "no function of this version is meant: drop it"
    assert sorted(err.splitlines()) == sorted(f"trinity: {m['id']}: {reason}" for m in left)
    by_id = sorted(aws_office.json("show", "stream-failures"), key=lambda m: str(m["id"]))
    assert by_id == sorted(left, key=lambda m: str(m["id"]))
    answer = aws_office.json("redrive", "stream-failures", left[0]["id"], status=1)
    assert answer == {"redriven": [], "missing": [], "failed": {left[0]["id"]: reason}}


def test_on_a_server_of_ones_own_there_are_no_such_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRINITY_DATA", str(tmp_path))
    SqliteStore(tmp_path / "trinity.sqlite").close()
    assert cli.main(["dlq", "list"]) == 0
    assert "stream-failures" not in capsys.readouterr().out
    assert cli.main(["dlq", "show", "stream-failures"]) == 1
    assert "there is no queue stream-failures" in capsys.readouterr().err


def test_a_prefix_that_no_queue_has_is_refused(
    monkeypatch: pytest.MonkeyPatch, aws: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(topology, "QUEUES", QUEUES)
    use_aws(monkeypatch, aws, "typo-")
    assert cli.main(["dlq", "list"]) == 1
    assert capsys.readouterr() == ("", "trinity: there is no queue typo-calm on AWS\n")


@pytest.mark.parametrize("file", [None, b"this is no database, and never was one" * 100])
def test_a_folder_without_data_is_refused_and_left_as_it_is(
    file: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRINITY_DATA", str(tmp_path))
    if file is not None:
        (tmp_path / "trinity.sqlite").write_bytes(file)
    assert cli.main(["dlq", "list"]) == 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("trinity: ")
    assert [path.name for path in tmp_path.iterdir()] == (
        [] if file is None else ["trinity.sqlite"]
    )


# ------------------------------------------------------------------------------- when it goes wrong


@pytest.fixture
def post(tmp_path: Path) -> SqlitePost:
    return SqlitePost(tmp_path / "trinity.sqlite")


def test_of_what_could_not_be_sent_back_nothing_is_removed(
    post: SqlitePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise Unavailable("the queue takes nothing")

    post.queues.send("calm-dead", ["a", "b"])
    with monkeypatch.context() as broken:
        broken.setattr(post.queues, "send", full)
        with pytest.raises(Unavailable):
            DeadLetters.of(post.queues, CALM).redrive(None, before=post.clock.now())
    assert len(arrivals(post, "calm-dead", 2)) == 2, "and both can be seen again at once"


def test_a_message_that_comes_back_dead_at_once_does_not_go_round_for_ever(
    post: SqlitePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    send: Callable[..., None] = post.queues.send
    rounds: list[str] = []

    def send_and_die(queue: str, bodies: list[str]) -> None:
        rounds.extend(bodies)
        assert len(rounds) < 100
        post.pass_time(0.001)
        send(f"{queue}-dead", bodies)

    post.queues.send("calm-dead", ["a", "b"])
    monkeypatch.setattr(post.queues, "send", send_and_die)
    done = DeadLetters.of(post.queues, CALM).redrive(None, before=post.clock.now())
    assert len(done) == 2
    assert sorted(rounds) == ["a", "b"]
    assert post.queues.count("calm-dead") == 2


def test_looking_ends_though_it_takes_so_long_that_the_first_are_visible_again(
    post: SqlitePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive: Callable[..., list[Message]] = post.queues.receive

    def slow(*words: Any) -> list[Message]:
        post.pass_time(11)
        return receive(*words)

    post.queues.send("calm-dead", [f"m{n}" for n in range(35)])
    monkeypatch.setattr(post.queues, "receive", slow)
    found = DeadLetters.of(post.queues, CALM).look(limit=1000)
    assert {message.body for message in found} == {f"m{n}" for n in range(35)}
    assert len(found) == 35


def arrivals_of(office: Office, queue: str, count: int) -> list[Message]:
    taken: list[Message] = []
    while messages := office.queues.receive(queue):
        taken += messages
    assert len(taken) == count
    return taken
