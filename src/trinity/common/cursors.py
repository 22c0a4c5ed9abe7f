"""Cursors of lists: opaque, signed, good for a day.

Signed, so that a client can only go on where a list really broke off.
"""

import base64
import binascii

import msgspec

from trinity.domain import errors
from trinity.domain.ids import DAY, Millis

_MAC_BYTES = 16


def write(key: bytes, scope: str, position: str, now: Millis) -> str:
    """Return a cursor.

    Args:
        key: what cursors are signed with.
        scope: which list of whom; the cursor is good for no other.
        position: where the list broke off.
        now: the present time.
    """
    payload = msgspec.json.encode((position, now + DAY))
    return base64.urlsafe_b64encode(_mac(key, scope, payload) + payload).decode().rstrip("=")


def read(key: bytes, scope: str, cursor: str, now: Millis) -> str:
    """Return the position that a cursor stands for.

    Raises:
        InvalidRequest: it is not a cursor of this list.
        Gone: it is too old.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    # Nothing is learned from how long this comparison takes: the other side of it is the forger's
    # own, fresh for each payload, and a cursor gives access to nothing.
    if not payload or mac != _mac(key, scope, payload):
        raise errors.InvalidRequest(errors=[("/cursor", "is not a cursor of this list")])
    position, until = msgspec.json.decode(payload, type=tuple[str, int])
    if until < now:
        raise errors.Gone("This cursor has expired. Read the list again from its beginning.")
    return position


def _mac(key: bytes, scope: str, payload: bytes) -> bytes:
    import hashlib

    return hashlib.blake2b(scope.encode() + b"\0" + payload, key=key, digest_size=16).digest()
