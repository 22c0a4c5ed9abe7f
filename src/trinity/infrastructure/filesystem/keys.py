"""`SigningKeys` and `Secrets` in a folder, created on first use, readable by their owner alone.

Each `*.pem` is a signing key, its file name is its `kid`, and it is as old as the file.
"""

import fcntl
import os
from pathlib import Path
from typing import NamedTuple

from trinity.domain import signing
from trinity.domain.ids import Millis
from trinity.infrastructure.filesystem import atomic
from trinity.infrastructure.system.rsa import RsaKey
from trinity.ports import Clock


class _File(NamedTuple):
    path: Path
    created: Millis
    key: RsaKey


class FileKeys:
    """See `SigningKeys`. Threads may share it.

    Args:
        folder: where the keys are; it is created, and so is a first key.
        clock: tells which of them signs.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        with _locked(folder):
            files = [_load(path) for path in folder.glob("*.pem")] or [self._create()]
        self._files = sorted(files, key=lambda file: file.created)

    def current(self) -> RsaKey:
        """See `SigningKeys.current`."""
        files = self._files
        return files[signing.signing([file.created for file in files], self._clock.now())].key

    def by_kid(self, kid: str) -> RsaKey | None:
        """See `SigningKeys.by_kid`."""
        return next((file.key for file in self._files if file.key.kid == kid), None)

    def public(self) -> list[dict[str, str]]:
        """See `SigningKeys.public`."""
        return [file.key.jwk() for file in self._files]

    def renew(self) -> None:
        """See `SigningKeys.renew`."""
        with _locked(self._folder):
            *old, newest = self._files
            if not signing.due(newest.created, self._clock.now()):
                return
            self._files = [newest, self._create()]
            for file in old:
                file.path.unlink()

    def _create(self) -> _File:
        key, now = RsaKey.generate(), self._clock.now()
        path = self._folder / f"{key.kid}.pem"
        atomic.write(path, key.pem(), mode=0o600)
        os.utime(path, (now / 1000, now / 1000))
        return _File(path, now, key)


class FileSecrets:
    """See `Secrets`.

    Args:
        folder: where the keys are; it is created.
    """

    def __init__(self, folder: Path) -> None:
        self._cursor_key = secret_key(folder, "cursor")

    def cursor_key(self) -> bytes:
        """See `Secrets.cursor_key`."""
        return self._cursor_key


def push_seed(folder: Path) -> bytes:
    """Return what the key is derived from by which push services know us.

    Browsers subscribe to that key: with another one all of them would have to do so anew.
    """
    return secret_key(folder, "push")


def secret_key(folder: Path, name: str) -> bytes:
    """Return 32 bytes of chance that nobody outside knows, the same each time.

    Args:
        folder: where keys are; it is created, and so is the key.
        name: of the key.
    """
    path = folder / f"{name}.key"
    with _locked(folder):
        if not path.exists():
            atomic.write(path, os.urandom(32), mode=0o600)
    return path.read_bytes()


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


def _load(path: Path) -> _File:
    try:
        key = RsaKey.read(path.stem, path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} does not hold an RSA key") from error
    return _File(path, Millis(path.stat().st_mtime_ns // 1_000_000), key)
