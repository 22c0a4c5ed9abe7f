"""How a bucket is addressed."""

from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.client import S3, Client


def client(account: Account, bucket: str) -> Client:
    """Return a client whose paths are the keys of one bucket.

    On AWS the bucket is part of the host name; an endpoint of one's own has it in the path.
    """
    if account.endpoint is None:
        return account.client(S3, endpoint=f"https://{bucket}.s3.{account.region}.amazonaws.com")
    return account.client(S3, endpoint=f"{account.endpoint.rstrip('/')}/{bucket}")
