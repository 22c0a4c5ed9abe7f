"""Ask what became of a file."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import PictureShape, Shape, media_url, rfc3339
from trinity.domain import errors
from trinity.domain.ids import UploadId
from trinity.domain.uploads import LineError, Upload, UploadKind, UploadState
from trinity.ports import Table
from trinity.store import uploads


class UploadShape(Shape, frozen=True, kw_only=True):
    """What became of an upload.

    Attributes:
        url: the picture, in the middle size.
        entries: how many entries a list has.
        reason: why the file was rejected, in a sentence.
        errors: what is wrong in which line of a rejected list, the first twenty.
    """

    upload_id: UploadId
    kind: UploadKind
    state: UploadState
    created_at: str
    expires_at: str
    url: str | None = None
    picture: PictureShape | None = None
    entries: int | None = None
    reason: str | None = None
    errors: tuple[LineError, ...] = ()

    @classmethod
    def of(cls, upload: Upload, base_url: str) -> "UploadShape":
        """Return the shape of an upload, for nobody's eyes but its owner's."""
        return cls(
            upload_id=upload.id,
            kind=upload.kind,
            state=upload.state,
            created_at=rfc3339(upload.created_at),
            expires_at=rfc3339(upload.form_until),
            url=media_url(upload.picture.medium if upload.picture else None, base_url),
            picture=PictureShape.of(upload.picture, base_url),
            entries=upload.entries,
            reason=upload.reason,
            errors=upload.errors,
        )


class GetUpload(Request, frozen=True, kw_only=True):
    """Which upload."""

    upload_id: UploadId


def get_upload(request: GetUpload, caller: Caller, origin: Origin, *, table: Table) -> UploadShape:
    """Tell how far an upload of the caller is.

    `waiting`: for the file. `processing`: the file is there. `ready`: the picture is in its place,
    the list can become a deck. `rejected`: `reason` says why. It can be asked about for a week.

    Raises:
        NotFound: the caller has no such upload.
    """
    upload = uploads.find(table, caller.user_id, request.upload_id)
    if upload is None:
        raise errors.NotFound("You have no such upload. They are kept for a week.")
    return UploadShape.of(upload, origin.base_url)


handler = operation(get_upload)
