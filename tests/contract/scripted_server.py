"""A TCP server that does with each request what a test says."""

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple


class Request(NamedTuple):
    """What the server got."""

    connection: int  # 1 for the first one
    head: str
    body: bytes


class Step(NamedTuple):
    """What to do with one request."""

    send: bytes = b""
    close: bool = False  # after sending; else wait for the next request on the connection
    reset: bool = False  # close with RST instead of FIN


class ScriptedServer:
    """Plays one step for each request, in the order in which requests arrive.

    A request beyond the script fails the test when the server is left.
    """

    def __init__(
        self, *steps: Step | Callable[[Request], Step], tls: ssl.SSLContext | None = None
    ) -> None:
        self.steps = list(steps)
        self._tls = tls
        self.requests: list[Request] = []
        self.connections = 0
        self._problems: list[str] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self.closed_by_server = threading.Event()

    def __enter__(self) -> "ScriptedServer":
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it is closed already
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        if kind is None:
            assert not self._problems, self._problems
            assert not self.steps, f"{len(self.steps)} steps were not asked for"

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.append(connection)
                self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.append(connection)  # the plain one is detached now
            with connection:
                while self._play(connection, number):
                    pass
        except OSError:
            connection.close()  # the client has closed, or the test is over

    def _play(self, connection: socket.socket, number: int) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65_536)
            if not data:
                return False
            head += data
        with self._lock:
            if not self.steps:
                self._problems.append("a request beyond the script")
                return False
            step = self.steps.pop(0)
        top, _, body = head.partition(b"\r\n\r\n")
        lengths = [
            int(line.partition(b":")[2])
            for line in top.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        while len(body) < sum(lengths):
            body += connection.recv(65_536)
        request = Request(number, top.decode("latin-1"), body)
        with self._lock:
            self.requests.append(request)
        if not isinstance(step, Step):
            step = step(request)
        connection.sendall(step.send)
        if step.reset:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if step.close or step.reset:
            connection.close()
            self.closed_by_server.set()
            return False
        return True


def answer(
    body: bytes = b"{}",
    *,
    status: int = 200,
    headers: Sequence[str] = (),
    close: bool = False,
) -> Step:
    """Answer with a whole response."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return Step("\r\n".join(lines).encode() + b"\r\n\r\n" + body, close=close)
