"""The adapters that a contract suite runs against."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import boto3
import pytest

from deploy import ministack
from trinity.common import attributes
from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.client import DYNAMODB, DYNAMODB_STREAMS, Client, Service
from trinity.infrastructure.dynamodb.create import create_table
from trinity.infrastructure.dynamodb.table import DynamoTable
from trinity.ports import Item, Table

ADAPTERS = ["dynamodb", "sqlite"]
NUMBERS = count(1)


class Change(NamedTuple):
    """One record of a change feed."""

    kind: str  # INSERT, MODIFY or REMOVE
    key: tuple[str, str]
    old: Item | None
    new: Item | None


class Store(Protocol):
    """A table with what a test may look at beside it."""

    table: Table

    def changes(self) -> list[Change]:
        """Return all change records of the table, oldest first."""
        ...


class DynamoStore:
    """A table in MiniStack, whose changes are read from its stream."""

    def __init__(self, endpoint: str) -> None:
        self.name = f"table-{next(NUMBERS)}"
        self.dynamodb = client(DYNAMODB, endpoint)
        self.streams = client(DYNAMODB_STREAMS, endpoint)
        create_table(self.dynamodb, self.name)
        self.table = DynamoTable(self.dynamodb, self.name)

    def changes(self) -> list[Change]:
        return [change_from_stream(record) for record in self.records()]

    def records(self) -> list[dict[str, Any]]:
        """Return the records of the stream, as Lambda would be handed them."""
        described = self.dynamodb.call("DescribeTable", {"TableName": self.name}, idempotent=True)
        stream = {"StreamArn": described["Table"]["LatestStreamArn"]}
        description = self.ask("DescribeStream", stream)["StreamDescription"]
        [shard] = description["Shards"]  # MiniStack never splits one
        iterator = self.ask(
            "GetShardIterator",
            {**stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"},
        )["ShardIterator"]
        records: list[dict[str, Any]] = []
        while True:
            page = self.ask("GetRecords", {"ShardIterator": iterator})
            if not page["Records"]:
                return records
            records += page["Records"]
            iterator = page["NextShardIterator"]

    def ask(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        return self.streams.call(operation, request, idempotent=True)


class SqliteStore:
    """A table in a file."""

    def __init__(self, path: Path) -> None:
        from trinity.infrastructure.sqlite.store import SqliteStore as Adapter

        self.adapter = Adapter(path)
        self.table: Table = self.adapter.table

    def changes(self) -> list[Change]:
        return [
            Change(record.kind, (record.pk, record.sk), record.old, record.new)
            for record in self.adapter.changes_after(0, 100_000)
        ]

    def sweep_expired(self, now_seconds: int) -> int:
        return self.adapter.sweep_expired(now_seconds)


def account(endpoint: str, *key: str) -> Account:
    """Return the account of MiniStack, with the rights of an access key if one is given."""
    return Account(ministack.environment(endpoint, *key))


def client(service: Service, endpoint: str) -> Client:
    """Make a client for MiniStack."""
    return account(endpoint).client(service)


def boto(service: str, endpoint: str) -> Any:
    """Make AWS's own client for MiniStack: the hands of a test, and its second opinion."""
    return boto3.client(
        service,
        region_name=ministack.REGION,
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def new_bucket(endpoint: str) -> str:
    """Make an empty bucket like that of the deployed stack and return its name."""
    name = f"bucket-{next(NUMBERS)}"
    s3 = boto("s3", endpoint)
    s3.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": ministack.REGION}
    )
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def uploads_bucket(endpoint: str, queue: str) -> str:
    """Make a bucket that tells a queue of its files, as the deployment does; return its name.

    Args:
        endpoint: of the local AWS.
        queue: URL of a queue.
    """
    name = f"uploads-{next(NUMBERS)}"
    s3, sqs = boto("s3", endpoint), boto("sqs", endpoint)
    where = {"LocationConstraint": ministack.REGION}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    arn = asked["Attributes"]["QueueArn"]
    let_in = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [let_in]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    told = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": [told]}
    )
    return name


def new_secret(endpoint: str, text: str | None = None) -> str:
    """Make a secret as CloudFormation does, with a value or without, and return its ARN."""
    value = {} if text is None else {"SecretString": text}
    name = f"secret-{next(NUMBERS)}"
    arn: str = boto("secretsmanager", endpoint).create_secret(Name=name, **value)["ARN"]
    return arn


def change_from_stream(record: dict[str, Any]) -> Change:
    """Read a record of DynamoDB Streams."""
    data = record["dynamodb"]
    keys = attributes.decode_item(data["Keys"])
    old, new = data.get("OldImage"), data.get("NewImage")
    return Change(
        record["eventName"],
        (keys["PK"], keys["SK"]),
        None if old is None else attributes.decode_item(old),
        None if new is None else attributes.decode_item(new),
    )


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a local AWS."""
    with ministack.running(tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty table of each adapter, with its changes."""
    if request.param == "dynamodb":
        yield DynamoStore(request.getfixturevalue("aws"))
    else:
        sqlite = SqliteStore(tmp_path / "table.db")
        yield sqlite
        sqlite.adapter.close()


@pytest.fixture
def table(store: Store) -> Table:
    """The table of `store`."""
    return store.table
