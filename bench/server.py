"""Start a server, wait for its first answer, and always end it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

START_DEADLINE_SECONDS = 30.0
STOP_DEADLINE_SECONDS = 10.0


class BenchError(Exception):
    """A run that must not be taken for a measurement."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Client:
    """JSON over one kept-alive connection: for setting up and checking, not for load."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def send(
        self, method: str, path: str, body: object = None, token: str = ""
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def call(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """The decoded answer of a request that must succeed."""
        status, answer = self.send(method, path, body, token)
        if not 200 <= status < 300:
            raise BenchError(f"{method} {path} answered {status}: {answer[:400].decode()}")
        return json.loads(answer) if answer else None


class Server:
    """A server process for the length of a `with` block."""

    def __init__(self, command: list[str], env: dict[str, str], port: int, log: Path) -> None:
        self.command = command
        self.env = self.environment(env)
        self.port = port
        self.log = log
        self.seconds_to_first_answer = 0.0

    @staticmethod
    def environment(env: dict[str, str]) -> dict[str, str]:
        """What a server sees: two runs must not differ by the shell they were started from."""
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("TRINITY_")}
        return {**inherited, **env}

    def __enter__(self) -> Server:
        with self.log.open("ab") as log:
            started = time.perf_counter()
            self.process = subprocess.Popen(
                self.command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            self._wait_until_healthy(started)
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_until_healthy(self, started: float) -> None:
        while True:
            if self.process.poll() is not None:
                raise BenchError(f"the server ended at once: {self._log_tail()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, _ = Client(self.port).send("GET", "/api/health")
                if status == 200:
                    self.seconds_to_first_answer = time.perf_counter() - started
                    return
            if time.perf_counter() - started > START_DEADLINE_SECONDS:
                raise BenchError(f"no 200 from /api/health in time: {self._log_tail()}")
            time.sleep(0.002)

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
