"""The threads that functions run on.

A function blocks while its write becomes durable, so there are many threads. Handing over must be
cheap: this costs a fraction of `loop.run_in_executor`, since finished calls of a moment share one
wake-up of the loop.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_Job = tuple[Callable[[Any, Any], Any], Any, Any, "asyncio.Future[Any]"]


class Workers:
    """Calls blocking functions for coroutines of one loop.

    Args:
        loop: where results are wanted.
        threads: how many calls may run at once; threads start when they are first needed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, threads: int = 64) -> None:
        self._loop = loop
        self._most = threads
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._wake_up_due = False
        self._running = 0
        self._threads: list[threading.Thread] = []

    def call(self, function: Callable[[Any, Any], Any], event: Any, context: Any) -> Any:
        """Return a future of `function(event, context)`; to be called in the loop."""
        future = self._loop.create_future()
        self._running += 1
        if self._running > len(self._threads) < self._most:
            name = f"worker-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._queue.put((function, event, context, future))
        return future

    def stop(self) -> None:
        """Let the threads end when all calls are done."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            function, event, context, future = job
            try:
                self._done.append((future, function(event, context), None))
            except BaseException as error:  # noqa: BLE001  (it belongs to whoever awaits it)
                self._done.append((future, None, error))
            if not self._wake_up_due:
                self._wake_up_due = True
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Reset first: whatever is appended from here on either is seen below or wakes us again.
        self._wake_up_due = False
        while self._done:
            future, result, error = self._done.popleft()
            self._running -= 1
            if future.cancelled():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
