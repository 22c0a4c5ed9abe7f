"""Whose services are called, and where they are."""

from collections.abc import Mapping
from contextlib import suppress

from trinity.infrastructure.aws.client import Client, Service
from trinity.infrastructure.aws.credentials import CredentialSource
from trinity.infrastructure.aws.retry import Limits
from trinity.infrastructure.system.stream import TransportError
from trinity.ports import Unavailable


class Account:
    """The account and region that an environment stands for, with the variables of AWS's SDKs.

    Args:
        environment: AWS_REGION; AWS_ENDPOINT_URL, if it is not AWS itself that is called; and what
            `CredentialSource` reads.

    Attributes:
        region: such as `eu-west-1`.
        endpoint: the one of all services, None for AWS's own.
        credentials: whose requests they are.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        if not environment.get("AWS_REGION"):
            raise RuntimeError("AWS_REGION is not set: the settings ask for services of AWS")
        self.region = environment["AWS_REGION"]
        self.endpoint = environment.get("AWS_ENDPOINT_URL") or None
        self.credentials = CredentialSource(environment)
        self._clients: list[Client] = []

    def client(
        self,
        service: Service,
        *,
        endpoint: str | None = None,
        limits: Limits = Limits(),  # noqa: B008  immutable
    ) -> Client:
        """Return a client.

        Args:
            service: which one.
            endpoint: its own URL, if it has one.
            limits: of each call.
        """
        client = Client(
            service,
            region=self.region,
            credentials=self.credentials,
            endpoint=endpoint or self.endpoint,
            limits=limits,
        )
        self._clients.append(client)
        return client

    def prepare(self) -> None:
        """Get credentials and open connections before somebody waits for them.

        What cannot be had now is left to the first call, which will say what is wrong.
        """
        with suppress(Unavailable):
            self.credentials.current()
        for client in self._clients:
            with suppress(TransportError):
                client.prepare()
