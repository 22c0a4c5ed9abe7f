"""Notices by Web Push (RFC 8030): encrypted for one browser (RFC 8291), signed by us (RFC 8292).

The libraries for this bring aiohttp and requests along, or pydantic; the one for the encryption
alone has neither types nor a wheel. What is left is a key agreement and one record of AES-GCM,
which `cryptography` does; the tests decrypt with that library, and go by the example of the RFC.
"""

import base64
import binascii
import os

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trinity.domain.notices import Browser, Content
from trinity.infrastructure.notifiers.outbound import Outbound
from trinity.ports import Clock, EndpointGone, PushKeys, Refused

_KEPT_FOR_S = 24 * 3600  # by the push service, for a browser that is off
_TOKEN_FOR_S = 12 * 3600  # RFC 8292 allows a day
_RECORD_SIZE = 4096  # what every push service takes (RFC 8030, 7.2)
_HEADER = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9"  # {"typ":"JWT","alg":"ES256"}
_GONE = frozenset((404, 410))


class PushNotifier:
    """See `Notifier`; it sends to browsers.

    Args:
        keys: by which push services know us.
        contact: `mailto:` or `https:`, for the operators of push services.
        outbound: carries the requests.
        clock: what tokens go by.
    """

    def __init__(self, keys: PushKeys, contact: str, outbound: Outbound, clock: Clock) -> None:
        self._keys = keys
        self._contact = contact
        self._outbound = outbound
        self._clock = clock

    def send(self, to: Browser, content: Content) -> None:
        """See `Notifier.send`."""
        shown = {
            "title": content.title,
            "body": content.text,
            "url": content.link,
            "tag": content.id,  # the same again replaces the first
        }
        try:
            body = encrypt(msgspec.json.encode(shown), decode(to.p256dh), decode(to.auth))
        except (ValueError, binascii.Error):
            raise EndpointGone("the keys of the browser are none") from None
        headers = {
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(_KEPT_FOR_S),
            "urgency": "high" if content.kind == "matchFound" else "normal",
            "topic": content.id,  # the same again, while the browser is off, is kept once
            "authorization": self._authorization(to.endpoint),
        }
        answer = self._outbound.post(to.endpoint, headers, body)
        if answer.status in _GONE:
            raise EndpointGone(f"the push service answered {answer.status}")
        answer.settle()

    def _authorization(self, endpoint: str) -> str:
        """Say who we are, to this push service alone: a JSON Web Token with ES256."""
        scheme, _, rest = endpoint.partition("://")
        claims = {
            "aud": f"{scheme}://{rest.partition('/')[0]}",
            "exp": self._clock.now() // 1000 + _TOKEN_FOR_S,
            "sub": self._contact,
        }
        signed = f"{_HEADER}.{encode(msgspec.json.encode(claims))}"
        key = self._keys.current()
        number = int.from_bytes(decode(key.private), "big")
        private = ec.derive_private_key(number, ec.SECP256R1())
        # RFC 7518, 3.4: the two numbers of the signature, one behind the other.
        r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"vapid t={signed}.{encode(signature)}, k={key.public}"


def encrypt(
    plaintext: bytes,
    receiver: bytes,
    auth: bytes,
    *,
    salt: bytes | None = None,
    private: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """Return a message that only one browser can read: RFC 8291, in one record of RFC 8188.

    Args:
        plaintext: what to say.
        receiver: public key of the browser, an uncompressed point.
        auth: the secret that the browser shares with us.
        salt: of this message alone; given for the example of the RFC.
        private: key of this message alone, as above.

    Raises:
        ValueError: the key is no point of the curve.
        Refused: the message is too long.
    """
    salt = salt or os.urandom(16)
    private = private or ec.generate_private_key(ec.SECP256R1())
    sender = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    known = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), receiver)
    shared = private.exchange(ec.ECDH(), known)
    secret = _derive(shared, auth, b"WebPush: info\0" + receiver + sender, 32)
    key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    record = AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)  # \x02: the last record
    head = salt + _RECORD_SIZE.to_bytes(4, "big") + bytes([len(sender)]) + sender
    if len(head) + len(record) > _RECORD_SIZE:
        raise Refused("the notice is too long for a push service")
    return head + record


def encode(raw: bytes) -> str:
    """Return bytes as base64url."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Return the bytes that base64url stands for."""
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)
