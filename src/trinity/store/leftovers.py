"""What `sweep_uploads` has to look at, and when.

Whatever an upload may leave behind is noted here before it comes to be: its file before the form
is given out, the files of its picture before they are claimed. A picture that is out of sight is
noted by the change feed. So everything is found again without a scan.
"""

import msgspec

from trinity.domain.ids import MINUTE, BlobId, Millis, RoomId, UploadId, UserId
from trinity.domain.pictures import Picture
from trinity.domain.uploads import Upload, UploadKind
from trinity.ports import Item, Key, Table, TransactDelete, TransactPut
from trinity.store import keys

LOOK_AFTER = Millis(5 * MINUTE)
"""How long after its form an upload is looked at: the file should have been processed by then."""
LOOK_AGAIN_AFTER = Millis(15 * MINUTE)


class Leftover(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Something that an upload may have left behind.

    Attributes:
        due: when to look at it.
        user_id: whose upload.
        upload_id: which.
        kind: of the upload.
        room_id: the room that it is, or was, the cover of.
        blobs: the files of its picture.
        resent: how often its file was sent to be processed once more.
    """

    due: Millis
    user_id: UserId
    upload_id: UploadId
    kind: UploadKind
    room_id: RoomId | None = None
    blobs: tuple[BlobId, ...] = ()
    resent: int = 0


def of_upload(upload: Upload, picture: Picture | None = None) -> Leftover:
    """Return what an upload may leave behind; with its picture, once that is known."""
    return Leftover(
        due=Millis(upload.form_until + LOOK_AFTER),
        user_id=upload.user_id,
        upload_id=upload.id,
        kind=upload.kind,
        room_id=upload.room_id,
        blobs=tuple(sorted(picture.blobs)) if picture else (),
    )


def of_picture(
    picture: Picture, kind: UploadKind, user: UserId, room: RoomId | None, since: Millis
) -> Leftover:
    """Return what a picture leaves behind that is out of sight since then.

    Its upload is finished, since it was in sight; so `user` may also be who was the host by then.
    """
    return Leftover(
        due=Millis(since + LOOK_AGAIN_AFTER),
        user_id=user,
        upload_id=picture.upload,
        kind=kind,
        room_id=room,
        blobs=tuple(sorted(picture.blobs)),
    )


def noting(leftover: Leftover) -> TransactPut:
    """Return the action that notes something."""
    return TransactPut(_item(leftover))


def note(table: Table, leftover: Leftover) -> None:
    """Note something; to note it again changes nothing."""
    table.put(_item(leftover))


def due(table: Table, now: Millis, limit: int) -> list[Leftover]:
    """Return what has to be looked at by now, the oldest first."""
    page = table.query(keys.LEFTOVERS, limit=limit, consistent=True)
    found = [msgspec.convert(item, Leftover) for item in page.items]
    return [leftover for leftover in found if leftover.due <= now]


def put_off(table: Table, leftover: Leftover, now: Millis, *, resent: int) -> None:
    """Look at it again later."""
    later = msgspec.structs.replace(leftover, due=Millis(now + LOOK_AGAIN_AFTER), resent=resent)
    table.transact([TransactDelete(_key(leftover)), noting(later)])


def done(table: Table, leftover: Leftover) -> None:
    """Forget it: there is nothing left."""
    table.delete(_key(leftover))


def _key(leftover: Leftover) -> Key:
    return keys.leftover(leftover.due, leftover.upload_id)


def _item(leftover: Leftover) -> Item:
    key = _key(leftover)
    return {"PK": key.pk, "SK": key.sk, **msgspec.to_builtins(leftover)}
