"""Trinity's parts run alone, in a process of their own.

`python -m bench.inside PART PLAN OUT [ARGUMENT]`, started by bench/layers.py with the environment
that `trinity serve` would have. CPU times are of the whole process (`time.process_time`) for votes
of the plan, after a warm-up with others.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WARM_UP = 300
VOTES = 6000


def scopes(plan: Path, count: int) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The ASGI scopes and bodies of the first requests of a plan, as uvicorn makes them."""
    senders: list[tuple[str, str, str]] = []
    with plan.open() as lines:
        for line in lines:
            mark, *fields = line.rstrip("\n").split("\t")
            if mark == "H":
                method, path, token = fields
                senders.append((method, path, token))
                continue
            if count == 0:
                return
            count -= 1
            method, path, token = senders[int(fields[0])]
            body = fields[1].encode()
            yield (
                {
                    "type": "http",
                    "http_version": "1.1",
                    "server": ("127.0.0.1", 8000),
                    "client": ("127.0.0.1", 50000),
                    "scheme": "http",
                    "method": method,
                    "path": path,
                    "raw_path": path.encode(),
                    "query_string": b"",
                    "headers": [
                        (b"host", b"127.0.0.1"),
                        (b"authorization", f"Bearer {token}".encode()),
                        (b"content-type", b"application/json"),
                        (b"content-length", str(len(body)).encode()),
                    ],
                },
                body,
            )


def cpu_us(work: Callable[[], object], count: int) -> float:
    """CPU time of the process per item, in microseconds."""
    before = time.process_time()
    work()
    return 1e6 * (time.process_time() - before) / count


class TimedTable:
    """A `Table` that adds up the CPU time its callers' threads spend in it.

    With group commit a thread may write for others; over all threads the sum is right.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._table, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            before = time.thread_time()
            try:
                return method(*args, **kwargs)
            finally:
                spent = time.thread_time() - before
                with self._lock:
                    self.seconds[name] = self.seconds.get(name, 0.0) + spent
                    self.calls[name] = self.calls.get(name, 0) + 1

        setattr(self, name, timed)
        return timed

    def reset(self) -> None:
        self.seconds.clear()
        self.calls.clear()


def parts(plan: Path) -> tuple[Any, list[Any], Callable[[Any, bytes], Any]]:
    """The services, the events of the plan's first votes, and what made them."""
    from trinity.bootstrap import Services, use
    from trinity.common.settings import from_environment
    from trinity.embedded.authorizer import Authorizer
    from trinity.embedded.gateway import Events, Router
    from trinity.topology import FUNCTIONS

    services = Services(from_environment(os.environ))
    use(services)
    router = Router(FUNCTIONS)
    events = Events(Authorizer(services.keys, services.settings.issuer))

    def make(scope: Any, body: bytes) -> Any:
        event = events.make(scope, router.find(scope["method"], scope["raw_path"].decode()), body)
        if event is None:
            raise RuntimeError("the token of the plan is not valid")
        return event

    return services, [make(*asked) for asked in scopes(plan, WARM_UP + VOTES)], make


def gateway(plan: Path) -> dict[str, Any]:
    """Routing, the token's look-up (verified before), and the event."""
    _, _, make = parts(plan)
    asked = list(scopes(plan, WARM_UP + VOTES))[WARM_UP:]
    return {"gateway_us": cpu_us(lambda: [make(*one) for one in asked], VOTES)}


def handler(plan: Path, threads: int) -> dict[str, Any]:
    """The function on ready events, and within it the store; then the pumps on what it wrote."""
    services, events, _ = parts(plan)
    from trinity.embedded.pumps import StreamPump
    from trinity.embedded.server import _SWITCH_INTERVAL_S
    from trinity.handlers.votes.cast import handler as cast
    from trinity.openapi import load
    from trinity.topology import FUNCTIONS

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    table = TimedTable(services.table)
    services._built["table"] = table
    # the port is looked up by its attribute, which is a property of the class
    type(services).table = property(lambda _: table)  # type: ignore[assignment,method-assign]

    def vote(event: Any) -> None:
        answer = cast(event, None)
        if answer["statusCode"] != 200:
            raise RuntimeError(f"a vote answered {answer}")

    def by(number: int) -> None:
        for event in events[WARM_UP + number :: threads]:
            vote(event)

    def all_votes() -> None:
        if threads == 1:
            by(0)
            return
        pool = [threading.Thread(target=by, args=(number,)) for number in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()

    for event in events[:WARM_UP]:
        vote(event)
    table.reset()
    commits, started = services.store.commits, time.perf_counter()
    total = cpu_us(all_votes, VOTES)
    wall = time.perf_counter() - started
    result = {
        "handler_us": total,
        "store_us": {name: 1e6 * spent / VOTES for name, spent in table.seconds.items()},
        "store_calls_per_vote": {name: calls / VOTES for name, calls in table.calls.items()},
        "votes_per_commit": VOTES / max(1, services.store.commits - commits),
        "votes_per_second": VOTES / wall,
    }

    store = services.store
    pumps = [
        StreamPump(store, function, stream, load(function), services.log)
        for function in FUNCTIONS
        for stream in function.streams
    ]
    newest = store.last_seq

    def catch_up() -> None:
        for pump in pumps:
            pump.start()
        deadline = time.monotonic() + 60
        while any(store.checkpoint(pump.name) < newest for pump in pumps):
            if time.monotonic() > deadline:
                raise RuntimeError("the pumps did not catch up")
            time.sleep(0.1)
        for pump in pumps:
            pump.stop()
        for pump in pumps:
            pump.join()

    # they start at the room's creation, so the warm-up votes and the joins are in it, too
    result["pumps_us"] = cpu_us(catch_up, VOTES + WARM_UP)
    return result


def workers() -> dict[str, Any]:
    """Handing a call from the loop to a thread and its result back, 64 at a time."""
    import uvloop

    from trinity.embedded.server import _SWITCH_INTERVAL_S
    from trinity.embedded.workers import Workers

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    calls = 20_000

    async def connection(pool: Any, count: int) -> None:
        for _ in range(count):
            await pool.call(lambda _event, _context: None, None, None)

    async def main() -> float:
        pool = Workers(asyncio.get_running_loop())
        await asyncio.gather(*(connection(pool, 10) for _ in range(64)))
        before = time.process_time()
        await asyncio.gather(*(connection(pool, calls // 64) for _ in range(64)))
        spent = time.process_time() - before
        pool.stop()
        return 1e6 * spent / (calls // 64 * 64)

    return {"workers_us": uvloop.run(main())}


def http(port: int) -> None:
    """uvicorn with an application that reads the body and answers, until it is terminated."""
    import uvicorn

    answer = b'{"accepted":1,"matches":[]}'
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
        (b"x-request-id", b"d9fe8ae95d640000004c45"),
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )


def main() -> None:
    part, plan, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    match part:
        case "http":
            http(int(sys.argv[4]))
            return
        case "gateway":
            result = gateway(plan)
        case "handler":
            result = handler(plan, int(sys.argv[4]))
        case _:
            result = workers()
    out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
