"""The threads that functions run on.

Most functions do nothing but read and write the table. They take turns on one thread, as many as
are waiting, and are answered together when what they wrote is durable: one commit for all, and
hardly any changes of thread, which would cost more than the functions themselves. Functions that
block for other reasons have threads of their own.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from trinity.common.telemetry import Log
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.ports import Unavailable

Function = Callable[[Any, Any], Any]
_Job = tuple[Function, Any, "asyncio.Future[Any]"]

_LARGEST_BATCH = 128


class Workers:
    """Calls functions for coroutines of one loop.

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
        self._quick: SimpleQueue[_Job | None] = SimpleQueue()
        self._blocking: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._wake_up_due = False
        self._running = 0
        self._threads: list[threading.Thread] = []
        self._batches = threading.Thread(target=self._run_batches, name="batches", daemon=True)
        self._batches.start()

    def call(self, function: Function, event: Any, *, blocking: bool) -> "asyncio.Future[Any]":
        """Return the future result of a function; to be called in the loop."""
        future = self._loop.create_future()
        if not blocking:
            self._quick.put((function, event, future))
            return future
        self._running += 1
        if self._running > len(self._threads) < self._most:
            name = f"blocking-{len(self._threads)}"
            thread = threading.Thread(target=self._run_blocking, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._blocking.put((function, event, future))
        return future

    def stop(self) -> None:
        """Let the threads end when all calls are done."""
        self._quick.put(None)
        for _ in self._threads:
            self._blocking.put(None)
        for thread in (self._batches, *self._threads):
            thread.join()

    def _run_batches(self) -> None:
        going_on = True
        while going_on:
            jobs = [self._quick.get()]
            try:
                while len(jobs) < _LARGEST_BATCH:
                    jobs.append(self._quick.get_nowait())
            except Empty:
                pass
            going_on = None not in jobs
            if real := [job for job in jobs if job is not None]:
                self._run_batch(real)

    def _run_batch(self, jobs: list[_Job]) -> None:
        calls = [partial(function, event, None) for function, event, _ in jobs]
        try:
            results = self._store.together(calls)
        except Unavailable as error:
            self._done.extend((future, None, error) for _, _, future in jobs)
        else:
            futures = [future for _, _, future in jobs]
            self._done.extend((f, result, None) for f, result in zip(futures, results, strict=True))
        self._wake_up()
        self._log.flush()

    def _run_blocking(self) -> None:
        while (job := self._blocking.get()) is not None:
            function, event, future = job
            try:
                self._done.append((future, function(event, None), None))
            except BaseException as error:  # noqa: BLE001  (it belongs to whoever awaits it)
                self._done.append((future, None, error))
            self._loop.call_soon_threadsafe(self._finished)
            self._wake_up()
            self._log.flush()

    def _finished(self) -> None:
        self._running -= 1

    def _wake_up(self) -> None:
        if not self._wake_up_due:
            self._wake_up_due = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Reset first: whatever is appended from here on either is seen below or wakes us again.
        self._wake_up_due = False
        while self._done:
            future, result, error = self._done.popleft()
            if future.cancelled():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
