"""`SigningKeys` and `Secrets` in a folder, created on first use, readable by their owner alone.

Each `*.pem` is a signing key and its file name is its `kid`. The one that was written last signs;
all are accepted, so that a key can be replaced without signing anybody out.
"""

import base64
import fcntl
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from trinity.infrastructure.filesystem import atomic

_BITS = 2048


class FileKey:
    """See `SigningKey`."""

    def __init__(self, kid: str, private: rsa.RSAPrivateKey) -> None:
        self._kid = kid
        self._private = private
        self._public = private.public_key()

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
        """Return the public key as a JSON Web Key."""
        numbers = self._public.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self._kid,
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }


class FileKeys:
    """See `SigningKeys`.

    Args:
        folder: where the keys are; it is created, and so is a first key.
    """

    def __init__(self, folder: Path) -> None:
        with _locked(folder):
            files = sorted(folder.glob("*.pem"), key=lambda path: path.stat().st_mtime)
            if not files:
                files = [_create_key(folder)]
        self._keys = [_load(path) for path in files]

    def current(self) -> FileKey:
        """See `SigningKeys.current`."""
        return self._keys[-1]

    def by_kid(self, kid: str) -> FileKey | None:
        """See `SigningKeys.by_kid`."""
        return next((key for key in self._keys if key.kid == kid), None)

    def public(self) -> list[dict[str, str]]:
        """See `SigningKeys.public`."""
        return [key.jwk() for key in self._keys]


class FileSecrets:
    """See `Secrets`.

    Args:
        folder: where the keys are; it is created.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "cursor.key"
        with _locked(folder):
            if not path.exists():
                atomic.write(path, os.urandom(32), mode=0o600)
        self._cursor_key = path.read_bytes()

    def cursor_key(self) -> bytes:
        """See `Secrets.cursor_key`."""
        return self._cursor_key


class _locked:
    """Holds the folder, so that two processes that start at once make one key."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder

    def __enter__(self) -> None:
        self._handle = os.open(self._folder, os.O_RDONLY)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def _create_key(folder: Path) -> Path:
    private = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path = folder / f"{hashlib.sha256(public).hexdigest()[:16]}.pem"
    atomic.write(path, pem, mode=0o600)
    return path


def _load(path: Path) -> FileKey:
    private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError(f"{path} does not hold an RSA key")
    return FileKey(path.stem, private)


def _number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
