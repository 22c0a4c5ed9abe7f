"""Proof of the durability that each target claims: syncs per vote, counted by strace.

Votes are sent one after the other, so that group commit has nothing to group: a server that answers
only what is on the disk needs at least one fsync or fdatasync for each.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.server import BenchError, Client
from bench.targets import Seeds, Target

VOTES = 200
TRACED = "trace=fsync,fdatasync,sync_file_range,msync"
SYNC = re.compile(r"\b(?:fsync|fdatasync|sync_file_range|msync)\(")


def measure(target: Target, seeds: Seeds, work: Path, shuffle: random.Random) -> dict[str, Any]:
    strace = shutil.which("strace")
    if strace is None:
        raise BenchError("strace is not installed: syncs not counted")
    trace = work / f"{target.name}.strace"
    with seeds.fresh(target, 60) as (seed, data), target.running(data) as server:
        client = Client(server.port)
        target.check(client, data)
        plan = target.vote_plan(seed, work / f"{target.name}.plan", shuffle)
        plan.send_by_hand(client, 0)  # first-use work is not a vote's
        tracer = subprocess.Popen(
            [strace, "-f", "-qq", "-e", TRACED, "-o", str(trace), "-p", str(server.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            wait_until_traced(server.pid, tracer)
            for position in range(1, VOTES + 1):
                plan.send_by_hand(client, position)
        finally:
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
                tracer.wait(10)
    syncs = sum(1 for line in trace.read_text().splitlines() if SYNC.search(line))
    return {
        "target": target.name,
        "claims": target.durability,
        "serial_votes": VOTES,
        "syncs": syncs,
        "syncs_per_vote": round(syncs / VOTES, 2),
    }


def wait_until_traced(pid: int, tracer: subprocess.Popen[bytes]) -> None:
    """Wait until strace holds every thread of the server."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if tracer.poll() is not None:
            reason = tracer.stderr.read().decode().strip() if tracer.stderr else ""
            raise BenchError(f"strace cannot attach: {reason}")
        tracers = {
            line.split()[1]
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for line in (thread / "status").read_text().splitlines()
            if line.startswith("TracerPid:")
        }
        if tracers == {str(tracer.pid)}:
            return
        time.sleep(0.01)
    raise BenchError("strace did not attach in time")
