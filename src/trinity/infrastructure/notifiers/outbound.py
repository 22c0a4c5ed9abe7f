"""Requests to addresses that users gave us, which may lead anywhere.

Nobody may use us to reach what only we can reach ("Server-Side Request Forgery Prevention Cheat
Sheet", OWASP): the host is looked up once, every address of it has to be a public one, and it is
that address which is connected to. Redirects are not followed, and of the answer only the head is
read. One who answers slowly, or without end, is left when the time for all of it is over.
"""

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trinity.common import endpoints
from trinity.infrastructure.system.stream import Stream, TransportError
from trinity.ports import Refused, Unavailable

_SECONDS = 10.0  # for connecting, and once more for the exchange
_LONGEST_PAUSE_S = 3600.0
_PASSING = frozenset((408, 425, 429))

Lookup = Callable[..., list[Any]]


class Answer(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        status: of HTTP.
        retry_after_s: seconds that the other side wants to be left alone, 0 if it does not say.
    """

    status: int
    retry_after_s: float = 0.0

    def settle(self) -> None:
        """Return if the request was taken.

        Raises:
            Refused: it was not, and will not be.
            Unavailable: it was not, but may be later.
        """
        if 200 <= self.status < 300:
            return
        message = f"the endpoint answered {self.status}"
        if self.status >= 500 or self.status in _PASSING:
            raise Unavailable(message, after_s=self.retry_after_s)
        raise Refused(message)


class Outbound:
    """Sends requests.

    Args:
        local: let http and https lead to this machine, too; for tests.
        lookup: finds the addresses of a host, as `socket.getaddrinfo` does.
    """

    def __init__(self, *, local: bool = False, lookup: Lookup = socket.getaddrinfo) -> None:
        self._local = local
        self._lookup = lookup

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request.

        Args:
            url: where to.
            headers: `host` and `content-length` are added.
            body: what to send.

        Raises:
            Refused: this address is none that may be called.
            Unavailable: no answer came.
        """
        target = endpoints.parse(url)
        if target is None:
            raise Refused("the address of the endpoint is none")
        address = self._look_up(target)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST {target.path} HTTP/1.1\r\nhost: {target.authority}\r\n{lines}"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        tls = target.scheme == "https"
        # Where it leads may be a secret, and is told by the errors: nothing of them is passed on.
        try:
            stream = Stream(target.host, target.port, tls=tls, seconds=_SECONDS, address=address)
        except TransportError:
            raise Unavailable("the endpoint could not be connected to") from None
        try:
            stream.send(head.encode() + body, seconds=_SECONDS)
            return _answer(stream.read_through(b"\r\n\r\n"))
        except (TransportError, ValueError, IndexError):
            raise Unavailable("the endpoint did not answer") from None
        finally:
            stream.close()

    def _look_up(self, target: endpoints.Target) -> str:
        """Return the address of a host that may be called."""
        try:
            told = self._lookup(target.host, target.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_NONAME:
                raise Refused("the host of the endpoint does not exist") from None
            raise Unavailable("the host of the endpoint could not be looked up") from None
        except (OSError, UnicodeError):  # a label that is too long
            raise Refused("the host of the endpoint is none") from None
        addresses = [str(entry[4][0]) for entry in told]
        if not addresses or not all(self._allowed(target.scheme, one) for one in addresses):
            raise Refused("the endpoint is not a public one")
        return addresses[0]

    def _allowed(self, scheme: str, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if self._local and ip.is_loopback:
            return True
        return scheme == "https" and endpoints.is_public(ip)


def _answer(head: bytes) -> Answer:
    """Read the head of a response; the body is left where it is."""
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, status = status_line.split(" ", 2)[:2]
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    named = dict(line.lower().split(":", 1) for line in lines if ":" in line)
    return Answer(int(status), _seconds(named.get("retry-after", "").strip()))


def _seconds(text: str) -> float:
    """Read a `Retry-After` (RFC 9110, 10.2.3), seconds or a date, with a limit to our patience."""
    if text.isdecimal():
        return min(float(text), _LONGEST_PAUSE_S)
    from email.utils import parsedate_to_datetime

    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_PAUSE_S)
