"""What a start and a request cost, in instructions: a budget that no busy machine can break.

Functions run as they are shipped, under Lambda's own runtime client, and beside an empty one and
one made of boto3, Powertools and pydantic that does the same. Valgrind counts. An empty start waits
more for the kernel than others: 1.59 times its instructions are 1.50 times its CPU time
(`make bench-cold`).
"""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from bench.cold.environment import Environment, Program
from bench.cold.evening import Evening
from bench.cold.installed import installed
from bench.cold.programs import EMPTY, function, powertools
from deploy.stages import CRITICAL

from deploy import ministack
from tests.deploy.conftest import Built

MOST_TO_START = 1.65
"""Times the instructions of an empty function. `cryptography` waits for its first use."""
LEAST_OF_POWERTOOLS_TO_START = 9.4
LEAST_OF_POWERTOOLS_TO_VOTE = 10.0
"""So many times as much does the peer take."""
REQUESTS = 10


@pytest.fixture(scope="session")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    with ministack.running(tmp_path_factory.mktemp("ministack")) as url:
        yield Evening(url)


class Scales:
    """Counts instructions, of each program once."""

    def __init__(self, evening: Evening, here: Built, folder: Path) -> None:
        self._evening = evening
        self._here = here
        self._folder = folder
        self._counted: dict[tuple[str, int], int] = {}
        self._programs: dict[str, Program] = {"empty": EMPTY}

    def program(self, name: str) -> Program:
        if name == "powertools":
            return powertools(self._evening.environment)
        if name not in self._programs:
            self._programs[name] = function(
                name,
                self._here.artefacts,
                self._here.folder,
                self._folder,
                self._evening.environment,
            )
        return self._programs[name]

    def start(self, name: str) -> int:
        return self._count(name, 0)

    def vote(self, name: str) -> float:
        """Return what one more vote takes."""
        return (self._count(name, 1 + REQUESTS) - self._count(name, 1)) / REQUESTS

    def _count(self, name: str, votes: int) -> int:
        if (name, votes) not in self._counted:
            events = self._evening.events("cast_votes", votes)
            environment = Environment(self.program(name), installed("lambda"), counted=True)
            try:
                for event in events:
                    environment.invoke(event)
            finally:
                counted = environment.stop()
            assert counted is not None
            self._counted[name, votes] = counted
        return self._counted[name, votes]

    def dearest(self, name: str) -> str:
        """Return what its imports cost, for whoever has to find out."""
        with Environment(
            self.program(name), installed("lambda"), options=("-X", "importtime")
        ) as environment:
            lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", environment.output())
        dear = sorted(((int(us), module) for us, module in lines), reverse=True)[:25]
        return f"{name} imports {len(lines)} modules; µs of the dearest: " + ", ".join(
            f"{module} {us}" for us, module in dear
        )


@pytest.fixture(scope="session")
def scales(evening: Evening, here: Built, tmp_path_factory: pytest.TempPathFactory) -> Scales:
    return Scales(evening, here, tmp_path_factory.mktemp("functions"))


@pytest.mark.parametrize("name", [*CRITICAL, "guest"])
def test_a_function_starts_within_its_budget(name: str, scales: Scales) -> None:
    ratio = scales.start(name) / scales.start("empty")
    assert ratio <= MOST_TO_START, scales.dearest(name)


@pytest.mark.parametrize("name", CRITICAL)
def test_a_function_starts_in_a_fraction_of_the_usual_parts(name: str, scales: Scales) -> None:
    ratio = scales.start("powertools") / scales.start(name)
    assert ratio >= LEAST_OF_POWERTOOLS_TO_START, scales.dearest(name)


def test_a_vote_takes_a_tenth_of_the_usual_parts(scales: Scales) -> None:
    empty = scales.vote("empty")
    ratio = (scales.vote("powertools") - empty) / (scales.vote("cast_votes") - empty)
    assert ratio >= LEAST_OF_POWERTOOLS_TO_VOTE


def test_what_leads_up_to_a_measurement_leaves_the_output_to_it(
    evening: Evening, capsys: pytest.CaptureFixture[str]
) -> None:
    evening.events("join_room")  # a new room, and people in it
    assert capsys.readouterr().out == ""


def test_the_usual_parts_give_the_same_answer(evening: Evening, scales: Scales) -> None:
    bodies = []
    for name in ("cast_votes", "powertools"):
        with Environment(scales.program(name), installed("lambda")) as environment:
            [event] = evening.events("cast_votes")
            answer = environment.invoke(event)
            bodies.append((answer["statusCode"], answer["body"]))
    assert bodies[0] == bodies[1] == (200, '{"accepted":1,"matches":[]}')


@pytest.mark.parametrize("name", CRITICAL)
def test_connections_are_opened_by_the_first_request_and_kept_for_the_next(
    name: str, evening: Evening, scales: Scales
) -> None:
    events = evening.events(name, 4)
    with Environment(scales.program("empty"), installed("lambda")) as environment:
        of_the_runtime = len(environment.sockets())
    with Environment(scales.program(name), installed("lambda")) as environment:
        assert len(environment.sockets()) == of_the_runtime
        assert environment.invoke(events[0])["statusCode"] == 200
        opened = environment.sockets()
        assert len(opened) > of_the_runtime
        for event in events[1:]:
            assert environment.invoke(event)["statusCode"] == 200
            assert environment.sockets() == opened


class Role(HTTPServer):
    """The endpoint that gives an environment the credentials of its role."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Role)
        self.asked = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Role(BaseHTTPRequestHandler):
    server: Role

    def do_GET(self) -> None:
        self.server.asked += 1
        assert self.headers["Authorization"] == "token"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            b'{"AccessKeyId": "test", "SecretAccessKey": "test", "Token": "t",'
            b' "Expiration": "2099-01-01T00:00:00Z"}'
        )

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def role() -> Iterator[Role]:
    role = Role()
    yield role
    role.shutdown()
    role.server_close()


def test_a_snapshot_holds_no_connection_and_no_credentials_and_a_restore_brings_them(
    evening: Evening, scales: Scales, role: Role
) -> None:
    program = scales.program("cast_votes")
    variables = {k: v for k, v in program.environment.items() if "KEY" not in k}
    variables |= {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{role.server_port}/",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token",
    }
    program = program._replace(environment=variables)
    [event] = evening.events("cast_votes")
    with Environment(scales.program("empty"), installed("lambda")) as environment:
        of_the_runtime = len(environment.sockets())
    with Environment(program, installed("lambda"), snapshot=True) as environment:
        assert len(environment.sockets()) == 1  # on which it waits for the restore
        assert role.asked == 0
        environment.restore()
        restored = environment.sockets()
        assert len(restored) == of_the_runtime + 2  # the table and the decks
        assert role.asked == 1
        assert environment.invoke(event)["statusCode"] == 200
        assert environment.sockets() == restored
        assert role.asked == 1
