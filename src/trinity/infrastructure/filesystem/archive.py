"""`Archive` in a folder."""

import re
from pathlib import Path

from trinity.infrastructure.filesystem import atomic

_NAME = re.compile(r"(?:[A-Za-z0-9_=-][A-Za-z0-9._=-]*/)*[A-Za-z0-9_=-][A-Za-z0-9._=-]*")


class FileArchive:
    """See `Archive`.

    Args:
        folder: where the files are; it is created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, content: bytes) -> None:
        """See `Archive.put`."""
        path = self._path(name)
        missing = [p for p in path.parents if self._folder in p.parents and not p.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            atomic.sync_folder(folder.parent)
        atomic.write(path, content, mode=0o600)

    def get(self, name: str) -> bytes:
        """See `Archive.get`."""
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise KeyError(name) from None

    def names(self, prefix: str) -> list[str]:
        """See `Archive.names`. What is being written, or is not ours, has another kind of name."""
        below = self._folder / prefix.rpartition("/")[0]
        found = (path.relative_to(self._folder).as_posix() for path in below.rglob("*"))
        return sorted(
            name
            for name in found
            if name.startswith(prefix) and _NAME.fullmatch(name) and (self._folder / name).is_file()
        )

    def delete(self, name: str) -> None:
        """See `Archive.delete`."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise KeyError(name)
        return self._folder / name
