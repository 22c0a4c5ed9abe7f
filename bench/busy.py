"""`trinity serve` with one function more, whose queue is never empty: `python -m bench.busy`.

The function does for each message what consumers do: it writes one item. Whoever fills the queue
puts in as much as was worked off, so that there is always something to do and never too much.
"""

from __future__ import annotations

import os
import sys
import threading
import types

from trinity import topology
from trinity.bootstrap import Services, worker
from trinity.common.settings import from_environment
from trinity.domain.domain_events import DomainEvent
from trinity.embedded import server
from trinity.ports import Key, Table, Update

QUEUE = topology.Queue("busy", events=("RoomClosed",))
FILLED_WITH = 1_000
LOOK_EVERY_SECONDS = 0.05


def busy(event: DomainEvent, table: Table) -> None:
    """Write an item."""
    table.update(Key("BUSY", event.id), Update(add={"times": 1}))


def fill(services: Services) -> None:
    """Keep the queue filled, for ever."""
    number = 0
    while True:
        missing = FILLED_WITH - services.queues.count(QUEUE.name)
        services.bus.publish(
            [
                DomainEvent(
                    id=str(number + n),
                    type="RoomClosed",
                    version=1,
                    occurred=0,
                    data={"roomId": "r"},
                )
                for n in range(missing)
            ]
        )
        number += max(0, missing)
        threading.Event().wait(LOOK_EVERY_SECONDS)


def main() -> int:
    """Serve."""
    module = types.ModuleType("trinity.handlers.queues.busy")
    module.busy, module.handler = busy, worker(busy)  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    function = topology.Function("busy", "queues.busy", queue=QUEUE)
    topology.QUEUES += (QUEUE,)
    server.FUNCTIONS += (function,)
    services = Services(from_environment(os.environ))

    def announce(host: str, port: int) -> None:
        threading.Thread(target=fill, args=(services,), daemon=True).start()

    server.serve(services, announce)
    return 0


if __name__ == "__main__":
    sys.exit(main())
