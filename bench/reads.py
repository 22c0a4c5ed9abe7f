"""Joining a room and asking what to see next, Trinity alone."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import votes
from bench.load import Plan, Sender, as_row, wrk
from bench.machine import tree_rss_mib
from bench.server import BenchError, Client, Server
from bench.targets import Seed, Seeds, Target

WARM_UP_SECONDS = 1
READS_PER_SECOND_AT_MOST = 20_000
JOINS_PER_SECOND_AT_MOST = 6_000
JOINS_PER_ROOM = 19  # a room holds 20 unless it says otherwise, and its host is one of them
GROUPS_OF_GUESTS = 10


Planner = Callable[[Seed, Client, Path, float, random.Random], Plan]


def measure(
    target: Target,
    seeds: Seeds,
    work: Path,
    *,
    connections: list[int],
    rounds: int,
    seconds: float,
    shuffle: random.Random,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    operations: dict[str, Planner] = {"next": plan_next, "join": plan_join}
    runs = []
    for number in range(1, rounds + 1):
        for width in shuffle.sample(connections, len(connections)):
            for name in shuffle.sample(sorted(operations), len(operations)):
                run: dict[str, Any] = {
                    "target": name,
                    "connections": width,
                    "round": number,
                    "error": None,
                }
                try:
                    with (
                        seeds.fresh(target, seconds + 60) as (seed, data),
                        target.running(data) as server,
                    ):
                        client = Client(server.port)
                        plan = operations[name](
                            seed, client, work / f"{name}.plan", seconds, shuffle
                        )
                        run |= one_run(server, plan, width, seconds)
                except BenchError as error:
                    run["error"] = str(error)
                runs.append(run)
                say(votes.told(run))
    return runs


def one_run(server: Server, plan: Plan, connections: int, seconds: float) -> dict[str, Any]:
    warm, _ = wrk(server, plan, connections=connections, seconds=WARM_UP_SECONDS)
    load, usage = wrk(server, plan, connections=connections, seconds=seconds, offset=warm.position)
    if load.bad_status or load.socket_errors:
        answer = plan.try_by_hand(Client(server.port), warm.position + load.position)
        raise BenchError(
            f"{load.bad_status} answers were no 2xx, {load.socket_errors} socket errors; "
            f"the next request: {answer}"
        )
    return {**as_row(load, usage), "rss_mib": tree_rss_mib(server.pid)}


def plan_next(
    seed: Seed, client: Client, file: Path, seconds: float, shuffle: random.Random
) -> Plan:
    """Members who have voted on 20 titles each, so that there is an order to find, ask for ten."""
    seats = seed.seats[:100]
    for seat in seats:
        cast = [
            {"titleId": title, "choice": shuffle.choice(["yes", "no"])}
            for title in shuffle.sample(seed.titles[seat.room], 20)
        ]
        client.call("POST", f"/api/rooms/{seat.room}/votes", {"votes": cast}, seat.token)
    senders = [Sender("GET", f"/api/rooms/{seat.room}/next?count=10", seat.token) for seat in seats]
    count = round((seconds + WARM_UP_SECONDS) * READS_PER_SECOND_AT_MOST)
    return Plan(file, senders, ((number % len(senders), "") for number in range(count)))


def plan_join(
    seed: Seed, client: Client, file: Path, seconds: float, shuffle: random.Random
) -> Plan:
    """Each join seats somebody new; rooms fill up to their default capacity of 20."""
    count = (seconds + WARM_UP_SECONDS) * JOINS_PER_SECOND_AT_MOST
    host = seed.seats[0].token
    items = [{"title": f"Title {number}"} for number in range(10)]
    room = {"deck": {"source": "list", "items": items}, "stopAt": "never"}
    codes = [
        client.call("POST", "/api/rooms", room, host)["code"]
        for _ in range(math.ceil(count / JOINS_PER_ROOM))
    ]
    guests = [
        client.call("POST", "/api/auth/guest", {"name": f"Newcomer {number}"})["accessToken"]
        for number in range(GROUPS_OF_GUESTS * JOINS_PER_ROOM)
    ]
    joins = [
        (group * JOINS_PER_ROOM + place, json.dumps({"code": code}))
        for number, code in enumerate(codes)
        for group in [number % GROUPS_OF_GUESTS]
        for place in range(JOINS_PER_ROOM)
    ]
    shuffle.shuffle(joins)
    return Plan(file, [Sender("POST", "/api/rooms/join", token) for token in guests], joins)
