"""The JWT authorizer of API Gateway on one machine.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""

import time
from typing import Any

import jwt

from trinity.common.tokens import AUDIENCE
from trinity.ports import SigningKeys

_REMEMBERED = 20_000
_LONGEST_TOKEN = 4096
_REQUIRED = ["exp", "iat", "iss", "aud", "sub"]


class Authorizer:
    """Verifies access tokens, each one's signature once.

    Args:
        keys: of the issuer.
        issuer: whose tokens are accepted.
    """

    def __init__(self, keys: SigningKeys, issuer: str) -> None:
        self._source = keys
        self._keys: dict[str, jwt.PyJWK] = {}
        self._issuer = issuer
        self._verified: dict[str, tuple[int, dict[str, str]]] = {}

    def claims(self, authorization: str | None) -> dict[str, str] | None:
        """Return the claims of a bearer token as strings, None if it is not valid now."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or len(token) > _LONGEST_TOKEN:
            return None
        known = self._verified.get(token)
        if known is not None:
            return known[1] if time.time() < known[0] else None
        claims = self._verify(token)
        if claims is None:
            return None
        texts = {name: _text(value) for name, value in claims.items()}
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[token] = (claims["exp"], texts)
        return texts

    def _verify(self, token: str) -> dict[str, Any] | None:
        try:
            key = self._key(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                return None
            return jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": _REQUIRED},
            )
        except jwt.InvalidTokenError:
            return None

    def _key(self, kid: str) -> jwt.PyJWK | None:
        if kid not in self._keys:  # it may be a new one
            for key in self._source.public():
                if key["kid"] == kid:
                    self._keys[kid] = jwt.PyJWK.from_dict(key)
        return self._keys.get(kid)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(map(_text, value))}]"
    return str(value)
