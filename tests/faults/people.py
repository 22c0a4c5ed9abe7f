"""People who talk to a running server, for tests with real connections."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.server import Client, Response

BOUND_S = 60.0


class Person:
    """A guest who is signed in."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        session = client.post("/api/auth/guest", json={"name": name})
        assert session.status == 201, session
        self.id: str = session.json["user"]["id"]
        self.token: str = session.json["accessToken"]

    def get(self, path: str) -> Response:
        return self.client.get(path, token=self.token)

    def post(self, path: str, json: Any = None) -> Response:
        return self.client.post(path, json=json or {}, token=self.token)

    def create(self, *, titles: int = 3, **wishes: Any) -> dict[str, Any]:
        deck = {"source": "list", "items": [{"title": f"Film {n}"} for n in range(titles)]}
        made = self.post("/api/rooms", {"deck": deck, **wishes})
        assert made.status == 201, made
        return made.json

    def join(self, code: str) -> Response:
        return self.post("/api/rooms/join", {"code": code})

    def deck(self, room: str) -> list[str]:
        return [title["id"] for title in self.get(f"/api/rooms/{room}/deck").json["items"]]

    def vote(self, room: str, title: str, choice: str = "yes") -> Response:
        return self.post(f"/api/rooms/{room}/votes", {"titleId": title, "choice": choice})

    def events(self, room: str) -> list[dict[str, Any]]:
        """Return the whole log, page by page."""
        found: list[dict[str, Any]] = []
        after = "0"
        while True:
            page = self.get(f"/api/rooms/{room}/events?limit=500&after={after}").json
            found += page["items"]
            if not page["items"]:
                return found
            after = page["cursor"]


def all_at_once(jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call all of them at the same moment, each from a thread of its own; return the results."""
    start = threading.Barrier(len(jobs))
    results: list[Any] = [None] * len(jobs)
    faults: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(BOUND_S)
            results[number] = jobs[number]()
        except BaseException as fault:  # noqa: BLE001  (it is raised again below)
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)
        if thread.is_alive():
            raise AssertionError("a request neither succeeded nor failed")
    if faults:
        raise faults[0]
    return results
