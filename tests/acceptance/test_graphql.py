"""GraphQL over HTTP: what AppSync's clients rely on, and the scenarios through this front door."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from graphql import GraphQLObjectType, get_introspection_query, get_named_type

from tests.acceptance import (
    test_decks,
    test_events,
    test_matches,
    test_presence,
    test_results,
    test_rooms,
    test_votes,
)
from tests.acceptance.scenarios import Call, Expected, Host, Scenario, World, play
from tests.server import Client, Response, running
from trinity.common import problems
from trinity.domain import errors
from trinity.embedded.graphql import schema as schemas
from trinity.embedded.graphql.documents import MOST_FIELDS, MOST_ROOT_FIELDS, MOST_TOKENS

SCHEMA = schemas.load()


def ask(
    client: Client,
    query: str,
    token: str | None = None,
    /,
    *,
    operation_name: str | None = None,
    **given: Any,
) -> Response:
    """Send a GraphQL request; what is given are its variables."""
    body: dict[str, Any] = {"query": query, "variables": given}
    if operation_name is not None:
        body["operationName"] = operation_name
    return client.post("/graphql", json=body, token=token)


def data(answer: Response) -> Any:
    """What was asked for, all of it."""
    assert answer.status == 200, answer
    assert "errors" not in answer.json, answer
    return answer.json["data"]


def error(answer: Response) -> dict[str, Any]:
    """The one error of an answer that GraphQL gave."""
    assert answer.status == 200, answer
    (one,) = answer.json["errors"]
    assert "extensions" not in one
    return one


# ------------------------------------------------------------------------------------ an evening

CREATE = (
    "mutation Create($input: CreateRoomInput!) { createRoom(input: $input) { id code stopAt } }"
)
FILMS = {"source": "list", "items": [{"title": "jaws"}, {"title": "heat"}]}


def open_room(world: World, who: str = "ana", **more: Any) -> dict[str, Any]:
    room: dict[str, Any] = data(
        ask(world.graphql, CREATE, world.token(who), input={"deck": FILMS, **more})
    )["createRoom"]
    return room


@pytest.mark.on_aws
def test_an_evening_from_the_first_room_to_the_match(world: World) -> None:
    client, ana, ben = world.graphql, world.token("ana"), world.token("ben")
    me = data(ask(client, "{ me { id name guest email createdAt } }", ana))["me"]
    assert (me["id"], me["name"], me["guest"], me["email"]) == (
        world.person("ana").id,
        "ana",
        True,
        None,
    )
    room = open_room(world)
    join = "mutation ($code: String!) { joinRoom(code: $code) { id members { userId role } } }"
    joined = data(ask(client, join, ben, code=room["code"]))["joinRoom"]
    assert [member["role"] for member in joined["members"]] == ["host", "member"]
    following = "query ($id: ID!) { nextTitles(roomId: $id) { remaining items { id title } } }"
    cards = data(ask(client, following, ana, id=room["id"]))["nextTitles"]
    assert cards["remaining"] == 2
    jaws = next(card["id"] for card in cards["items"] if card["title"] == "jaws")
    cast = """mutation ($room: ID!, $title: ID!) {
      castVote(roomId: $room, titleId: $title, choice: yes) {
        accepted matches { titleId kind title { title } }
      }
    }"""
    first = data(ask(client, cast, ana, room=room["id"], title=jaws))["castVote"]
    assert first == {"accepted": 1, "matches": []}
    second = data(ask(client, cast, ben, room=room["id"], title=jaws))["castVote"]
    match = {"titleId": jaws, "kind": "unanimous", "title": {"title": "jaws"}}
    assert second == {"accepted": 1, "matches": [match]}
    after = """query ($id: ID!) {
      room(id: $id) { state matches { userIds } }
      results(roomId: $id) { voted members complete ranking { titleId yes reason } }
    }"""
    found = data(ask(client, after, ana, id=room["id"]))
    assert found["room"]["state"] == "decided"
    assert found["results"]["ranking"][0]["titleId"] == jaws
    world.host.barrier.wait()
    log = "query ($id: ID!) { roomEvents(roomId: $id) { cursor items { type actorId data } } }"
    events = data(ask(client, log, ana, id=room["id"]))["roomEvents"]["items"]
    kinds = [event["type"] for event in events]
    assert kinds.count("matchFound") == 1
    told = next(event for event in events if event["type"] == "matchFound")
    assert isinstance(told["data"], str) or not world.host.one_process
    assert _parsed(told["data"])["titleId"] == jaws
    left = "mutation ($id: ID!) { leaveRoom(roomId: $id) }"
    assert data(ask(client, left, ben, id=room["id"])) == {"leaveRoom": True}


# --------------------------------------------------------------------------- statuses and bodies

MALFORMED = "MalformedHttpRequestException"
UNREADABLE = (400, MALFORMED, "Unable to parse GraphQL query.")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, MALFORMED, "Request body is empty.")),
        (b"{}", UNREADABLE),
        (b"[]", UNREADABLE),
        (b'[{"query": "{ me { id } }"}]', UNREADABLE),
        (b"{", UNREADABLE),
        (b"null", UNREADABLE),
        (b'{"query": null}', UNREADABLE),
        (b'{"query": 1}', UNREADABLE),
        (b'{"query": "\xff"}', UNREADABLE),
        (b'{"query": "{ me { id } }", "variables": []}', UNREADABLE),
        (b'{"query": "{ me { id } }", "operationName": 1}', UNREADABLE),
        (b'{"query": "{ me { id } }", "extensions": ' + b"[" * 50_000, UNREADABLE),
        (
            b'{"query": "query A { me { id } } query B { me { id } }"}',
            (400, "BadRequestException", "Missing operation name."),
        ),
        (
            b'{"query": "query A { me { id } }", "operationName": "B"}',
            (400, "BadRequestException", "Unknown operation named 'B'."),
        ),
        (
            b'{"query": "' + b" " * (256 * 1024) + b'"}',
            (413, "RequestTooLargeException", "The request body is larger than 256 KiB."),
        ),
    ],
)
def test_a_request_that_is_none_is_refused(
    body: bytes, expected: tuple[int, str, str], world: World
) -> None:
    status, kind, message = expected
    answer = world.client.post("/graphql", body=body, token=world.token("ana"))
    assert answer.status == status, answer
    assert answer.json == {"errors": [{"errorType": kind, "message": message}]}
    assert answer.headers["x-amzn-errortype"] == kind
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Missing authorization header"),
        ({"authorization": ""}, "You are not authorized to make this call."),
        ({"authorization": "Bearer x"}, "You are not authorized to make this call."),
        ({"authorization": "eyJ.eyJ.x"}, "You are not authorized to make this call."),
        ({"authorization": "Basic eDp5"}, "You are not authorized to make this call."),
        (
            {"authorization": "AWS4-HMAC-SHA256 Credential=A/20240101/eu/appsync/aws4_request"},
            "You are not authorized to make this call.",
        ),
        ({"x-api-key": "da2-x"}, "You are not authorized to make this call."),
    ],
)
def test_without_a_valid_token_nothing_is_answered(
    headers: dict[str, str], message: str, host: Host
) -> None:
    body = {"query": "{ genres { items { id } } }"}
    answer = host.client.post("/graphql", json=body, headers=headers)
    assert answer.status == 401, answer
    assert answer.json["errors"] == [{"errorType": "UnauthorizedException", "message": message}]
    assert answer.headers["x-amzn-errortype"] == "UnauthorizedException"


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer "])
def test_a_token_comes_bare_or_after_bearer(scheme: str, world: World) -> None:
    headers = {"Authorization": scheme + world.token("ana")}
    answer = world.client.post("/graphql", json={"query": "{ me { name } }"}, headers=headers)
    assert data(answer) == {"me": {"name": "ana"}}


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "application/graphql", "x"])
def test_the_type_of_the_content_does_not_matter(kind: str, world: World) -> None:
    answer = world.client.post(
        "/graphql",
        body=b'{"query": "{ me { name } }", "variables": null, "operationName": null}',
        token=world.token("ana"),
        headers={"content-type": kind},
    )
    assert data(answer) == {"me": {"name": "ana"}}


def test_an_answer_names_its_request_and_is_not_kept(world: World) -> None:
    answer = ask(world.graphql, "{ me { name } }", world.token("ana"))
    assert answer.headers["x-amzn-requestid"] == answer.headers["x-request-id"] != ""
    assert answer.headers["cache-control"] == "no-store"
    assert "x-amzn-errortype" not in answer.headers


def test_a_browser_may_ask_from_everywhere(host: Host) -> None:
    wish = {
        "origin": "https://films.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-amz-user-agent",
    }
    answer = host.client.request("OPTIONS", "/graphql", headers=wish)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == wish["access-control-request-headers"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(method: str, host: Host) -> None:
    answer = host.client.request(method, "/graphql")
    assert answer.status == 405
    assert answer.headers["x-amzn-errortype"] == "MethodNotAllowedException"


# ------------------------------------------------------------------------------ errors of fields


def test_the_error_of_a_field_has_the_members_of_appsync_and_no_others(world: World) -> None:
    query = '{\n  me { name }\n  gone: room(id: "abcdefghijklmnop") { id }\n}'
    answer = ask(world.graphql, query, world.token("ana"))
    assert error(answer) == {
        "path": ["gone"],
        "data": None,
        "errorType": "RoomNotFound",
        "errorInfo": None,
        "locations": [{"line": 3, "column": 3, "sourceName": None}],
        "message": "There is no such room. Check the code with your host.",
    }
    assert answer.json["data"] is None


def test_a_field_that_may_be_null_does_not_take_the_others_with_it(world: World) -> None:
    query = 'mutation { a: leaveRoom(roomId: "no") b: undoVote(roomId: "no", titleId: "x") }'
    answer = ask(world.graphql, query, world.token("ana"))
    assert answer.json["data"] == {"a": None, "b": None}
    assert [one["path"] for one in answer.json["errors"]] == [["a"], ["b"]]


def test_what_is_for_the_service_alone_is_refused_to_users(world: World) -> None:
    event = """{cursor: "1", roomId: "r", type: progress, at: "2024-01-01T00:00:00Z", data: "{}"}"""
    query = f"mutation {{ publishRoomEvent(event: {event}) {{ cursor }} }}"
    answer = ask(world.graphql, query, world.token("ana"))
    assert answer.json["data"] == {"publishRoomEvent": None}
    refusal = error(answer)
    assert refusal["errorType"] == "Unauthorized"
    message = "Not Authorized to access publishRoomEvent on type Mutation"
    assert refusal["message"] == message


@pytest.mark.parametrize("text", ["{", "", "[1"])
def test_a_text_that_is_no_json_is_no_awsjson(text: str, world: World) -> None:
    query = "mutation ($e: RoomEventInput!) { publishRoomEvent(event: $e) { cursor } }"
    event = {"cursor": "1", "roomId": "r", "type": "progress", "at": "2024-01-01T00:00:00Z"}
    answer = ask(world.graphql, query, world.token("ana"), e={**event, "data": text})
    assert answer.json["data"] is None
    assert "as a valid AWSJSON" in error(answer)["message"]


def test_a_subscription_is_not_for_http(world: World) -> None:
    query = 'subscription { onRoomEvent(roomId: "r") { cursor } }'
    answer = ask(world.graphql, query, world.token("ana"))
    assert answer.json["data"] is None
    assert error(answer)["errorType"] == "OperationNotSupported"


def test_an_account_that_is_gone_is_not_signed_in(world: World) -> None:
    token = world.token("ana")
    assert world.client.delete("/api/me", token=token).status == 204
    assert error(ask(world.graphql, "{ me { id } }", token))["errorType"] == "Unauthenticated"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ x }", "FieldUndefined: Field 'x' in type 'Query' is undefined @ 'x'"),
        (
            "{ me { x } }",
            "FieldUndefined: Field 'x' in type 'User' is undefined @ 'me/x'",
        ),
        (
            "{ me { ...F } } fragment F on User { x }",
            "FieldUndefined: Field 'x' in type 'User' is undefined @ 'F/x'",
        ),
        ("{ room { id } }", "MissingFieldArgument: Missing field argument id @ 'room'"),
        ("{ me(x: 1) { id } }", "UnknownArgument: Unknown field argument x @ 'me'"),
        ("{ me { ...F } }", "UndefinedFragment: Undefined fragment F @ 'me'"),
        ("{ me { ... on X { id } } }", "UnknownType: Unknown type X @ 'me'"),
        ("{ room(id: $x) { id } }", "UndefinedVariable: Undefined variable x @ 'room'"),
        ("query ($x: ID) { me { id } }", "UnusedVariable: Unused variable x"),
        ("{ me { id @x } }", "UnknownDirective: Unknown directive x @ 'me/id'"),
        (
            "{ me { ...F } } fragment F on User { ...F }",
            "FragmentCycle: Fragment cycles not allowed @ 'F'",
        ),
    ],
)
def test_what_does_not_fit_the_schema_is_said_in_the_words_of_graphql_java(
    query: str, message: str, world: World
) -> None:
    answer = ask(world.graphql, query, world.token("ana"))
    assert answer.json["data"] is None
    one = error(answer)
    assert one.keys() == {"path", "locations", "message"}
    assert one["path"] is None
    assert one["locations"][0].keys() == {"line", "column", "sourceName"}
    assert one["message"] == f"Validation error of type {message}"


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("{ me", "InvalidSyntax"),
        ("", "InvalidSyntax"),
        ("{ me }", "SubSelectionRequired"),
        ("{ me { id { x } } }", "SubSelectionNotAllowed"),
        ("{ room(id: {}) { id } }", "WrongType"),
        ("query ($x: Int) { room(id: $x) { id } }", "VariableTypeMismatch"),
        ("{ me { a: id a: name } }", "FieldsConflict"),
        ("query A { me { id } } query A { me { id } }", "DuplicateOperationName"),
    ],
)
def test_a_document_that_is_not_valid_says_of_which_kind_it_is(
    query: str, kind: str, world: World
) -> None:
    answer = ask(world.graphql, query, world.token("ana"))
    assert answer.json["data"] is None
    assert error(answer)["message"].startswith(f"Validation error of type {kind}: ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Variable 'id' has coerced Null value for NonNull type 'ID!'"),
        ({"id": None}, "Variable 'id' has coerced Null value for NonNull type 'ID!'"),
        ({"id": []}, "Variable 'id' has an invalid value: []; ID cannot represent value: []"),
    ],
)
def test_a_variable_that_cannot_be_is_named(
    given: dict[str, Any], message: str, world: World
) -> None:
    query = "query ($id: ID!) { room(id: $id) { id } }"
    answer = ask(world.graphql, query, world.token("ana"), **given)
    assert answer.json["data"] is None
    assert error(answer)["message"] == message


# ------------------------------------------------------------------------- the language as it is


def test_null_for_an_optional_argument_is_as_good_as_nothing(world: World) -> None:
    room = open_room(world, name=None, rule=None, stopAt=None, capacity=None, secret=None)
    assert room["stopAt"] == "first"
    query = "query ($c: String, $l: Int) { rooms(cursor: $c, limit: $l) { items { id } } }"
    for given in ({}, {"c": None, "l": None}):
        found = data(ask(world.graphql, query, world.token("ana"), **given))
        assert found["rooms"]["items"] == [{"id": room["id"]}]


def test_the_number_of_matches_that_ends_a_room_is_a_text(world: World) -> None:
    assert open_room(world, stopAt="3")["stopAt"] == "3"
    assert open_room(world, stopAt="never")["stopAt"] == "never"


def test_aliases_fragments_variables_and_directives_work_together(world: World) -> None:
    room = open_room(world)
    query = """query Q($id: ID!, $with: Boolean!) {
      first: room(id: $id) { ...Brief }
      second: room(id: $id) { ...Brief key: id code @skip(if: $with) ... on Room { deckSize } }
      room(id: $id) { name @include(if: $with) __typename }
      room(id: $id) { state }
    }
    fragment Brief on Room { id }"""
    found = data(ask(world.graphql, query, world.token("ana"), id=room["id"], **{"with": True}))
    assert found["first"] == {"id": room["id"]}
    assert found["second"] == {"id": room["id"], "key": room["id"], "deckSize": 2}
    assert found["room"] == {"name": "ana’s room", "__typename": "Room", "state": "open"}
    assert list(found) == ["first", "second", "room"]


def test_of_several_operations_the_named_one_is_executed(world: World) -> None:
    query = """query A { me { id } } query B { me { name } }
      subscription C { onRoomEvent(roomId: 1) { at } }"""
    assert data(ask(world.graphql, query, world.token("ana"), operation_name="B")) == {
        "me": {"name": "ana"}
    }


def test_the_fields_of_a_mutation_are_done_one_after_the_other(world: World) -> None:
    room = open_room(world)
    names = [f"name {n}" for n in range(10)]
    fields = " ".join(
        f"m{n}: updateRoom(roomId: $id, name: {json.dumps(name)}) {{ name version }}"
        for n, name in enumerate(names)
    )
    query = f"mutation ($id: ID!) {{ {fields} }}"
    done = data(ask(world.graphql, query, world.token("ana"), id=room["id"]))
    assert [one["name"] for one in done.values()] == names
    assert [one["version"] for one in done.values()] == list(range(2, 12))


def test_a_mutation_goes_on_after_a_field_that_failed(world: World) -> None:
    room = open_room(world)
    query = """mutation ($id: ID!) {
      a: undoVote(roomId: $id, titleId: "list:other:nope")
      b: leaveRoom(roomId: $id)
    }"""
    answer = ask(world.graphql, query, world.token("ana"), id=room["id"])
    assert answer.json["data"] == {"a": None, "b": True}
    assert error(answer)["errorType"] == "TitleNotInDeck"


def test_the_same_document_again_answers_again_with_other_variables(world: World) -> None:
    query = "query ($id: ID!) { room(id: $id) { id } }"
    for _ in range(3):
        room = open_room(world)
        found = data(ask(world.graphql, query, world.token("ana"), id=room["id"]))
        assert found == {"room": {"id": room["id"]}}


def test_a_key_makes_one_room_of_a_request_that_is_repeated(world: World) -> None:
    body = {"query": CREATE, "variables": {"input": {"deck": FILMS}}}
    headers = {"idempotency-key": "once"}
    made = {
        data(world.client.post("/graphql", json=body, token=world.token("ana"), headers=headers))[
            "createRoom"
        ]["id"]
        for _ in range(3)
    }
    assert len(made) == 1


# ---------------------------------------------------------------------------------------- limits

LIMITS = {
    "root fields": "{" + " ".join(f"a{n}: me {{ id }}" for n in range(MOST_ROOT_FIELDS + 1)) + "}",
    "root fields in a fragment": "{ ...F } fragment F on Query {"
    + " ".join(f"a{n}: me {{ id }}" for n in range(MOST_ROOT_FIELDS + 1))
    + "}",
    "fields": "{ me {" + " ".join(f"a{n}: id" for n in range(MOST_FIELDS)) + "} }",
    "fields by fragments of fragments": "{ me { ...F0 } } fragment F30 on User { id }"
    + " ".join(f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }}" for n in range(30)),
    "tokens": "{ me { id } }" + "{ me { id } }" * (MOST_TOKENS // 6),
    "levels": "{ __schema { types {" + "ofType {" * 14 + "name" + "}" * 17,
    "levels in a fragment": "{ me { id } } fragment F on __Type {"
    + "ofType {" * 15
    + "name"
    + "}" * 16,
    "nesting of a value": "{ room(id: " + "[" * 2000 + "]" * 2000 + ") { id } }",
}


@pytest.mark.parametrize("what", LIMITS)
def test_a_document_has_only_so_many(what: str, world: World) -> None:
    answer = ask(world.graphql, LIMITS[what], world.token("ana"))
    assert answer.json["data"] is None
    assert error(answer)["errorType"] == "LimitExceededError"


def test_a_document_may_have_as_many_as_there_may_be(world: World) -> None:
    query = "{" + " ".join(f"a{n}: me {{ id }}" for n in range(MOST_ROOT_FIELDS)) + "}"
    assert len(data(ask(world.graphql, query, world.token("ana")))) == MOST_ROOT_FIELDS


def test_the_schema_cannot_be_asked_round_in_circles(world: World) -> None:
    query = "{ __schema { types {" + "fields { type {" * 5 + "name" + "} }" * 5 + "} } }"
    answer = ask(world.graphql, query, world.token("ana"))
    assert answer.json["data"] is None
    assert answer.json["errors"]


def test_the_schema_can_be_asked_for(world: World) -> None:
    found = data(ask(world.graphql, get_introspection_query(), world.token("ana")))
    names = {kind["name"] for kind in found["__schema"]["types"]}
    assert {"Room", "AWSJSON", "RoomEvent"} <= names


def test_introspection_can_be_switched_off(tmp_path: Path) -> None:
    with running(tmp_path, GRAPHQL_INTROSPECTION="off") as server:
        client = server.client
        token = client.post("/api/auth/guest", json={"name": "ana"}).json["accessToken"]
        for field in ('__type(name: "Room") { name }', "__schema { types { name } }"):
            answer = ask(client, f"{{ {field} }}", token)
            assert answer.json["data"] is None
            assert "Field '__" in error(answer)["message"]
            assert "in type 'Query' is undefined" in error(answer)["message"]
        found = data(ask(client, "{ __typename me { __typename } }", token))
        assert found == {"__typename": "Query", "me": {"__typename": "User"}}


# ---------------------------------------------------------------- the scenarios by this front door


def _everything(kind: Any) -> str:
    """Return the selection set that leaves nothing out."""
    kind = get_named_type(kind)
    if not isinstance(kind, GraphQLObjectType):
        return ""
    fields = (f"{name} {_everything(field.type)}" for name, field in kind.fields.items())
    return "{ " + " ".join(fields) + " }"


ROUTES = {
    "GET /api/me": "Query.me",
    "POST /api/rooms": "Mutation.createRoom",
    "GET /api/rooms": "Query.rooms",
    "GET /api/me/matches": "Query.myMatches",
    "POST /api/rooms/join": "Mutation.joinRoom",
    "GET /api/rooms/{id}": "Query.room",
    "PATCH /api/rooms/{roomId}": "Mutation.updateRoom",
    "DELETE /api/rooms/{roomId}": "Mutation.deleteRoom",
    "DELETE /api/rooms/{roomId}/members/{userId}": "Mutation.kickMember",
    "POST /api/rooms/{roomId}/leave": "Mutation.leaveRoom",
    "POST /api/rooms/{roomId}/away": "Mutation.stepAway",
    "GET /api/rooms/{roomId}/deck": "Query.deck",
    "GET /api/rooms/{roomId}/next": "Query.nextTitles",
    "GET /api/rooms/{roomId}/results": "Query.results",
    "GET /api/rooms/{roomId}/events": "Query.roomEvents",
    "POST /api/rooms/{roomId}/votes": "Mutation.castVote",
    "DELETE /api/rooms/{roomId}/votes/{titleId}": "Mutation.undoVote",
    "GET /api/catalogue/genres": "Query.genres",
    "GET /api/catalogue/titles": "Query.titles",
}
STATUS = {
    "Mutation.createRoom": 201,
    "Mutation.leaveRoom": 204,
    "Mutation.deleteRoom": 204,
    "Mutation.kickMember": 204,
    "Mutation.stepAway": 204,
    "Mutation.undoVote": 204,
}


class Translated(World):
    """Sends each request that GraphQL knows as its operation, and reads the answer back."""

    def send(self, call: Call) -> Response:
        operation = _operation(call, self.fill(call.path), self.fill(call.json))
        if operation is None:
            return super().send(call)
        field, given = operation
        token = self.token(call.as_ or "somebody")
        response = ask(self.graphql, _query(field, given), token, **given)
        return _as_http(field, response)


def _operation(call: Call, path: str, body: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the field and the arguments of a request, None if there is no such field."""
    if call.body is not None or call.headers:
        return None
    path, _, query = path.partition("?")
    for route, field in ROUTES.items():
        method, pattern = route.split(" ")
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern), path)
        if found is None or method != call.method:
            continue
        given = {name: unquote(value) for name, value in found.groupdict().items()}
        sent = dict(parse_qsl(query, keep_blank_values=True)) if method == "GET" else body or {}
        if field == "Mutation.castVote" and "votes" in sent:
            field = "Mutation.castVotes"
        if field == "Mutation.createRoom":
            sent = {"input": sent | {"stopAt": str(sent["stopAt"])} if "stopAt" in sent else sent}
        kind = SCHEMA.type_map[field.partition(".")[0]].fields[field.partition(".")[2]]
        for name, value in sent.items():
            number = name in kind.args and str(kind.args[name].type) == "Int"
            is_number = number and isinstance(value, str) and value.isdigit()
            given.setdefault(name, int(value) if is_number else value)
        return field, given
    return None


def _query(place: str, given: Mapping[str, Any]) -> str:
    parent, _, name = place.partition(".")
    field = SCHEMA.type_map[parent].fields[name]
    types = {name: field.args[name].type for name in given if name in field.args}
    declared = ", ".join(f"${name}: {kind}" for name, kind in types.items())
    passed = ", ".join(f"{name}: ${name}" for name in types)
    head = f"({declared})" if declared else ""
    arguments = f"({passed})" if passed else ""
    return f"{parent.lower()} {head} {{ {name}{arguments} {_everything(field.type)} }}"


def _as_http(place: str, response: Response) -> Response:
    """Return the answer of the same route: a problem, or the shape without what is null."""
    assert response.status == 200, response
    if "errors" in response.json:
        one = response.json["errors"][0]
        refusal = getattr(errors, one.get("errorType") or "InvalidRequest")
        status, document = problems.problem(refusal(one["message"]), "")
        headers = response.headers | {"content-type": problems.CONTENT_TYPE}
        return Response(status, headers, json.dumps(document).encode())
    value = response.json["data"][place.partition(".")[2]]
    status = STATUS.get(place, 200)
    if status == 204:
        assert value is True
        return Response(status, response.headers, b"")
    return Response(status, response.headers, json.dumps(_shape(value)).encode())


def _parsed(given: Any) -> Any:
    """Return what an AWSJSON holds. It is a text; the local AWS gives the object itself."""
    return json.loads(given) if isinstance(given, str) else given


def _shape(value: Any) -> Any:
    if isinstance(value, list):
        return [_shape(one) for one in value]
    if not isinstance(value, dict):
        return value
    page = "items" in value
    shaped = {k: _shape(v) for k, v in value.items() if v is not None or (page and k == "cursor")}
    if shaped.get("stopAt", "").isdigit():
        shaped["stopAt"] = int(shaped["stopAt"])
    if "cursor" in shaped and "roomId" in shaped:
        shaped["data"] = _parsed(shaped["data"])
    return shaped


# What can be asked in HTTP alone.
NOT_IN_GRAPHQL = {
    "a room with capacity = None is refused",  # null is as good as nothing
    "one vote and a batch in one request are refused",  # two fields
    "limit=1&limit=2 is refused",  # an argument that is there twice is no document
}


def _by_graphql(scenario: Scenario) -> Scenario:
    """Return a scenario without what only HTTP has: headers, and pointers to what is wrong."""

    def without(expected: Expected) -> Expected:
        content = tuple(
            one for one in expected.content if not (isinstance(one, dict) and "errors" in one)
        )
        return dataclasses.replace(expected, content=content, header_patterns=())

    after = [(call, without(expected)) for call, expected in scenario.after]
    return dataclasses.replace(scenario, then=without(scenario.then), after=after)


SCENARIOS = [
    _by_graphql(scenario)
    for scenario in (
        *test_rooms.ALL,
        *test_decks.SCENARIOS,
        *test_votes.SCENARIOS,
        *test_matches.SCENARIOS,
        *test_results.SCENARIOS,
        *test_events.SCENARIOS,
        *test_presence.SCENARIOS,
    )
    if scenario.name not in NOT_IN_GRAPHQL
    # Some are about headers, or about what has no field.
    and _operation(scenario.when, scenario.when.path, scenario.when.json) is not None
]


class ByGraphQL(Host):
    """The same host, asked by GraphQL."""

    def __init__(self, host: Host) -> None:
        self.client, self.graphql, self.one_process = host.client, host.graphql, host.one_process
        self.document, self._barrier = host.document, host.barrier

    def world(self) -> World:
        return Translated(self)


def test_every_scenario_of_a_room_has_this_front_door_but_for_those_of_headers() -> None:
    asked = {scenario.name for scenario in SCENARIOS} | NOT_IN_GRAPHQL
    tables = (test_rooms.ALL, test_decks.SCENARIOS, test_votes.SCENARIOS, test_matches.SCENARIOS)
    others = [one for table in tables for one in table if one.name not in asked]
    assert all(one.when.headers for one in others), [one.name for one in others]


@pytest.mark.on_aws
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_goes_the_same_way(scenario: Scenario, host: Host) -> None:
    play(scenario, ByGraphQL(host))
