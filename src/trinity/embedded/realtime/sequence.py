"""The order of a room's events, which come from threads that overtake each other."""

from typing import Any

Event = dict[str, Any]


class Sequence:
    """Holds an event back until the one before it has come.

    Numbers of a log have no gaps, but two feeds add to it: what one has appended may come here
    after what the other appended next. Somebody has to ask for `rest` after a while, since an
    event may never come: where telling it failed, for one.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._early: dict[int, Event] = {}

    def take(self, event: Event) -> list[Event]:
        """Return what is to be told now that an event has come, in order."""
        number = int(event["cursor"])
        if self._last is not None and number > self._last + 1:
            self._early[number] = event
            return []
        told = [event]
        # One that comes after all, when nobody waits for it any more, is told late.
        self._last = max(number, self._last or 0)
        while (following := self._early.pop(self._last + 1, None)) is not None:
            told.append(following)
            self._last += 1
        return told

    @property
    def waits(self) -> bool:
        """Whether an event is held back."""
        return bool(self._early)

    def rest(self) -> list[Event]:
        """Return what is held back, in order, and wait no longer for what is missing."""
        numbers = sorted(self._early)
        self._last = max([*numbers[-1:], self._last or 0])
        told = [self._early[number] for number in numbers]
        self._early.clear()
        return told
