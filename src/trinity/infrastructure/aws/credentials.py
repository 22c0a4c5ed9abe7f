"""Whose requests they are.

Sources: "AWS SDKs and tools: container credential provider", "AWS access keys" in the AWS SDKs and
Tools reference guide.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from trinity.infrastructure.aws.http import Connection, Endpoint
from trinity.infrastructure.system.stream import TransportError
from trinity.ports import Unavailable

_RENEW_BEFORE = 300.0
"""Seconds before their end at which new credentials are fetched."""
_PLAIN_HTTP_HOSTS = frozenset(
    {"localhost", "127.0.0.1", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"}
)
"""Hosts that the reference guide lets be asked without TLS: this one, and those of ECS and EKS."""
_FETCH_SECONDS = 2.0


class Credentials(msgspec.Struct, frozen=True):
    """An access key.

    Attributes:
        access_key: its id.
        secret_key: its secret.
        token: of a session; None for a user's own key.
        expires: seconds since 1970; None if they hold as long as the process.
    """

    access_key: str
    secret_key: str
    token: str | None = None
    expires: float | None = None

    def __repr__(self) -> str:
        """Show only what may be shown in a log."""
        return f"Credentials({self.access_key})"


class _ContainerCredentials(msgspec.Struct, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str
    expiration: datetime


class CredentialSource:
    """Credentials of the environment: an access key, else what the container's endpoint gives.

    Nothing is read before the first call: a snapshot of a started function must not hold a key.
    Threads may share a source.
    """

    __slots__ = ("_current", "_environment", "_lock", "_now")

    def __init__(
        self, environment: Mapping[str, str], *, now: Callable[[], float] = time.time
    ) -> None:
        """Prepare.

        Args:
            environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or
                AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN.
            now: seconds since 1970.
        """
        self._environment = environment
        self._now = now
        self._lock = threading.Lock()
        self._current: Credentials | None = None

    def current(self) -> Credentials:
        """Return credentials that hold now.

        Raises:
            Unavailable: the container's endpoint gave none.
            RuntimeError: the environment names no source.
        """
        current = self._current
        if current is not None and not self._ends_within(current, _RENEW_BEFORE):
            return current
        with self._lock:
            current = self._current
            if current is not None and not self._ends_within(current, _RENEW_BEFORE):
                return current  # another thread has fetched them meanwhile
            try:
                current = self._load()
            except Unavailable:
                if current is None or self._ends_within(current, 0):
                    raise
            self._current = current
            return current

    def renew(self, refused: Credentials) -> bool:
        """Forget credentials that a service called expired.

        Returns:
            Whether asking again may give others.
        """
        if refused.expires is None:
            return False
        with self._lock:
            if self._current is refused:
                self._current = None
        return True

    def _ends_within(self, credentials: Credentials, seconds: float) -> bool:
        return credentials.expires is not None and credentials.expires - self._now() <= seconds

    def _load(self) -> Credentials:
        environment = self._environment
        if "AWS_ACCESS_KEY_ID" in environment and "AWS_SECRET_ACCESS_KEY" in environment:
            return Credentials(
                environment["AWS_ACCESS_KEY_ID"],
                environment["AWS_SECRET_ACCESS_KEY"],
                environment.get("AWS_SESSION_TOKEN"),
            )
        if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in environment:
            return self._fetch(
                environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
                environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            )
        raise RuntimeError("no AWS credentials in the environment")

    def _fetch(self, url: str, authorization: str | None) -> Credentials:
        url, _, query = url.partition("?")
        endpoint = Endpoint.parse(url)
        if not endpoint.tls and endpoint.host not in _PLAIN_HTTP_HOSTS:
            raise RuntimeError("the container's credentials endpoint must be local or use https")
        target = f"{endpoint.path}?{query}" if query else endpoint.path
        head = f"GET {target} HTTP/1.1\r\nHost: {endpoint.authority}\r\nConnection: close\r\n"
        if authorization is not None:
            if "\r" in authorization or "\n" in authorization:
                raise RuntimeError("the container's authorization token has a line break")
            head += f"Authorization: {authorization}\r\n"
        try:
            connection = Connection(endpoint, seconds=_FETCH_SECONDS)
            try:
                response = connection.exchange(f"{head}\r\n".encode(), seconds=_FETCH_SECONDS)
            finally:
                connection.close()
            if response.status != 200:
                raise Unavailable(f"the credentials endpoint answered {response.status}")
            given = msgspec.json.decode(response.body, type=_ContainerCredentials)
        except (TransportError, msgspec.DecodeError) as error:
            raise Unavailable("the credentials endpoint did not answer properly") from error
        return Credentials(
            given.access_key_id,
            given.secret_access_key,
            given.token,
            given.expiration.timestamp(),
        )
