"""`Realtime` in the process: whoever serves subscribers listens."""

from typing import Any

from trinity.domain.ids import RoomId, UserId
from trinity.ports import Realtime


class Broadcast:
    """See `Realtime`. Without a listener nobody follows anything, and nothing is done."""

    def __init__(self) -> None:
        self._listener: Realtime | None = None

    def listen(self, listener: Realtime) -> None:
        """Let somebody know of everything from now on, on whatever thread it happens."""
        self._listener = listener

    def publish(self, room: RoomId, event: dict[str, Any]) -> None:
        """See `Realtime.publish`."""
        if self._listener is not None:
            self._listener.publish(room, event)

    def show(self, room: RoomId, presence: dict[str, Any]) -> None:
        """See `Realtime.show`."""
        if self._listener is not None:
            self._listener.show(room, presence)

    def end(self, room: RoomId, user: UserId | None = None) -> None:
        """See `Realtime.end`."""
        if self._listener is not None:
            self._listener.end(room, user)
