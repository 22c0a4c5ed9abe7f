"""Votes per second and their latency, Trinity beside PocketBase."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.load import as_row, wrk
from bench.machine import tree_rss_mib
from bench.server import BenchError, Client
from bench.targets import Seeds, Target

WARM_UP_SECONDS = 1
BUSY_PERCENT = 15.0
Say = Callable[[str], None]


def measure(
    targets: list[Target],
    seeds: Seeds,
    work: Path,
    *,
    connections: list[int],
    rounds: int,
    seconds: float,
    shuffle: random.Random,
    say: Say,
) -> list[dict[str, Any]]:
    """Every target once per round and number of connections, neighbours in time, in random order.

    Interleaving makes drift of the machine hit all targets alike; the ratio of one round compares
    runs that are seconds apart.
    """
    runs = []
    for number in range(1, rounds + 1):
        for width in shuffle.sample(connections, len(connections)):
            for target in shuffle.sample(targets, len(targets)):
                run: dict[str, Any] = {
                    "target": target.name,
                    "connections": width,
                    "round": number,
                    "error": None,
                }
                try:
                    run |= one_run(target, seeds, work, width, seconds, shuffle)
                except BenchError as error:
                    run["error"] = str(error)
                runs.append(run)
                say(told(run))
    return runs


def one_run(
    target: Target,
    seeds: Seeds,
    work: Path,
    connections: int,
    seconds: float,
    shuffle: random.Random,
) -> dict[str, Any]:
    """Fresh server, fresh data, a short warm-up, then the load; then count what is stored.

    Raises:
        BenchError: something was answered or stored that should not have been, or was not.
    """
    with (
        seeds.fresh(target, seconds + WARM_UP_SECONDS) as (seed, data),
        target.running(data) as server,
    ):
        client = Client(server.port)
        target.check(client, data)
        plan = target.vote_plan(seed, work / f"{target.name}.plan", shuffle)
        warm, _ = wrk(server, plan, connections=connections, seconds=WARM_UP_SECONDS)
        before = target.settled_votes(data)
        load, usage = wrk(
            server, plan, connections=connections, seconds=seconds, offset=warm.position
        )
        rss = tree_rss_mib(server.pid)
        stored = target.settled_votes(data) - before
        # Before anything else: what did the server say to the votes it refused?
        if load.bad_status or warm.bad_status:
            answer = plan.try_by_hand(Client(server.port), warm.position + load.position)
            raise BenchError(
                f"{load.bad_status + warm.bad_status} answers were no 2xx; the next vote: {answer}"
            )
    if load.socket_errors or warm.socket_errors:
        raise BenchError(f"{load.socket_errors + warm.socket_errors} socket errors or timeouts")
    surplus = stored - load.answered
    # wrk leaves with up to one request per connection unanswered, which may be stored or not
    if not 0 <= surplus <= connections:
        raise BenchError(f"{load.answered} votes were acknowledged and {stored} are stored")
    return {**as_row(load, usage), "stored_minus_answered": surplus, "rss_mib": rss}


def told(run: dict[str, Any]) -> str:
    """One line of progress."""
    head = f"round {run['round']}  c={run['connections']:<3} {run['target']:<16}"
    if run["error"]:
        return f"{head} FAILED: {run['error']}"
    noise = "  NOISY" if run["others_cpu_percent"] > BUSY_PERCENT else ""
    return (
        f"{head} {run['per_second']:>9,.0f}/s  p50 {run['p50_ms']:.2f}  p99 {run['p99_ms']:.1f} ms"
        f"  cpu {run['cpu_us_per_request']:.0f} us"
        f"  others {run['others_cpu_percent']:.0f} %{noise}"
    )


SUMMARISED = (
    "per_second",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "cpu_us_per_request",
    "rss_mib",
    "others_cpu_percent",
    "client_core_percent",
    "steal_percent",
)


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians per target and number of connections."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["connections"], run["target"]), []).append(run)
    rows = []
    for (connections, target), group in sorted(groups.items()):
        good = [run for run in group if not run["error"]]
        row: dict[str, Any] = {
            "connections": connections,
            "target": target,
            "runs": len(good),
            "failed": len(group) - len(good),
            "noisy": sum(run["others_cpu_percent"] > BUSY_PERCENT for run in good),
        }
        for name in SUMMARISED:
            values = [run[name] for run in good]
            row[name] = round(statistics.median(values), 3) if values else None
        if good:
            row["per_second_min"] = min(run["per_second"] for run in good)
            row["per_second_max"] = max(run["per_second"] for run in good)
        rows.append(row)
    return rows


def ratios(runs: list[dict[str, Any]], ours: str = "trinity") -> list[dict[str, Any]]:
    """Ours divided by each other's, within a round; the median over the rounds, and all of them."""
    good = {
        (run["connections"], run["round"], run["target"]): run for run in runs if not run["error"]
    }
    rows = []
    others = sorted({run["target"] for run in runs} - {ours})
    for connections in sorted({run["connections"] for run in runs}):
        for other in others:
            pairs = [
                (mine, good[width, number, other])
                for (width, number, target), mine in sorted(good.items())
                if target == ours and width == connections and (width, number, other) in good
            ]
            if not pairs:
                continue
            row: dict[str, Any] = {
                "connections": connections,
                "of": ours,
                "to": other,
                "rounds": len(pairs),
            }
            for name in ("per_second", "p50_ms", "p99_ms", "cpu_us_per_request"):
                values = [mine[name] / theirs[name] for mine, theirs in pairs if theirs[name]]
                row[name] = round(statistics.median(values), 3) if values else None
                row[f"{name}_rounds"] = [round(value, 3) for value in values]
            rows.append(row)
    return rows
