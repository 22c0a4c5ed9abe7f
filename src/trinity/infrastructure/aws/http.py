"""HTTP/1.1 on a plain socket: just what a request to an AWS service needs.

`http.client` would triple the processor time of a request and import the email package, which a
cold start feels. `ssl` is imported when the first https connection is opened.
"""

import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import ssl

_CHUNK = 65_536
_HEAD_LIMIT = 65_536
"""Bytes of a status line with headers, or of one line in chunked coding, that we put up with."""
_IDLE_LIMIT = 50.0
"""Seconds after which an unused connection is not trusted any more.

Middleboxes and servers drop idle connections, and the packet that tells so is lost while a Lambda
environment is frozen; a write sent into such a connection could not be resent.
"""
_IDLE_CONNECTIONS = 16
"""Most threads of one process that are worth a kept connection each."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a service listens.

    Attributes:
        tls: https rather than http.
        host: name or address to connect to.
        port: TCP port.
        authority: the `Host` header: the port is left out where the scheme implies it.
        path: of every request.
    """

    tls: bool
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        """Read a URL like `https://dynamodb.eu-west-1.amazonaws.com` or `http://127.0.0.1:4566`.

        Raises:
            ValueError: it is not an http(s) URL of scheme, host, port and path.
        """
        scheme, separator, rest = url.partition("://")
        authority, _, path = rest.partition("/")
        host, colon, port = authority.rpartition(":")
        if not colon or port.endswith("]"):  # no port; the second is an IPv6 address without one
            host, port = authority, ""
        if not separator or scheme not in ("http", "https") or not host or "?" in path:
            raise ValueError(f"not the URL of an endpoint: {url!r}")
        tls = scheme == "https"
        usual = 443 if tls else 80
        number = int(port) if port else usual
        return cls(
            tls=tls,
            host=host.strip("[]"),
            port=number,
            authority=host if number == usual else f"{host}:{number}",
            path=f"/{path}",
        )


class Response(msgspec.Struct, frozen=True):
    """A whole response; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class TransportError(Exception):
    """No whole response came.

    Attributes:
        sent: a part of the request may have reached the peer.
        stale: a kept connection turned out to have been closed, which is no failure of the peer:
            it ended before a part of the response came, and not for want of time.
    """

    def __init__(self, message: str, *, sent: bool, stale: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.stale = stale


class Connection:
    """One connection, used by one thread at a time.

    Attributes:
        reused: it has already brought a response.
        reusable: it may bring another one.
    """

    __slots__ = (
        "_answered",
        "_buffer",
        "_clock",
        "_deadline",
        "_idle_since",
        "_socket",
        "reusable",
        "reused",
    )

    def __init__(
        self, endpoint: Endpoint, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Connect.

        Raises:
            TransportError: it could not be done in time.
        """
        self._clock = clock
        self._deadline = 0.0
        self._buffer = bytearray()
        self._answered = False
        self._idle_since = 0.0
        self.reused = False
        self.reusable = False
        try:
            raw = socket.create_connection((endpoint.host, endpoint.port), timeout=seconds)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The handshake has the same time-out: it is part of connecting.
            self._socket = _wrap(raw, endpoint.host) if endpoint.tls else raw
        except OSError as error:
            message = f"cannot connect to {endpoint.authority}: {error}"
            raise TransportError(message, sent=False) from error

    def exchange(self, request: bytes, *, seconds: float) -> Response:
        """Send a request and return its response.

        Args:
            request: head and body.
            seconds: for all of it.

        Raises:
            TransportError: the response did not come whole, in time and well-formed.
        """
        self._deadline = self._clock() + seconds
        self._answered = False
        self.reusable = False
        self._send(request)
        try:
            response = self._read_response()
        except (ValueError, IndexError) as error:
            raise TransportError("malformed response", sent=True) from error
        self.reused = True
        self.reusable = self.reusable and not self._buffer
        self._idle_since = time.time()
        return response

    def alive(self) -> bool:
        """Tell whether it is worth trying to send another request.

        An idle connection with something to read was closed, or is out of step.
        """
        if time.time() - self._idle_since > _IDLE_LIMIT:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _send(self, request: bytes) -> None:
        rest = memoryview(request)
        while rest:
            sent = len(rest) < len(request)
            try:
                self._set_timeout()
                rest = rest[self._socket.send(rest) :]
            except OSError as error:
                stale = self.reused and not isinstance(error, TimeoutError)
                raise TransportError(f"cannot send: {error}", sent=sent, stale=stale) from error

    def _read_response(self) -> Response:
        lines = self._read_through(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status_text = lines[0].split(" ", 2)[:2]
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        status = int(status_text)
        headers = {}
        for line in lines[1:]:
            if line:
                name, colon, value = line.partition(":")
                if not colon:
                    raise ValueError(line)
                headers[name.lower()] = value.strip()
        self.reusable = (
            version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower()
        )
        if status in (204, 304):  # which have no body, whatever their headers say
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._read_chunks()
        elif "content-length" in headers:
            body = self._read_exactly(int(headers["content-length"]))
        else:
            self.reusable = False
            body = self._read_to_end()
        return Response(status, headers, body)

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = int(self._read_through(b"\r\n").partition(b";")[0], 16)
            if size == 0:
                while self._read_through(b"\r\n") != b"\r\n":  # trailers
                    pass
                return bytes(body)
            body += self._read_exactly(size)
            if self._read_exactly(2) != b"\r\n":
                raise ValueError("a chunk is longer than it says")

    def _read_through(self, marker: bytes) -> bytes:
        start = 0
        while (at := self._buffer.find(marker, start)) < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise ValueError("no end of a line or head")
            start = max(0, len(self._buffer) - len(marker) + 1)
            self._need_more()
        return self._take(at + len(marker))

    def _read_exactly(self, size: int) -> bytes:
        if size < 0:
            raise ValueError("negative length")
        while len(self._buffer) < size:
            self._need_more()
        return self._take(size)

    def _read_to_end(self) -> bytes:
        while self._receive():
            pass
        return self._take(len(self._buffer))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _need_more(self) -> None:
        if not self._receive():
            stale = self.reused and not self._answered
            raise TransportError("closed by the peer", sent=True, stale=stale)

    def _receive(self) -> bool:
        """Append what comes next to the buffer; return whether the peer had anything more."""
        try:
            self._set_timeout()
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            stale = self.reused and not self._answered and not isinstance(error, TimeoutError)
            raise TransportError(f"cannot receive: {error}", sent=True, stale=stale) from error
        self._answered = self._answered or bool(data)
        self._buffer += data
        return bool(data)

    def _set_timeout(self) -> None:
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise TimeoutError("time is over")
        self._socket.settimeout(remaining)


class ConnectionPool:
    """The connections to one endpoint that wait for their next request. Threads share it."""

    __slots__ = ("_clock", "_endpoint", "_idle")

    def __init__(self, endpoint: Endpoint, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._idle: list[Connection] = []  # its append and pop are atomic

    def take(self, *, seconds: float, fresh: bool = False) -> Connection:
        """Return a connection for the caller alone.

        Args:
            seconds: to connect within, if needed.
            fresh: it must be a new one, and the idle ones are given up: one of them has just
                turned out to be stale, and they are likely to have been cut together.

        Raises:
            TransportError: a new connection was needed and could not be made.
        """
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if not fresh and connection.alive():
                return connection
            connection.close()
        return Connection(self._endpoint, seconds=seconds, clock=self._clock)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for later if it can be used again, close it otherwise."""
        if connection.reusable and len(self._idle) < _IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()


_tls_context: "ssl.SSLContext | None" = None


def _wrap(raw: socket.socket, host: str) -> socket.socket:
    """Put TLS on a connection.

    The trust store is OpenSSL's own, so SSL_CERT_FILE may name a bundle of only Amazon's roots,
    which load 30 ms of CPU faster than a system's 145.
    """
    global _tls_context
    if _tls_context is None:
        import ssl

        _tls_context = ssl.create_default_context()
    try:
        return _tls_context.wrap_socket(raw, server_hostname=host)
    except OSError:
        raw.close()
        raise
