"""How a bucket is addressed."""

from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.client import S3, Client


def client(account: Account, bucket: str) -> Client:
    """Return a client whose paths are the keys of one bucket."""
    return account.client(S3, endpoint=url(account, bucket))


def url(account: Account, bucket: str) -> str:
    """Return where a bucket is.

    On AWS the bucket is part of the host name; an endpoint of one's own has it in the path.
    """
    if account.endpoint is None:
        return f"https://{bucket}.s3.{account.region}.amazonaws.com"
    return f"{account.endpoint.rstrip('/')}/{bucket}"
