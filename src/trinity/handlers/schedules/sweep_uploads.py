"""Find what uploads have left behind, and finish or remove it.

A file whose notice was lost is processed after all; who never sent one is told so; files that were
processed are removed, and so are those of pictures that nobody shows any more.
"""

from trinity.bootstrap import scheduled
from trinity.common import messages
from trinity.domain.ids import Millis
from trinity.domain.uploads import UnusableFile, file_key
from trinity.ports import Blobs, Clock, Queues, Table, Uploads
from trinity.store import leftovers
from trinity.store import media as claims
from trinity.store import uploads as stored
from trinity.store.leftovers import Leftover

AT_ONCE = 100
MOST_RESENT = 3
_LATE = "No file arrived in time. Choose it again."
_STUCK = "This file could not be processed. Try again, or choose another one."


def sweep_uploads(
    *, table: Table, uploads: Uploads, queues: Queues, media: Blobs, clock: Clock
) -> None:
    """Look at everything that is due. Whatever breaks off is found again the next time."""
    now = clock.now()
    while found := leftovers.due(table, now, AT_ONCE):
        for leftover in found:
            _look_at(leftover, table, uploads, queues, media, now)
        if len(found) < AT_ONCE:
            return


def _look_at(
    leftover: Leftover,
    table: Table,
    uploads: Uploads,
    queues: Queues,
    media: Blobs,
    now: Millis,
) -> None:
    upload = stored.find(table, leftover.user_id, leftover.upload_id)
    if upload is not None and not upload.finished:
        size = uploads.size(upload.key)
        if size is not None and leftover.resent < MOST_RESENT:
            queues.send(messages.FILES, [messages.file_notice(upload.key, size, now)])
            leftovers.put_off(table, leftover, now, resent=leftover.resent + 1)
            return
        stored.reject(table, upload, UnusableFile(_LATE if size is None else _STUCK), now)
    uploads.delete(file_key(leftover.user_id, leftover.upload_id))
    if stored.is_shown(table, leftover) or _released(leftover, table, media, now):
        leftovers.done(table, leftover)
    else:
        leftovers.put_off(table, leftover, now, resent=leftover.resent)


def _released(leftover: Leftover, table: Table, media: Blobs, now: Millis) -> bool:
    upload = leftover.upload_id
    pending = [b for b in leftover.blobs if not claims.release(table, media, b, upload, now)]
    return not pending


handler = scheduled(sweep_uploads)
