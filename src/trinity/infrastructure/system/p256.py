"""The key by which push services know us, made of a secret of any form."""

import base64
import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trinity.ports import PushKey, Unavailable

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256: SEC 2, 2.4.2."""


class DerivedKeys:
    """See `PushKeys`.

    Args:
        read: returns the secret that the keys are made of.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._made: PushKey | None = None

    def current(self) -> PushKey:
        """See `PushKeys.current`.

        Raises:
            Unavailable: the secret cannot be read, or has no value yet.
        """
        if self._made is None:
            self._made = derive(self._read())
        return self._made


def derive(secret: bytes) -> PushKey:
    """Return the key that a secret stands for; so nobody has to write a key anywhere.

    16 bytes more than the order has leave no number that is noticeably more likely than another
    (FIPS 186-5, A.2.1).

    Raises:
        Unavailable: the secret has no value yet.
    """
    if not secret:
        raise Unavailable("the secret of the push key has no value yet")
    digest = hashlib.blake2b(secret, digest_size=48, person=b"trinity push key").digest()
    number = int.from_bytes(digest, "big") % (_ORDER - 1) + 1
    private = ec.derive_private_key(number, ec.SECP256R1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return PushKey(_text(point), _text(number.to_bytes(32, "big")))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
