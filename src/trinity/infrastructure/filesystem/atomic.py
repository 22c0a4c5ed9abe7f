"""Writing a file so that it is there whole or not at all, even after a power failure."""

import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file durably, replacing one that is there.

    Args:
        path: where; the folder must exist.
        content: all of it.
        mode: permissions, set before anything is written.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: they are part of it, not of the files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
