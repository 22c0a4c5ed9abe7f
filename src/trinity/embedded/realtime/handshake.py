"""How a client says who it is: once for the connection, and once for each subscription.

https://docs.aws.amazon.com/appsync/latest/devguide/real-time-websocket-client.html#handshake-details-to-establish-the-websocket-connection
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

PROTOCOL = "graphql-ws"
"""The sub-protocol that a client must offer; it is AppSync's own, in spite of its name."""
_IN_PROTOCOL = "header-"
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode


class Refused(Exception):
    """The client may not connect.

    Attributes:
        error: as `connection_error` shows it.
    """

    def __init__(self, message: str, code: int, error_type: str | None = None) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"message": message, "errorCode": code}
        if error_type is not None:
            self.error["errorType"] = error_type


def authorization(
    protocols: Sequence[str], query: str, headers: Iterable[tuple[bytes, bytes]]
) -> dict[str, str]:
    """Return the authorization of a connection, its names in lower case.

    It comes in the sub-protocol (Amplify 6.22, the Apollo link), in the query string (gql, older
    Amplify), or in plain headers.

    Args:
        protocols: those that the client offers.
        query: as it came over the wire.
        headers: of the upgrade request.

    Raises:
        Refused: the sub-protocol is missing, or the authorization is, or it cannot be read. The
            wordings are those that users have reported.
    """
    if not protocols:
        raise Refused("NoProtocolError", 400)
    if PROTOCOL not in protocols:
        raise Refused("SubProtocolNotSupportedError", 400)
    for protocol in protocols:
        if protocol.startswith(_IN_PROTOCOL):
            return _named(_object(protocol.removeprefix(_IN_PROTOCOL)))
    parameters = _parameters(query)
    if "header" in parameters:
        if parameters.get("payload"):
            _object(parameters["payload"])  # it has to be one; AppSync wants `{}`
        return _named(_object(parameters["header"]))
    plain = _named({name.decode("latin-1"): value.decode("latin-1") for name, value in headers})
    if "authorization" not in plain and "x-api-key" not in plain:
        raise Refused("Required headers are missing.", 400, "BadRequest")
    return plain


def of_start(payload: dict[str, Any]) -> str | None:
    """Return the `Authorization` of a `start`, None if it bears none."""
    extensions = payload.get("extensions")
    given = extensions.get("authorization") if isinstance(extensions, dict) else None
    return _named(given).get("authorization") if isinstance(given, dict) else None


def _named(given: Mapping[str, Any]) -> dict[str, str]:
    """Compare names without case: one object may even hold `x-api-key` and `X-Api-Key`."""
    return {name.lower(): value for name, value in given.items() if isinstance(value, str)}


def _object(text: str) -> dict[str, Any]:
    """Decode an object from base64 of either alphabet, padded or not."""
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        raw = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        return _DECODE(raw)
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise Refused("Required headers are missing.", 400, "BadRequest") from None


def _parameters(query: str) -> dict[str, str]:
    """Split a query string, in which `+` is a `+`: gql does not percent-encode its base64."""
    pairs = (part.partition("=") for part in query.split("&"))
    return {unquote(name): unquote(value) for name, _, value in pairs}
