"""Messages for many subscribers, as WebSocket frames that differ in an id alone.

A frame from a server is a head, which tells how long the payload is, and the payload as it is:
https://www.rfc-editor.org/rfc/rfc6455#section-5.2
"""

from collections.abc import Callable, Sequence

Write = Callable[[bytes], bool]
"""Writes whole frames at once; False: it cannot just now, and nothing was written."""

EXTENSION = "trinity.frames"
"""Where the state of ASGI's scope may have a `Write`: a server that offers it saves much work."""

_FINAL_TEXT = 0x81


def frame_head(size: int) -> bytes:
    """Return how the frame of a text of so many bytes begins."""
    if size < 126:
        return bytes((_FINAL_TEXT, size))
    if size < 1 << 16:
        return bytes((_FINAL_TEXT, 126)) + size.to_bytes(2)
    return bytes((_FINAL_TEXT, 127)) + size.to_bytes(8)


class Messages:
    """The same messages for some subscribers, each of whom has his own beginning of them.

    Args:
        ends: how the messages go on behind that.
    """

    def __init__(self, ends: Sequence[bytes]) -> None:
        self._ends = ends
        self._between: dict[int, list[bytes]] = {}

    def frames(self, beginning: bytes) -> bytes:
        """Return all messages as frames."""
        size = len(beginning)
        between = self._between.get(size)
        if between is None:
            heads = [frame_head(size + len(end)) for end in self._ends]
            # What stands before, between and behind the beginnings is the same for everybody.
            pairs = zip(self._ends, [*heads[1:], b""], strict=True)
            between = self._between[size] = [heads[0], *(end + head for end, head in pairs)]
        return beginning.join(between)
