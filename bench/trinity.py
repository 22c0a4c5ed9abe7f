"""Trinity's embedded host, as `make run` starts it, with rate limits off."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, ClassVar

from bench.server import BenchError, Client
from bench.targets import BIN, DECK, Seat, Seed, Target, query


class Trinity(Target):
    """`trinity serve` at its only durability: a vote is answered when it is on the disk."""

    name = "trinity"
    durability = "WAL, synchronous=FULL"
    room: ClassVar[dict[str, Any]] = {"stopAt": "never"}

    def command(self, data: Path, port: int) -> list[str]:
        return [str(BIN / "trinity"), "serve"]

    def env(self, data: Path, port: int) -> dict[str, str]:
        return {
            "TRINITY_HOST": "127.0.0.1",
            "TRINITY_PORT": str(port),
            "TRINITY_DATA": str(data),
            # tokens name their issuer, and must outlive the port of the server that gave them
            "TRINITY_PUBLIC_URL": "http://localhost",
            "TRINITY_RATE_LIMITS": "off",
            "TRINITY_LOG_LEVEL": "info",
        }

    def prepare(self, data: Path) -> None:
        if not (BIN / "trinity").exists():
            raise BenchError("Trinity is not installed: pip install -e .")

    def fill(self, client: Client, data: Path, rooms: int) -> Seed:
        started = time.time()
        lifetime = 0.0
        room_ids: list[str] = []
        seats: list[Seat] = []
        titles: dict[str, list[str]] = {}
        codes: dict[str, str] = {}
        for number in range(rooms):
            # a list of its own, or all rooms would share one deck, and its caches
            items = [{"title": f"Title {number}-{place:03d}"} for place in range(DECK)]
            sessions = [
                client.call("POST", "/api/auth/guest", {"name": f"Guest {number}-{place}"})
                for place in range(self.members)
            ]
            lifetime = float(sessions[0]["expiresIn"])
            tokens = [session["accessToken"] for session in sessions]
            room = client.call(
                "POST",
                "/api/rooms",
                {
                    "name": f"Room {number}",
                    "deck": {"source": "list", "items": items},
                    **self.room,
                },
                tokens[0],
            )
            for token in tokens[1:]:
                client.call("POST", "/api/rooms/join", {"code": room["code"]}, token)
            room_ids.append(room["id"])
            codes[room["id"]] = room["code"]
            titles[room["id"]] = self.deck(client, room["id"], tokens[0])
            seats += [
                Seat(room["id"], session["user"]["id"], session["accessToken"])
                for session in sessions
            ]
        return Seed(data, room_ids, seats, titles, codes, expires_at=started + lifetime)

    def deck(self, client: Client, room: str, token: str) -> list[str]:
        ids: list[str] = []
        cursor = ""
        while True:
            page = client.call("GET", f"/api/rooms/{room}/deck{cursor}", token=token)
            ids += [title["id"] for title in page["items"]]
            if not page["cursor"]:
                break
            cursor = f"?cursor={page['cursor']}"
        if len(set(ids)) != DECK:
            raise BenchError(f"a deck of {DECK} came back with {len(set(ids))} titles")
        return ids

    def vote(self, seat: Seat, title: str, choice: str) -> tuple[str, str]:
        body = {"titleId": title, "choice": choice}
        return f"/api/rooms/{seat.room}/votes", json.dumps(body, separators=(",", ":"))

    def stored_votes(self, data: Path) -> int:
        """Ballots hold one attribute `v:<userId>` per vote; this is all that knows the layout."""
        (votes,) = query(
            data / "trinity.sqlite",
            "SELECT count(*) FROM items, json_each(items.item) AS attribute"
            " WHERE items.sk LIKE 'BALLOT#%' AND attribute.key LIKE 'v:%'",
        )
        return votes


class BusyTrinity(Trinity):
    """The same while a queue is worked off without a pause; see `bench.busy`."""

    name = "trinity_busy"

    def command(self, data: Path, port: int) -> list[str]:
        return [str(BIN / "python"), "-m", "bench.busy"]
