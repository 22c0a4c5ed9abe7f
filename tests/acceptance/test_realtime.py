"""The real-time endpoint, frame by frame: what AppSync's own clients send, and what they expect."""

import contextlib
import dataclasses
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.scenarios import (
    ANY,
    Host,
    World,
    delete,
    differences,
    patch,
    post,
    vote,
    votes,
)
from tests.live import EVERYTHING, Frame, Live, encoded
from tests.server import Server, running


@pytest.fixture
def url(host: Host) -> str:
    return host.client.base_url


@pytest.fixture
def room(world: World) -> str:
    """A room with Ana, its host, and Ben."""
    made: str = world.room("r1", ["ana", "ben"], ["jaws", "heat"], {"stopAt": "never"})["id"]
    world.settled("r1")
    return made


@pytest.fixture
def live(world: World, url: str) -> Iterator[Live]:
    """Ana's connection."""
    with Live(url, world.token("ana")) as live:
        yield live


def rename(world: World, name: str, room: str = "r1") -> None:
    assert world.send(patch(f"/api/rooms/{{{room}}}", as_="ana", json={"name": name})).status == 200


def error(error_type: str, name: str | None = None, message: Any = ANY) -> Frame:
    about = {} if name is None else {"id": name}
    errors = [{"errorType": error_type, "message": message}]
    return {"type": "error", **about, "payload": {"errors": errors}}


def expect(expected: Frame, actual: Frame) -> None:
    differs = differences(expected, actual)
    assert not differs, differs
    assert expected.keys() == actual.keys(), actual


# ------------------------------------------------------------------------------------ connecting


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to say who connects.

    Attributes:
        query: made of the authorization object.
        protocol: made of the authorization object.
        headers: with a token in them.
    """

    name: str
    given: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {"host": "{host}", "Authorization": "{token}"}
    )
    query: Callable[[Any], str] = lambda _: ""
    protocol: Callable[[Any], Sequence[str]] = lambda _: ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    path: str = "/graphql/realtime"

    def connect(self, url: str, token: str) -> Live:
        def fill(text: str) -> str:
            return text.replace("{host}", urlsplit(url).netloc).replace("{token}", token)

        given = {name: fill(value) for name, value in self.given.items()}
        return Live(
            url,
            None,
            path=self.path + self.query(given),
            protocols=("graphql-ws", *self.protocol(given)),
            headers={name: fill(value) for name, value in self.headers.items()},
        )


def _in_query(given: Any, **how: bool) -> str:
    return f"?header={encoded(given, **how)}&payload=e30="


# In base64 these are `+` and `/` of the standard alphabet, `-` and `_` of the other.
_ODD = {"host": "{host}", "Authorization": "{token}", "x": "???>>>~~~ÿÿÿ"}

WAYS = [
    Way("the sub-protocol", protocol=lambda g: [f"header-{encoded(g)}"]),
    Way(
        "the sub-protocol on /graphql", protocol=lambda g: [f"header-{encoded(g)}"], path="/graphql"
    ),
    Way(
        "the query string as gql writes it",
        query=lambda g: _in_query(g, padded=True, urlsafe=False),
    ),
    Way(
        "the query string, percent-encoded",
        query=lambda g: f"?header={quote(encoded(g, padded=True, urlsafe=False))}&payload=e30%3D",
    ),
    Way(
        "the query string with + and /",
        given=_ODD,
        query=lambda g: _in_query(g, padded=True, urlsafe=False),
    ),
    Way(
        "the query string in the other alphabet",
        given=_ODD,
        query=lambda g: _in_query(g, padded=True),
    ),
    Way("the query string without padding", query=lambda g: _in_query(g, urlsafe=False)),
    Way("the query string without a payload", query=lambda g: f"?header={encoded(g)}"),
    Way(
        "the query string among parameters of the client's own",
        query=lambda g: _in_query(g) + "&x-custom=1&header2=x",
    ),
    Way("plain headers", headers={"Authorization": "{token}"}),
    Way("plain headers with Bearer", headers={"authorization": "Bearer {token}"}),
    Way(
        "a name in small letters",
        given={"host": "{host}", "authorization": "{token}"},
        protocol=lambda g: [f"header-{encoded(g)}"],
    ),
    Way(
        "a token after Bearer",
        given={"host": "{host}", "Authorization": "Bearer {token}"},
        protocol=lambda g: [f"header-{encoded(g)}"],
    ),
    Way(
        "an object with an API key twice, as the Apollo link makes it",
        given={
            "host": "{host}",
            "x-api-key": "da2-x",
            "X-Api-Key": "da2-x",
            "Authorization": "{token}",
        },
        protocol=lambda g: [f"header-{encoded(g)}"],
    ),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_who_connects_may_say_so_in(way: Way, world: World, url: str) -> None:
    with way.connect(url, world.token("ana")) as live:
        assert live.socket.subprotocol == "graphql-ws"
        live.send({"type": "connection_init"})
        ack = {"type": "connection_ack", "payload": {"connectionTimeoutMs": 300000}}
        assert live.next() == ack


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A way to connect that leads nowhere."""

    name: str
    says: Mapping[str, Any]
    query: str = ""
    protocols: Sequence[str] | None = ("graphql-ws",)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


_UNAUTHORIZED = {
    "errorType": "UnauthorizedException",
    "message": "You are not authorized to make this call.",
    "errorCode": 401,
}
_UNREADABLE = {"errorType": "BadRequest", "errorCode": 400, "message": ANY}

REFUSALS = [
    Refusal("no sub-protocol", {"message": "NoProtocolError", "errorCode": 400}, protocols=None),
    Refusal(
        "another sub-protocol",
        {"message": "SubProtocolNotSupportedError", "errorCode": 400},
        protocols=("graphql-transport-ws",),
    ),
    Refusal("no authorization", _UNREADABLE),
    Refusal("a header that is no base64", _UNREADABLE, query="?header=%C3%A4!&payload=e30="),
    Refusal("a header that is no JSON", _UNREADABLE, query="?header=e30x&payload=e30="),
    Refusal(
        "a header that is no object", _UNREADABLE, query=f"?header={encoded([1])}&payload=e30="
    ),
    Refusal("a payload that is no object", _UNREADABLE, query=f"?header={encoded({})}&payload=x"),
    Refusal("an empty object", _UNAUTHORIZED, query=f"?header={encoded({})}&payload=e30="),
    Refusal("a sub-protocol that is no base64", _UNREADABLE, protocols=("graphql-ws", "header-!")),
    Refusal(
        "a token of somebody else's",
        _UNAUTHORIZED,
        protocols=(
            "graphql-ws",
            f"header-{encoded({'Authorization': 'eyJhbGciOiJub25lIn0.e30.'})}",
        ),
    ),
    Refusal(
        "an API key",
        _UNAUTHORIZED,
        protocols=("graphql-ws", f"header-{encoded({'x-api-key': 'da2-abc'})}"),
    ),
    Refusal(
        "a signature",
        _UNAUTHORIZED,
        protocols=(
            "graphql-ws",
            f"header-{encoded({'Authorization': 'AWS4-HMAC-SHA256 Credential=x, Signature=y'})}",
        ),
    ),
    Refusal(
        "a value that is no text",
        _UNAUTHORIZED,
        protocols=("graphql-ws", f"header-{encoded({'Authorization': 1})}"),
    ),
    Refusal("an API key in plain headers", _UNAUTHORIZED, headers={"x-api-key": "da2-abc"}),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_a_connection_is_refused_after_the_upgrade_for(refusal: Refusal, url: str) -> None:
    with Live(
        url,
        None,
        path="/graphql/realtime" + refusal.query,
        protocols=refusal.protocols,
        headers=refusal.headers,
    ) as live:
        expected = {"type": "connection_error", "payload": {"errors": [refusal.says]}}
        expect(expected, live.next())
        assert live.closed() == 1000


@pytest.mark.parametrize("path", ["/", "/api/rooms", "/graphql/realtime/x", "/realtime"])
def test_there_are_no_websockets_on_other_paths(path: str, world: World, url: str) -> None:
    with pytest.raises(InvalidStatus):
        Live(url, world.token("ana"), path=path)


def test_a_connection_begins_with_ka(world: World, url: str) -> None:
    with Live(url, world.token("ana")) as live:
        assert live.socket.recv(timeout=5) == '{"type":"ka"}'


# -------------------------------------------------------------------------------------- starting


def test_a_start_needs_no_init_and_is_acknowledged(live: Live, room: str) -> None:
    live.send(live.start_message(room, name="first"))
    assert live.next() == {"type": "start_ack", "id": "first"}


def test_an_event_arrives_as_the_log_tells_it(live: Live, room: str, world: World) -> None:
    name = live.start(room)
    rename(world, "Friday")
    frame = live.next()
    [logged] = [event for event in world.settled("r1") if event["type"] == "roomUpdated"]
    expected = {**logged, "actorId": None, "data": ANY}
    expect({"type": "data", "id": name, "payload": {"data": {"onRoomEvent": expected}}}, frame)
    assert isinstance(frame["payload"]["data"]["onRoomEvent"]["data"], str)
    assert json.loads(frame["payload"]["data"]["onRoomEvent"]["data"]) == logged["data"]


def test_each_event_since_the_acknowledgement_arrives_once_and_in_order(
    live: Live, room: str, world: World
) -> None:
    before = int(world.events("r1")[-1]["cursor"])
    live.start(room)
    for n in range(20):
        rename(world, f"name {n}")
    cursors = [int(live.event()["cursor"]) for _ in range(20)]
    assert cursors == list(range(before + 1, before + 21))


def test_after_stop_comes_complete_and_then_nothing(live: Live, room: str, world: World) -> None:
    name = live.start(room)
    live.send({"type": "stop", "id": name})
    assert live.next() == {"type": "complete", "id": name}
    rename(world, "unseen")
    world.settled("r1")
    assert live.says_nothing()


def test_an_id_can_be_used_again_after_stop(live: Live, room: str, world: World) -> None:
    for _ in range(2):
        live.start(room, name="again")
        live.send({"type": "stop", "id": "again"})
        assert live.next() == {"type": "complete", "id": "again"}


def test_stopping_what_never_began_says_nothing(live: Live) -> None:
    live.send({"type": "stop", "id": "unknown"})
    live.send({"type": "stop"})
    assert live.says_nothing()


def test_an_id_that_is_in_use_is_refused_and_goes_on(live: Live, room: str, world: World) -> None:
    name = live.start(room)
    live.send(live.start_message(room, name=name))
    expect(error("DuplicatedOperationError", name), live.next())
    rename(world, "still there")
    assert live.event(name)["type"] == "roomUpdated"
    world.settled("r1")
    assert live.says_nothing()


def test_two_connections_may_use_the_same_id(live: Live, room: str, world: World, url: str) -> None:
    with Live(url, world.token("ben")) as other:
        live.start(room, name="1")
        other.start(room, name="1")
        rename(world, "both")
        assert live.event("1") == other.event("1")


@pytest.mark.parametrize("name", ["7", 'a"b\\', "ünï", "0b5c3d2e-8f1a-4f7e-9a57-6f9f1f5f8a11"])
def test_an_id_comes_back_as_it_was(name: str, live: Live, room: str, world: World) -> None:
    live.start(room, name=name)
    rename(world, "x")
    assert live.next()["id"] == name


def test_a_connection_carries_a_hundred_subscriptions_and_no_more(
    live: Live, room: str, world: World
) -> None:
    names = {live.start(room) for _ in range(100)}
    live.send(live.start_message(room, name="one too many"))
    said = "Max number of 100 subscriptions reached"
    expect(error("MaxSubscriptionsReachedError", "one too many", said), live.next())
    rename(world, "for all")
    assert {live.next()["id"] for _ in range(100)} == names
    live.send({"type": "stop", "id": names.pop()})
    assert live.next()["type"] == "complete"
    live.start(room)


def test_one_connection_follows_several_rooms(live: Live, room: str, world: World) -> None:
    other = world.room("r2", ["ana"], ["jaws"], {})["id"]
    world.settled("r2")
    first, second = live.start(room), live.start(other)
    rename(world, "two", "r2")
    assert live.event(second)["roomId"] == other
    rename(world, "one", "r1")
    assert live.event(first)["roomId"] == room


# -------------------------------------------------------------------------------- what is refused


def _query(text: str, **more: Any) -> dict[str, Any]:
    return {"query": text, **more}


BAD_STARTS = [
    ("a query", _query("{ me { id } }"), "UnsupportedOperation", False),
    (
        "a mutation",
        _query('mutation { leaveRoom(roomId: "x") }', variables={}),
        "UnsupportedOperation",
        False,
    ),
    ("a text that is no GraphQL", _query("subscription {"), None, True),
    ("an unknown field", _query("subscription { onNothing { id } }", variables={}), None, True),
    (
        "an unknown selection",
        _query('subscription { onRoomEvent(roomId: "x") { nothing } }', variables={}),
        None,
        True,
    ),
    (
        "no selection",
        _query('subscription { onRoomEvent(roomId: "x") }', variables={}),
        None,
        True,
    ),
    ("no argument", _query("subscription { onRoomEvent { cursor } }", variables={}), None, True),
    (
        "null for a room",
        _query("subscription { onRoomEvent(roomId: null) { cursor } }", variables={}),
        None,
        True,
    ),
    (
        "a variable that is null",
        _query(EVERYTHING, variables={"room": None}),
        "BadRequestException",
        True,
    ),
    ("a variable that is missing", _query(EVERYTHING, variables={}), "BadRequestException", True),
    (
        "two root fields",
        _query(
            'subscription { a: onRoomEvent(roomId: "x") { cursor } '
            'b: onRoomEvent(roomId: "y") { cursor } }',
            variables={},
        ),
        None,
        True,
    ),
    ("the name of the type", _query("subscription { __typename }", variables={}), None, True),
    (
        "two operations without a name",
        _query(f"{EVERYTHING} query Q {{ me {{ id }} }}"),
        "BadRequestException",
        True,
    ),
    (
        "an operation that is not there",
        _query(EVERYTHING, operationName="Nothing"),
        "BadRequestException",
        True,
    ),
    (
        "a room that is none",
        _query(EVERYTHING, variables={"room": "nothing"}),
        "RoomNotFound",
        True,
    ),
    (
        "a document of ten thousand words",
        _query(
            'subscription { onRoomEvent(roomId: "x") { ' + "cursor " * 10_000 + "} }", variables={}
        ),
        "LimitExceededError",
        True,
    ),
]


@pytest.mark.parametrize(
    ("body", "error_type", "named"),
    [row[1:] for row in BAD_STARTS],
    ids=[row[0] for row in BAD_STARTS],
)
def test_nobody_subscribes_to(
    body: dict[str, Any], error_type: str | None, named: bool, live: Live, room: str
) -> None:
    message = live.start_message(room, **{"variables": {"room": room}, **body})
    live.send(message)
    answer = live.next()
    assert answer["type"] == "error"
    assert answer["payload"]["errors"][0].get("errorType") == error_type, answer
    assert answer["payload"]["errors"][0]["message"]
    assert ("id" in answer) is named, answer
    assert live.says_nothing()
    live.start(room)


BAD_PAYLOADS = [
    ("none", None, "UnauthorizedException"),
    ("no object", "x", "UnauthorizedException"),
    ("extensions that are no object", {"data": "{}", "extensions": []}, "UnauthorizedException"),
    (
        "an authorization that is no object",
        {"data": "{}", "extensions": {"authorization": "x"}},
        "UnauthorizedException",
    ),
    ("no authorization", {"data": "{}"}, "UnauthorizedException"),
    ("no data", {"extensions": "{auth}"}, "BadRequestException"),
    (
        "data that is no text",
        {"data": {"query": EVERYTHING}, "extensions": "{auth}"},
        "BadRequestException",
    ),
    ("data that is no JSON", {"data": "x", "extensions": "{auth}"}, "BadRequestException"),
    ("data without a query", {"data": "{}", "extensions": "{auth}"}, "BadRequestException"),
    (
        "a query that is no text",
        {"data": '{"query":1}', "extensions": "{auth}"},
        "BadRequestException",
    ),
    (
        "variables that are a list",
        {"data": '{"query":"{a}","variables":[]}', "extensions": "{auth}"},
        "BadRequestException",
    ),
]


@pytest.mark.parametrize(
    ("payload", "error_type"),
    [row[1:] for row in BAD_PAYLOADS],
    ids=[row[0] for row in BAD_PAYLOADS],
)
def test_a_start_is_refused_whose_payload_is(payload: Any, error_type: str, live: Live) -> None:
    if isinstance(payload, dict) and payload.get("extensions") == "{auth}":
        authorization = {"host": live.host, "Authorization": live.token}
        payload = {**payload, "extensions": {"authorization": authorization}}
    live.send({"type": "start", "id": "x", "payload": payload})
    expect(error(error_type, "x"), live.next())
    assert live.says_nothing()


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        b"bytes",
        "[]",
        "{}",
        '{"type":1}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"connection_terminate"}',
        '{"type":"start","id":1}',
        "[" * 50_000,
        "",
    ],
    ids=lambda message: repr(message[:30]),
)
def test_what_is_no_message_is_refused_without_an_id(message: str | bytes, live: Live) -> None:
    live.send(message)
    answer = live.next()
    expect(error("UnsupportedOperation", None, ANY), answer)
    said = answer["payload"]["errors"][0]["message"]
    assert said.endswith("not supported through the realtime channel")
    assert live.says_nothing()


def test_a_start_without_an_id_is_refused_without_one(live: Live, room: str) -> None:
    message = live.start_message(room)
    del message["id"]
    live.send(message)
    expect(error("BadRequestException"), live.next())


def test_a_stranger_is_refused_and_learns_nothing(room: str, world: World, url: str) -> None:
    with Live(url, world.token("eve")) as eve:
        eve.send(eve.start_message(room, name="x"))
        answer = eve.next()
        expect(error("NotAMember", "x"), answer)
        assert "ana" not in json.dumps(answer)
        rename(world, "secret plans")
        world.settled("r1")
        assert eve.says_nothing()


def test_a_start_is_authorized_for_itself(live: Live, room: str, world: World) -> None:
    live.send(live.start_message(room, name="x", token="eyJhbGciOiJub25lIn0.e30."))
    expect(error("UnauthorizedException", "x"), live.next())
    live.send(live.start_message(room, name="y", token=world.token("eve")))
    expect(error("NotAMember", "y"), live.next())
    live.start(room, token="Bearer " + world.token("ben"))


def test_a_message_of_a_quarter_of_a_megabyte_ends_the_connection(live: Live) -> None:
    live.send("x" * 300_000)
    assert live.closed() == 1009


# ------------------------------------------------------------------------------------ what is seen


SELECTIONS = [
    ("{ onRoomEvent(roomId: $room) { cursor } }", {"onRoomEvent": {"cursor": "{cursor}"}}),
    (
        "{ onRoomEvent(roomId: $room) { __typename type } }",
        {"onRoomEvent": {"__typename": "RoomEvent", "type": "roomUpdated"}},
    ),
    (
        "{ news: onRoomEvent(roomId: $room) { number: cursor what: type kind: type } }",
        {"news": {"number": "{cursor}", "what": "roomUpdated", "kind": "roomUpdated"}},
    ),
    (
        "{ onRoomEvent(roomId: $room) { ...Shown ... on RoomEvent { actorId } ... { type } } } "
        "fragment Shown on RoomEvent { ...More } fragment More on RoomEvent { cursor }",
        {"onRoomEvent": {"cursor": "{cursor}", "actorId": None, "type": "roomUpdated"}},
    ),
    (
        "{ onRoomEvent(roomId: $room) { cursor type @skip(if: true) roomId @include(if: false) } }",
        {"onRoomEvent": {"cursor": "{cursor}"}},
    ),
]


@pytest.mark.parametrize(("selected", "shown"), SELECTIONS, ids=[row[0] for row in SELECTIONS])
def test_a_subscriber_sees_what_he_selected(
    selected: str, shown: Any, live: Live, room: str, world: World
) -> None:
    live.start(room, query=f"subscription S($room: ID!) {selected}")
    rename(world, "x")
    frame = live.next()
    cursor = world.settled("r1")[-1]["cursor"]
    assert frame["payload"] == json.loads(json.dumps({"data": shown}).replace("{cursor}", cursor))


def test_a_selection_follows_its_variables(live: Live, room: str, world: World) -> None:
    query = (
        "subscription S($room: ID!, $no: Boolean = true) "
        "{ onRoomEvent(roomId: $room) { type cursor @skip(if: $no) } }"
    )
    names = [live.start(query=query, variables={"room": room, **no}) for no in ({}, {"no": False})]
    rename(world, "x")
    seen = {
        frame["id"]: frame["payload"]["data"]["onRoomEvent"] for frame in (live.next(), live.next())
    }
    assert [seen[name].keys() for name in names] == [{"type"}, {"type", "cursor"}]


def test_a_room_written_into_the_document_is_followed_too(
    live: Live, room: str, world: World
) -> None:
    live.start(query=f'subscription {{ onRoomEvent(roomId: "{room}") {{ type }} }}', variables={})
    rename(world, "x")
    assert live.event() == {"type": "roomUpdated"}


def test_two_subscribers_see_one_event_each_in_their_way(
    live: Live, room: str, world: World, url: str
) -> None:
    with Live(url, world.token("ben")) as other:
        live.start(
            room, query="subscription S($room: ID!) { a: onRoomEvent(roomId: $room) { type } }"
        )
        other.start(
            room, query="subscription S($room: ID!) { onRoomEvent(roomId: $room) { b: type } }"
        )
        rename(world, "x")
        assert live.next()["payload"]["data"] == {"a": {"type": "roomUpdated"}}
        assert other.next()["payload"]["data"] == {"onRoomEvent": {"b": "roomUpdated"}}


def test_a_match_is_told_with_its_title(live: Live, room: str, world: World) -> None:
    live.start(room)
    votes("r1", ana={"jaws": "yes"}, ben={"jaws": "super"}).do(world)
    match = json.loads(live.event(kind="matchFound")["data"])
    assert match["titleId"] == world.kept["r1"]["jaws"]
    assert match["title"]["title"] == "jaws"


def test_nobody_sees_events_of_another_room(live: Live, room: str, world: World) -> None:
    world.room("r2", ["ana", "ben"], ["jaws"], {})
    live.start(room)
    rename(world, "elsewhere", "r2")
    world.settled("r2")
    assert live.says_nothing()


def test_in_a_secret_room_nothing_says_who_voted_what(world: World, url: str) -> None:
    made = world.room("r1", ["ana", "ben", "cleo"], ["jaws", "heat"], {"secret": True})
    world.settled("r1")
    with Live(url, world.token("cleo")) as cleo:
        cleo.start(made["id"])
        ballots = {"ana": {"jaws": "veto", "heat": "super"}, "ben": {"jaws": "no", "heat": "yes"}}
        votes("r1", **ballots).do(world)
        rename(world, "the end")
        seen = []
        while not seen or seen[-1]["type"] != "roomUpdated":
            seen.append(cleo.event())
        world.settled("r1")
        cleo.send({"type": "connection_init"})
        while (frame := cleo.next())["type"] == "data":
            seen.append(frame)
    text = json.dumps(seen)
    for secret in ("veto", "super", "yes", '"no', made["jaws"], made["heat"]):
        assert secret not in text, f"{secret} is told: {text}"
    assert "progress" in text


# -------------------------------------------------------------------------------------- the end


def _leave(world: World) -> None:
    assert world.send(post("/api/rooms/{r1}/leave", as_="ben")).status == 204


def _kick(world: World) -> None:
    assert world.send(delete("/api/rooms/{r1}/members/{ben}", as_="ana")).status == 204


def _be_gone(world: World) -> None:
    assert world.send(delete("/api/me", as_="ben")).status == 204


@pytest.mark.parametrize("part", [_leave, _kick, _be_gone])
def test_who_is_no_member_any_more_hears_no_more(
    part: Callable[[World], None], live: Live, room: str, world: World, url: str
) -> None:
    with Live(url, world.token("ben")) as ben:
        mine, his = live.start(room), [ben.start(room), ben.start(room)]
        part(world)
        frames = [ben.next() for _ in range(4)]
        assert [frame["id"] for frame in frames if frame["type"] == "complete"] == his
        assert live.event(mine)["type"] == "memberLeft"
        rename(world, "without Ben")
        assert live.event(mine, kind="roomUpdated")
        assert ben.says_nothing()
        ben.send(ben.start_message(room, name="x"))
        assert ben.next()["type"] == "error"


def test_the_deletion_of_a_room_ends_all_its_subscriptions(
    live: Live, room: str, world: World, url: str
) -> None:
    with Live(url, world.token("ben")) as ben:
        names = live.start(room), ben.start(room)
        assert world.send(delete("/api/rooms/{r1}", as_="ana")).status == 204
        for one, name in zip((live, ben), names, strict=True):
            while (frame := one.next())["type"] == "data":
                pass
            assert frame == {"type": "complete", "id": name}
            assert one.says_nothing()


def short_lived(server: Server, token: str, seconds: float) -> str:
    """Return the same token, signed by the same server, that ends soon."""
    [pem] = (server.data / "keys").glob("*.pem")
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["exp"] = int(time.time() + seconds)
    header = {"kid": jwt.get_unverified_header(token)["kid"]}
    return jwt.encode(claims, pem.read_bytes(), algorithm="RS256", headers=header)


def test_a_subscription_ends_with_its_token_and_the_connection_goes_on(
    live: Live, room: str, world: World, embedded: Server
) -> None:
    soon = live.start(room, token=short_lived(embedded, world.token("ana"), 2.5))
    kept = live.start(room)
    expect(error("UnauthorizedException", soon), live.next())
    rename(world, "later")
    assert live.event(kept)["type"] == "roomUpdated"
    world.settled("r1")
    assert live.says_nothing()


def test_a_connection_ends_with_its_token(
    room: str, world: World, embedded: Server, url: str
) -> None:
    token = short_lived(embedded, world.token("ana"), 2.5)
    with Live(url, token) as live:
        live.start(room, token=world.token("ana"))
        expect(error("UnauthorizedException"), live.next())
        assert live.closed() == 1000


def test_an_expired_token_opens_nothing(world: World, embedded: Server, url: str) -> None:
    with Live(url, short_lived(embedded, world.token("ana"), -1)) as live:
        assert live.next()["type"] == "connection_error"
        assert live.closed() == 1000


def test_a_server_that_stops_says_so_with_1001(tmp_path) -> None:
    with running(tmp_path, RATE_LIMITS="off") as server:
        token = server.client.post("/api/auth/guest", json={"name": "ana"}).json["accessToken"]
        connections = [Live(server.base_url, token) for _ in range(3)]
        for live in connections:
            assert live.says_nothing()
        assert server.stop() == 0
        assert [live.closed() for live in connections] == [1001] * 3


def test_a_client_may_go_without_a_word(live: Live, room: str, world: World, url: str) -> None:
    live.start(room)
    for _ in range(5):
        with contextlib.suppress(OSError):
            other = Live(url, world.token("ben"))
            other.start(room)
            other.break_off()
    rename(world, "still at it")
    assert live.event()["type"] == "roomUpdated"


# ---------------------------------------------------------------------------------- slow readers


def heavy(fields: int = 200) -> str:
    """A subscription whose events are many kilobytes."""
    selected = " ".join(f"a{n}: data" for n in range(fields))
    return f"subscription S($room: ID!) {{ onRoomEvent(roomId: $room) {{ cursor {selected} }} }}"


def stalled(url: str, token: str) -> Live:
    """A client that reads nothing but what it is asked to."""
    port = urlsplit(url).port
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", port))
    return Live(url, token, sock=small, max_queue=1)


def test_who_reads_nothing_delays_nobody_and_is_told_where_to_read_on(
    live: Live, room: str, world: World, url: str, embedded: Server
) -> None:
    with stalled(url, world.token("ben")) as slow:
        name = slow.start(room, query=heavy())
        live.start(room)
        told = 0
        while "a subscriber was too slow" not in embedded.log:
            assert told < 2000, "the server keeps everything for a client who does not read"
            rename(world, f"{told:03}" + "x" * 70)
            assert live.event()["type"] == "roomUpdated"
            told += 1
        frames = []
        while (frame := slow.next())["type"] == "data":
            frames.append(frame)
        last = frames[-1]["payload"]["data"]["onRoomEvent"]["cursor"]
        expect(error("SlowSubscriber", name), frame)
        assert f'roomEvents(after: "{last}")' in frame["payload"]["errors"][0]["message"]
        assert slow.closed() == 1013
        cursors = [int(f["payload"]["data"]["onRoomEvent"]["cursor"]) for f in frames]
        assert cursors == list(range(cursors[0], cursors[0] + len(cursors)))
        missed = world.events("r1", after=last)
        assert len(missed) == told - len(cursors)


def test_many_follow_one_room(room: str, world: World, url: str) -> None:
    token = world.token("ben")
    with ThreadPoolExecutor(8) as pool:
        everybody = list(pool.map(lambda _: Live(url, token), range(60)))
        list(pool.map(lambda one: one.start(room), everybody))
        world.send(vote("r1", "ana", "jaws", "yes"))
        world.send(vote("r1", "ben", "jaws", "yes"))
        seen = list(pool.map(lambda one: one.event(kind="matchFound"), everybody))
        list(pool.map(lambda one: one.close(), everybody))
    assert all(one == seen[0] for one in seen)
