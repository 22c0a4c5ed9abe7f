"""A Trinity with one function more: it works off a queue, and it dies where a test says.

    python -m tests.faults.queue_host FOLDER EVENTS STEP NTH

Publishes so many events, each named on standard error once it is published, and works them off:
each event is an item of the table. With a STEP it kills itself when it gets there for the NTH time.
"""

import os
import signal
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trinity import topology
from trinity.bootstrap import Services, worker
from trinity.common.settings import Settings
from trinity.domain.domain_events import DomainEvent
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.ports import Key, Table, Update
from trinity.topology import Function, Queue

STEPS = ("sent", "taken", "begun", "worked", "answered", "put off", "done", "released")
QUEUE = Queue("note", events=("RoomClosed",), batch=3, visibility_s=60, receives=5)
FUNCTION = Function("note", "queues.note", grants=(("table", "write"),), queue=QUEUE, timeout_s=10)


def note(event: DomainEvent, table: Table) -> None:
    """Count how often each event was worked on; every seventh fails at first, the 13th always."""
    step("begun")
    number = int(event.id)
    item = table.update(Key("NOTE", event.id), Update(add={"times": 1}))
    step("worked")
    if number == 13 or (number % 7 == 0 and item["times"] == 1):
        raise RuntimeError(f"event {number} is not to be worked on now")


def event(number: int) -> DomainEvent:
    return DomainEvent(
        id=str(number), type="RoomClosed", version=1, occurred=0, data={"roomId": f"r{number}"}
    )


_die_at, _nth = "", 0
_lock = threading.Lock()


def step(name: str) -> None:
    """Die if it is time to."""
    global _nth
    with _lock:
        if name == _die_at:
            _nth -= 1
            if _nth == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def then(name: str, function: Callable[..., Any], *, before: bool = False) -> Callable[..., Any]:
    def wrapped(*words: Any, **more: Any) -> Any:
        if before:
            step(name)
        result = function(*words, **more)
        if not before and result != ([], []):
            step(name)
        return result

    return wrapped


def say(line: str) -> None:
    """Write a line in one piece, away from the log."""
    os.write(2, f"{line}\n".encode())


def main(folder: str, events: str, die_at: str, nth: str) -> None:
    global _die_at, _nth
    from trinity.common import resilience

    _die_at, _nth = die_at, int(nth)
    resilience.chance = lambda: 0.0  # what failed comes again at once
    SqliteQueues.send_all = then("sent", SqliteQueues.send_all)
    SqliteQueues.take = then("taken", SqliteQueues.take)
    SqliteQueues.retry_later = then("put off", SqliteQueues.retry_later)
    SqliteQueues.delete = then("answered", then("done", SqliteQueues.delete), before=True)
    SqliteQueues.release = then("released", SqliteQueues.release, before=True)
    module = types.ModuleType("trinity.handlers.queues.note")
    module.note, module.handler = note, worker(note)
    sys.modules[module.__name__] = module
    topology.FUNCTIONS += (FUNCTION,)
    topology.QUEUES += (QUEUE,)
    from trinity.embedded import server

    services = Services(Settings(data=Path(folder), port=0, log_level="error"))
    stopping = threading.Event()

    def publish() -> None:
        for number in range(int(events)):
            if stopping.is_set():
                return
            services.bus.publish([event(number)])
            say(f"published {number}")

    publisher = threading.Thread(target=publish)
    close = SqliteStore.close

    def close_when_nobody_writes(store: SqliteStore) -> None:
        stopping.set()
        publisher.join()
        close(store)

    def announce(host: str, port: int) -> None:
        say(f"serving {port}")
        publisher.start()

    SqliteStore.close = close_when_nobody_writes
    server.serve(services, announce)


if __name__ == "__main__":
    main(*sys.argv[1:])
