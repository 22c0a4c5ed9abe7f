"""HTTP/1.1: just what a request to an AWS service needs.

`http.client` would triple the processor time of a request and import the email package, which a
cold start feels.
"""

import time
from collections.abc import Callable

import msgspec

from trinity.infrastructure.system.stream import Stream, TransportError


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


class Connection(Stream):
    """A connection to an endpoint."""

    __slots__ = ()

    def __init__(
        self, endpoint: Endpoint, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Connect.

        Raises:
            TransportError: it could not be done in time.
        """
        super().__init__(
            endpoint.host, endpoint.port, tls=endpoint.tls, seconds=seconds, clock=clock
        )

    def exchange(self, request: bytes, *, seconds: float) -> Response:
        """Send a request and return its response.

        Args:
            request: head and body.
            seconds: for all of it.

        Raises:
            TransportError: the response did not come whole, in time and well-formed.
        """
        self.send(request, seconds=seconds)
        try:
            return self._read_response()
        except (ValueError, IndexError) as error:
            raise TransportError("malformed response", sent=True) from error

    def _read_response(self) -> Response:
        lines = self.read_through(b"\r\n\r\n").decode("latin-1").split("\r\n")
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
        keep = version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower()
        if status in (204, 304):  # which have no body, whatever their headers say
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._read_chunks()
        elif "content-length" in headers:
            body = self.read_exactly(int(headers["content-length"]))
        else:
            keep = False
            body = self.read_to_end()
        self.answered(reusable=keep)
        return Response(status, headers, body)

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = int(self.read_through(b"\r\n").partition(b";")[0], 16)
            if size == 0:
                while self.read_through(b"\r\n") != b"\r\n":  # trailers
                    pass
                return bytes(body)
            body += self.read_exactly(size)
            if self.read_exactly(2) != b"\r\n":
                raise ValueError("a chunk is longer than it says")
