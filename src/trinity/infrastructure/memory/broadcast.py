"""`Realtime` in the process: whoever serves subscribers listens."""

from collections.abc import Callable
from typing import Any

from trinity.domain.ids import RoomId, UserId

OnEvent = Callable[[RoomId, dict[str, Any]], None]
OnEnd = Callable[[RoomId, UserId | None], None]


class Broadcast:
    """See `Realtime`. Without a listener nobody follows anything, and nothing is done."""

    def __init__(self) -> None:
        self._on_event: OnEvent = lambda _room, _event: None
        self._on_end: OnEnd = lambda _room, _user: None

    def listen(self, on_event: OnEvent, on_end: OnEnd) -> None:
        """Let somebody know of everything from now on, on whatever thread it happens."""
        self._on_event, self._on_end = on_event, on_end

    def publish(self, room: RoomId, event: dict[str, Any]) -> None:
        """See `Realtime.publish`."""
        self._on_event(room, event)

    def end(self, room: RoomId, user: UserId | None = None) -> None:
        """See `Realtime.end`."""
        self._on_end(room, user)
