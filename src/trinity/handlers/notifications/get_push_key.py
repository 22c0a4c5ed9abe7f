"""The key that browsers subscribe to Web Push with."""

import msgspec

from trinity.bootstrap import operation
from trinity.ports import PushKeys


class PushPublicKey(msgspec.Struct, frozen=True, rename="camel"):
    """The `applicationServerKey` of `PushManager.subscribe`, base64url."""

    public_key: str


def get_push_key(*, push_keys: PushKeys) -> PushPublicKey:
    """Return the public key by which push services know this server (VAPID)."""
    return PushPublicKey(push_keys.current().public)


handler = operation(get_push_key)
