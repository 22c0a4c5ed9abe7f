"""`Blobs` in a bucket: an object's key ends in the SHA-256 of what is in it.

Sources: PutObject and GetObject in the Amazon S3 API reference.
"""

import re

from trinity.domain.ids import BlobId
from trinity.infrastructure.aws.client import AwsError, Client

_PREFIX = "/blobs/"


class S3Blobs:
    """See `Blobs`. Threads may share it.

    The role needs `s3:ListBucket`, too: without it S3 answers 403 rather than 404 where there is
    no such object.

    Args:
        bucket: a client whose paths are keys, see `trinity.infrastructure.s3.bucket`.
    """

    def __init__(self, bucket: Client) -> None:
        self._bucket = bucket

    def put(self, content: bytes, *, content_type: str) -> BlobId:
        """See `Blobs.put`.

        S3 compares the content with the hash that is signed along. An object that is there already
        is written again: a lifecycle rule counts from then.
        """
        import hashlib

        blob_id = BlobId(hashlib.sha256(content).hexdigest())
        headers = {"content-type": content_type}
        self._bucket.send("PUT", _PREFIX + blob_id, headers=headers, body=content, idempotent=True)
        return blob_id

    def get(self, blob_id: BlobId) -> bytes:
        """See `Blobs.get`."""
        if not re.fullmatch(r"[0-9a-f]{64}", blob_id):
            raise KeyError(blob_id)
        try:
            return self._bucket.send("GET", _PREFIX + blob_id, headers={}, idempotent=True).body
        except AwsError as error:
            if error.code != "NoSuchKey":
                raise
            raise KeyError(blob_id) from None
