"""Signed forms with which browsers post files to a bucket.

Sources: "Browser-based uploads using POST" and "Creating a POST policy" in the Amazon S3 API
reference; "POST policy" has the conditions. Signatures are compared with botocore's
`generate_presigned_post` in tests/contract/test_uploads.py.
"""

import base64
import time
from typing import Any

import msgspec

from trinity.infrastructure.aws.credentials import Credentials
from trinity.infrastructure.aws.sigv4 import Signer

ALGORITHM = "AWS4-HMAC-SHA256"


class FormSigner:
    """Signs forms for one bucket. Threads may share it.

    Args:
        bucket: its name.
        region: where it is.
    """

    def __init__(self, bucket: str, region: str) -> None:
        self._bucket = bucket
        self._region = region
        self._signer = Signer(service="s3", region=region)

    def fields(
        self,
        credentials: Credentials,
        key: str,
        *,
        content_type: str,
        largest_bytes: int,
        expires: float,
        now: float,
    ) -> dict[str, str]:
        """Return the fields of a form that takes exactly this.

        Args:
            credentials: who allows it.
            key: of the file.
            content_type: of the file, to be sent in a field of this name.
            largest_bytes: most bytes of the file; it has one at least.
            expires: seconds since 1970.
            now: seconds since 1970.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        date = moment[:8]
        fields = {
            "Content-Type": content_type,
            "key": key,
            "x-amz-algorithm": ALGORITHM,
            "x-amz-credential": f"{credentials.access_key}/{self._scope(date)}",
            "x-amz-date": moment,
        }
        if credentials.token:
            fields["x-amz-security-token"] = credentials.token
        conditions: list[Any] = [
            ["content-length-range", 1, largest_bytes],
            {"bucket": self._bucket},
            *({name: value} for name, value in fields.items()),
        ]
        policy = {
            "expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires)),
            "conditions": conditions,
        }
        fields["policy"] = base64.b64encode(msgspec.json.encode(policy)).decode()
        fields["x-amz-signature"] = self.signature(credentials, fields["policy"], date)
        return fields

    def signature(self, credentials: Credentials, policy: str, date: str) -> str:
        """Return the signature of a policy as it is sent, on a day like `20261122`."""
        return self._signer.sign_text(credentials, policy, date=date)

    def _scope(self, date: str) -> str:
        return f"{date}/{self._region}/s3/aws4_request"
