"""AWS Signature Version 4.

Source: "Signature Version 4 signing process" in the AWS IAM user guide. The result is compared
byte for byte with botocore's in tests/contract/test_aws_client.py.
"""

import time
from collections.abc import Mapping

from trinity.infrastructure.aws.credentials import Credentials


class Signer:
    """Signs requests to one service in one region.

    Deriving the signing key takes four HMACs and its result holds for a day, so the last one is
    kept. Threads may share a signer.
    """

    __slots__ = ("_derived", "_region", "_service")

    def __init__(self, *, service: str, region: str) -> None:
        self._service = service
        self._region = region
        self._derived: tuple[tuple[str, str], bytes] | None = None

    def sign(
        self,
        credentials: Credentials,
        *,
        method: str = "POST",
        path: str,
        query: str = "",
        headers: Mapping[str, str],
        body: bytes,
        now: float,
    ) -> dict[str, str]:
        """Return the headers to send: those given, the date, the token and the signature.

        Args:
            credentials: whose signature it is.
            method: of HTTP.
            path: of the URL, already in canonical form.
            query: string of the URL, already in canonical form: sorted and percent-encoded.
            headers: names in lower case, `host` among them; values without runs of spaces. All of
                them are signed.
            body: of the request.
            now: seconds since 1970.
        """
        import hashlib  # it loads OpenSSL, as TLS does: not before there is something to say

        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        date = moment[:8]
        signed = {**headers, "x-amz-date": moment}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        content = hashlib.sha256(body).hexdigest()
        if self._service == "s3":  # it alone wants to see it, and holds the body to it
            signed["x-amz-content-sha256"] = content
        names = sorted(signed)
        signed_names = ";".join(names)
        canonical = (
            f"{method}\n{path}\n{query}\n"
            + "".join(f"{name}:{signed[name]}\n" for name in names)
            + f"\n{signed_names}\n{content}"
        )
        scope = f"{date}/{self._region}/{self._service}/aws4_request"
        text = (
            f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        )
        signature = _hmac(self._key(credentials.secret_key, date), text).hex()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed_names}, Signature={signature}"
        )
        return signed

    def sign_text(self, credentials: Credentials, text: str, *, date: str) -> str:
        """Return the signature of a text as it is, such as the policy of a form.

        Args:
            credentials: whose signature it is.
            text: to sign.
            date: of the signature, `20261122`.
        """
        return _hmac(self._key(credentials.secret_key, date), text).hex()

    def _key(self, secret_key: str, date: str) -> bytes:
        derived = self._derived
        if derived is not None and derived[0] == (secret_key, date):
            return derived[1]
        key = f"AWS4{secret_key}".encode()
        for part in (date, self._region, self._service, "aws4_request"):
            key = _hmac(key, part)
        self._derived = ((secret_key, date), key)
        return key


def _hmac(key: bytes, text: str) -> bytes:
    import hmac

    return hmac.digest(key, text.encode(), "sha256")
