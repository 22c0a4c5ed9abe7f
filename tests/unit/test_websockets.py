"""What the short way out for frames relies on, in uvicorn, websockets and asyncio."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_socket
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from trinity.embedded.realtime.frames import EXTENSION, Messages
from trinity.embedded.websockets import WebSockets


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """As everywhere, but for the pair of sockets that a loop wakes itself up with."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@given(st.binary(min_size=1, max_size=60), st.lists(st.integers(0, 300), min_size=1, max_size=4))
@example(b"x", [124])
@example(b"x", [125])
@example(b"x", [0xFFFE])
@example(b"x", [0xFFFF])
@example(b"x", [0xFFFF, 0, 125, 0xFFFF])
def test_a_ready_frame_is_the_one_that_the_library_would_make(
    beginning: bytes, sizes: list[int]
) -> None:
    ends = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    messages = Messages(ends)
    for one in (beginning, beginning[::-1], beginning + b"longer"):
        theirs = [Frame(Opcode.TEXT, one + end).serialize(mask=False) for end in ends]
        assert messages.frames(one) == b"".join(theirs)


class Transport(asyncio.Transport):
    """Takes what a protocol writes."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def taken(self) -> bytes:
        written, self.written = self.written, b""
        return written


class Wired:
    """A WebSocket of uvicorn with the library's own client at the other end."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        config = uvicorn.Config(
            app, ws=WebSockets, lifespan="off", log_config=None, ws_per_message_deflate=False
        )
        config.load()
        assert config.ws_protocol_class is WebSockets
        self.transport = Transport()
        # by name, as uvicorn's HTTP protocols make it
        self.protocol = WebSockets(config=config, server_state=ServerState(), app_state={"a": 1})
        self.protocol.connection_made(self.transport)
        self.client = ClientProtocol(parse_uri("ws://localhost/"))
        self.client.send_request(self.client.connect())

    async def go_on(self) -> list[Any]:
        """Carry bytes to and fro; return what the client received."""
        received: list[Any] = []
        for _ in range(5):
            if sent := b"".join(self.client.data_to_send()):
                self.protocol.data_received(sent)
            for _ in range(5):
                await asyncio.sleep(0)
            if written := self.transport.taken():
                self.client.receive_data(written)
            received += self.client.events_received()
        assert self.client.parser_exc is None
        return received


def connected(test: Callable[[Wired, dict[str, Any], Any], Awaitable[None]]) -> None:
    async def main() -> None:
        given_: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            given_.set_result((scope, send))
            while (await receive())["type"] != "websocket.disconnect":
                pass

        wired = Wired(app)
        [response] = await wired.go_on()
        assert response.status_code == 101
        scope, send = await given_
        await test(wired, scope["state"], send)
        wired.protocol.connection_lost(None)
        await asyncio.sleep(0)

    asyncio.run(main())


def texts(frames: list[Any]) -> list[bytes]:
    assert all(frame.opcode is Opcode.TEXT and frame.fin for frame in frames)
    return [bytes(frame.data) for frame in frames]


def test_frames_and_messages_arrive_in_the_order_in_which_they_were_sent() -> None:
    async def test(wired: Wired, state: dict[str, Any], send: Any) -> None:
        assert state["a"] == 1
        await send({"type": "websocket.send", "text": "one"})
        assert state[EXTENSION](Messages([b"wo", b"hree"]).frames(b"t"))
        await send({"type": "websocket.send", "text": "four"})
        assert texts(await wired.go_on()) == [b"one", b"two", b"three", b"four"]

    connected(test)


def test_nothing_is_written_to_a_client_that_does_not_read() -> None:
    async def test(wired: Wired, state: dict[str, Any], send: Any) -> None:
        wired.protocol.pause_writing()
        assert not state[EXTENSION](Messages([b"wo"]).frames(b"t"))
        sending = asyncio.ensure_future(send({"type": "websocket.send", "text": "one"}))
        assert await wired.go_on() == []
        wired.protocol.resume_writing()
        await sending
        assert state[EXTENSION](Messages([b"wo"]).frames(b"t"))
        assert texts(await wired.go_on()) == [b"one", b"two"]

    connected(test)


def _client_closes(wired: Wired) -> None:
    wired.client.send_close(1000)


def _server_stops(wired: Wired) -> None:
    wired.protocol.shutdown()


def _client_sends_nonsense(wired: Wired) -> None:
    wired.protocol.data_received(b"\xff" * 20)


def _client_answers_no_ping(wired: Wired) -> None:
    wired.protocol.keepalive_timeout()


@pytest.mark.parametrize(
    "end", [_client_closes, _server_stops, _client_sends_nonsense, _client_answers_no_ping]
)
def test_nothing_is_written_behind_a_close_that_the_application_has_not_made(
    end: Callable[[Wired], None],
) -> None:
    async def test(wired: Wired, state: dict[str, Any], send: Any) -> None:
        end(wired)
        if sent := b"".join(wired.client.data_to_send()):
            wired.protocol.data_received(sent)
        assert wired.transport.closing
        assert not state[EXTENSION](Messages([b"wo"]).frames(b"t"))
        received = await wired.go_on()
        assert [frame.opcode for frame in received] == [Opcode.CLOSE]
        with suppress(OSError, RuntimeError):  # ASGI's way, as before
            await send({"type": "websocket.send", "text": "one"})

    connected(test)


def test_a_ping_is_answered_between_frames() -> None:
    async def test(wired: Wired, state: dict[str, Any], _: Any) -> None:
        assert state[EXTENSION](Messages([b"wo"]).frames(b"t"))
        wired.client.send_ping(b"there?")
        one, two = await wired.go_on()
        assert state[EXTENSION](Messages([b"hree"]).frames(b"t"))
        assert texts([one]) == [b"two"]
        assert (two.opcode, bytes(two.data)) == (Opcode.PONG, b"there?")
        assert texts(await wired.go_on()) == [b"three"]

    connected(test)
