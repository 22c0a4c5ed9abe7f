"""What docs/clients.md shows runs as it is shown."""

import itertools
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients.conftest import HERE, Installed, Person
from tests.clients.programs import Program, program

PAGE = HERE.parents[1] / "docs" / "clients.md"
ADDRESS = "127.0.0.1:8000"


class Snippet(NamedTuple):
    """Something that the page shows.

    Attributes:
        heading: above it.
        language: of it.
        code: with the address that a server has if nobody says otherwise.
    """

    heading: str
    language: str
    code: str


def snippets() -> list[Snippet]:
    found = []
    for section in PAGE.read_text().split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            found.append(Snippet(heading, language, code))
    return found


SNIPPETS = {snippet.heading: snippet for snippet in snippets()}
PACKAGES = {"Amplify": "amplify", "Apollo": "apollo"}
LIVE = [
    "Amplify",
    "gql",
    "Apollo",
    "A plain WebSocket in JavaScript",
    "A plain WebSocket in Python",
]
ASKING = ["Ask over HTTP", "After a while away", "Who is here"]


def written(heading: str, url: str, folder: Path) -> list[str | Path]:
    """Write a snippet into a folder, and return the command that runs it."""
    snippet = SNIPPETS[heading]
    assert ADDRESS in snippet.code
    code = snippet.code.replace(ADDRESS, url.removeprefix("http://"))
    name, command = {
        "sh": ("snippet.sh", ["bash", "-euo", "pipefail"]),
        "js": ("snippet.mjs", ["node", "--experimental-websocket", "--no-warnings"]),
        "python": ("snippet.py", [sys.executable]),
    }[snippet.language]
    (folder / name).write_text(code)
    return [*command, folder / name]


def test_each_snippet_of_the_page_is_run() -> None:
    assert sorted(snippet.heading for snippet in snippets()) == sorted([*LIVE, *ASKING])


@pytest.mark.parametrize("heading", [*LIVE, *ASKING])
def test_the_page_leads_to(heading: str) -> None:
    anchor = heading.lower().replace(" ", "-")
    assert f"* [{heading}](#{anchor})" in PAGE.read_text()


@pytest.mark.parametrize("folder", PACKAGES.values())
def test_the_page_names_the_versions_that_are_tested(folder: str) -> None:
    page = PAGE.read_text()
    wanted = json.loads((HERE / folder / "package.json").read_text())["dependencies"]
    unnamed = {name for name, number in wanted.items() if f"`{name}` {number}" not in page}
    assert unnamed <= {"graphql", "rxjs", "uuid", "ws"}  # what the others ask for


@pytest.mark.parametrize(
    ("name", "shown"), [("gql", "`gql[websockets]` "), ("websockets", "`websockets` ")]
)
def test_the_page_names_the_packages_of_python_that_are_tested(name: str, shown: str) -> None:
    found = re.search(re.escape(shown) + r"([\d.]*\d)", PAGE.read_text())
    assert found
    assert f"{version(name)}.".startswith(f"{found[1]}.")


def test_a_room_is_opened_over_http(url: str, tmp_path: Path) -> None:
    command = written("Ask over HTTP", url, tmp_path)
    with program(*command, folder=tmp_path) as shown:
        shown.ends()
        assert re.fullmatch(
            r'\{"data":\{"createRoom":\{"id":"\w+","code":"\w+"\}\}\}', "".join(shown.lines)
        )


@pytest.mark.parametrize("heading", LIVE)
def test_a_room_is_followed_to_its_match_with(
    heading: str, installed: Installed, url: str, tmp_path: Path, ana: Person, ben: Person
) -> None:
    command = written(heading, url, tmp_path)
    if heading in PACKAGES:
        packages = installed(PACKAGES[heading]) / "node_modules"
        (tmp_path / "node_modules").symlink_to(packages)
    room = ana.open_room("Pizza", "Sushi")
    ben.join(room["code"])
    pizza = ana.title_id(room["id"], "Pizza")
    seen = {"TOKEN": ana.token, "ROOM": room["id"]}
    with program(*command, folder=tmp_path, environment=seen) as shown:
        hears(shown, ana, room["id"])
        ana.say_yes(room["id"], pizza)
        ben.say_yes(room["id"], pizza)
        match = shown.until(lambda: told(shown, "matchFound"), "the snippet tells of the match")
        assert f'"titleId":"{pizza}"' in match
        if heading in PACKAGES:
            assert shown.lines[0] == "I am Ana"
        else:  # these packages' own timers keep Node up for 15 s more
            shown.ends()


def told(shown: Program, kind: str) -> str | None:
    """Return the first line about an event of a kind."""
    return next((line for line in list(shown.lines) if line.startswith(f"{kind} {{")), None)


def hears(shown: Program, host: Person, room_id: str) -> None:
    """Do something harmless until a snippet tells of it."""
    evenings = itertools.count(1)  # the same name again would be no event

    def heard() -> str | None:
        host.rename(room_id, f"Evening {next(evenings)}")
        return told(shown, "roomUpdated")

    shown.until(heard, "the snippet hears of the room")


def test_what_was_missed_is_read_over_http(
    url: str, tmp_path: Path, ana: Person, ben: Person
) -> None:
    room = ana.open_room("Pizza", "Sushi")
    ben.join(room["code"])
    pizza = ana.title_id(room["id"], "Pizza")
    for person in (ana, ben):
        person.say_yes(room["id"], pizza)
    ana.settled(room["id"], "matchFound")
    seen = {"TOKEN": ana.token, "ROOM": room["id"]}
    command = written("After a while away", url, tmp_path)
    with program(*command, folder=tmp_path, environment=seen) as shown:
        shown.ends()
        kinds = [line.split()[0] for line in shown.lines]
    assert kinds[:2] == ["memberJoined", "memberJoined"]
    assert kinds.count("matchFound") == 1


def test_who_is_here_is_shown_and_told_anew_when_somebody_comes(
    url: str, tmp_path: Path, ana: Person, ben: Person
) -> None:
    room = ana.open_room("Pizza", "Sushi")
    ben.join(room["code"])
    seen = {"TOKEN": ana.token, "ROOM": room["id"]}
    with program(
        *written("Who is here", url, tmp_path), folder=tmp_path, environment=seen
    ) as shown:
        alone = f"online {ana.id}"
        shown.until(lambda: alone in shown.lines or None, "Ana is shown to be there")
        assert shown.lines[0] == str(
            {
                "room": {
                    "members": [{"name": "Ana", "online": True}, {"name": "Ben", "online": False}]
                }
            }
        )
        ben.read(room["id"])
        shown.ends()
        assert shown.lines[-2:] == [
            " ".join(["online", *sorted([ana.id, ben.id])]),
            "{'stepAway': True}",
        ]
