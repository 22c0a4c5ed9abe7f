"""`Clock` of the machine."""

import time

from trinity.domain.ids import Millis


class SystemClock:
    """See `Clock`."""

    def now(self) -> Millis:
        """See `Clock.now`."""
        return Millis(time.time_ns() // 1_000_000)
