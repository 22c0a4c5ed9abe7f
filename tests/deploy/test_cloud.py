"""The stack on a local AWS: what the acceptance suite does not touch."""

import gzip
import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deploy.cloud import running
from deploy.local import REGION, Deployment, DeploymentFailed, client, deploy
from deploy.ministack import environment
from deploy.stages import STAGES

from deploy import ministack
from tests.contract.test_failed_calls import note as failed_calls_note
from tests.deploy.conftest import Assembly
from tests.server import Client, eventually

WITHIN_S = 150.0
"""The archive gathers for a minute."""


def guest(cloud: Deployment, name: str = "ana") -> tuple[Client, str, str]:
    """Return a client, the id and the token of somebody new."""
    people = Client(cloud.url)
    session = people.post("/api/auth/guest", json={"name": name}).json
    return people, session["user"]["id"], session["accessToken"]


def open_room(people: Client, token: str) -> str:
    deck = {"source": "list", "items": [{"title": "jaws"}]}
    answer = people.post("/api/rooms", token=token, json={"deck": deck})
    assert answer.status == 201, answer
    room: str = answer.json["id"]
    return room


@contextmanager
def without(cloud: Deployment, function: str, action: str) -> Iterator[None]:
    """Take one action away from the role of a function while the block is at work."""
    iam = client(cloud.endpoint, "iam")
    arn = client(cloud.endpoint, "lambda").get_function(FunctionName=f"trinity-dev-{function}")
    role = arn["Configuration"]["Role"].rpartition("/")[2]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    whole = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    statements = []
    for statement in whole["Statement"]:
        actions = [one for one in _list(statement["Action"]) if one != action]
        if actions:
            statements.append({**statement, "Action": actions})
    assert statements != whole["Statement"], f"{function} may not {action} anyway"

    def put(document: Any) -> None:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    put({**whole, "Statement": statements})
    try:
        yield
    finally:
        put(whole)


def _list(one_or_many: Any) -> list[Any]:
    return one_or_many if isinstance(one_or_many, list) else [one_or_many]


@pytest.mark.parametrize(
    ("function", "action", "ask"),
    [
        ("cast_votes", "dynamodb:UpdateItem", "vote"),
        ("create_room", "s3:PutObject", "room"),
        ("guest", "secretsmanager:GetSecretValue", "guest"),
    ],
)
def test_a_function_that_was_stripped_of_one_grant_fails(
    cloud: Deployment, function: str, action: str, ask: str
) -> None:
    people, _, token = guest(cloud)
    room = open_room(people, token)
    (card,) = people.get(f"/api/rooms/{room}/deck", token=token).json["items"]
    deck = {"source": "list", "items": [{"title": uuid.uuid4().hex}]}
    asked: dict[str, Callable[[], Any]] = {
        "vote": lambda: people.post(
            f"/api/rooms/{room}/votes", token=token, json={"titleId": card["id"], "choice": "no"}
        ),
        "room": lambda: people.post("/api/rooms", token=token, json={"deck": deck}),
        "guest": lambda: _in_a_new_environment(cloud, people),
    }
    assert asked[ask]().status < 300
    with without(cloud, function, action):
        assert asked[ask]().status in (500, 503)
    assert asked[ask]().status < 300


def test_functions_are_given_the_word_that_cloudfront_says(cloud: Deployment) -> None:
    drawn = client(cloud.endpoint, "secretsmanager").get_secret_value(SecretId="trinity/dev/word")
    assert len(drawn["SecretString"]) == 40
    guest = client(cloud.endpoint, "lambda").get_function(FunctionName="trinity-dev-guest")
    given = guest["Configuration"]["Environment"]["Variables"]["TRINITY_PROXIES_WORD"]
    assert given == drawn["SecretString"]


def _in_a_new_environment(cloud: Deployment, people: Client) -> Any:
    """Ask for a guest where no environment has the keys already: secrets are read but once."""
    functions = client(cloud.endpoint, "lambda")
    functions.update_function_configuration(
        FunctionName="trinity-dev-guest", Description=uuid.uuid4().hex
    )
    version = functions.publish_version(FunctionName="trinity-dev-guest")["Version"]
    functions.update_alias(FunctionName="trinity-dev-guest", Name="live", FunctionVersion=version)
    return people.post("/api/auth/guest", json={"name": "ana"})


class Archive:
    """What is in the archive, which has thousands of files by the end of the suite."""

    def __init__(self, cloud: Deployment) -> None:
        self._s3 = client(cloud.endpoint, "s3")
        names = [bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]]
        (self._bucket,) = (name for name in names if name.endswith("-archive"))
        self._lines: dict[str, list[str]] = {}

    def line(self, text: str) -> str | None:
        """Return a line that holds a text, None if there is none yet."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            for item in page.get("Contents", []):
                if item["Key"] not in self._lines:
                    self._lines[item["Key"]] = self._read(item["Key"])
        lines = (line for lines in self._lines.values() for line in lines)
        return next((line for line in lines if text in line), None)

    def _read(self, key: str) -> list[str]:
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return gzip.decompress(body).decode().splitlines()


def test_a_port_where_somebody_else_listens_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(RuntimeError, match=f"port {port} cannot be used: Address already in"),
            ministack.running(tmp_path, port=port),
        ):
            pass


def test_a_change_goes_by_stream_bus_and_queue_to_a_function(cloud: Deployment) -> None:
    people, _, token = guest(cloud)
    room = open_room(people, token)
    archive = Archive(cloud)
    line = eventually(lambda: archive.line(room), "the room is archived", within_s=WITHIN_S)
    assert json.loads(line)["type"] in ("RoomOpened", "MemberJoined")


def dlq(cloud: Deployment, *arguments: str) -> str:
    """Run `trinity dlq` and return what it says."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "trinity"), "dlq", *arguments],
        env={
            "PATH": os.defpath,
            **environment(cloud.endpoint),
            "AWS_REGION": REGION,
            "TRINITY_QUEUE_PREFIX": "trinity-dev-",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_dead_message_is_shown_and_sent_back_and_then_worked_off(cloud: Deployment) -> None:
    event = {
        "id": uuid.uuid4().hex,
        "source": "trinity",
        "type": "RoomClosed",
        "version": 1,
        "occurred": 1_800_000_000_000,
        "data": {"roomId": uuid.uuid4().hex[:16]},
    }
    sqs = client(cloud.endpoint, "sqs")
    dead = sqs.get_queue_url(QueueName="trinity-dev-archive-dead")["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"detail": event}))

    assert "archive" in dlq(cloud, "list")
    assert event["id"] in dlq(cloud, "show", "archive", "--json")
    assert json.loads(dlq(cloud, "redrive", "archive", "--all", "--json"))["redriven"]
    archive = Archive(cloud)
    eventually(lambda: archive.line(event["id"]), "it is archived", within_s=WITHIN_S)


def test_changes_that_a_function_gave_up_are_told_after_all(cloud: Deployment) -> None:
    """The emulator leaves no note itself, so this is one as Lambda would write it."""
    people, _, token = guest(cloud)
    room = open_room(people, token)
    archive = Archive(cloud)
    eventually(lambda: archive.line(room), "the room is archived", within_s=WITHIN_S)
    streams = client(cloud.endpoint, "dynamodbstreams")
    (stream,) = streams.list_streams(TableName="trinity-dev")["Streams"]
    described = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]
    shard = described["Shards"][-1]["ShardId"]
    iterator = streams.get_shard_iterator(
        StreamArn=stream["StreamArn"], ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = streams.get_records(ShardIterator=iterator)["Records"]
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    sqs = client(cloud.endpoint, "sqs")
    failures = sqs.get_queue_url(QueueName="trinity-dev-stream-failures")["QueueUrl"]
    body = failed_calls_note(stream["StreamArn"], shard, numbers[0], numbers[-1])
    sqs.send_message(QueueUrl=failures, MessageBody=body.replace("trinity-test-", "trinity-dev-"))

    assert json.loads(dlq(cloud, "list", "--json"))[-1]["dead"] == 1
    assert "trinity-dev-emit:live" in dlq(cloud, "show", "stream-failures")
    assert dlq(cloud, "redrive", "stream-failures", "--all") == "1 redriven\n"
    assert json.loads(dlq(cloud, "list", "--json"))[-1]["dead"] == 0


def test_a_clock_calls_its_function_with_what_it_understands(cloud: Deployment) -> None:
    clocks = client(cloud.endpoint, "scheduler")
    functions = client(cloud.endpoint, "lambda")
    names = [one["Name"] for one in clocks.list_schedules()["Schedules"]]
    assert "rotate_keys" in names
    for name in names:
        target = clocks.get_schedule(Name=name)["Target"]
        sent = target["Input"].replace("<aws.scheduler.scheduled-time>", "2026-01-02T03:00:00Z")
        answer = functions.invoke(FunctionName=target["Arn"], Payload=sent.encode())
        assert "FunctionError" not in answer, (name, answer["Payload"].read())


def test_what_the_emulator_lacks_and_nobody_named_stops_the_deployment(
    assembly: Assembly, cloud: Deployment
) -> None:
    def spoil(name: str, template: dict[str, Any]) -> None:
        template["Resources"]["Odd"] = {"Type": "AWS::Nowhere::Thing", "Properties": {}}

    with pytest.raises(DeploymentFailed, match="AWS::Nowhere::Thing"):
        deploy(assembly.folder, cloud.endpoint, patch=spoil)


def test_a_stage_with_a_shared_cache_has_a_redis_of_this_machine(tmp_path: Path) -> None:
    with running(STAGES["prod"], tmp_path, RATE_LIMITS="off") as deployment:
        people = Client(deployment.url)
        assert people.get("/api/health").json["status"] == "ok"
        assert people.post("/api/auth/guest", json={"name": "ana"}).status == 201
