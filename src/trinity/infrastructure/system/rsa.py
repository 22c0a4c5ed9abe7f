"""RSA keys that sign access tokens (RS256)."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_BITS = 2048


class RsaKey:
    """See `SigningKey`."""

    def __init__(self, kid: str, private: rsa.RSAPrivateKey) -> None:
        self._kid = kid
        self._private = private
        self._public = private.public_key()

    @classmethod
    def generate(cls) -> "RsaKey":
        """Return a new key, named by the hash of its public part."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(hashlib.sha256(public).hexdigest()[:16], private)

    @classmethod
    def read(cls, kid: str, pem: bytes) -> "RsaKey":
        """Return a key that was written by `pem`.

        Its arithmetic is not checked again, which would take as long as all the rest of a start.

        Raises:
            ValueError: it is no RSA key.
        """
        private = serialization.load_pem_private_key(
            pem, password=None, unsafe_skip_rsa_key_validation=True
        )
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError(f"{kid} is not an RSA key")
        return cls(kid, private)

    @property
    def kid(self) -> str:
        """See `SigningKey.kid`."""
        return self._kid

    def sign(self, message: bytes) -> bytes:
        """See `SigningKey.sign`."""
        return self._private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def verify(self, message: bytes, signature: bytes) -> bool:
        """See `SigningKey.verify`."""
        try:
            self._public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def jwk(self) -> dict[str, str]:
        """Return the public part as a JSON Web Key (RFC 7517)."""
        numbers = self._public.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self._kid,
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }

    def pem(self) -> bytes:
        """Return the whole key, unencrypted (PKCS #8)."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def _number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
