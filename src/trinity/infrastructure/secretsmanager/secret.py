"""A secret, read again now and then.

Sources: GetSecretValue and PutSecretValue in the AWS Secrets Manager API reference.
"""

import threading
import time
from collections.abc import Callable

import msgspec

from trinity.infrastructure.aws.client import AwsError, Client
from trinity.ports import Unavailable

_READ_AGAIN_AFTER = 300.0
"""Seconds. A secret that changes keeps its old value good for far longer."""


class Version(msgspec.Struct, frozen=True):
    """A value of a secret.

    Attributes:
        id: of the version; empty if there has never been a value.
        text: the value; empty if there is none.
    """

    id: str
    text: str


class Secret:
    """A secret whose value is text. Threads may share it.

    Args:
        client: of Secrets Manager.
        name: or ARN.
        monotonic: seconds that never go back.
    """

    def __init__(
        self, client: Client, name: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._name = name
        self._now = monotonic
        self._lock = threading.Lock()
        self._version: Version | None = None
        self._read_at = 0.0

    def current(self) -> Version:
        """Return the value, which may be as old as five minutes, or older while it cannot be read.

        Raises:
            Unavailable: it was never read yet, and cannot be now.
        """
        with self._lock:
            if self._version is None or self._now() - self._read_at >= _READ_AGAIN_AFTER:
                try:
                    self._version = self.read()
                except Unavailable:
                    if self._version is None:
                        raise
                self._read_at = self._now()
            return self._version

    def read(self) -> Version:
        """Return the value as it is now.

        Raises:
            Unavailable: it cannot be read.
            AwsError: there is no such secret, or it may not be read.
        """
        try:
            output = self._client.call("GetSecretValue", {"SecretId": self._name}, idempotent=True)
        except AwsError as error:
            if error.code == "ResourceNotFoundException" and "AWSCURRENT" in error.message:
                return Version("", "")
            raise
        return Version(output["VersionId"], output.get("SecretString", ""))

    def replace(self, old: Version, text: str) -> bool:
        """Give the secret another value, if it still has the old one; tell whether that was so.

        The id of the new version follows from that of the old one, and a version that exists
        cannot have another value: of two who replace the same version at once, one fails.
        """
        import hashlib

        token = hashlib.sha256(old.id.encode()).hexdigest()
        request = {"SecretId": self._name, "SecretString": text, "ClientRequestToken": token}
        try:
            self._client.call("PutSecretValue", request, idempotent=True)
        except AwsError as error:
            if error.code != "ResourceExistsException":
                raise
            return False
        with self._lock:
            self._version = None
        return True
