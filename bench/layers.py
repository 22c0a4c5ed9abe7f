"""Where the CPU of a vote goes in Trinity: each part alone, and what is left over.

Parts are measured by themselves and not by subtracting one noisy total from another; only the last
line is a difference. See bench/inside.py for what exactly runs.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.inside import VOTES, WARM_UP
from bench.load import wrk
from bench.server import BenchError, Server, free_port
from bench.targets import Seeds, Target
from bench.votes import one_run

CONNECTIONS = 64
SECONDS = 3


def measure(target: Target, seeds: Seeds, work: Path, shuffle: random.Random) -> dict[str, Any]:
    whole = one_run(target, seeds, work, CONNECTIONS, SECONDS, shuffle)
    gateway = run_part(target, seeds, work, shuffle, "gateway")
    alone = run_part(target, seeds, work, shuffle, "handler", "1")
    together = run_part(target, seeds, work, shuffle, "handler", str(CONNECTIONS))
    workers = run_part(target, seeds, work, shuffle, "workers")
    http = run_http(target, seeds, work, shuffle)

    store_alone = sum(alone["store_us"].values())
    store_together = sum(together["store_us"].values())
    parts = [
        ("HTTP: uvicorn, httptools, an application that does nothing", http, "wrk, 64 conns"),
        ("gateway: route, token look-up, event", gateway["gateway_us"], "one thread"),
        ("hand-over to a thread and back", workers["workers_us"], "64 at once"),
        ("function without store", alone["handler_us"] - store_alone, "one thread"),
        ("store: write with group commit, reads", store_together, "64 threads"),
        ("pumps: change feed to room events", together["pumps_us"], "after the votes"),
    ]
    total = whole["cpu_us_per_request"]
    rows = [{"layer": name, "cpu_us": round(us, 1), "how": how} for name, us, how in parts]
    rows.append(
        {
            "layer": "rest: threads in each other's way",
            "cpu_us": round(total - sum(us for _, us, _ in parts), 1),
            "how": "difference",
        }
    )
    rows.append({"layer": "whole server", "cpu_us": total, "how": "wrk, 64 conns"})
    return {
        "votes": VOTES,
        "layers": rows,
        "extra": {
            "function_and_store_one_thread_us": round(alone["handler_us"], 1),
            "function_and_store_64_threads_us": round(together["handler_us"], 1),
            "store_one_thread_us": round(store_alone, 1),
            "store_us_by_call": alone["store_us"],
            "store_calls_per_vote": alone["store_calls_per_vote"],
            "votes_per_commit_64_threads": round(together["votes_per_commit"], 1),
            "votes_per_second_64_threads": round(together["votes_per_second"], 1),
        },
        "whole": whole,
    }


def run_part(
    target: Target, seeds: Seeds, work: Path, shuffle: random.Random, *part: str
) -> dict[str, Any]:
    """One part in a fresh process on fresh data."""
    with seeds.fresh(target, 120) as (seed, data):
        plan, out = work / "layers.plan", work / "layers.json"
        if len(target.vote_plan(seed, plan, shuffle).requests) < WARM_UP + VOTES:
            raise BenchError("too few votes: use --rooms to seed more")
        name, *rest = part
        done = subprocess.run(
            [sys.executable, "-m", "bench.inside", name, str(plan), str(out), *rest],
            env=Server.environment(target.env(data, free_port())),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{' '.join(part)}: {done.stderr[-600:]}")
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def run_http(target: Target, seeds: Seeds, work: Path, shuffle: random.Random) -> float:
    """CPU per request of the HTTP server alone, for the very requests of the votes."""
    plan = target.vote_plan(seeds.get(target, 60), work / "layers.plan", shuffle)
    port = free_port()
    command = [sys.executable, "-m", "bench.inside", "http", str(plan.path), "-", str(port)]
    with Server(command, {}, port, work / "http.log") as server:
        wrk(server, plan, connections=CONNECTIONS, seconds=1)
        load, usage = wrk(server, plan, connections=CONNECTIONS, seconds=2)
        return 1e6 * usage.server_cpu_seconds / load.requests
