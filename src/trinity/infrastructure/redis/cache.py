"""`Cache` in Redis."""

import threading
import time
from collections.abc import Callable

import msgspec

from trinity.common.resilience import CircuitBreaker, CircuitOpen
from trinity.common.telemetry import Log
from trinity.infrastructure.memory.cache import MemoryCache
from trinity.infrastructure.redis.client import RedisClient, Refusal, Reply, Word
from trinity.infrastructure.system.stream import TransportError
from trinity.ports import Value

_CONNECT_S = 0.5
_ANSWER_S = 0.25
_FAILURES = 3
_REST_S = 5.0
"""After so many failures in a row Redis is left alone for so long: what it saves is less than what
waiting for it costs."""
_SAID_AGAIN_AFTER_S = 60.0
_TROUBLE = (Refusal, TransportError)

# Redis runs a script as one command: nobody sees a count without its end, and nobody makes one. A
# count that has no end, whoever left it behind, gets one. https://redis.io/docs/latest/commands/eval/
_COUNT = """
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
"""


class _Away(Exception):
    """Redis did not do what it was asked."""


class RedisCache:
    """See `Cache`. Threads may share it.

    While Redis is down, slow or full this answers like an empty cache, and counts in the memory of
    this process: a limit then holds for each process by itself, rather than for nobody. A Redis
    that lost everything begins to count anew, so that nobody gets more than one window too many.

    Args:
        url: `redis://host:6379/0`, or `rediss://` for TLS. Nothing is connected before it is used.
        namespace: what its keys begin with; others may use the same Redis.
        log: is told once when Redis goes away, and once when it is back.
        now: seconds that never go back.
    """

    def __init__(
        self, url: str, *, namespace: str, log: Log, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = RedisClient(url, connect_s=_CONNECT_S, answer_s=_ANSWER_S)
        self._prefix = f"{namespace}:"
        self._log = log
        self._now = now
        self._local = MemoryCache(monotonic=now)
        self._breaker = CircuitBreaker(failures=_FAILURES, rest_s=_REST_S, now=now)
        self._lock = threading.Lock()
        self._away = False
        self._told = False
        self._told_at = now() - _SAID_AGAIN_AFTER_S

    def get(self, key: str) -> Value:
        """See `Cache.get`."""
        try:
            raw = self._ask("GET", self._prefix + key)
            return msgspec.json.decode(raw) if isinstance(raw, bytes) else None
        except (_Away, msgspec.DecodeError):
            return None

    def set(self, key: str, value: Value, *, ttl: float) -> None:
        """See `Cache.set`."""
        raw = msgspec.json.encode(value)
        try:
            self._write("SET", self._prefix + key, raw, "PX", _millis(ttl))
        except _Away:
            return

    def delete(self, key: str) -> None:
        """See `Cache.delete`. What could not be deleted lasts until its time is over."""
        self._local.delete(key)
        try:
            self._ask("DEL", self._prefix + key)
        except _Away:
            return

    def increment(self, key: str, *, ttl: float) -> tuple[int, float]:
        """See `Cache.increment`."""
        try:
            reply = self._write("EVAL", _COUNT, 1, self._prefix + key, _millis(ttl))
        except _Away:
            return self._local.increment(key, ttl=ttl)
        count, left = msgspec.convert(reply, tuple[int, int])
        return count, left / 1000

    def working(self) -> bool:
        """See `Cache.working`."""
        try:
            self._write("SET", f"{self._prefix}working", "1", "PX", 1000)
        except _Away:
            return False
        return True

    def _write(self, *command: Word) -> Reply:
        """Do what only a Redis with room can do: if it does, all is well."""
        reply = self._ask(*command)
        if self._away:
            self._note_success()
        return reply

    def _ask(self, *command: Word) -> Reply:
        try:
            return self._breaker.call(lambda: self._redis.call(*command), failure=_TROUBLE)
        except CircuitOpen:
            raise _Away from None
        except _TROUBLE as error:
            self._note_failure(error)
            raise _Away from error

    def _note_failure(self, error: Exception) -> None:
        with self._lock:
            first, self._away = not self._away, True
            if not first or self._now() - self._told_at < _SAID_AGAIN_AFTER_S:
                return
            self._told, self._told_at = True, self._now()
        message = "the shared cache is away: each process counts for itself"
        self._log("warning", message, cause=str(error))

    def _note_success(self) -> None:
        with self._lock:
            self._away = False
            told, self._told = self._told, False
        if told:
            self._log("info", "the shared cache is back")


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))
