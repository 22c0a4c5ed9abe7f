"""uvicorn's HTTP, with one write for each response."""

import asyncio
from collections.abc import Callable
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Http(HttpToolsProtocol):
    """Writes the head of a response together with what follows it.

    uvicorn writes them one after the other: two system calls, two packets, and two wake-ups of the
    client, which are a good part of what a small answer costs.
    """

    def on_headers_complete(self) -> None:
        """See httptools' `HttpRequestParser`."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before and self.cycle is not None:
            whole = _Whole(self.transport, self.on_response_complete)
            # Of a transport, a cycle needs no more than what this one has.
            self.cycle.transport = cast(asyncio.Transport, whole)
            self.cycle.on_response = whole.finish


class _Whole:
    """Holds the head of one response back until something follows, or nothing does.

    Args:
        transport: where everything goes.
        finished: what is to be called when the response is complete.
    """

    __slots__ = ("_finished", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport, finished: Callable[[], None]) -> None:
        self._transport = transport
        self._finished = finished
        self._head: bytes | None = b""  # None: it is written

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, None
        elif self._head is not None and not data.startswith(b"HTTP/1.1 1"):  # 100 Continue
            self._head = data
            return
        self._transport.write(data)

    def finish(self) -> None:
        self._flush()
        self._finished()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")
