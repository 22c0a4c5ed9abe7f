"""Cursors of lists: opaque, signed, good for a day.

Signed, so that a client can only go on where a list really broke off.
"""

import msgspec

from trinity.common import sealed
from trinity.domain import errors
from trinity.domain.ids import DAY, Millis


def write(key: bytes, scope: str, position: str, now: Millis) -> str:
    """Return a cursor.

    Args:
        key: what cursors are signed with.
        scope: which list of whom; the cursor is good for no other.
        position: where the list broke off.
        now: the present time.
    """
    return sealed.seal(key, scope, msgspec.json.encode((position, now + DAY)))


def read(key: bytes, scope: str, cursor: str, now: Millis) -> str:
    """Return the position that a cursor stands for.

    Raises:
        InvalidRequest: it is not a cursor of this list.
        Gone: it is too old.
    """
    payload = sealed.unseal(key, scope, cursor)
    if payload is None:
        raise errors.InvalidRequest(errors=[("/cursor", "is not a cursor of this list")])
    position, until = msgspec.json.decode(payload, type=tuple[str, int])
    if until < now:
        raise errors.Gone("This cursor has expired. Read the list again from its beginning.")
    return position
