"""uvicorn's WebSockets, and a short way out for frames that are ready."""

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from trinity.embedded.realtime.frames import EXTENSION


class WebSockets(WebSocketsSansIOProtocol):
    """Lets an application write frames past ASGI, in the state of its scope (`frames.Write`).

    ASGI's `send` makes each frame anew for each client and takes three coroutines to it: several
    times the work of the frame itself. All else is uvicorn's: handshake, pings, what comes in,
    and closing. The application has to have accepted, and not to have closed.

    What this relies on is how uvicorn makes a protocol, asyncio's protocols and transports, and
    that the library has no data frames of its own in flight between two calls of `send`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, EXTENSION: self._write}, _loop)
        self._wire: asyncio.Transport | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is one, but for its class

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._full = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        self._full = False

    def _write(self, frames: bytes) -> bool:
        # Whoever ends a connection but the application closes the transport right away.
        if self._full or self._wire is None or self._wire.is_closing():
            return False
        self._wire.write(frames)
        return True
