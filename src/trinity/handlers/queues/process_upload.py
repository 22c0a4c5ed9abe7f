"""Make of a file that has arrived what it was sent for.

The storage tells of each file at least once, in any order, and this may end between any two writes.
Each step can be repeated: a picture has the names that its content gives it, the upload is finished
once, and the file goes last. While it is there, `sweep_uploads` has it processed again.
"""

from trinity.bootstrap import worker
from trinity.domain import lists
from trinity.domain.ids import blob_id
from trinity.domain.pictures import Picture
from trinity.domain.uploads import SIZES, UnusableFile, Upload, of_key
from trinity.ports import Blobs, Clock, Pictures, Table, Uploads
from trinity.store import causes, decks, leftovers
from trinity.store import media as claims
from trinity.store import uploads as stored

WEBP = "image/webp"


def process_upload(
    file: str,
    *,
    table: Table,
    uploads: Uploads,
    pictures: Pictures,
    media: Blobs,
    blobs: Blobs,
    clock: Clock,
) -> None:
    """Process the file under a key, and remove it.

    Whatever is wrong with the file is told to its owner and no error here.

    Raises:
        Unavailable: a file of the picture is just being removed: it can be stored in a moment.
    """
    owner = of_key(file)
    if owner is None:
        return  # nobody has asked for that
    upload = stored.find(table, *owner)
    if upload is not None and not upload.finished:
        table = causes.caused_by(table, causes.parse(upload.cause))
        stored.begin(table, upload)
        try:
            content = uploads.read(file)
        except KeyError:  # removed by whoever has processed it at the same time
            return
        try:
            if upload.kind == "list":
                _keep_list(table, blobs, upload, content, clock)
            else:
                _show_picture(table, pictures, media, upload, content, clock)
        except UnusableFile as unusable:
            stored.reject(table, upload, unusable, clock.now())
    uploads.delete(file)


def _keep_list(table: Table, blobs: Blobs, upload: Upload, content: bytes, clock: Clock) -> None:
    titles = lists.parse(content, plain=upload.content_type == "text/plain")
    deck = decks.store(blobs, titles)
    stored.keep_list(table, upload, deck, len(titles), clock.now())


def _show_picture(
    table: Table, pictures: Pictures, media: Blobs, upload: Upload, content: bytes, clock: Clock
) -> None:
    square = upload.kind == "avatar"
    files = pictures.thumbnails(content, SIZES[upload.kind], square=square)
    picture = Picture(upload.id, *map(blob_id, files))
    leftovers.note(table, leftovers.of_upload(upload, picture))
    for blob in sorted(picture.blobs):
        claims.claim(table, blob, upload.id)
    for thumbnail in files:
        media.put(thumbnail, content_type=WEBP)
    stored.show(table, upload, picture, clock.now())


handler = worker(process_upload)
