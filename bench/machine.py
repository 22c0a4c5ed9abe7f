"""What the machine did meanwhile: CPU and memory of a process tree, and of everybody else."""

from __future__ import annotations

import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


def process_tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    tree = [pid]
    for parent in tree:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                tree += [int(child) for child in children.read_text().split()]
            except OSError:
                continue  # the thread ended between the listing and the read
    return tree


def tree_cpu_seconds(pid: int) -> float:
    """User and system time of all threads, of living children, and of children already reaped."""
    ticks = 0
    for member in process_tree(pid):
        try:
            # the command name may hold spaces and brackets: count fields after its closing bracket
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
    return ticks / TICK


def tree_rss_mib(pid: int) -> float:
    """Resident memory of the tree; pages that processes share are counted for each of them."""
    kib = 0
    for member in process_tree(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except OSError:
            continue
        kib += sum(
            int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")
        )
    return round(kib / 1024, 1)


@dataclass(frozen=True, slots=True)
class Usage:
    """Who used the CPU between two moments. Percentages are of the whole machine."""

    wall_seconds: float
    server_cpu_seconds: float
    client_cpu_seconds: float
    server_cpu_percent: float
    client_core_percent: float
    others_cpu_percent: float
    steal_percent: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters at one moment."""

    at: float
    server: float
    client: float
    own: float
    busy: float
    steal: float

    @classmethod
    def take(cls, server_pid: int) -> Snapshot:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = resource.getrusage(resource.RUSAGE_SELF)
        return cls(
            at=time.perf_counter(),
            server=tree_cpu_seconds(server_pid),
            # Only the load generator ends between two snapshots, so reaped children are it.
            client=children.ru_utime + children.ru_stime,
            own=own.ru_utime + own.ru_stime,
            busy=(user + nice + system + irq + softirq) / TICK,
            steal=steal / TICK,
        )

    def until(self, later: Snapshot) -> Usage:
        wall = later.at - self.at
        server, client = later.server - self.server, later.client - self.client
        others = (later.busy - self.busy) - server - client - (later.own - self.own)
        return Usage(
            wall_seconds=round(wall, 3),
            server_cpu_seconds=round(server, 3),
            client_cpu_seconds=round(client, 3),
            server_cpu_percent=round(100 * server / wall / CORES, 1),
            client_core_percent=round(100 * client / wall, 1),
            # /proc/stat is sampled at ticks and the rest is exact, so a small negative is noise
            others_cpu_percent=round(max(0.0, 100 * others / wall / CORES), 1),
            steal_percent=round(100 * (later.steal - self.steal) / wall / CORES, 1),
        )


def describe() -> dict[str, object]:
    """The machine, so that a figure is never read without it."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cores": CORES,
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
