"""`Uploads` in a bucket, which sends its notices by itself.

Sources: PostObject, GetObject and DeleteObject in the Amazon S3 API reference.
"""

from trinity.domain.ids import Millis
from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.client import AwsError
from trinity.infrastructure.s3 import bucket
from trinity.infrastructure.s3.forms import FormSigner
from trinity.ports import Clock, Form


class S3Uploads:
    """See `Uploads`. Threads may share it.

    The role that signs needs `s3:PutObject` for what it allows others; a form is good no longer
    than the credentials that have signed it.

    Args:
        account: whose bucket.
        name: of the bucket.
        clock: what signatures are dated by.
    """

    def __init__(self, account: Account, name: str, clock: Clock) -> None:
        self._account = account
        self._bucket = bucket.client(account, name)
        self._url = f"{bucket.url(account, name)}/"
        self._signer = FormSigner(name, account.region)
        self._clock = clock

    def presign(self, key: str, *, content_type: str, largest_bytes: int, expires: Millis) -> Form:
        """See `Uploads.presign`."""
        fields = self._signer.fields(
            self._account.credentials.current(),
            key,
            content_type=content_type,
            largest_bytes=largest_bytes,
            expires=expires / 1000,
            now=self._clock.now() / 1000,
        )
        return Form(self._url, fields)

    def read(self, key: str) -> bytes:
        """See `Uploads.read`."""
        try:
            return self._bucket.send("GET", f"/{key}", headers={}, idempotent=True).body
        except AwsError as error:
            if error.code != "NoSuchKey":
                raise
            raise KeyError(key) from None

    def size(self, key: str) -> int | None:
        """See `Uploads.size`: the first byte comes with the size of the whole."""
        first = {"range": "bytes=0-0"}
        try:
            response = self._bucket.send("GET", f"/{key}", headers=first, idempotent=True)
        except AwsError as error:
            if error.code != "NoSuchKey":
                raise
            return None
        return int(response.headers["content-range"].rpartition("/")[2])

    def delete(self, key: str) -> None:
        """See `Uploads.delete`."""
        self._bucket.send("DELETE", f"/{key}", headers={}, idempotent=True)
