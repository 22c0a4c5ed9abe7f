"""`Archive` in a bucket.

Sources: PutObject, GetObject, DeleteObject and ListObjectsV2 in the Amazon S3 API reference.
"""

import re
from urllib.parse import quote

from trinity.infrastructure.aws.client import AwsError, Client


class S3Archive:
    """See `Archive`. Threads may share it.

    Args:
        bucket: a client whose paths are keys, see `trinity.infrastructure.s3.bucket`.
    """

    def __init__(self, bucket: Client) -> None:
        self._bucket = bucket

    def put(self, name: str, content: bytes) -> None:
        """See `Archive.put`. S3 compares the content with the hash that is signed along."""
        self._bucket.send("PUT", _path(name), headers={}, body=content, idempotent=True)

    def get(self, name: str) -> bytes:
        """See `Archive.get`."""
        try:
            return self._bucket.send("GET", _path(name), headers={}, idempotent=True).body
        except AwsError as error:
            if error.code != "NoSuchKey":
                raise
            raise KeyError(name) from None

    def names(self, prefix: str) -> list[str]:
        """See `Archive.names`."""
        found: list[str] = []
        while True:
            asked = {"list-type": "2", "prefix": prefix, "start-after": found[-1] if found else ""}
            query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
            page = self._bucket.send("GET", "/", query=query, headers={}, idempotent=True)
            text = page.body.decode()
            # Names are of characters that XML writes as they are.
            found += re.findall(r"<Key>([^<]+)</Key>", text)
            if "<IsTruncated>true</IsTruncated>" not in text:
                return found

    def delete(self, name: str) -> None:
        """See `Archive.delete`."""
        self._bucket.send("DELETE", _path(name), headers={}, idempotent=True)


def _path(name: str) -> str:
    return "/" + quote(name, safe="/-_.~")
