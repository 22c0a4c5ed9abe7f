"""Ask for a form to send a file with."""

from typing import Annotated, Literal

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Origin, Request
from trinity.common.shapes import Shape, rfc3339
from trinity.domain import errors
from trinity.domain.ids import Millis, RoomId, UploadId, UserId
from trinity.domain.uploads import CONTENT_TYPES, FORM_FOR, LARGEST, Upload, UploadKind
from trinity.ports import Clock, Ids, Table, TransactionCancelled, Uploads
from trinity.store import rooms
from trinity.store import uploads as stored
from trinity.store.once import Once

ContentType = Literal[
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "text/csv",
    "text/tab-separated-values",
    "text/plain",
]


class FormShape(Shape, frozen=True, kw_only=True):
    """Where and how to post the file: `multipart/form-data`, all `fields` first, then `file`."""

    upload_id: UploadId
    url: str
    fields: dict[str, str]
    expires_at: str


class CreateUpload(Request, frozen=True, kw_only=True):
    """What kind of file. A cover names its room; `size` is of the file, in bytes."""

    kind: UploadKind
    content_type: ContentType
    size: Annotated[int, Meta(ge=1)]
    room_id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


def create_upload(
    request: CreateUpload,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    uploads: Uploads,
    limits: RateLimits,
    clock: Clock,
    ids: Ids,
) -> FormShape:
    """Get a signed form for one file: a picture of oneself, the cover of a room, or a list.

    The file is posted to `url` as `multipart/form-data`, all `fields` first and `file` last, within
    ten minutes. What becomes of it then, `GET /api/uploads/{uploadId}` tells. With an
    `Idempotency-Key` the same request by the same caller gives the same form, for a day.

    Raises:
        InvalidRequest: such a file is not taken, or it is too large.
        RoomNotFound: there is no such room.
        NotAMember, NotTheHost: only the host gives a room its cover.
        IdempotencyMismatch: the key was used for another request.
        Unauthenticated: the account was removed meanwhile.
        RateLimited: too many uploads by one account or from one address.
        Conflict: the same request is being answered at the same time.
    """
    limits.check("create_upload", address=origin.address, account=caller.user_id)
    now = clock.now()
    once = Once.of("create_upload", caller.user_id, origin.idempotency_key, request)
    if once is not None and (answer := once.answer(table, FormShape, now)) is not None:
        return answer
    _check(request)
    if request.room_id is not None:
        rooms.get(table, RoomId(request.room_id), consistent=True).require_host(caller.user_id)
    upload = _upload(request, caller.user_id, ids, now)
    form = uploads.presign(
        upload.key,
        content_type=upload.content_type,
        largest_bytes=upload.size,
        expires=upload.form_until,
    )
    shape = FormShape(
        upload_id=upload.id,
        url=origin.base_url + form.url if form.url.startswith("/") else form.url,
        fields=form.fields,
        expires_at=rfc3339(upload.form_until),
    )
    also = [once.storing(shape, now)] if once is not None else []
    try:
        stored.create(table, upload, also)
    except TransactionCancelled as cancelled:
        if cancelled.reasons[0] is not None:
            raise errors.Unauthenticated from None
        # The same request came at the same time, and was answered.
        answer = once.answer(table, FormShape, now) if once is not None else None
        if answer is None:
            raise errors.Conflict from None
        return answer
    return shape


def _check(request: CreateUpload) -> None:
    kind = request.kind
    if request.content_type not in CONTENT_TYPES[kind]:
        taken = ", ".join(CONTENT_TYPES[kind])
        raise _invalid("/contentType", f"must be one of {taken}")
    if request.size > LARGEST[kind]:
        raise _invalid("/size", f"must be at most {LARGEST[kind]}")
    if kind == "cover" and request.room_id is None:
        raise _invalid("/roomId", "is missing: a cover belongs to a room")
    if kind != "cover" and request.room_id is not None:
        raise _invalid("/roomId", "belongs to covers alone")


def _invalid(pointer: str, message: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"The field {pointer[1:]} {message}.", errors=[(pointer, message)])


def _upload(request: CreateUpload, user: UserId, ids: Ids, now: Millis) -> Upload:
    return Upload(
        id=UploadId(ids.new()),
        user_id=user,
        kind=request.kind,
        content_type=request.content_type,
        size=request.size,
        room_id=RoomId(request.room_id) if request.room_id is not None else None,
        created_at=now,
        form_until=Millis((now + FORM_FOR) // 1000 * 1000),
    )


handler = operation(create_upload, status=201)
