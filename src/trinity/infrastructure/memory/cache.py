"""`Cache` in the process."""

import threading
import time
from collections.abc import Callable

from trinity.ports import Value


class MemoryCache:
    """See `Cache`.

    Args:
        most: entries kept at the most; when there are more, expired ones go, then the oldest.
        monotonic: seconds that never go back.
    """

    def __init__(
        self, *, most: int = 100_000, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries: dict[str, tuple[float, Value]] = {}
        self._most = most
        self._now = monotonic
        self._lock = threading.Lock()

    def get(self, key: str) -> Value:
        """See `Cache.get`."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and self._now() < entry[0] else None

    def set(self, key: str, value: Value, *, ttl: float) -> None:
        """See `Cache.set`."""
        with self._lock:
            self._put(key, self._now() + ttl, value)

    def delete(self, key: str) -> None:
        """See `Cache.delete`."""
        with self._lock:
            self._entries.pop(key, None)

    def increment(self, key: str, *, ttl: float) -> tuple[int, float]:
        """See `Cache.increment`."""
        with self._lock:
            now = self._now()
            until, count = self._entries.get(key, (0.0, 0))
            if now >= until:
                until, count = now + ttl, 0
            self._put(key, until, count + 1)
            return count + 1, until - now

    def working(self) -> bool:
        """See `Cache.working`."""
        return True

    def _put(self, key: str, until: float, value: Value) -> None:
        self._entries[key] = (until, value)
        if len(self._entries) > self._most:
            now = self._now()
            for old in [k for k, (end, _) in self._entries.items() if end <= now]:
                del self._entries[old]
            if len(self._entries) > self._most:
                for old in list(self._entries)[: len(self._entries) - self._most * 9 // 10]:
                    del self._entries[old]
