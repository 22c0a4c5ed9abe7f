"""A process that emits, and dies where it is told to: `python -m tests.faults.emitting`.

Arguments: the folder with the data, and what to do:

* `commit`: spend an evening, and die right after the last commit, before anything is emitted;
* `emit`: emit, and die before it is remembered that this was done;
* `finish`: emit until there is nothing left, and end.

What is put on the bus goes to the file `bus`, one event a line.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.fakes import EMITTED, World
from tests.faults.groups import Group
from trinity.common import streams
from trinity.common.telemetry import Log
from trinity.domain.domain_events import DomainEvent
from trinity.embedded.pumps import StreamPump
from trinity.handlers.streams.emit import emit
from trinity.topology import Function

FUNCTION = Function("emit", "streams.emit", streams=(EMITTED,))


class FileBus:
    """A bus whose events are in a file when `publish` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, events: Sequence[DomainEvent]) -> None:
        with self._path.open("ab") as file:
            file.write(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
            file.flush()
            os.fsync(file.fileno())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder, what = Path(sys.argv[1]), sys.argv[2]
    world = World(folder)
    if what == "commit":
        evening = Group(world, members=3, votes={0: {0: "yes", 1: "no"}, 1: {0: "yes"}})
        world.vote(evening.users[2], evening.room, 0)
        die()
    bus = FileBus(folder / "bus")

    def handler(event: dict[str, object], _: object) -> None:
        emit(streams.changes(event), bus=bus)
        if what == "emit":
            die()

    pump = StreamPump(world.store, FUNCTION, EMITTED, handler, Log("error"))
    pump.start()
    while world.store.checkpoint(pump.name) < world.store.last_seq:
        time.sleep(0.01)
    pump.stop()
    pump.join()
    world.store.close()


if __name__ == "__main__":
    main()
