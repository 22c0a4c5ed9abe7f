"""`Realtime` over AppSync: what it sends, how it is signed, and that its failures stop nothing."""

import datetime
import json
from collections.abc import Callable
from typing import Any
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from graphql import GraphQLObjectType, get_named_type, graphql_sync, parse

from tests import ministack
from tests.contract.conftest import account, boto
from tests.contract.scripted_server import Request, ScriptedServer, Step, answer
from tests.contract.test_mailer import Lines
from trinity.domain.ids import RoomId, UserId
from trinity.embedded.graphql import schema as schemas
from trinity.embedded.realtime.subscriptions import published_event, published_presence
from trinity.infrastructure.appsync.realtime import END, PUBLISH, SHOW, AppSyncRealtime
from trinity.infrastructure.aws.client import APPSYNC
from trinity.infrastructure.aws.retry import Limits

ROOM = RoomId("r1")
EVENT = {
    "cursor": "7",
    "roomId": "r1",
    "type": "memberJoined",
    "at": "2026-11-25T12:00:00.000Z",
    "actorId": "ana",
    "data": {"userId": "ana", "name": 'Ana "Füße" 🎬', "role": "member"},
}
NOBODYS = {key: value for key, value in EVENT.items() if key != "actorId"}
PRESENCE = {"roomId": "r1", "at": "2026-11-25T12:00:00.000Z", "online": ["ana", "ben"]}
FINE = answer(b'{"data":{}}')

CALLS: dict[str, Callable[[AppSyncRealtime], None]] = {
    "publish": lambda realtime: realtime.publish(ROOM, EVENT),
    "publish what nobody did": lambda realtime: realtime.publish(ROOM, NOBODYS),
    "show": lambda realtime: realtime.show(ROOM, PRESENCE),
    "end for one": lambda realtime: realtime.end(ROOM, UserId("ana")),
    "end for all": lambda realtime: realtime.end(ROOM),
}


def realtime(url: str, log: Lines | None = None, **limits: Any) -> AppSyncRealtime:
    client = account(url).client(APPSYNC, endpoint=f"{url}/graphql", limits=Limits(**limits))
    return AppSyncRealtime(client, log or Lines())


def sent(call: Callable[[AppSyncRealtime], None]) -> Request:
    with ScriptedServer(FINE) as server:
        call(realtime(server.url))
    [request] = server.requests
    return request


def executed(request: Request) -> dict[str, Any]:
    """Do what AppSync would do: check the mutation, and answer it with what it was given."""
    schema = schemas.load()
    fields = schema.mutation_type.fields  # type: ignore[union-attr]
    fields["publishRoomEvent"].resolve = lambda _root, _info, event: event
    fields["publishPresence"].resolve = lambda _root, _info, presence: presence
    fields["endSubscriptions"].resolve = lambda _root, _info, **given: bool(given)
    body = json.loads(request.body)
    assert body.keys() == {"query", "variables"}
    result = graphql_sync(schema, body["query"], variable_values=body["variables"])
    assert result.errors is None, result.errors
    assert result.data is not None
    return result.data


@pytest.mark.parametrize("call", CALLS)
def test_what_is_sent_is_a_mutation_of_our_schema(call: str) -> None:
    assert len(executed(sent(CALLS[call]))) == 1


@pytest.mark.parametrize("event", [EVENT, NOBODYS])
def test_subscribers_get_what_those_of_the_embedded_host_get(event: dict[str, Any]) -> None:
    published = executed(sent(lambda realtime: realtime.publish(ROOM, event)))
    expected = {"actorId": None, **published_event(event)}
    told = published["publishRoomEvent"]
    assert json.loads(told.pop("data")) == json.loads(expected.pop("data"))
    assert told == expected
    shown = executed(sent(lambda realtime: realtime.show(ROOM, PRESENCE)))
    assert shown["publishPresence"] == published_presence(PRESENCE)


@pytest.mark.parametrize("mutation", [PUBLISH, SHOW])
def test_a_mutation_selects_every_field_that_a_subscriber_may_want(mutation: str) -> None:
    [operation] = parse(mutation).definitions
    [field] = operation.selection_set.selections  # type: ignore[attr-defined]
    selected = {node.name.value for node in field.selection_set.selections}
    schema = schemas.load()
    returned = get_named_type(schema.mutation_type.fields[field.name.value].type)  # type: ignore[union-attr]
    assert isinstance(returned, GraphQLObjectType)
    assert selected == {*returned.fields, "__typename"}


def test_who_is_meant_by_an_end_is_told() -> None:
    one, everybody = sent(CALLS["end for one"]), sent(CALLS["end for all"])
    assert json.loads(one.body) == {"query": END, "variables": {"roomId": "r1", "userId": "ana"}}
    assert json.loads(everybody.body)["variables"] == {"roomId": "r1", "userId": None}


def test_a_request_is_signed_as_aws_s_own_signer_would_for_appsync() -> None:
    request = sent(CALLS["publish"])
    first, *lines = request.head.split("\r\n")
    assert first == "POST /graphql HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines)
    theirs = AWSRequest(
        "POST",
        f"http://{headers['host']}/graphql",
        {"content-type": headers["content-type"]},
        request.body,
    )
    moment = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    with mock.patch(
        "botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=datetime.UTC)
    ):
        botocore.auth.SigV4Auth(Credentials("test", "test"), "appsync", ministack.REGION).add_auth(
            theirs
        )
    assert headers["authorization"] == theirs.headers["Authorization"]
    assert "/appsync/aws4_request" in headers["authorization"]


# ---------------------------------------------------------------------------------- when it fails


def refusal(status: int, kind: str) -> Step:
    body = json.dumps({"errors": [{"errorType": kind, "message": "Ana may not"}]}).encode()
    return answer(body, status=status, headers=[f"x-amzn-ErrorType: {kind}"])


FAILURES = {
    "nobody answers": Step(close=True),
    "not let in": refusal(401, "UnauthorizedException"),
    "our mutation is wrong": refusal(200, "ValidationError"),
    "a fault of AppSync": refusal(500, "InternalFailure"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("call", CALLS)
def test_what_cannot_be_told_is_said_in_the_log_once_and_stops_nobody(
    call: str, failure: str
) -> None:
    log = Lines()
    with ScriptedServer(FAILURES[failure]) as server:
        CALLS[call](realtime(server.url, log))
    [line] = log.lines
    assert (line["level"], line["message"]) == ("warning", "followers of a room were not told")
    for private in ("Ana", "ana", "r1"):
        assert private not in str(line)


def test_nothing_is_told_twice_because_an_answer_was_lost() -> None:
    with ScriptedServer(Step(close=True)) as server:
        realtime(server.url).publish(ROOM, EVENT)
    assert len(server.requests) == 1


def test_what_appsync_has_refused_for_now_is_told_a_moment_later() -> None:
    log = Lines()
    busy = refusal(429, "TooManyRequestsException")
    with ScriptedServer(busy, FINE) as server:
        realtime(server.url, log, first_wait=0.001).publish(ROOM, EVENT)
    assert log.lines == []


def test_an_appsync_that_fails_again_and_again_does_not_hold_up_the_events_of_all_rooms() -> None:
    log = Lines()
    failures = [FAILURES["nobody answers"]] * 3
    with ScriptedServer(*failures) as server:
        told = realtime(server.url, log)
        for _ in range(50):
            told.publish(ROOM, EVENT)
    assert len(server.requests) == len(log.lines) == 3


# --------------------------------------------------------------------------------- on MiniStack


def test_the_local_cloud_checks_who_publishes_and_answers_with_the_event(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with ministack.running(tmp_path_factory.mktemp("appsync"), AUTH="true") as url:
        appsync, iam = boto("appsync", url), boto("iam", url)
        api = appsync.create_graphql_api(name="trinity", authenticationType="AWS_IAM")["graphqlApi"]
        appsync.start_schema_creation(apiId=api["apiId"], definition=schemas.sdl().encode())
        appsync.create_data_source(apiId=api["apiId"], name="Nothing", type="NONE")
        code = "export const request = (ctx) => ({ payload: ctx.args.event });\n"
        code += "export const response = (ctx) => ctx.result;\n"
        appsync.create_resolver(
            apiId=api["apiId"],
            typeName="Mutation",
            fieldName="publishRoomEvent",
            dataSourceName="Nothing",
            runtime={"name": "APPSYNC_JS", "runtimeVersion": "1.0.0"},
            code=code,
        )
        field = f"{api['arn']}/types/Mutation/fields/publishRoomEvent"
        allow = {"Effect": "Allow", "Action": "appsync:GraphQL", "Resource": field}
        logs: dict[str, Lines] = {}
        for name, statements in (("publisher", [allow]), ("stranger", [])):
            iam.create_user(UserName=name)
            if statements:
                document = json.dumps({"Version": "2012-10-17", "Statement": statements})
                iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            logs[name] = Lines()
            whose = account(url, key["AccessKeyId"], key["SecretAccessKey"])
            endpoint = f"{url}/v1/apis/{api['apiId']}/graphql"
            AppSyncRealtime(whose.client(APPSYNC, endpoint=endpoint), logs[name]).publish(
                ROOM, EVENT
            )
        assert logs["publisher"].lines == []
        [line] = logs["stranger"].lines
        assert line["cause"].startswith("Unauthorized")
