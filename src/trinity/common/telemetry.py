"""Logs: one JSON line each, with the field names of Powertools for AWS Lambda.

Nothing that is logged may be a secret or tell who somebody is: users appear as a short hash.
"""

import functools
import hashlib
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]
_RANK: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder().encode


class Log:
    """Writes the lines of one service to standard output.

    Args:
        level: lines below it are not written.
    """

    def __init__(self, level: Level = "info") -> None:
        self._from = _RANK[level]

    def __call__(self, level: Level, message: str, **fields: Any) -> None:
        """Write one line."""
        if _RANK[level] < self._from:
            return
        second, millis = divmod(time.time_ns() // 1_000_000, 1000)
        line = {
            "level": level.upper(),
            "message": message,
            "timestamp": f"{_second(second)}.{millis:03}Z",
            "service": "trinity",
            **fields,
        }
        # A log that nobody reads any more must not keep the service from its work.
        with suppress(OSError):
            sys.stdout.write(_encode(line).decode() + "\n")
        if level in ("warning", "error"):
            self.flush()

    def flush(self) -> None:
        """Hand on what was written: the embedded host does so once for many requests."""
        with suppress(OSError):
            sys.stdout.flush()

    def exception(self, message: str, error: BaseException, **fields: Any) -> None:
        """Write one line with the stack of an error."""
        self(
            "error",
            message,
            exception_name=type(error).__name__,
            stack_trace="".join(traceback.format_exception(error)),
            **fields,
        )


@functools.lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@functools.lru_cache(maxsize=4096)
def pseudonym(user: str) -> str:
    """Return what a user is called in logs: the same user has the same name, and no more."""
    return hashlib.blake2s(user.encode(), digest_size=6).hexdigest()
