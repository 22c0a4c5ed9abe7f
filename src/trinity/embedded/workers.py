"""Where functions run.

Most functions do nothing but read and write the table. They take turns on the loop's own thread,
as many as are waiting, while nobody commits; then a thread makes what they wrote durable, and they
are answered together. Python runs on one thread at a time anyway: handing every request to another
one, and its answer back, would cost more than the functions themselves. Functions that block for
other reasons have threads of their own.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from trinity.common.telemetry import Log
from trinity.infrastructure.sqlite.store import SqliteStore

Function = Callable[[Any, Any], Any]
_Job = tuple[Function, Any, "asyncio.Future[Any]"]

_LARGEST_BATCH = 128
_LOOKS = 2  # rounds of the loop in which nobody comes


def _attempt(function: Function, event: Any) -> tuple[Any, Exception | None]:
    """Call a function; to AppSync it may answer with an exception, which is its own alone."""
    try:
        return function(event, None), None
    except Exception as error:  # noqa: BLE001  (it belongs to whoever awaits it)
        return None, error


class Workers:
    """Calls functions for coroutines of one loop. Its methods are to be called in the loop.

    Args:
        loop: where results are wanted.
        store: where the functions write.
        log: where they log.
        threads: how many blocking calls may run at once; threads start when they are needed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: SqliteStore,
        log: Log,
        *,
        threads: int = 32,
    ) -> None:
        self._loop = loop
        self._store = store
        self._log = log
        self._most = threads
        self._waiting: list[_Job] = []
        self._turn_due = False
        self._blocking: SimpleQueue[_Job | None] = SimpleQueue()
        self._running = 0
        self._threads: list[threading.Thread] = []

    def call(self, function: Function, event: Any, *, blocking: bool) -> "asyncio.Future[Any]":
        """Return the future result of a function."""
        future = self._loop.create_future()
        if blocking:
            self._call_on_a_thread((function, event, future))
        else:
            self._waiting.append((function, event, future))
            self._ask_for_turn()
        return future

    def stop(self) -> None:
        """Let the threads end when all calls are done."""
        for _ in self._threads:
            self._blocking.put(None)
        for thread in self._threads:
            thread.join()

    def _ask_for_turn(self) -> None:
        if self._waiting and not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._gather, 0, _LOOKS)

    def _gather(self, seen: int, looks: int) -> None:
        """Take turns when nobody came for some rounds of the loop.

        A commit costs about as much for many as for one, and those who were answered just now are
        likely to ask again: in one round they are answered, in the next they are read.
        """
        waiting = len(self._waiting)
        if waiting > seen:
            looks = _LOOKS
        if looks and waiting < _LARGEST_BATCH:
            self._loop.call_soon(self._gather, waiting, looks - 1)
        else:
            self._take_turns()

    def _take_turns(self) -> None:
        self._turn_due = False
        jobs = self._waiting[:_LARGEST_BATCH]
        calls = [partial(_attempt, function, event) for function, event, _ in jobs]
        settled = partial(self._settled, [future for _, _, future in jobs])
        if self._store.together(calls, settled, free=self._free):
            del self._waiting[: len(jobs)]
            self._log.flush()

    def _settled(
        self,
        futures: "list[asyncio.Future[Any]]",
        results: list[Any] | None,
        error: Exception | None,
    ) -> None:
        self._in_the_loop(self._deliver, futures, results, error)

    def _free(self) -> None:
        self._in_the_loop(self._ask_for_turn)

    def _in_the_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        # A loop that was closed while a commit was on its way has nobody left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _deliver(
        self,
        futures: "list[asyncio.Future[Any]]",
        results: list[Any] | None,
        error: Exception | None,
    ) -> None:
        for n, future in enumerate(futures):
            if future.cancelled():
                continue
            result, failed = (None, error) if results is None else results[n]
            if failed is not None:
                future.set_exception(failed)
            else:
                future.set_result(result)
        self._ask_for_turn()

    def _call_on_a_thread(self, job: _Job) -> None:
        self._running += 1
        if self._running > len(self._threads) < self._most:
            name = f"blocking-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._blocking.put(job)

    def _work(self) -> None:
        while (job := self._blocking.get()) is not None:
            function, event, future = job
            result: Any = None
            error: BaseException | None = None
            try:
                result = function(event, None)
            except BaseException as raised:  # noqa: BLE001  (it belongs to whoever awaits it)
                error = raised
            self._in_the_loop(self._finished, future, result, error)
            self._log.flush()

    def _finished(
        self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None
    ) -> None:
        self._running -= 1
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
