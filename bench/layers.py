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
BATCH = 32  # assumed: half of the connections wait while the other half is being answered


def measure(target: Target, seeds: Seeds, work: Path, shuffle: random.Random) -> dict[str, Any]:
    whole = one_run(target, seeds, work, CONNECTIONS, SECONDS, shuffle)
    gateway = run_part(target, seeds, work, shuffle, "gateway")
    alone = run_part(target, seeds, work, shuffle, "function", "1")
    together = run_part(target, seeds, work, shuffle, "function", str(BATCH))
    http = run_http(target, seeds, work, shuffle)

    parts = [
        ("HTTP: uvicorn, httptools, an application that does nothing", http, "wrk, 64 conns"),
        ("gateway: route, token look-up, event", gateway["gateway_us"], "one thread"),
        ("function without store", together["function_us"], "one thread"),
        ("store", together["store_us"], f"one thread, {BATCH} votes a commit"),
        ("pumps: change feed to room events", together["pumps_us"], "after the votes"),
    ]
    total = whole["cpu_us_per_request"]
    rows = [{"layer": name, "cpu_us": round(us, 1), "how": how} for name, us, how in parts]
    rows.append(
        {
            "layer": "rest: hand-over, threads in each other's way",
            "cpu_us": round(total - sum(us for _, us, _ in parts), 1),
            "how": "difference",
        }
    )
    rows.append({"layer": "whole server", "cpu_us": total, "how": "wrk, 64 conns"})
    return {
        "votes": VOTES,
        "layers": rows,
        "batched": together,
        "one_by_one": alone,
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
        load, usage = wrk(server, plan, connections=CONNECTIONS, seconds=1)
        return 1e6 * usage.server_cpu_seconds / load.requests
