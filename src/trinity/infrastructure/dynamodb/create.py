"""Make a table like the one that the deployed stack has; for tests and tools."""

import time

from trinity.infrastructure.aws.client import AwsError, Client

_POLL = 0.2
"""Seconds between looks at a table that is not there yet."""


def create_table(client: Client, name: str) -> None:
    """Create a table, unless it exists, and wait until it can be used.

    String keys `PK` and `SK`, paid per request, a stream with both images, and items removed after
    the time in `expires` (see `trinity.ports.Item`).

    Raises:
        AwsError: it could not be created.
        Unavailable: DynamoDB does not answer.
    """
    keys = {"PK": "HASH", "SK": "RANGE"}
    request = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }
    try:
        client.call("CreateTable", request, idempotent=True)
    except AwsError as error:
        if error.code != "ResourceInUseException":  # it exists, maybe by an attempt of this call
            raise
    while True:
        table = client.call("DescribeTable", {"TableName": name}, idempotent=True)["Table"]
        if table["TableStatus"] == "ACTIVE":
            break
        time.sleep(_POLL)
    state = client.call("DescribeTimeToLive", {"TableName": name}, idempotent=True)
    if state["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED":
        ttl = {"Enabled": True, "AttributeName": "expires"}
        request = {"TableName": name, "TimeToLiveSpecification": ttl}
        client.call("UpdateTimeToLive", request, idempotent=True)
