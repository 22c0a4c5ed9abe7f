"""Programs that run beside a test and tell line by line what happens to them."""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.server import eventually

T = TypeVar("T")


class Program:
    """A program that is running.

    Attributes:
        lines: what it has printed so far.
    """

    def __init__(
        self, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.lines: list[str] = []
        self._complaints: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=reading, daemon=True)
            for reading in (
                (self._process.stdout, self.lines),
                (self._process.stderr, self._complaints),
            )
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))

    def __str__(self) -> str:
        return "\n".join([*self.lines, *self._complaints])

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def events(self) -> list[Any]:
        """Its lines, if they are JSON."""
        return [json.loads(line) for line in list(self.lines)]

    def until(self, look: Callable[[], T | None], what: str, *, within_s: float = 15.0) -> T:
        """Look at what it has printed until there is something to see."""

        def seen() -> T | None:
            ended = not self.is_running
            if ended:
                self._read_all()
            found = look()
            assert found or not ended, f"it ended, and not because {what}:\n{self}"
            return found

        try:
            return eventually(seen, what, within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self}") from None

    def event(self, name: str) -> Any:
        """Wait for the first event of a name."""

        def seen() -> Any:
            return next((event for event in self.events if event["event"] == name), None)

        return self.until(seen, f"the program tells of {name}")

    def _read_all(self) -> None:
        for reader in self._readers:
            reader.join(5)

    def ends(self, *, within_s: float = 15.0) -> None:
        """Wait for its good end."""
        try:
            status = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within_s:g} s:\n{self}") from None
        self._read_all()
        assert status == 0, f"it ended with {status}:\n{self}"

    def close(self) -> None:
        if self.is_running:
            self._process.kill()
            self._process.wait()
        self._read_all()


@contextlib.contextmanager
def program(
    *command: str | Path, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run a program while the block is at work."""
    started = Program(command, folder, environment or {})
    try:
        yield started
    finally:
        started.close()
