"""Taking a copy of everything that lasts while the server runs, and bringing it back.

A backup is a tar file: the database as it was at one moment, then the decks and the keys. Decks are
stored before the rooms that use them and never change, so every room of the copy has its deck.
"""

import os
import sqlite3
import tarfile
import tempfile
from pathlib import Path

DATABASE = "trinity.sqlite"
_FOLDERS = ("blobs", "keys")


class BackupFailed(Exception):
    """The backup was not taken, or not brought back; the message says why."""


def take(data: Path, target: Path) -> int:
    """Write a backup; return its size in bytes.

    Args:
        data: the data folder, in use or not.
        target: the file to write; one that is there is replaced when the new one is complete. It
            holds the signing key, so only its owner may read it.

    Raises:
        BackupFailed: there is no data, or the file cannot be written.
    """
    if not (data / DATABASE).exists():
        raise BackupFailed(f"there is no data in {data}")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".trinity-backup-") as scratch:
            snapshot, archive = Path(scratch) / DATABASE, Path(scratch) / "archive"
            _snapshot(data / DATABASE, snapshot)
            with tarfile.open(archive, "w") as tar:
                tar.add(snapshot, DATABASE)
                for folder in _FOLDERS:
                    if (data / folder).exists():
                        tar.add(data / folder, folder, filter=_complete)
            archive.chmod(0o600)
            handle = os.open(archive, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            archive.replace(target)
    except OSError as error:
        raise BackupFailed(f"{target} cannot be written: {error.strerror}") from error
    return target.stat().st_size


def restore(source: Path, data: Path) -> None:
    """Bring a backup back into an empty data folder.

    Raises:
        BackupFailed: the folder has data already, or the file is no backup.
    """
    if (data / DATABASE).exists():
        raise BackupFailed(f"there is data in {data} already; choose another TRINITY_DATA")
    try:
        with tarfile.open(source, "r:*") as tar:
            if DATABASE not in tar.getnames():
                raise BackupFailed(f"{source} is no backup of Trinity")
            data.mkdir(parents=True, exist_ok=True)
            # The filter refuses whatever would land outside of the folder.
            tar.extractall(data, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise BackupFailed(f"{source} cannot be read: {error}") from error
    for key in (data / "keys").glob("*"):
        key.chmod(0o600)


def _snapshot(database: Path, target: Path) -> None:
    source, copy = sqlite3.connect(database), sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()


def _complete(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out files that are being written at this moment: their names begin with a dot."""
    return None if Path(member.name).name.startswith(".") else member
