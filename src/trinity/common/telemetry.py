"""Logs: one JSON line each, with the field names of Powertools for AWS Lambda; metrics in them.

Nothing that is logged may be a secret or tell who somebody is: users appear as a short hash.
"""

import functools
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
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


class Units(msgspec.Struct, frozen=True):
    """Capacity of the table that AWS charges for."""

    read: float = 0.0
    write: float = 0.0


class Reporter:
    """Writes the one line about each request, batch or message of a function.

    On Lambda the line tells more: what Powertools would, and, by the Embedded Metric Format, what
    CloudWatch makes into metrics with the operation as their one dimension. There every further
    line would cost more than the function itself.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

    Args:
        log: where the line goes; with it go the metrics.
        operation: what the function is called.
        namespace: of the metrics.
        units: what the table has charged for until now. One function at a time calls it on Lambda,
            so what is new since its last line belongs to this one.
    """

    def __init__(
        self, log: Log, operation: str, *, namespace: str, units: Callable[[], Units]
    ) -> None:
        self._log = log
        self._operation = operation
        self._namespace = namespace
        self._units = units
        self._told = units()

    def __call__(
        self,
        began: int,
        context: Any,
        outcome: str,
        failure: BaseException | None = None,
        level: Level = "info",
        /,
        **fields: Any,
    ) -> None:
        """Write the line.

        Args:
            began: when the work began, in nanoseconds of `time.perf_counter_ns`.
            context: of Lambda; None on other hosts.
            outcome: `ok`, or the code of a refusal.
            failure: what kept the function from an answer; it counts as an error.
            level: of a line without a failure.
            fields: what else is to be told.
        """
        fields["operation"] = self._operation
        fields["duration_ms"] = (time.perf_counter_ns() - began) / 1e6
        if context is not None:
            fields |= _invocation(context)
            fields |= self._metrics(failed=failure is not None, cold=fields["cold_start"])
        if failure is not None:
            self._log.exception("failed", failure, **fields)
        else:
            self._log(level, outcome, **fields)
        if context is not None:
            self._log.flush()

    def _metrics(self, *, failed: bool, cold: bool) -> dict[str, Any]:
        before, self._told = self._told, self._units()
        values: dict[str, float] = {"errors": int(failed)}
        if cold:
            values["cold_starts"] = 1
        if self._told != before:
            values["read_units"] = self._told.read - before.read
            values["write_units"] = self._told.write - before.write
        metrics = [{"Name": "duration_ms", "Unit": "Milliseconds"}]
        metrics += [{"Name": name, "Unit": "Count"} for name in values]
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [["operation"]],
            "Metrics": metrics,
        }
        aws = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
        return {**values, "_aws": aws}


_cold = True


def _invocation(context: Any) -> dict[str, Any]:
    """Return what a line tells about an invocation of a Lambda function."""
    global _cold
    fields = {
        "function_name": context.function_name,
        "function_version": context.function_version,
        "function_request_id": context.aws_request_id,
        "cold_start": _cold,
    }
    _cold = False
    # Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1, anew each time:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    for part in os.environ.get("_X_AMZN_TRACE_ID", "").split(";"):
        if part.startswith("Root="):
            fields["xray_trace_id"] = part.removeprefix("Root=")
    return fields


_TRACEPARENT = r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-"


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace that a request belongs to, None if its header names none.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = re.match(_TRACEPARENT, traceparent) if traceparent else None
    return found[1] if found else None


@functools.lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@functools.lru_cache(maxsize=4096)
def pseudonym(user: str) -> str:
    """Return what a user is called in logs: the same user has the same name, and no more."""
    import hashlib

    return hashlib.blake2s(user.encode(), digest_size=6).hexdigest()
