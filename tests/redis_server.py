"""A real Redis for tests, as a process of its own, and what can happen to one."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis

START_SECONDS = 30


class RedisServer:
    """Keeps everything in memory, on a free port that stays the same."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is not installed: `make test` does it")
        self._program = program
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, socket_timeout=10)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, with nothing in it, and wait until it answers."""
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--port", str(self.port), *options],
                cwd=self._folder,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.ping()
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self._folder / "redis.log").read_text()
                    raise RuntimeError(f"Redis did not start:\n{said}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it; what was in it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it take requests and never answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def fill(self) -> None:
        """Let it have no room for anything more."""
        self.client.config_set("maxmemory", "1")

    def empty(self) -> None:
        """Let it have room again."""
        self.client.config_set("maxmemory", "0")

    def wipe(self) -> None:
        """Let it lose everything."""
        self.client.flushall()
