"""Load by wrk: a plan of distinct requests in, rates and latencies out."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.machine import Snapshot, Usage
from bench.server import BenchError, Client, Server

SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Sender:
    """One user doing one thing: a request line and a token."""

    method: str
    path: str
    token: str


class Plan:
    """Requests to be sent once each, in order, kept in a file for wrk."""

    def __init__(
        self, path: Path, senders: list[Sender], requests: Iterable[tuple[int, str]]
    ) -> None:
        self.path = path
        self.senders = senders
        self.requests = list(requests)
        with path.open("w") as file:
            for sender in senders:
                file.write(f"H\t{sender.method}\t{sender.path}\t{sender.token}\n")
            for index, body in self.requests:
                file.write(f"R\t{index}\t{body}\n")

    def try_by_hand(self, client: Client, position: int) -> tuple[int, bytes]:
        """Send one request of the plan outside wrk, to see what the server says to it."""
        index, body = self.requests[position]
        sender = self.senders[index]
        return client.send(
            sender.method, sender.path, json.loads(body) if body else None, sender.token
        )

    def send_by_hand(self, client: Client, position: int) -> None:
        """Send one request of the plan outside wrk; it must succeed."""
        status, answer = self.try_by_hand(client, position)
        if not 200 <= status < 300:
            raise BenchError(f"request {position} of the plan answered {status}: {answer[:400]!r}")


@dataclass(frozen=True, slots=True)
class Load:
    """What one wrk run measured."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    bad_status: int
    connect_errors: int
    read_errors: int
    write_errors: int
    timeouts: int
    position: int
    exhausted: bool

    @property
    def answered(self) -> int:
        """2xx answers. wrk counts as bad from 400 on; a 3xx would be missing in the stored rows."""
        return self.requests - self.bad_status

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    @property
    def socket_errors(self) -> int:
        return self.connect_errors + self.read_errors + self.write_errors + self.timeouts


def wrk(
    server: Server, plan: Plan, *, connections: int, seconds: float, offset: int = 0
) -> tuple[Load, Usage]:
    """Run wrk on the rest of a plan, with one thread.

    `client_core_percent` says how far that thread is from being the bottleneck; a second one would
    take the server's core on a small machine.

    Raises:
        BenchError: the plan ran out, so that the run would have measured something else.
    """
    binary = shutil.which("wrk")
    if binary is None:
        raise BenchError("wrk is not installed (Debian: apt-get install wrk)")
    command = [
        binary,
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout=10s",
        f"--script={SCRIPT}",
        f"http://127.0.0.1:{server.port}",
        "--",
        str(plan.path),
        str(offset),
    ]
    before = Snapshot.take(server.pid)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    usage = before.until(Snapshot.take(server.pid))
    lines = done.stderr.strip().splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise BenchError(f"wrk failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    load = Load(**json.loads(lines[-1]))
    if load.exhausted:
        raise BenchError(
            f"the plan of {len(plan.requests)} requests ran out after {load.seconds:.1f} s: "
            "use --rooms to seed more"
        )
    return load, usage


def as_row(load: Load, usage: Usage) -> dict[str, Any]:
    """One flat JSON object of a run."""
    return {
        **asdict(load),
        **asdict(usage),
        "per_second": round(load.per_second, 1),
        "cpu_us_per_request": round(1e6 * usage.server_cpu_seconds / max(1, load.answered), 1),
    }
