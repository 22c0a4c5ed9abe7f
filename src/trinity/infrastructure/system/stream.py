"""A kept connection: a socket that is read through a buffer, within a time, and used again.

What a connection takes is imported with the first one: that is what a cold start feels most.
"""

import functools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import socket
    import ssl

_CHUNK = 65_536
_LINE_LIMIT = 65_536
"""Bytes of what ends in a marker that we put up with."""
_IDLE_LIMIT = 50.0
"""Seconds after which an unused connection is not trusted any more.

Middleboxes and servers drop idle connections, and the packet that tells so is lost while a Lambda
environment is frozen; a write sent into such a connection could not be resent.
"""
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes for a certificate that leads to no root that is trusted (x509_vfy.h)."""
_IDLE_CONNECTIONS = 16
"""Most threads of one process that are worth a kept connection each."""


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


class Stream:
    """One connection, used by one thread at a time.

    An exchange begins with `send` and ends with `answered`; what goes wrong in between is a
    `TransportError`.

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
        self,
        host: str,
        port: int,
        *,
        tls: bool,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        address: str = "",
    ) -> None:
        """Connect.

        Args:
            host: name or address; certificates are held to it.
            port: of TCP.
            tls: encrypt.
            seconds: to connect within.
            clock: seconds of a steady clock.
            address: of the host, if it was looked up already.

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
            # As bytes, or the codec for names beyond ASCII would be loaded.
            peer: Any = ((address or host).encode("ascii"), port)
            connect = _with_tls if tls else _plain
            self._socket = connect(peer, host, clock() + seconds, clock)
        except (OSError, UnicodeError) as error:
            message = f"cannot connect to {host}:{port}: {error}"
            raise TransportError(message, sent=False) from error

    def send(self, request: bytes, *, seconds: float) -> None:
        """Send a request; it and its response have so many seconds."""
        self._deadline = self._clock() + seconds
        self._answered = False
        self.reusable = False
        rest = memoryview(request)
        while rest:
            sent = len(rest) < len(request)
            try:
                self._set_timeout()
                rest = rest[self._socket.send(rest) :]
            except OSError as error:
                stale = self.reused and not isinstance(error, TimeoutError)
                raise TransportError(f"cannot send: {error}", sent=sent, stale=stale) from error

    def answered(self, *, reusable: bool = True) -> None:
        """Note that a whole response was read, and whether another one may follow."""
        self.reused = True
        self.reusable = reusable and not self._buffer
        self._idle_since = time.time()

    def alive(self) -> bool:
        """Tell whether it is worth trying to send another request.

        An idle connection with something to read was closed, or is out of step.
        """
        if time.time() - self._idle_since > _IDLE_LIMIT:
            return False
        import select

        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def read_through(self, marker: bytes) -> bytes:
        """Return what comes, up to a marker and with it.

        Raises:
            ValueError: there is too much before it.
        """
        start = 0
        while (at := self._buffer.find(marker, start)) < 0:
            if len(self._buffer) > _LINE_LIMIT:
                raise ValueError("no end of a line or head")
            start = max(0, len(self._buffer) - len(marker) + 1)
            self._need_more()
        return self._take(at + len(marker))

    def read_exactly(self, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            ValueError: that is no number of bytes.
        """
        if size < 0:
            raise ValueError("negative length")
        while len(self._buffer) < size:
            self._need_more()
        return self._take(size)

    def read_to_end(self) -> bytes:
        """Return all that comes until the peer closes."""
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


S = TypeVar("S", bound=Stream)


class StreamPool(Generic[S]):
    """The connections to one peer that wait for their next request. Threads share it.

    Args:
        connect: makes a connection within so many seconds.
    """

    __slots__ = ("_connect", "_idle")

    def __init__(self, connect: Callable[[float], S]) -> None:
        self._connect = connect
        self._idle: list[S] = []  # its append and pop are atomic

    def take(self, *, seconds: float, fresh: bool = False) -> S:
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
        return self._connect(seconds)

    def prepare(self, *, seconds: float) -> None:
        """Open a connection for the next request.

        Raises:
            TransportError: it could not be made within so many seconds.
        """
        connection = self._connect(seconds)
        connection.answered()  # as if it had been used: if it is cut meanwhile, that is no failure
        self.give_back(connection)

    def give_back(self, connection: S) -> None:
        """Keep a connection for later if it can be used again, close it otherwise."""
        if connection.reusable and len(self._idle) < _IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()


@functools.cache
def tls_context() -> "ssl.SSLContext":
    """Return what all connections with TLS share.

    On Lambda it trusts the few roots of Amazon, whose services functions talk to, and the system's
    as well from the first certificate on that leads to another: to load those takes eight times
    as long, at each cold start.
    """
    import ssl

    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        return ssl.create_default_context()
    from trinity.infrastructure.system import amazon_roots

    return ssl.create_default_context(cadata=amazon_roots.PEM)


@functools.cache
def _trust_all(context: "ssl.SSLContext") -> None:
    context.load_default_certs()


def _with_tls(peer: Any, host: str, deadline: float, clock: Callable[[], float]) -> "socket.socket":
    """Return a connection with TLS; the handshake is part of connecting.

    If the certificate leads to a root that is not known yet, there is a second attempt.
    """
    context, trusting_all = tls_context(), _trust_all.cache_info().currsize
    try:
        return _shaken(context, _plain(peer, host, deadline, clock), host)
    except OSError as error:
        if getattr(error, "verify_code", 0) not in _UNKNOWN_ISSUER:
            raise
        _trust_all(context)
        if _trust_all.cache_info().currsize == trusting_all:  # they were known all the while
            raise
    return _shaken(context, _plain(peer, host, deadline, clock), host)


def _plain(peer: Any, _: str, deadline: float, clock: Callable[[], float]) -> "socket.socket":
    import socket

    raw = socket.create_connection(peer, timeout=max(deadline - clock(), 0.001))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def _shaken(context: "ssl.SSLContext", raw: "socket.socket", host: str) -> "socket.socket":
    try:
        return context.wrap_socket(raw, server_hostname=host.encode())
    except OSError:
        raw.close()
        raise
