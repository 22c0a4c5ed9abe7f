"""Trinity's parts run alone, in a process of their own.

`python -m bench.inside PART PLAN OUT [ARGUMENT]`, started by bench/layers.py with the environment
that `trinity serve` would have. CPU times are of the whole process (`time.process_time`) for votes
of the plan, after a warm-up with others.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import cached_property
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


class Timed:
    """Adds up the CPU time that this thread spends in the methods of an object."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            before = time.thread_time()
            try:
                return method(*args, **kwargs)
            finally:
                spent = time.thread_time() - before
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

    class TimedServices(Services):
        @cached_property
        def table(self) -> Any:
            return Timed(super().table)

    services = TimedServices(from_environment(os.environ))
    use(services)
    router = Router(FUNCTIONS)
    events = Events(Authorizer(services.keys, services.settings.issuer))

    def make(scope: Any, body: bytes) -> Any:
        match: Any = router.find(scope["method"], scope["raw_path"].decode())
        event = events.make(scope, match, body)
        if event is None:
            raise RuntimeError("the token of the plan is not valid")
        return event

    return services, [make(*asked) for asked in scopes(plan, WARM_UP + VOTES)], make


def gateway(plan: Path) -> dict[str, Any]:
    """Routing, the token's look-up (verified before), and the event."""
    _, _, make = parts(plan)
    asked = list(scopes(plan, WARM_UP + VOTES))[WARM_UP:]
    return {"gateway_us": cpu_us(lambda: [make(*one) for one in asked], VOTES)}


def function(plan: Path, batch: int) -> dict[str, Any]:
    """The function on ready events, in batches that share a commit; within it, the store.

    Then the pumps, on the changes that those votes made.
    """
    services, events, _ = parts(plan)
    from trinity.embedded import server
    from trinity.embedded.pumps import StreamPump
    from trinity.handlers.votes.cast import handler as cast
    from trinity.openapi import load
    from trinity.topology import FUNCTIONS

    # the collector as the server sets it
    gc.freeze()
    gc.set_threshold(getattr(server, "_COLLECT_AFTER", gc.get_threshold()[0]))
    table = services.table
    in_calls = 0.0

    def vote(event: Any) -> None:
        nonlocal in_calls
        before = time.thread_time()
        answer = cast(event, None)
        in_calls += time.thread_time() - before
        if answer["statusCode"] != 200:
            raise RuntimeError(f"a vote answered {answer}")

    def vote_all(some: list[Any]) -> None:
        for first in range(0, len(some), batch):
            together = some[first : first + batch]
            services.store.write(lambda _, events=together: [vote(event) for event in events])
            services.log.flush()

    vote_all(events[:WARM_UP])
    table.reset()
    in_calls = 0.0
    started = time.perf_counter()
    total = cpu_us(lambda: vote_all(events[WARM_UP:]), VOTES)
    wall = time.perf_counter() - started
    in_table = 1e6 * sum(table.seconds.values()) / VOTES
    outside = total - 1e6 * in_calls / VOTES  # the commit, mostly
    result = {
        "total_us": total,
        "function_us": 1e6 * in_calls / VOTES - in_table,
        "store_us": in_table + outside,
        "store_us_by_call": {name: 1e6 * spent / VOTES for name, spent in table.seconds.items()}
        | {"commit": outside},
        "store_calls_per_vote": {name: calls / VOTES for name, calls in table.calls.items()},
        "votes_per_second": VOTES / wall,
    }

    store = services.store
    pumps = [
        StreamPump(store, function, stream, load(function), services.log)
        for function in FUNCTIONS
        for stream in function.streams
    ]
    # How far each has to come: to the last change that is its own, or its checkpoint stays behind.
    ends: dict[str, int] = {}
    for function in FUNCTIONS:
        for stream in function.streams:
            kinds = {"sort_keys": stream.sort_keys, "comings": stream.comings}
            seq = 0
            while some := store.changes_after(seq, 5000, **kinds):
                seq = some[-1].seq
            ends[f"{function.name}:{stream.name}"] = seq

    def catch_up() -> None:
        for pump in pumps:
            pump.start()
        deadline = time.monotonic() + 60
        while any(store.checkpoint(pump.name) < ends[pump.name] for pump in pumps):
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
        case _:
            result = function(plan, int(sys.argv[4]))
    out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
