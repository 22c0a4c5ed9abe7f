"""Who runs when, and what shares a commit, where functions run on the loop's own thread."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
import pytest_socket

from trinity.common.telemetry import Log
from trinity.embedded.workers import Workers


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """As everywhere, but for the pair of sockets that a loop wakes itself up with."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


class Store:
    """Makes calls at once, and commits when it is told to."""

    def __init__(self) -> None:
        self.lots: list[int] = []
        self.unsettled: Callable[[Exception | None], None] | None = None
        self._free: Callable[[], None] | None = None

    def together(
        self,
        calls: Sequence[Callable[[], Any]],
        settled: Callable[[Any, Exception | None], None],
        free: Callable[[], None],
    ) -> bool:
        if self.unsettled is not None:
            self._free = free
            return False
        self.lots.append(len(calls))
        results = [call() for call in calls]
        self.unsettled = lambda error: settled(None if error else results, error)
        return True

    def commit(self, error: Exception | None = None) -> None:
        assert self.unsettled is not None
        settle, self.unsettled = self.unsettled, None
        free, self._free = self._free, None
        settle(error)
        if free is not None:
            free()


def run(test: Callable[[Workers, Store], Awaitable[None]]) -> None:
    async def main() -> None:
        store = Store()
        workers = Workers(asyncio.get_running_loop(), store, Log("error"))  # type: ignore[arg-type]
        await test(workers, store)
        workers.stop()

    asyncio.run(main())


def double(event: Any, _context: object) -> Any:
    return 2 * event


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_calls_that_come_one_after_the_other_share_a_commit_and_answers_wait_for_it() -> None:
    async def test(workers: Workers, store: Store) -> None:
        futures = []
        for number in range(5):
            futures.append(workers.call(double, number, blocking=False))
            await asyncio.sleep(0)
        await settle()
        assert store.lots == [5]
        assert not any(future.done() for future in futures)
        store.commit()
        assert await asyncio.gather(*futures) == [0, 2, 4, 6, 8]

    run(test)


def test_who_comes_during_a_commit_has_his_turn_after_it_and_too_many_have_several() -> None:
    async def test(workers: Workers, store: Store) -> None:
        first = workers.call(double, 1, blocking=False)
        await settle()
        others = [workers.call(double, number, blocking=False) for number in range(130)]
        await settle()
        assert store.lots == [1]
        for _ in range(3):
            store.commit()
            await settle()
        assert store.lots == [1, 128, 2]
        assert await first == 2
        assert [await other for other in others] == [2 * number for number in range(130)]

    run(test)


def test_who_comes_while_somebody_else_commits_has_his_turn_when_that_is_done() -> None:
    async def test(workers: Workers, store: Store) -> None:
        store.unsettled = lambda _error: None  # a thread that writes
        waiting = workers.call(double, 1, blocking=False)
        await settle()
        assert store.lots == []
        store.commit()
        await settle()
        assert store.lots == [1]
        store.commit()
        assert await waiting == 2

    run(test)


def test_an_error_is_for_who_called_and_a_commit_that_fails_for_all() -> None:
    async def test(workers: Workers, store: Store) -> None:
        good = workers.call(double, 1, blocking=False)
        bad = workers.call(double, None, blocking=False)
        await settle()
        store.commit()
        assert await good == 2
        with pytest.raises(TypeError):
            await bad
        lost = [workers.call(double, number, blocking=False) for number in range(2)]
        await settle()
        store.commit(OSError("full"))
        for one in lost:
            with pytest.raises(OSError, match="full"):
                await one

    run(test)


def test_what_blocks_has_a_thread_of_its_own_and_keeps_nobody_waiting() -> None:
    async def test(workers: Workers, store: Store) -> None:
        may_go_on = threading.Event()

        def block(event: Any, _context: object) -> Any:
            assert may_go_on.wait(10)
            return event, threading.current_thread() is threading.main_thread()

        slow = workers.call(block, "slow", blocking=True)
        quick = workers.call(double, 1, blocking=False)
        await settle()
        store.commit()
        assert await quick == 2
        assert not slow.done()
        may_go_on.set()
        assert await slow == ("slow", False)

    run(test)
