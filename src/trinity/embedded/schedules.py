"""Clocks that call functions, as EventBridge Scheduler does.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html
"""

import time
from collections.abc import Callable
from typing import Any

from trinity.common.resilience import chance, full_jitter
from trinity.common.telemetry import Log
from trinity.domain.errors import Conflict
from trinity.domain.ids import Millis
from trinity.embedded.background import Background
from trinity.ports import Clock, Table
from trinity.store import schedules
from trinity.topology import Schedule

_LOOK_UP_EVERY_S = 10.0  # clocks are set, and machines sleep
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 900.0

Handler = Callable[[Any, Any], Any]


def schedule_event(schedule: Schedule, slot_s: int) -> dict[str, Any]:
    """Return the event of one call, which is due at `slot_s`, in seconds since 1970.

    See `bootstrap.Scheduled`.
    """
    return {
        "schedule": schedule.name,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(slot_s)),
    }


class SchedulePump(Background):
    """Calls one function by one schedule, from a thread of its own.

    It calls for the newest time that was due, whether it was there at that time or not: of what was
    missed only the last call is made up for. A call that fails is made again until the next is due.

    Args:
        table: where it stands is remembered; a new schedule begins with the next time it is due.
        clock: what it goes by.
        schedule: when to call.
        handler: what to call.
        log: for what goes wrong.
    """

    def __init__(
        self,
        table: Table,
        clock: Clock,
        schedule: Schedule,
        handler: Handler,
        log: Log,
    ) -> None:
        super().__init__(schedule.name)
        self._table = table
        self._clock = clock
        self._schedule = schedule
        self._handler = handler
        self._log = log

    def _run(self) -> None:
        begun, called, failures = False, None, 0
        while not self._stopping.is_set():
            now_s = self._clock.now() / 1000
            slot_s = self._schedule.slot(int(now_s))
            if slot_s == called:
                next_s = slot_s + self._schedule.every_s - now_s
                self._stopping.wait(min(next_s, _LOOK_UP_EVERY_S))
                continue
            try:
                if not begun:
                    schedules.begin(self._table, self._schedule.name, Millis(slot_s * 1000))
                    begun = True
                self._handler(schedule_event(self._schedule, slot_s), None)
                called, failures = slot_s, 0
                self._log.flush()
            except Exception as error:  # noqa: BLE001  (a function may fail in any way)
                if not isinstance(error, Conflict):  # the function itself tells more
                    self._log(
                        "warning",
                        "a scheduled call failed, it is made again",
                        schedule=self._schedule.name,
                        exception_name=type(error).__name__,
                    )
                longest_s = min(_LONGEST_PAUSE_S, self._schedule.every_s)
                pause_s = full_jitter(failures, base=_FIRST_PAUSE_S, cap=longest_s, chance=chance)
                failures += 1
                self._stopping.wait(pause_s)
