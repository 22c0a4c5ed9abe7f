"""A client for Redis: as much of one as a cache needs.

redis-py is a good library and a heavy one: it loads 200 modules, asyncio among them, which is 3.3
times the start of an empty function (its source alone is 2 MB). Here it is the tests' second
opinion. Source: "Redis serialization protocol specification", RESP2, at redis.io.
"""

from typing import Union

import msgspec

from trinity.infrastructure.system.stream import Stream, StreamPool, TransportError

Reply = Union[bytes, int, None, list["Reply"], "Refusal"]
Word = bytes | str | int


class Refusal(Exception):
    """Redis answered with an error: `OOM command not allowed ...`. Its first word is its kind."""


class Address(msgspec.Struct, frozen=True):
    """Where a Redis listens, and who is let in."""

    tls: bool
    host: str
    port: int
    database: int
    user: str
    password: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL like `rediss://user:password@cache.example.org:6379/0`.

        Raises:
            ValueError: it is none.
        """
        scheme, separator, rest = url.partition("://")
        authority, _, database = rest.partition("/")
        secret, _, place = authority.rpartition("@")
        host, colon, port = place.rpartition(":")
        if not colon or port.endswith("]"):  # no port; the second is an IPv6 address without one
            host, port = place, ""
        if not separator or scheme not in ("redis", "rediss") or not host:
            raise ValueError("not the URL of a Redis")  # it may hold a password: it is not repeated
        user, _, password = secret.partition(":")
        if "%" in secret:
            from urllib.parse import unquote

            user, password = unquote(user), unquote(password)
        return cls(
            tls=scheme == "rediss",
            host=host.strip("[]"),
            port=int(port or 6379),
            database=int(database or 0),
            user=user,
            password=password,
        )


class RedisClient:
    """Sends commands and returns replies. Threads may share it.

    Args:
        url: see `Address.parse`.
        connect_s: for a connection, TLS included.
        answer_s: for one command and its reply.
    """

    def __init__(self, url: str, *, connect_s: float, answer_s: float) -> None:
        self._address = Address.parse(url)
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._pool = StreamPool(lambda seconds: _Connection(self._address, seconds))

    def call(self, *command: Word) -> Reply:
        """Do a command.

        A kept connection that turns out to be cut is replaced; in rare cases a command is done
        twice by that.

        Raises:
            Refusal: Redis did not do it.
            TransportError: no reply came in time.
        """
        request = _encode(command)
        try:
            return self._exchange(request, fresh=False)
        except TransportError as error:
            if not error.stale:
                raise
        return self._exchange(request, fresh=True)

    def _exchange(self, request: bytes, *, fresh: bool) -> Reply:
        connection = self._pool.take(seconds=self._connect_s, fresh=fresh)
        try:
            reply = connection.exchange(request, self._answer_s)
        except TransportError:
            connection.close()
            raise
        self._pool.give_back(connection)
        if isinstance(reply, Refusal):
            raise reply
        return reply


class _Connection(Stream):
    __slots__ = ()

    def __init__(self, address: Address, seconds: float) -> None:
        super().__init__(address.host, address.port, tls=address.tls, seconds=seconds)
        greetings: list[tuple[Word, ...]] = []
        if address.password:
            who = (address.user,) if address.user else ()
            greetings.append(("AUTH", *who, address.password))
        if address.database:
            greetings.append(("SELECT", address.database))
        for greeting in greetings:
            reply = self.exchange(_encode(greeting), seconds)
            if isinstance(reply, Refusal):
                self.close()
                raise reply

    def exchange(self, request: bytes, seconds: float) -> Reply:
        self.send(request, seconds=seconds)
        try:
            reply = self._read()
        except ValueError as error:
            raise TransportError("malformed reply", sent=True) from error
        self.answered()
        return reply

    def _read(self) -> Reply:
        line = self.read_through(b"\r\n")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Refusal(rest.decode(errors="replace"))
        number = int(rest)
        if kind == b":":
            return number
        if kind == b"$":
            return None if number < 0 else self.read_exactly(number + 2)[:-2]
        if kind == b"*":
            return None if number < 0 else [self._read() for _ in range(number)]
        raise ValueError(line)


def _encode(command: tuple[Word, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        raw = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)
