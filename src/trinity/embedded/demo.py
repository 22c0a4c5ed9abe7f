"""Simulated friends who swipe in a room until they agree, shown live in the terminal.

They are ordinary clients: everything they do goes through the HTTP API.
"""

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_NAMES = ("Ada", "Bo", "Cleo", "Dev", "Esme", "Finn", "Gus", "Hana", "Ivo", "Juno", "Kit", "Lou")
_DECK_SIZE = 40
_MOST_FRIENDS = len(_NAMES)
_START_WITHIN_S = 20.0


class DemoFailed(Exception):
    """The demonstration cannot go on; the message says why."""


class _Client:
    """What one person's phone would do."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._token = ""

    def sign_in(self, name: str) -> str:
        session = self.call("POST", "/api/auth/guest", {"name": name})
        self._token = session["accessToken"]
        return str(session["user"]["id"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._token}"}
        content = json.dumps(body).encode() if body is not None else None
        try:
            request = urllib.request.Request(  # noqa: S310  (the user names the server)
                self._url + path, method=method, data=content, headers=headers
            )
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                answer = response.read()
                return json.loads(answer) if answer else None
        except urllib.error.HTTPError as error:
            if error.headers.get_content_type() != "application/problem+json":
                raise DemoFailed(f"there is no Trinity at {self._url}") from None
            problem = json.loads(error.read())
            raise _Refused(problem["code"], problem["detail"]) from None
        except OSError as error:
            reason = getattr(error, "reason", error)  # of urllib's errors
            why = getattr(reason, "strerror", None) or reason
            raise DemoFailed(f"{self._url} does not answer: {why}") from None
        except ValueError:  # no address, or no JSON
            raise DemoFailed(f"there is no Trinity at {self._url}") from None


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class _Friend:
    """Somebody with a taste of his own: likes some genres, and good films a little more."""

    def __init__(self, name: str, url: str, chance: random.Random, pace_s: float) -> None:
        self.name = name
        self.last = "…"
        self.client = _Client(url)
        self.user_id = self.client.sign_in(name)
        self._chance = chance
        self._pace_s = pace_s
        self._taste: dict[str, float] = {}

    def swipe(self, room_id: str, stop: threading.Event) -> None:
        """Vote until the room is decided, the deck is empty or `stop` is set."""
        while not stop.wait(self._chance.uniform(0.5, 1.5) * self._pace_s):
            try:
                cards = self.client.call("GET", f"/api/rooms/{room_id}/next?count=1")["items"]
                if not cards:
                    self.last = "has seen everything"
                    return
                card = cards[0]
                choice = self._choose(card)
                self.last = f"{choice}  {card['title']}"
                vote = {"titleId": card["id"], "choice": choice}
                self.client.call("POST", f"/api/rooms/{room_id}/votes", vote)
            except _Refused as refused:
                self.last = str(refused)
                if refused.code in ("room_closed", "not_a_member", "room_not_found"):
                    return
            except DemoFailed as failed:
                self.last = str(failed)
                return

    def _choose(self, card: dict[str, Any]) -> str:
        likes = [self._taste.setdefault(g, self._chance.gauss(0, 0.3)) for g in card["genres"]]
        liking = 0.46 + sum(likes) / max(1, len(likes)) + ((card.get("rating") or 6.5) - 7.5) * 0.06
        roll = self._chance.random()
        if roll > liking:
            return "veto" if roll > liking + 0.75 else "no"
        return "super" if roll < liking - 0.5 else "yes"


def run(*, friends: int, code: str | None, url: str | None, pace_s: float, seed: int | None) -> int:
    """Show the demonstration; return the exit status.

    Args:
        friends: how many take part.
        code: of the room to come to; None: they open one.
        url: of the server; None: one is started for them, with data that is gone afterwards.
        pace_s: about how long somebody looks at a card.
        seed: for the friends' tastes.

    Raises:
        DemoFailed: the server does not answer, or the room takes nobody.
    """
    if not 1 <= friends <= _MOST_FRIENDS or (friends < 2 and code is None):
        raise DemoFailed(f"between 2 and {_MOST_FRIENDS} friends can take part")
    console = Console()
    chance = random.Random(seed)  # noqa: S311  (tastes, not secrets)
    with contextlib.ExitStack() as stack:
        server = url or stack.enter_context(_own_server(console))
        try:
            people = [
                _Friend(name, server, random.Random(chance.random()), pace_s)  # noqa: S311
                for name in chance.sample(_NAMES, friends)
            ]
            room = _meet(people, code)
        except _Refused as refused:
            raise DemoFailed(str(refused)) from None
        status = _watch(console, people, room)
    if status == 0 and code is None:
        console.print("Now you: [bold]make run[/bold], then open a room in the browser.")
    return status


def _meet(people: list[_Friend], code: str | None) -> dict[str, Any]:
    if code is None:
        wishes = {
            "name": "Film night",
            "deck": {"source": "catalogue", "size": _DECK_SIZE, "minRating": 6.5},
        }
        host, *others = people
        code = host.client.call("POST", "/api/rooms", wishes)["code"]
    else:
        others = people
    for friend in others:
        friend.client.call("POST", "/api/rooms/join", {"code": code})
    room: dict[str, Any] = people[0].client.call("POST", "/api/rooms/join", {"code": code})
    return room


def _watch(console: Console, people: list[_Friend], room: dict[str, Any]) -> int:
    stop = threading.Event()
    threads = [
        threading.Thread(target=friend.swipe, args=(room["id"], stop), daemon=True)
        for friend in people
    ]
    viewer = people[0].client
    happened: deque[str] = deque(maxlen=6)
    cursor = "0"
    for thread in threads:
        thread.start()
    try:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while True:
                page = viewer.call("GET", f"/api/rooms/{room['id']}/events?after={cursor}")
                cursor = page["cursor"]
                happened.extend(filter(None, (_sentence(event, room) for event in page["items"])))
                room = viewer.call("GET", f"/api/rooms/{room['id']}")
                live.update(_picture(room, people, happened))
                if room["state"] != "open" or not any(thread.is_alive() for thread in threads):
                    break
                time.sleep(0.15)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    finally:
        stop.set()
    _outcome(console, viewer, room)
    return 0


def _picture(room: dict[str, Any], people: list[_Friend], happened: deque[str]) -> Panel:
    doing = {friend.user_id: friend.last for friend in people}
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(width=24)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for member in room["members"]:
        if not member["active"]:
            continue
        name = Text(member["name"], style="bold")
        if member["role"] == "host":
            name.append(" host", style="dim")
        table.add_row(
            name,
            ProgressBar(total=room["deckSize"], completed=member["progress"], width=24),
            f"{member['progress']}/{room['deckSize']}",
            _styled(doing.get(member["userId"], "")),
        )
    news = Text("\n".join(happened) or "Everybody is looking at the first card.", style="dim")
    title = f"{room['name']} · code {room['code']} · everybody must say yes"
    if room["rule"]["kind"] != "unanimous":
        title = f"{room['name']} · code {room['code']}"
    return Panel(Group(table, Text(), news), title=title, border_style="cyan", padding=(1, 2))


def _styled(doing: str) -> Text:
    colours = {"yes": "green", "no": "red", "super": "bold yellow", "veto": "bold red"}
    choice, _, title = doing.partition("  ")
    text = Text(choice.ljust(6), style=colours.get(choice, "dim"))
    return text.append(title, style="default")


def _sentence(event: dict[str, Any], room: dict[str, Any]) -> str | None:
    names = {member["userId"]: member["name"] for member in room["members"]}
    data = event["data"]
    match event["type"]:
        case "memberJoined":
            return f"{data['name']} is here."
        case "memberLeft":
            return f"{names.get(data['userId'], 'Somebody')} has left."
        case "matchFound":
            return f"A match: {data['title']['title']}!"
    return None


def _outcome(console: Console, viewer: _Client, room: dict[str, Any]) -> None:
    results = viewer.call("GET", f"/api/rooms/{room['id']}/results")
    if results["matches"]:
        lines = []
        for match in results["matches"]:
            title = match["title"]
            facts = [str(title.get("year", "")), ", ".join(title["genres"])]
            lines.append(f"[bold]{title['title']}[/bold]  {' · '.join(filter(None, facts))}")
        swipes = sum(member["progress"] for member in room["members"])
        lines.append(f"[dim]after {swipes} swipes of {results['members']} people[/dim]")
        console.print(Panel("\n".join(lines), title="It's a match", border_style="green"))
    elif results["ranking"]:
        best = results["ranking"][0]
        text = f"[bold]{best['title']['title']}[/bold]\n{best['reason']}"
        console.print(Panel(text, title="No match: the best compromise", border_style="yellow"))
    else:
        console.print("The friends are done, and the room goes on.")


@contextlib.contextmanager
def _own_server(console: Console) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="trinity-demo-") as folder:
        log = Path(folder) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "trinity.cli", "serve"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"TRINITY_DATA": f"{folder}/data", "TRINITY_PORT": "0"},
            )
        try:
            with console.status("A server for the friends is starting …"):
                url = _wait_for_url(log, process)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_url(log: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        first = log.read_text().partition("\n")[0]
        if first.startswith("Trinity is at "):
            return first.removeprefix("Trinity is at ")
        time.sleep(0.05)
    raise DemoFailed(f"the server for the friends did not start:\n{log.read_text()}")
