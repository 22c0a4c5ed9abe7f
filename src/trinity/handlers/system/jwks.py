"""The public keys of access tokens (RFC 7517)."""

from typing import Any

from trinity.bootstrap import operation
from trinity.common.requests import Reply
from trinity.ports import SigningKeys


def jwks(*, keys: SigningKeys) -> Reply:
    """Return the key set, which may be kept for an hour."""
    body: dict[str, Any] = {"keys": keys.public()}
    return Reply(body, {"cache-control": "public, max-age=3600"})


handler = operation(jwks)
