"""The files of the web page, served from memory, and those of pictures."""

import hashlib
import mimetypes
import re
from pathlib import Path
from typing import NamedTuple

from trinity.domain.ids import BlobId
from trinity.ports import Blobs

FOLDER = Path(__file__).parent / "static"

# No script or style but our own files, nobody may frame us, pictures may come from anywhere.
_POLICY = (
    "default-src 'self'; img-src 'self' https: http: data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none';"
    " form-action 'self'"
)


class File(NamedTuple):
    """A file as it is sent."""

    content: bytes
    headers: dict[str, str]


class StaticFiles:
    """All files of a folder, and its `index.html` for `/` and for the links that people share.

    Args:
        folder: read once, when this is made.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            "/" + path.relative_to(folder).as_posix(): _file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def find(self, path: str) -> File | None:
        """Return the file that a path leads to, None if there is none."""
        if path == "/" or (path.startswith("/r/") and path.count("/") == 2):
            path = "/index.html"
        return self._files.get(path)


def _file(path: Path) -> File:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind in ("application/javascript", "image/svg+xml"):
        kind += "; charset=utf-8"
    return File(
        content,
        {
            "content-type": kind,
            "etag": f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"',
            "cache-control": "no-cache",
            "content-security-policy": _POLICY,
            "referrer-policy": "no-referrer",
        },
    )


class MediaFiles:
    """The files of pictures: WebP that we have made, and nothing else.

    Whoever has the address of one may see it; nobody can guess it. What it leads to never changes.

    Args:
        blobs: that hold them.
    """

    PREFIX = "/media/"

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def find(self, path: str) -> File | None:
        """Return the file that a path leads to, None if there is none."""
        name = re.fullmatch(r"/media/([0-9a-f]{64})\.webp", path)
        if name is None:
            return None
        try:
            content = self._blobs.get(BlobId(name[1]))
        except KeyError:
            return None
        return File(
            content,
            {
                "content-type": "image/webp",
                "etag": f'"{name[1]}"',
                "cache-control": "public, max-age=31536000, immutable",
                "content-security-policy": "default-src 'none'; sandbox",
                "cross-origin-resource-policy": "cross-origin",
            },
        )
