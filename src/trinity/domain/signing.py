"""When a signing key signs, and when the next one is made.

A key is shown to everybody before it signs: API Gateway keeps a key set for up to two hours, and a
token of a key that it has not seen would be refused all that time. Afterwards a key is still
accepted, until the next one is made: far longer than the tokens last that it has signed.
"""

from collections.abc import Sequence

from trinity.domain.ids import DAY, HOUR, Millis

SHOWN_FIRST_FOR = 6 * HOUR
RENEWED_AFTER = 30 * DAY


def signing(created: Sequence[Millis], now: Millis) -> int:
    """Return which key signs now: the newest of those that were shown long enough, else the first.

    Args:
        created: when each key was made, oldest first; at least one.
        now: the present time.
    """
    shown = [n for n, at in enumerate(created) if at + SHOWN_FIRST_FOR <= now]
    return shown[-1] if shown else 0


def due(newest: Millis, now: Millis) -> bool:
    """Tell whether it is time for the next key. Then only the newest one is still needed with it.

    Whoever asks twice is told no the second time, so keys may be made by a clock that strikes more
    than once.
    """
    return now - newest >= RENEWED_AFTER
