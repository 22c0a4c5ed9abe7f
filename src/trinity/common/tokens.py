"""Access tokens: JSON Web Tokens (RFC 7519) signed with RS256, good for fifteen minutes.

The gateway verifies them: API Gateway's JWT authorizer on AWS, PyJWT in the embedded host. Handlers
only issue them; `subject` is for the one route that works with and without a token.
"""

import base64
import binascii
from typing import Any

import msgspec

from trinity.domain.ids import Millis, UserId
from trinity.domain.users import ACCESS_TOKEN_FOR, User
from trinity.ports import Ids, SigningKeys

AUDIENCE = "trinity"


def issue(keys: SigningKeys, ids: Ids, user: User, family: str, issuer: str, now: Millis) -> str:
    """Return an access token for a user.

    Args:
        keys: the newest one signs.
        ids: names the token.
        user: whose token.
        family: the session that it belongs to.
        issuer: who says so.
        now: when it begins to be good.
    """
    key = keys.current()
    header = {"alg": "RS256", "typ": "JWT", "kid": key.kid}
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": user.id,
        "sid": family,
        "jti": ids.new(),
        "iat": now // 1000,
        "exp": (now + ACCESS_TOKEN_FOR) // 1000,
        "guest": user.guest,
    }
    signed = f"{_encode(msgspec.json.encode(header))}.{_encode(msgspec.json.encode(claims))}"
    return f"{signed}.{_encode(key.sign(signed.encode()))}"


def subject(keys: SigningKeys, token: str, issuer: str, now: Millis) -> UserId | None:
    """Return whose token this is, None if it is not a valid one of ours."""
    signed, _, signature = token.rpartition(".")
    head, _, body = signed.partition(".")
    try:
        header: dict[str, Any] = msgspec.json.decode(_decode(head), type=dict)
        key = keys.by_kid(header.get("kid", ""))
        if header.get("alg") != "RS256" or key is None:
            return None
        if not key.verify(signed.encode(), _decode(signature)):
            return None
        claims: dict[str, Any] = msgspec.json.decode(_decode(body), type=dict)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        return None
    # The signature is ours, so the claims have the shape that `issue` gave them.
    if claims["iss"] != issuer or claims["aud"] != AUDIENCE or claims["exp"] * 1000 <= now:
        return None
    return UserId(claims["sub"])


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    if _encode(raw) != text:  # the last character has bits to spare: one spelling is enough
        raise ValueError("not the canonical form")
    return raw
