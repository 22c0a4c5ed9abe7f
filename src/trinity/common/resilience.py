"""What every call to somebody else's service goes through: a time budget, retries, a breaker.

Nothing here reads a clock, sleeps or rolls dice but by what it was given, so that a test can own
all three.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Retryable(Exception):
    """An attempt failed in a way that another one may not.

    Attributes:
        after: seconds that the other side asked to be left alone, 0 if it did not say.
    """

    def __init__(self, message: str, *, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class OutOfTime(Exception):
    """The time for the whole operation is over before an attempt could be made."""


class CircuitOpen(Exception):
    """The other side has failed so often that it is not asked for a while."""


class Budget:
    """The time that an operation may take, whatever it consists of."""

    def __init__(self, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._end = now() + seconds

    def left(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self._end - self._now())


def chance() -> float:
    """Return a number from 0 up to, but not including, 1.

    From the operating system: importing `random` costs a cold start more than this module does.
    """
    return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)


def full_jitter(attempt: int, *, base: float, cap: float, chance: Callable[[], float]) -> float:
    """Return how many seconds to wait after the failure of an attempt, the first being 0.

    Evenly drawn from 0 to min(cap, base·2^attempt). Marc Brooker, "Exponential Backoff And Jitter"
    (AWS Architecture Blog, 2015): of the ways to spread clients it has them do the least work.
    """
    # An exponent of 60 exceeds every cap; far larger ones would exceed a float.
    return chance() * min(cap, base * 2.0 ** min(attempt, 60))


def retry(
    attempt: Callable[[], T],
    *,
    budget: Budget,
    attempts: int = 3,
    base: float = 0.1,
    cap: float = 2.0,
    chance: Callable[[], float] = chance,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what the first successful attempt returns.

    Between attempts it waits as long as the other side asked, and jitter on top, so that those who
    were sent away together do not come back together.

    Args:
        attempt: raises `Retryable` for another attempt; all other errors are final.
        budget: no attempt begins after its end, and no wait is begun that would last longer.
        attempts: at most so many, at least 1.
        base: seconds; see `full_jitter`.
        cap: seconds; see `full_jitter`.
        chance: numbers from 0 to 1.
        sleep: waits so many seconds.

    Raises:
        Retryable: the last attempt's, if there may not be another.
        OutOfTime: the budget was used up before the first attempt.
    """
    if budget.left() <= 0:
        raise OutOfTime("no time was left for an attempt")
    number = 0
    while True:
        try:
            return attempt()
        except Retryable as failure:
            wait = failure.after + full_jitter(number, base=base, cap=cap, chance=chance)
            number += 1
            if number >= attempts or wait >= budget.left():
                raise
        sleep(wait)


class CircuitBreaker:
    """Stops asking a service that does not answer, and tries again after a rest.

    After `failures` failures in a row it is open: calls fail at once. After `rest_s` seconds one
    call is let through; its success closes the breaker, its failure begins another rest. See
    Michael Nygard, "Release It!" (2007), chapter 5. It may be used from many threads.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        rest_s: float = 30.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        import threading

        self._failures = failures
        self._rest_s = rest_s
        self._now = now
        self._lock = threading.Lock()
        self._failed = 0
        self._open_until: float | None = None
        """When the rest ends; None while calls pass."""

    def call(self, operation: Callable[[], T], *, failure: tuple[type[Exception], ...]) -> T:
        """Do the operation, unless the breaker is open.

        Args:
            operation: what asks the service.
            failure: the errors that speak against the service. Any other result is an answer.

        Raises:
            CircuitOpen: the operation was not done.
        """
        self._admit()
        failed = False
        try:
            return operation()
        except failure:
            failed = True
            raise
        finally:
            self._record(failed=failed)

    def _admit(self) -> None:
        with self._lock:
            if self._open_until is None:
                return
            now = self._now()
            if now < self._open_until:
                raise CircuitOpen("the service failed too often and is left alone for a while")
            # This call is the probe. All others wait for another rest, or for its success.
            self._open_until = now + self._rest_s

    def _record(self, *, failed: bool) -> None:
        with self._lock:
            if not failed:
                self._failed = 0
                self._open_until = None
                return
            self._failed += 1
            if self._failed >= self._failures:
                self._open_until = self._now() + self._rest_s
