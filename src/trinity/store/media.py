"""Who shows the files of pictures, so that one goes when nobody does any more, and not before.

A file is named by its content, so several pictures may share it. Each upload claims the files of
its picture before it stores them, and its claim is released when the picture is out of sight for
good. Whoever releases the last claim begins to remove the file, and from then on it cannot be
claimed until that is done. So a file that is shown is claimed, one that is claimed is there, and a
removal that is late never takes what somebody has stored anew.
"""

from contextlib import suppress

from trinity.domain.ids import MINUTE, BlobId, Millis, UploadId
from trinity.ports import (
    Absent,
    AllOf,
    AnyOf,
    Blobs,
    ConditionFailed,
    Equals,
    Exists,
    Less,
    Table,
    Unavailable,
    Update,
)
from trinity.store import keys

_CLAIM = "c:"
TAKE_OVER_AFTER = Millis(30 * MINUTE)
"""When a removal that was begun is no longer at work: a function lives for 15 minutes at the most,
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


def claim(table: Table, blob: BlobId, upload: UploadId) -> None:
    """Keep a file, or the one that is about to be stored; to claim it again changes nothing.

    Raises:
        Unavailable: it is being removed at this moment: try again a little later.
    """
    mine = _CLAIM + upload
    try:
        table.update(
            keys.media(blob),
            Update(set={mine: True}, add={"claims": 1}),
            when=AllOf((Absent(mine), Absent("ending"))),
        )
    except ConditionFailed as failed:
        if failed.item is None or mine not in failed.item:
            raise Unavailable(f"the media file {blob} is being removed") from None


def release(table: Table, media: Blobs, blob: BlobId, upload: UploadId, now: Millis) -> bool:
    """Give up a claim, and remove the file if that was the last one.

    Returns:
        Whether that is all; if not, somebody else is, or was, removing the file: come again.
    """
    key, mine = keys.media(blob), _CLAIM + upload
    with suppress(ConditionFailed):  # released before
        table.update(key, Update(add={"claims": -1}, remove=[mine]), when=Exists(mine))
    free = AnyOf((Absent("ending"), Less("ending", now - TAKE_OVER_AFTER)))
    try:
        table.update(key, Update(set={"ending": now}), when=AllOf((Equals("claims", 0), free)))
    except ConditionFailed as failed:
        return failed.item is None or failed.item["claims"] > 0
    media.delete(blob)
    table.delete(key, when=Equals("ending", now))
    return True
