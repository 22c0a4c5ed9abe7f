"""Uploads in the table, and the one transaction that puts a picture in sight.

An upload is finished once, by a write on condition that it is not yet: notices of its file that
come twice, or late, change nothing. The picture comes in sight in the transaction that finishes
its upload, so each picture is shown once, and never again after it went.

Of two pictures the one that was chosen later stays, in whatever order they are processed: a picture
takes a place on condition that nothing was chosen there after its upload began.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from trinity.domain.ids import BlobId, Millis, UploadId, UserId
from trinity.domain.pictures import Picture
from trinity.domain.uploads import KEPT_FOR, UnusableFile, Upload
from trinity.ports import (
    Absent,
    AllOf,
    AnyOf,
    Condition,
    ConditionFailed,
    Equals,
    Exists,
    Item,
    Less,
    Path,
    Table,
    TransactAction,
    TransactCheck,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
    Value,
)
from trinity.store import keys, leftovers

_UNFINISHED = AllOf((Exists("PK"), Absent("finishedAt")))


def create(table: Table, upload: Upload, also: Iterable[TransactAction] = ()) -> None:
    """Store a new upload, and note what it may leave behind, together with `also`.

    Raises:
        TransactionCancelled: reason 0: the user has no account any more; others: those of `also`,
            from 3.
    """
    table.transact(
        [
            TransactCheck(keys.profile(upload.user_id), Exists("PK")),
            TransactPut(_item(upload), Absent("PK")),
            leftovers.noting(leftovers.of_upload(upload)),
            *also,
        ]
    )


def from_item(item: Item) -> Upload:
    """Return the upload that lies in an item."""
    return msgspec.convert(item, Upload)


def find(table: Table, user: UserId, upload: UploadId) -> Upload | None:
    """Return an upload of a user as it is now, None if he has no such one."""
    item = table.get(keys.upload(user, upload), consistent=True)
    return from_item(item) if item is not None else None


def of_user(table: Table, user: UserId) -> list[Upload]:
    """Return all uploads of a user that are still known."""
    page = table.query(keys.user_pk(user), prefix=keys.UPLOAD)
    return [from_item(item) for item in page.items]


def begin(table: Table, upload: Upload) -> None:
    """Say that the file is there and is being processed, unless that is over."""
    update = Update(set={"state": "processing"})
    with suppress(ConditionFailed):
        table.update(keys.upload(upload.user_id, upload.id), update, when=_UNFINISHED)


def reject(table: Table, upload: Upload, unusable: UnusableFile, now: Millis) -> None:
    """Finish an upload whose file is of no use, unless it is finished."""
    changes: dict[Path, Value] = {"reason": unusable.reason}
    if unusable.errors:
        changes["errors"] = msgspec.to_builtins(unusable.errors)
    with suppress(ConditionFailed):
        table.update(
            keys.upload(upload.user_id, upload.id),
            _finishing("rejected", now, changes),
            when=_UNFINISHED,
        )


def keep_list(table: Table, upload: Upload, deck: BlobId, entries: int, now: Millis) -> None:
    """Finish the upload of a list, unless it is finished."""
    with suppress(ConditionFailed):
        table.update(
            keys.upload(upload.user_id, upload.id),
            _finishing("ready", now, {"deck": deck, "entries": entries}),
            when=_UNFINISHED,
        )


def show(table: Table, upload: Upload, picture: Picture, now: Millis) -> None:
    """Put a picture in its place and finish its upload, unless it is finished.

    Raises:
        UnusableFile: the picture has no place any more.
    """
    as_data = msgspec.to_builtins(picture)
    finish = TransactUpdate(
        keys.upload(upload.user_id, upload.id),
        _finishing("ready", now, {"picture": as_data}),
        _UNFINISHED,
    )
    if upload.kind == "avatar":
        place = keys.profile(upload.user_id)
        chosen: Mapping[Path, Value] = {"avatar": as_data, "avatarAt": upload.created_at}
        put = TransactUpdate(place, Update(set=chosen), _free("avatarAt", upload.created_at))
    elif upload.room_id is not None:
        place = keys.room(upload.room_id)
        chosen = {"cover": as_data, "coverAt": upload.created_at}
        put = TransactUpdate(
            place,
            Update(set=chosen, add={"version": 1}),
            AllOf((Equals("hostId", upload.user_id), _free("coverAt", upload.created_at))),
        )
    else:
        raise ValueError(f"no picture belongs to an upload of the kind {upload.kind}")
    try:
        table.transact([finish, put])
    except TransactionCancelled as cancelled:
        finished, taken = cancelled.reasons
        # Finished by somebody else, or gone with the account: there is nobody to tell.
        if finished is None and taken is not None:
            raise UnusableFile(_why_not(upload, taken.item)) from None


def is_shown(table: Table, place: leftovers.Leftover) -> bool:
    """Tell whether the picture of an upload is in its place now."""
    if place.kind == "avatar":
        item, name = table.get(keys.profile(place.user_id), consistent=True), "avatar"
    elif place.room_id is not None:
        item, name = table.get(keys.room(place.room_id), consistent=True), "cover"
    else:
        return False
    shown = item.get(name) if item is not None else None
    return shown is not None and shown["upload"] == place.upload_id


def _finishing(state: str, now: Millis, changes: Mapping[Path, Value]) -> Update:
    return Update(set={"state": state, "finishedAt": now, **changes})


def _free(attribute: str, at: Millis) -> Condition:
    """Return the condition that a place is there, and nothing was chosen for it later."""
    return AllOf((Exists("PK"), AnyOf((Absent(attribute), Less(attribute, at + 1)))))


def _why_not(upload: Upload, item: Item | None) -> str:
    if item is None:
        return "The room of this cover does not exist any more."
    if upload.kind == "cover" and item["hostId"] != upload.user_id:
        return "Only the host of a room can give it a cover."
    return "Another picture was chosen, or this one taken away, before it was ready."


def _item(upload: Upload) -> Item:
    key = keys.upload(upload.user_id, upload.id)
    expires = (upload.created_at + KEPT_FOR) // 1000
    return {"PK": key.pk, "SK": key.sk, **msgspec.to_builtins(upload), "expires": expires}
