"""Files that people send: pictures of themselves, covers of rooms, lists to make decks of."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from trinity.domain.ids import DAY, MINUTE, BlobId, Millis, RoomId, UploadId, UserId
from trinity.domain.pictures import Picture

UploadKind = Literal["avatar", "cover", "list"]
UploadState = Literal["waiting", "processing", "ready", "rejected"]

FORM_FOR = Millis(10 * MINUTE)
"""How long the form for a file is good."""
KEPT_FOR = Millis(7 * DAY)
"""How long an upload can be asked about, and a list can become a deck."""

_MIB = 1024 * 1024
LARGEST: dict[UploadKind, int] = {"avatar": 10 * _MIB, "cover": 10 * _MIB, "list": 4 * _MIB}
"""Bytes."""

_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")
CONTENT_TYPES: dict[UploadKind, tuple[str, ...]] = {
    "avatar": _PICTURES,
    "cover": _PICTURES,
    "list": ("text/csv", "text/tab-separated-values", "text/plain"),
}
"""What a file may call itself. Of pictures nobody believes it, the bytes tell; in a list that is
`text/plain` a comma is a comma."""

SIZES: dict[UploadKind, tuple[int, int, int]] = {
    "avatar": (64, 192, 512),
    "cover": (320, 640, 1280),
}
"""Pixels: of an avatar, which is a square, and of the longer side of a cover. At the most: small
pictures stay small."""


class LineError(msgspec.Struct, frozen=True):
    """What is wrong in a line of a list; the first line is 1."""

    line: int
    message: str


class UnusableFile(Exception):
    """A file is not what it has to be, and only who sent it can do something about that.

    Attributes:
        reason: a sentence for people.
        errors: by line, for lists.
    """

    def __init__(self, reason: str, errors: Sequence[LineError] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.errors = tuple(errors)


class Upload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A file that somebody sends, or wants to send.

    Attributes:
        content_type: what the file calls itself.
        size: the most bytes that it may have.
        room_id: the room that it will be the cover of.
        form_until: when the form for the file expires.
        finished_at: when it became ready or was rejected.
        reason: why it was rejected, in a sentence.
        errors: what is wrong with a rejected list, by line.
        picture: what was made of a picture, once that is in sight.
        deck: the titles of a list.
        entries: how many they are.
        cause: the request that began it, see `trinity.store.causes`.
    """

    id: UploadId
    user_id: UserId
    kind: UploadKind
    state: UploadState = "waiting"
    content_type: str
    size: int
    room_id: RoomId | None = None
    created_at: Millis
    form_until: Millis
    finished_at: Millis | None = None
    reason: str | None = None
    errors: tuple[LineError, ...] = ()
    picture: Picture | None = None
    deck: BlobId | None = None
    entries: int | None = None
    cause: str | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.finished_at is not None

    @property
    def key(self) -> str:
        """Under which key the file is stored until it is processed."""
        return file_key(self.user_id, self.id)


_FOLDER = "uploads"


def file_key(user: UserId, upload: UploadId) -> str:
    """Return the key of a file."""
    return f"{_FOLDER}/{user}/{upload}"


def of_key(key: str) -> tuple[UserId, UploadId] | None:
    """Return whose file a key is of and which; None if it is of none."""
    match key.split("/"):
        case [folder, user, upload] if folder == _FOLDER and user.isalnum() and upload.isalnum():
            return UserId(user), UploadId(upload)
    return None
