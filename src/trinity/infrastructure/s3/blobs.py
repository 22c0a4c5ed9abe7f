"""`Blobs` in a bucket: an object is named by the SHA-256 of what is in it.

Sources: PutObject, GetObject and DeleteObject in the Amazon S3 API reference.
"""

import re

from trinity.domain.ids import BlobId, blob_id
from trinity.infrastructure.aws.client import AwsError, Client

_FOR_GOOD = "max-age=31536000, immutable"


class S3Blobs:
    """See `Blobs`. Threads may share it.

    The role needs `s3:ListBucket`, too: without it S3 answers 403 rather than 404 where there is
    no such object.

    Args:
        bucket: a client whose paths are keys, see `trinity.infrastructure.s3.bucket`.
        path: of an object, with `{}` for its name.
    """

    def __init__(self, bucket: Client, path: str = "/blobs/{}") -> None:
        self._bucket = bucket
        self._path = path

    def put(self, content: bytes, *, content_type: str) -> BlobId:
        """See `Blobs.put`.

        S3 compares the content with the hash that is signed along. An object that is there already
        is written again: a lifecycle rule counts from then.
        """
        name = blob_id(content)
        headers = {"cache-control": _FOR_GOOD, "content-type": content_type}
        path = self._path.format(name)
        self._bucket.send("PUT", path, headers=headers, body=content, idempotent=True)
        return name

    def get(self, blob_id: BlobId) -> bytes:
        """See `Blobs.get`."""
        if not _is_name(blob_id):
            raise KeyError(blob_id)
        path = self._path.format(blob_id)
        try:
            return self._bucket.send("GET", path, headers={}, idempotent=True).body
        except AwsError as error:
            if error.code != "NoSuchKey":
                raise
            raise KeyError(blob_id) from None

    def delete(self, blob_id: BlobId) -> None:
        """See `Blobs.delete`."""
        if _is_name(blob_id):
            self._bucket.send("DELETE", self._path.format(blob_id), headers={}, idempotent=True)


def _is_name(blob_id: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", blob_id) is not None
