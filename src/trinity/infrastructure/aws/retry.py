"""How much one call may spend.

The wait between attempts is exponential backoff with full jitter: uniformly random between nothing
and a bound that doubles, which spreads a crowd of clients best ("Exponential Backoff And Jitter",
AWS Architecture Blog, 2015).
"""

import os
import time
from collections.abc import Callable

import msgspec

from trinity.ports import Unavailable


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one call; durations in seconds.

    The defaults let a call ride out a lost packet or a short throttle, and fail while whoever
    waits for the function, 30 seconds at most behind API Gateway, still does.

    Attributes:
        attempts: requests sent, the first included.
        connect: for the TCP connection and the TLS handshake.
        exchange: for sending one request and reading the whole response.
        total: for the call with all its attempts and waits.
        first_wait: bound of the wait before the second attempt.
        longest_wait: bound that the doubling stops at.
    """

    attempts: int = 4
    connect: float = 1.0
    exchange: float = 2.0
    total: float = 6.0
    first_wait: float = 0.05
    longest_wait: float = 1.0


class Budget:
    """What is left of the limits of one call. For one thread."""

    __slots__ = ("_clock", "_deadline", "_failed", "_limits", "_sleep")

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._failed = 0
        self._deadline = clock() + limits.total

    def remaining(self) -> float:
        """Return the seconds left.

        Raises:
            Unavailable: none are.
        """
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise Unavailable("no time is left for an attempt")
        return remaining

    def pause(self, cause: Exception) -> None:
        """Count a failed attempt, and wait until it is time for the next.

        Raises:
            Unavailable: there will be no next one, for want of attempts or of time.
        """
        self._failed += 1
        if self._failed >= self._limits.attempts:
            raise Unavailable(f"gave up after {self._failed} attempts: {cause}") from cause
        bound = min(self._limits.longest_wait, self._limits.first_wait * 2 ** (self._failed - 1))
        wait = bound * int.from_bytes(os.urandom(4), "big") / 2**32
        if wait >= self._deadline - self._clock():
            raise Unavailable(f"no time is left for another attempt: {cause}") from cause
        self._sleep(wait)
