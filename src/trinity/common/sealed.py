"""Texts that we hand out and take back: opaque, and nobody else can make them."""

import binascii

_MAC_BYTES = 16


def seal(key: bytes, scope: str, payload: bytes) -> str:
    """Return a text of URL-safe characters that holds a payload.

    Args:
        key: 32 bytes that nobody else knows.
        scope: what the text is for; it is good for nothing else.
        payload: is not hidden.
    """
    import base64

    return base64.urlsafe_b64encode(mac(key, scope, payload) + payload).decode().rstrip("=")


def unseal(key: bytes, scope: str, text: str) -> bytes | None:
    """Return what a text holds, None if it was not made with this key for this scope."""
    import base64
    import hmac

    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    given, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not payload or not hmac.compare_digest(given, mac(key, scope, payload)):
        return None
    return payload


def mac(key: bytes, scope: str, payload: bytes) -> bytes:
    """Return 16 bytes that only those who know the key can tell of a payload."""
    import hashlib

    return hashlib.blake2b(
        scope.encode() + b"\0" + payload, key=key, digest_size=_MAC_BYTES
    ).digest()
