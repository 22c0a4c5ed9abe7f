"""What the one write for each response relies on, in uvicorn and asyncio."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_socket
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from trinity.embedded.http import Http

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
LAST = GET.replace(b"host", b"connection: close\r\nhost")
POST = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
NONSENSE = b"\0\r\n\r\n"
Send = Callable[[Any], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """As everywhere, but for the pair of sockets that a loop wakes itself up with."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


class Transport(asyncio.Transport):
    """Notes what a protocol does."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.done: list[bytes] = []

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append(b"closed")

    def is_closing(self) -> bool:
        return self.done[-1:] == [b"closed"]

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def head(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


WHOLE = [head((b"content-length", b"4")), body(b"HTTP")]
NOTHING = [head(status=204), body(b"")]
STREAM = [head(), body(b"HTTP/1.1 2", more=True), body(b"", more=True), body(b"HTTP/1.1 3")]
EMPTY_AT_FIRST = [head(), body(b"", more=True), body(b"x")]
BROKEN = [head((b"content-length", b"4")), body(b"too long")]


async def written(
    protocol: type[HttpToolsProtocol], sent: list[dict[str, Any]], asked: list[bytes]
) -> list[bytes]:
    async def app(_scope: Any, receive: Any, send: Send) -> None:
        await receive()
        for message in sent:
            await send(message)

    config = uvicorn.Config(app, http=protocol, server_header=False, date_header=False)
    config.load()
    transport = Transport()
    connection = protocol(config, ServerState(), {})
    connection.connection_made(transport)
    for data in asked:
        connection.data_received(data)
        for _ in range(10):
            await asyncio.sleep(0)
    done = list(transport.done)
    connection.connection_lost(None)
    return done


@pytest.mark.parametrize(
    ("sent", "asked", "writes"),
    [
        (WHOLE, [GET], 1),
        (WHOLE, [HEAD], 1),
        (WHOLE, [GET + GET, GET], 3),
        (WHOLE, [LAST], 2),  # it is closed, too
        (WHOLE, [POST], 1),  # whoever asks first has his answer before he sends the rest
        (WHOLE, [POST, b"ab"], 2),
        (WHOLE, [NONSENSE], 2),
        (NOTHING, [GET], 1),
        (STREAM, [GET], 3),
        (EMPTY_AT_FIRST, [GET], 2),
        ([], [GET], 2),
        ([head()], [GET], 2),
        (BROKEN, [GET], 2),
    ],
)
def test_a_response_is_what_uvicorn_would_write_but_in_one_piece(
    sent: list[dict[str, Any]], asked: list[bytes], writes: int
) -> None:
    ours = asyncio.run(written(Http, sent, asked))
    theirs = asyncio.run(written(HttpToolsProtocol, sent, asked))
    assert b"".join(ours) == b"".join(theirs)
    assert len(ours) == writes
