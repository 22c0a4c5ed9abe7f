"""The command line as people use it: what it prints, how it ends, what it leaves behind."""

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server import Client, Server, eventually, running
from trinity import __version__

PROGRAM = Path(sys.executable).parent / "trinity"
SCHEMA = Path(__file__).parents[2] / "schema" / "openapi.json"
WITHIN_S = 30.0
COMMANDS = {
    "serve": ["TRINITY_DATA", "TRINITY_PORT (8000)", "The Movie Database"],
    "demo": ["--friends", "--join", "--url", "--pace", "--seed", "default 4"],
    "backup": ["FILE", "signing key"],
    "restore": ["FILE", "TRINITY_DATA"],
    "doctor": ["exit status is 1", "without changing it"],
    "dlq": ["list", "show", "redrive", "drop", "TRINITY_QUEUE_PREFIX"],
    "report": ["--days", "--room", "--json", "TRINITY_TABLE_NAME", "secret"],
    "openapi": ["OpenAPI 3.1"],
}


def environment(settings: dict[str, str]) -> dict[str, str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TRINITY_")}
    return clean | {f"TRINITY_{name}": text for name, text in settings.items()}


def trinity(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *words],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Return the one line of a refusal; fail if it is anything else."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert done.stderr.startswith("trinity: "), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


class Served:
    """A server whose two outputs are kept apart."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self._folder = folder
        self.process = process

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()

    @property
    def url(self) -> str:
        def announced() -> str | None:
            assert self.process.poll() is None, self.err
            found = re.search(r"^Trinity is at (http://\S+)\n", self.out)
            return found[1] if found and "stop: Ctrl-C\n" in self.out else None

        return eventually(announced, "the address is printed", within_s=WITHIN_S)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)


@contextlib.contextmanager
def served(folder: Path, **settings: str) -> Iterator[Served]:
    settings = {"PORT": "0", "DATA": str(folder / "data"), **settings}
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [PROGRAM, "serve"], env=environment(settings), stdout=out, stderr=err
        )
    try:
        yield Served(folder, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that runs, for those who only want to meet it."""
    with running(tmp_path_factory.mktemp("cli"), LOG_LEVEL="warning") as server:
        yield server


# ------------------------------------------------------------------------------------------- help


def test_help_names_every_command_and_where_the_settings_are() -> None:
    done = trinity("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert re.search(rf"^    {command} +\w", done.stdout, re.MULTILINE), command
    assert "TRINITY_" in done.stdout
    assert "docs/settings.md" in done.stdout


def test_help_lists_no_command_that_these_tests_do_not_know() -> None:
    listed = re.findall(r"^    (\w+) +\w", trinity("--help").stdout, re.MULTILINE)
    assert set(listed) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_and_takes(command: str) -> None:
    done = trinity(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: trinity {command}")
    words = " ".join(done.stdout.split())
    for text in COMMANDS[command]:
        assert text in words


def test_the_version_is_printed() -> None:
    done = trinity("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"trinity {__version__}\n", "")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["backup"],
        ["restore"],
        ["serve", "now"],
        ["demo", "--pace", "-1"],
        ["demo", "--pace", "nan"],
        ["demo", "--pace", "slow"],
    ],
)
def test_words_that_make_no_command_are_refused_with_the_usage(words: list[str]) -> None:
    done = trinity(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: trinity")


# --------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("command", ["serve", "doctor", "openapi"])
def test_an_unknown_setting_stops_every_command_and_is_named(command: str, tmp_path: Path) -> None:
    done = trinity(command, DATA=str(tmp_path / "data"), PROT="9000")
    assert "TRINITY_PROT" in refusal(done, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", ""),
        ("RATE_LIMITS", "maybe"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_that_makes_no_sense_stops_the_start_and_its_variable_is_named(
    name: str, value: str, tmp_path: Path
) -> None:
    done = trinity("serve", **{"DATA": str(tmp_path / "data"), name: value})
    assert f"TRINITY_{name}" in refusal(done, 2)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------- serving


@pytest.mark.parametrize(
    "name",
    [
        *("TABLE_NAME", "BUCKET_NAME", "UPLOADS_BUCKET_NAME", "BUS_NAME", "QUEUE_PREFIX"),
        *("APPSYNC_URL", "SIGNING_SECRET", "CURSOR_SECRET"),
    ],
)
def test_a_server_whose_data_would_lie_on_aws_is_refused_with_a_message(
    name: str, tmp_path: Path
) -> None:
    value = "https://trinity.example/graphql" if name.endswith("_URL") else "trinity"
    done = trinity("serve", PORT="0", DATA=str(tmp_path / "data"), **{name: value})
    assert f"TRINITY_{name} is for functions on AWS" in refusal(done, 2)
    assert list(tmp_path.iterdir()) == []


def test_with_port_0_the_address_that_was_taken_is_printed_and_answers(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", server.url)
        assert Client(server.url).get("/api/health").status == 200
        lines = server.out.splitlines()
        assert lines[0] == f"Trinity is at {server.url}"
        assert lines[1] == f"  data: {(tmp_path / 'data').resolve()}   stop: Ctrl-C"


def test_tokens_name_the_port_that_was_really_taken(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        document = Client(server.url).get("/.well-known/openid-configuration").json
        assert document["issuer"].endswith(server.url.rpartition(":")[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_it_cleanly_and_it_can_be_started_again(
    number: signal.Signals, tmp_path: Path
) -> None:
    database = tmp_path / "data" / "trinity.sqlite"
    for round_ in range(2):
        with served(tmp_path, RATE_LIMITS="off") as server:
            client = Client(server.url)
            for _ in range(3):
                assert client.post("/api/auth/guest", json={"name": "Ana"}).status == 201
            assert server.end(number) == 0, server.err
            assert server.err == ""
        assert sorted(path.name for path in database.parent.glob("trinity.sqlite*")) == [
            "trinity.sqlite"
        ], "the write-ahead log is folded into the database"
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as file:
            [(count,)] = file.execute("SELECT count(*) FROM items WHERE sk = 'PROFILE'").fetchall()
        assert count == 3 * (round_ + 1)


def test_a_signal_right_after_the_start_stops_it_cleanly(tmp_path: Path) -> None:
    for _ in range(3):
        with served(tmp_path) as server:
            assert server.url
            assert server.end(signal.SIGTERM) == 0, server.err
            assert server.err == ""


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(server: Server) -> None:
    message = refusal(trinity("serve", DATA=str(server.data), PORT="0"), 1)
    assert "another Trinity serves the data in" in message
    assert str(server.data) in message
    assert server.client.get("/api/health").status == 200


def test_a_port_that_is_taken_is_refused_with_a_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal(trinity("serve", DATA=str(tmp_path / "data"), PORT=str(port)), 1)
        assert f"cannot listen on 127.0.0.1:{port}" in message


def test_an_address_that_is_not_this_machines_is_refused_with_a_message(tmp_path: Path) -> None:
    done = trinity("serve", DATA=str(tmp_path / "data"), PORT="0", HOST="192.0.2.1")
    assert "cannot listen on 192.0.2.1:0" in refusal(done, 1)


def test_data_of_a_newer_version_is_refused_with_a_message(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert server.url
        assert server.end(signal.SIGTERM) == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "trinity.sqlite")) as file:
        file.execute("PRAGMA user_version = 99")
    message = refusal(trinity("serve", DATA=str(tmp_path / "data"), PORT="0"), 1)
    assert "schema version 99" in message


def test_a_data_folder_that_is_a_file_is_refused_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    message = refusal(trinity("serve", DATA=str(tmp_path / "data"), PORT="0"), 1)
    assert str(tmp_path / "data") in message


def test_a_database_that_is_none_is_refused_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "trinity.sqlite").write_text("hello\n" * 1000)
    message = refusal(trinity("serve", DATA=str(tmp_path / "data"), PORT="0"), 1)
    assert "trinity.sqlite" in message


def _no_folder_for_keys(data: Path) -> None:
    (data / "keys").write_text("")


def _no_key(data: Path) -> None:
    (data / "keys").mkdir()
    (data / "keys" / "a.pem").write_text("hello")


def _no_folder_for_decks(data: Path) -> None:
    (data / "blobs").write_text("")


def _no_file_for_the_database(data: Path) -> None:
    (data / "trinity.sqlite").mkdir()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_no_folder_for_keys, "keys"),
        (_no_key, "a.pem"),
        (_no_folder_for_decks, "blobs"),
        (_no_file_for_the_database, "trinity.sqlite"),
    ],
)
def test_data_that_cannot_be_used_stops_the_start_with_a_message(
    spoil: Callable[[Path], None], named: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    spoil(data)
    assert named in refusal(trinity("serve", DATA=str(data), PORT="0"), 1)


def test_what_nobody_else_may_read_cannot_be_read_by_others(server: Server) -> None:
    client = server.client
    account = {"email": "ana@example.org", "password": "correct horse", "name": "Ana"}
    assert client.post("/api/auth/register", json=account).status == 201
    forgotten = client.post("/api/auth/password/forgot", json={"email": account["email"]})
    assert forgotten.status == 202
    data = server.data
    eventually(lambda: any((data / "mailbox").glob("[!.]*.eml")), "the mail is written")
    modes = {
        path.relative_to(data).parts[0] + ("" if path.is_file() else "/"): path.stat().st_mode
        & 0o777
        for folder in ("keys", "mailbox")
        for path in (data / folder, *(data / folder).iterdir())
    }
    assert modes == {"keys/": 0o700, "keys": 0o600, "mailbox/": 0o700, "mailbox": 0o600}
    assert (data / "lock").stat().st_mode & 0o777 == 0o600


def test_others_cannot_reach_the_database_with_its_password_hashes(server: Server) -> None:
    folder, file = server.data.stat().st_mode, (server.data / "trinity.sqlite").stat().st_mode
    assert folder & 0o007 == 0 or file & 0o007 == 0, f"{folder & 0o777:o} {file & 0o777:o}"


# ---------------------------------------------------------------------------------- other commands


def test_openapi_prints_the_committed_document() -> None:
    done = trinity("openapi")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SCHEMA.read_text()


def test_a_reader_that_has_enough_ends_a_command_without_a_word() -> None:
    with subprocess.Popen(
        [PROGRAM, "openapi"], env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(WITHIN_S) == 1


def test_the_doctor_says_that_a_running_server_is_well(server: Server) -> None:
    assert server.client.post("/api/auth/guest", json={"name": "Ana"}).status == 201
    done = trinity("doctor", DATA=str(server.data))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())


def test_the_doctor_makes_no_data_where_there_is_none(tmp_path: Path) -> None:
    done = trinity("doctor", DATA=str(tmp_path / "data"))
    assert (done.returncode, done.stderr) == (1, "")
    assert "there is no" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_finds_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    _no_file_for_the_database(tmp_path)
    done = trinity("doctor", DATA=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    assert "it cannot be read" in done.stdout


def test_the_demo_ends_with_a_match_or_the_best_compromise(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "demo", "--pace", "0.02", "--seed", "1"],
        env=environment({}) | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "It's a match" in done.stdout or "the best compromise" in done.stdout
    assert list(tmp_path.iterdir()) == [], "its server and data are gone"


@pytest.mark.parametrize("friends", ["1", "0", "-3", "13"])
def test_a_demo_with_too_few_or_too_many_friends_is_refused(friends: str) -> None:
    assert "between 2 and 12 friends" in refusal(trinity("demo", "--friends", friends), 1)


def test_the_friends_of_a_demo_come_to_a_room_of_a_running_server(server: Server) -> None:
    client = server.client
    session = client.post("/api/auth/guest", json={"name": "Ana"}).json
    deck = {"source": "list", "items": [{"title": f"Dish {n}"} for n in range(6)]}
    made = client.post(
        "/api/rooms",
        token=session["accessToken"],
        json={"deck": deck, "rule": {"kind": "atLeast", "count": 1}, "stopAt": "never"},
    )
    assert made.status == 201, made
    room = made.json
    words = ("--join", room["code"], "--url", server.base_url, "--friends", "3")
    done = trinity("demo", *words, "--pace", "0.01", "--seed", "1")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    seen = client.get(f"/api/rooms/{room['id']}", token=session["accessToken"]).json
    progress = {m["userId"]: m["progress"] for m in seen["members"]}
    assert progress.pop(session["user"]["id"]) == 0
    assert list(progress.values()) == [6, 6, 6]


def test_one_friend_alone_may_come_to_a_room(server: Server) -> None:
    client = server.client
    token = client.post("/api/auth/guest", json={"name": "Ana"}).json["accessToken"]
    deck = {"source": "list", "items": [{"title": "Pizza"}]}
    room = client.post("/api/rooms", token=token, json={"deck": deck}).json
    words = ("--join", room["code"], "--url", server.base_url, "--friends", "1")
    done = trinity("demo", *words, "--pace", "0.01")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_a_demo_that_finds_no_room_says_so(server: Server) -> None:
    done = trinity("demo", "--join", "ZZZZZZ", "--url", server.base_url)
    assert "no such room" in refusal(done, 1)


def test_a_demo_that_finds_no_server_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = trinity("demo", "--join", "ZZZZZZ", "--url", f"http://127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port} does not answer" in refusal(done, 1)


@pytest.mark.parametrize("url", ["localhost:8000", "nonsense", "ftp://localhost"])
def test_a_demo_at_an_address_that_is_none_says_so(url: str) -> None:
    assert url in refusal(trinity("demo", "--join", "ZZZZZZ", "--url", url), 1)


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_demo_at_a_server_that_is_no_trinity_says_so(status: int) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        """Answers as a reverse proxy without a server behind it does."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        done = trinity("demo", "--join", "ZZZZZZ", "--url", url)
        other.shutdown()
    assert url in refusal(done, 1)


def test_an_installed_program_does_not_depend_on_where_it_is_called(tmp_path: Path) -> None:
    found = shutil.which("trinity", path=str(PROGRAM.parent))
    assert found is not None
    done = subprocess.run(
        [found, "openapi"], cwd=tmp_path, env={}, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["openapi"].startswith("3.1")
