"""A server is killed between any two steps of a message: nothing is lost, nobody is held up."""

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.queue_host import QUEUE, STEPS
from tests.server import eventually
from trinity import cli, topology

WITHIN_S = 30.0
EVENTS = 40
POISON = 13


class Host:
    """The process, and what lies in its file."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._log = folder / "log"
        self._said = folder / "said"
        self.process: subprocess.Popen[bytes] | None = None
        self.published: set[int] = set()
        self._from = 0
        self.poisons = 0  # messages that never work; each process publishes its events anew

    def start(self, events: int = 0, die_at: str = "", nth: int = 1) -> None:
        self.poisons += events > POISON
        words = [str(self.data), str(events), die_at, str(nth)]
        with self._log.open("ab") as log, self._said.open("ab") as said:
            self._from = said.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.queue_host", *words],
                stdout=log,
                stderr=said,
                cwd=Path(__file__).parents[2],
            )

    def said(self) -> list[str]:
        return self._said.read_bytes()[self._from :].decode().splitlines()

    def serving(self) -> None:
        eventually(
            lambda: any(line.startswith("serving") for line in self.said()),
            "it serves",
            within_s=WITHIN_S,
        )

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait until it has ended, by itself or by a signal."""
        assert self.process is not None
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(WITHIN_S)
        self.process = None
        self.published |= {
            int(line.split()[1]) for line in self.said() if line.startswith("published")
        }
        return status

    def ask(self, sql: str) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.data / "trinity.sqlite")) as file:
            return file.execute(sql).fetchall()

    def done(self) -> dict[int, int]:
        """Return how often each event was worked on."""
        rows = self.ask("SELECT sk, item FROM items WHERE pk = 'NOTE'")
        return {int(sk): json.loads(item)["times"] for sk, item in rows}

    def in_queues(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        # Other functions have a share of the same events.
        for queue, body in self.ask("SELECT queue, body FROM messages WHERE queue LIKE 'note%'"):
            found.setdefault(queue, set()).add(int(json.loads(body)["detail"]["id"]))
        return found

    def drained(self) -> None:
        """Wait until all is worked off."""
        eventually(
            lambda: self.ask("SELECT count(*) FROM messages WHERE queue = 'note'") == [(0,)],
            "the queue is empty",
            within_s=WITHIN_S,
        )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    if host.process is not None:
        host.process.kill()
        host.process.wait()


def check(host: Host) -> None:
    """Everything that was published was worked on, and only the poison is dead."""
    host.start()
    host.serving()
    host.drained()
    assert host.end(signal.SIGTERM) == 0
    times = host.done()
    assert host.published <= times.keys()
    dead = host.in_queues()
    assert dead == ({"note-dead": {POISON}} if POISON in times else {})
    assert times.get(POISON, 0) <= host.poisons * QUEUE.receives


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_dies_at_any_step_of_a_message_loses_none(host: Host, step: str) -> None:
    if step == "released":
        host.start(EVENTS, "taken", 3)
        assert host.end() == -signal.SIGKILL
        host.start(EVENTS, "released")
    else:
        host.start(EVENTS, step, 5)
    assert host.end() == -signal.SIGKILL
    assert len(host.published) > 0
    check(host)


def test_a_server_that_dies_again_and_again_at_any_step_loses_none(host: Host) -> None:
    chance = random.Random(4)
    for _ in range(3):  # fewer than a message may be taken
        host.start(EVENTS, chance.choice(STEPS[:-1]), chance.randint(1, 8))
        with contextlib.suppress(subprocess.TimeoutExpired):
            host.process.wait(3.0)
        host.end(signal.SIGKILL)
    check(host)


def test_a_message_that_kills_the_server_each_time_ends_in_the_dead_letter_queue(
    host: Host,
) -> None:
    """As does one that lets a Lambda function crash: each attempt is counted before it is made."""
    host.start(1, "begun")
    assert host.end() == -signal.SIGKILL
    for _ in range(QUEUE.receives - 1):
        host.start(0, "begun")
        assert host.end() == -signal.SIGKILL
    host.start(0, "begun")
    host.serving()
    host.drained()
    assert host.end(signal.SIGTERM) == 0
    assert host.in_queues() == {"note-dead": {0}}
    assert host.done() == {}


def test_a_server_that_is_asked_to_stop_finishes_what_it_has_taken(host: Host) -> None:
    host.start(100_000)
    host.serving()
    eventually(lambda: len(host.done()) > 50, "it is at work", within_s=WITHIN_S)
    assert host.end(signal.SIGTERM) == 0
    assert host.ask("SELECT count(*) FROM messages WHERE held") == [(0,)]
    waiting = host.in_queues()
    times = host.done()
    lost = host.published - times.keys() - waiting.get("note", set())
    assert lost == set()
    assert waiting.get("note-dead", set()) <= {POISON}


def test_what_another_process_sends_back_is_tried_anew_by_the_server_that_runs(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(topology, "QUEUES", (QUEUE,))
    monkeypatch.setenv("TRINITY_DATA", str(host.data))
    host.start(POISON + 1)
    host.serving()
    for attempts in (QUEUE.receives, 2 * QUEUE.receives):
        eventually(
            lambda: host.in_queues() == {"note-dead": {POISON}}, "it is dead", within_s=WITHIN_S
        )
        assert host.done()[POISON] == attempts
        if attempts == QUEUE.receives:
            assert cli.main(["dlq", "redrive", "note", "--all"]) == 0
            assert capsys.readouterr().out == "1 redriven\n"
    assert cli.main(["dlq", "drop", "note", "--all"]) == 0
    assert host.end(signal.SIGTERM) == 0
    assert host.in_queues() == {}
