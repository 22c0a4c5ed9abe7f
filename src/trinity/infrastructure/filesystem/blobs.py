"""`Blobs` in a folder: a file is named by the SHA-256 of what is in it."""

import re
import threading
from contextlib import suppress
from pathlib import Path

from trinity.domain.ids import BlobId, Millis, blob_id
from trinity.infrastructure.filesystem import atomic


class FileBlobs:
    """See `Blobs`.

    Args:
        folder: where the files are; it is created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes, *, content_type: str) -> BlobId:
        """See `Blobs.put`. The type is told by whoever serves the blob; files have none."""
        name = blob_id(content)
        path = self._path(name)
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
            atomic.sync_folder(self._folder)
        with self._lock:
            atomic.write(path, content, mode=0o600)
        return name

    def sweep(self, before: Millis) -> int:
        """Remove what was last stored before a point in time; return how many.

        One process has the folder, so what is found to be old here cannot be made new meanwhile.
        """
        removed = 0
        for path in self._folder.glob("??/*"):
            with self._lock, suppress(FileNotFoundError):  # half done when it was listed
                if path.stat().st_mtime * 1000 < before:
                    path.unlink()
                    removed += 1
        return removed

    def get(self, blob_id: BlobId) -> bytes:
        """See `Blobs.get`."""
        if not _is_name(blob_id):
            raise KeyError(blob_id)
        try:
            return self._path(blob_id).read_bytes()
        except FileNotFoundError:
            raise KeyError(blob_id) from None

    def delete(self, blob_id: BlobId) -> None:
        """See `Blobs.delete`."""
        if _is_name(blob_id):
            self._path(blob_id).unlink(missing_ok=True)

    def _path(self, blob_id: BlobId) -> Path:
        return self._folder / blob_id[:2] / blob_id


def _is_name(blob_id: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", blob_id) is not None
