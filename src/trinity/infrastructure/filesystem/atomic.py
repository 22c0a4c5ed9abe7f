"""Writing a file so that it is there whole or not at all, even after a power failure."""

import os
import tempfile
from pathlib import Path


class Writing:
    """A file that is written piece by piece, and there when it is kept.

    Args:
        path: where; the folder must exist. One that is there is replaced.
        mode: permissions, set before anything is written.
    """

    def __init__(self, path: Path, *, mode: int) -> None:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._path, self._temporary = path, Path(temporary)
        self._file = os.fdopen(handle, "wb")
        try:
            os.fchmod(handle, mode)
        except BaseException:
            self.discard()
            raise

    def write(self, piece: bytes) -> None:
        """Append a piece."""
        self._file.write(piece)

    def keep(self) -> None:
        """Let the file be there, durably."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def write(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file durably, replacing one that is there.

    Args:
        path: where; the folder must exist.
        content: all of it.
        mode: permissions, set before anything is written.
    """
    writing = Writing(path, mode=mode)
    try:
        writing.write(content)
        writing.keep()
    except BaseException:
        writing.discard()
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: they are part of it, not of the files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
