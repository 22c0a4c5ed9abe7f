"""Taking a copy of everything that lasts while the server runs, and bringing it back.

A backup is a tar file: the database as it was at one moment, then the decks, the pictures, the
files that wait to be processed, the archive of events and the keys. Decks and pictures are stored
before the items that name them and never change, so every room of the copy has its deck.
"""

import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

DATABASE = "trinity.sqlite"
_FOLDERS = ("blobs", "media", "uploads", "archive", "keys")
_OURS = [(name,) for name in (DATABASE, *_FOLDERS)]


class BackupFailed(Exception):
    """The backup was not taken, or not brought back; the message says why."""


def take(data: Path, target: Path) -> int:
    """Write a backup; return its size in bytes.

    Args:
        data: the data folder, in use or not.
        target: the file to write; one that is there is replaced when the new one is complete. It
            holds the signing key, so only its owner may read it.

    Raises:
        BackupFailed: there is no data, it cannot be read, or the file cannot be written.
    """
    if not (data / DATABASE).exists():
        raise BackupFailed(f"there is no data in {data}")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".trinity-backup-") as scratch:
            snapshot, archive = Path(scratch) / DATABASE, Path(scratch) / "archive"
            _snapshot(data / DATABASE, snapshot)
            with tarfile.open(archive, "w") as tar:
                tar.add(snapshot, DATABASE)
                _add_files(tar, data)
            archive.chmod(0o600)
            handle = os.open(archive, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            archive.replace(target)
    except OSError as error:
        raise BackupFailed(f"{target} cannot be written: {error.strerror}") from error
    except sqlite3.DatabaseError as error:
        raise BackupFailed(f"the database cannot be read: {error}; try trinity doctor") from error
    return target.stat().st_size


def restore(source: Path, data: Path) -> None:
    """Bring a backup back into an empty data folder.

    Raises:
        BackupFailed: the folder has data already, or the file is no backup.
    """
    for name in (DATABASE, *_FOLDERS):
        there = data / name
        if there.is_file() or (there.is_dir() and any(there.iterdir())):
            raise BackupFailed(f"there is data in {data} already; choose another TRINITY_DATA")
    try:
        with tarfile.open(source, "r:*") as tar:
            names = tar.getnames()
            known = all(Path(name).parts[:1] in _OURS for name in names)
            if DATABASE not in names or not known:
                raise BackupFailed(f"{source} is no backup of Trinity")
            data.mkdir(parents=True, exist_ok=True)
            data.chmod(0o700)
            with tempfile.TemporaryDirectory(dir=data, prefix=".restoring-") as scratch:
                # The filter refuses whatever would land outside of the folder.
                tar.extractall(scratch, filter="data")
                for path in Path(scratch).rglob("*"):
                    path.chmod(0o700 if path.is_dir() else 0o600)
                # The database last: without it the folder counts as empty, and one can try again.
                for path in sorted(Path(scratch).iterdir(), key=lambda p: p.name == DATABASE):
                    path.rename(data / path.name)  # onto an empty folder at the most
        os.sync()  # what is back stays, whatever happens to the machine next
    except (EOFError, tarfile.TarError) as error:
        raise BackupFailed(f"{source} is no whole backup") from error
    except OSError as error:
        where = error.filename or data
        raise BackupFailed(f"nothing was brought back: {where}: {error.strerror}") from error


def _snapshot(database: Path, target: Path) -> None:
    source, copy = sqlite3.connect(database), sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()


def _add_files(tar: tarfile.TarFile, data: Path) -> None:
    """Add what lies beside the database, all of it, though files may be merged meanwhile."""
    added: set[Path] = set()
    missed = True
    while missed:
        missed = False
        for path in _files(data):
            if path not in added:
                try:
                    tar.add(path, path.relative_to(data))
                except FileNotFoundError:
                    # A deck was old enough to go, or what was in it is in another file now.
                    missed = True
                added.add(path)


def _files(data: Path) -> Iterator[Path]:
    """Return what lies beside the database and lasts.

    Files that are being written at this moment have names that begin with a dot.
    """
    for folder in _FOLDERS:
        for path in sorted((data / folder).rglob("*")):
            if not path.name.startswith(".") and path.is_file():
                yield path
