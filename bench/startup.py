"""Time from starting the process to its first 200, and memory when nothing happens."""

from __future__ import annotations

import statistics
import time
from typing import Any

from bench.machine import tree_cpu_seconds, tree_rss_mib
from bench.targets import Seeds, Target

STARTS = 5
IDLE_SECONDS = 1.0


def measure(targets: list[Target], seeds: Seeds) -> list[dict[str, Any]]:
    """Targets alternate; each start is on a seeded database that no process has open."""
    walls: dict[str, list[float]] = {target.name: [] for target in targets}
    cpus: dict[str, list[float]] = {target.name: [] for target in targets}
    idle: dict[str, list[float]] = {target.name: [] for target in targets}
    for _ in range(STARTS):
        for target in targets:
            with seeds.fresh(target, 30) as (_, data), target.running(data) as server:
                walls[target.name].append(1000 * server.seconds_to_first_answer)
                cpus[target.name].append(1000 * tree_cpu_seconds(server.pid))
                time.sleep(IDLE_SECONDS)
                idle[target.name].append(tree_rss_mib(server.pid))
    return [
        {
            "target": name,
            "starts": STARTS,
            "first_200_ms": round(statistics.median(walls[name]), 1),
            "first_200_ms_all": [round(wall, 1) for wall in walls[name]],
            "cpu_ms": round(statistics.median(cpus[name]), 1),
            "idle_rss_mib": round(statistics.median(idle[name]), 1),
        }
        for name in walls
    ]
