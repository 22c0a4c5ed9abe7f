"""The parts of the real-time endpoint that need no server: what is read, shown and queued."""

import asyncio
import base64
import contextlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import pytest_socket
from graphql import build_schema
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from trinity.domain.errors import NotAMember
from trinity.embedded.graphql import schema as schemas
from trinity.embedded.graphql.documents import Documents
from trinity.embedded.realtime import handshake, subscriptions
from trinity.embedded.realtime.connection import Connection, Limits, Subscription
from trinity.embedded.realtime.endpoint import Realtime
from trinity.embedded.realtime.frames import EXTENSION
from trinity.embedded.realtime.sequence import Sequence
from trinity.embedded.realtime.subscriptions import View

EVENT = {
    "cursor": "7",
    "roomId": "r1",
    "type": "roomUpdated",
    "at": "2026-11-22T12:00:00.000Z",
    "data": {"name": 'a "quoted" naïve name'},
}
ALL = ("cursor", "roomId", "type", "at", "actorId", "data")


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """As everywhere, but for the pair of sockets that a loop wakes itself up with."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture(autouse=True, params=["through ASGI", "as frames"])
def _way_out(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that take ready frames and such that do not are to make no difference."""
    monkeypatch.setattr(Client, "frames", request.param == "as frames")


texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


# ------------------------------------------------------------------------------------ handshake


@given(
    st.dictionaries(texts.filter(lambda name: name != ""), texts, max_size=4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_an_authorization_is_read_from_either_alphabet_and_with_or_without_padding(
    given_: dict[str, str], urlsafe: bool, padded: bool, in_query: bool
) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.standard_b64encode
    text = encode(json.dumps(given_, ensure_ascii=False).encode()).decode()
    text = text if padded else text.rstrip("=")
    protocols = ["graphql-ws"] if in_query else ["graphql-ws", f"header-{text}"]
    query = f"payload=e30=&header={text}" if in_query else ""
    expected = {name.lower(): value for name, value in given_.items()}
    assert handshake.authorization(protocols, query, []) == expected


@given(st.lists(texts | st.text("-_+/=%&header", max_size=30), max_size=3), texts)
def test_whatever_a_client_offers_it_is_read_or_refused(protocols: list[str], query: str) -> None:
    offered = ["graphql-ws", *(f"header-{one}" for one in protocols)]
    for one in (offered, protocols, ["graphql-ws"]):
        for asked in (query, f"header={query}"):
            with contextlib.suppress(handshake.Refused):
                assert isinstance(handshake.authorization(one, asked, []), dict)


# ---------------------------------------------------------------------------------------- filters


def view(arguments: dict[str, Any], fields: tuple[str, ...] = ALL) -> View:
    shown = tuple((name, name) for name in fields)
    return View("onRoomEvent", shown, tuple(sorted(arguments.items())))


@pytest.mark.parametrize(
    ("arguments", "passes"),
    [
        ({}, True),
        ({"type": "roomUpdated"}, True),
        ({"type": "progress"}, False),
        ({"roomId": "r1", "type": "roomUpdated"}, True),
        ({"roomId": "r2", "type": "roomUpdated"}, False),
        ({"actorId": None}, True),
        ({"type": None}, False),
        ({"actorId": "u1"}, False),
    ],
)
def test_an_event_passes_if_it_equals_every_argument_that_was_given(
    arguments: dict[str, Any], passes: bool
) -> None:
    assert view(arguments).lets_through(subscriptions.published_event(EVENT)) is passes


WITH_OPTIONS = build_schema(
    """
    scalar AWSJSON
    type Query { a: Int }
    type RoomEvent { cursor: String! type: String actorId: ID data: AWSJSON! }
    type Subscription { onRoomEvent(type: String, actorId: ID): RoomEvent }
    """
)


def read(query: str, variables: Any = None, schema: Any = WITH_OPTIONS) -> subscriptions.Started:
    payload = {"data": json.dumps({"query": query, "variables": variables})}
    return subscriptions.read(payload, Documents(schema, introspection=True), schema)


@pytest.mark.parametrize(
    ("call", "variables", "arguments"),
    [
        ("onRoomEvent", {}, {}),
        ("onRoomEvent(actorId: null)", {}, {"actorId": None}),
        ('onRoomEvent(actorId: "u1", type: null)', {}, {"actorId": "u1", "type": None}),
        ("onRoomEvent(actorId: $who)", {}, {}),
        ("onRoomEvent(actorId: $who)", {"who": None}, {"actorId": None}),
        ("onRoomEvent(actorId: $who)", {"who": "u1"}, {"actorId": "u1"}),
    ],
)
def test_null_is_a_value_of_an_argument_and_absence_is_not(
    call: str, variables: dict[str, Any], arguments: dict[str, Any]
) -> None:
    declared = "($who: ID)" if "$who" in call else ""
    started = read(f"subscription S{declared} {{ {call} {{ cursor }} }}", variables)
    assert dict(started.view.arguments) == arguments


# ----------------------------------------------------------------------------------- what is seen


def test_the_resolver_is_told_of_the_selection_as_appsync_would() -> None:
    query = (
        "subscription S($r: ID!) { x: onRoomEvent(roomId: $r) { cursor kind: type ...F } } "
        "fragment F on RoomEvent { at }"
    )
    info = read(query, {"r": "r1"}, schemas.load()).info
    assert info == {
        "fieldName": "onRoomEvent",
        "parentTypeName": "Subscription",
        "variables": {"r": "r1"},
        "selectionSetList": ["cursor", "kind", "at"],
        "selectionSetGraphQL": "{\n  cursor\n  kind: type\n  ...F\n}",
    }


def test_equal_subscriptions_share_a_view_whatever_they_are_called() -> None:
    queries = (
        'subscription A { onRoomEvent(type: "x") { cursor type } }',
        "subscription B($t: String) { onRoomEvent(type: $t) { ...F } } "
        "fragment F on RoomEvent { cursor type }",
    )
    views = {read(query, {"t": "x"}).view for query in queries}
    assert len(views) == 1


@given(texts, st.dictionaries(texts, json_values, max_size=3), st.lists(st.sampled_from(ALL)))
def test_a_frame_is_json_with_the_id_and_what_was_selected(
    name: str, data: dict[str, Any], fields: list[str]
) -> None:
    event = {**EVENT, "data": data}
    seen = view({}, tuple(dict.fromkeys(fields)))
    began = {"arguments": {"roomId": "r1"}, "identity": {"sub": "u1"}}
    subscription = Subscription(connection(sink), name, "Subscription.onRoomEvent", seen, began)
    frame = json.loads(subscription.head + seen.message_end(subscriptions.published_event(event)))
    shown = {field: event.get(field) for field in fields}
    if "data" in shown:
        shown["data"] = msgspec.json.encode(data).decode()
    payload = {"data": {"onRoomEvent": shown}}
    assert frame == {"type": "data", "id": name, "payload": payload}


# ---------------------------------------------------------------------------------------- queues


async def sink(_: dict[str, Any]) -> None:
    pass


class Wire:
    """ASGI's `send` of a client that can stop reading."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.is_gone = False
        self.takes: int | None = None
        self.writes = 0

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        if self.is_gone:
            raise OSError("gone")
        if message["type"] == "websocket.send":
            self.sent.append(json.loads(message["text"]))
        else:
            self.sent.append(message.get("code", message["type"]))
        if self.takes is not None:
            self.takes -= 1
            if self.takes == 0:
                self.reads.clear()

    def write(self, frames: bytes) -> bool:
        if self.is_gone or not self.reads.is_set():
            return False
        self.writes += 1
        reader = StreamReader()
        reader.feed_data(frames)
        while reader.buffer:
            parser = Frame.parse(reader.read_exact, mask=False)
            with pytest.raises(StopIteration) as parsed:
                next(parser)
            frame = parsed.value.value
            assert frame.opcode is Opcode.TEXT
            self.sent.append(json.loads(frame.data))
        return True


def connection(send: Callable[..., Any], **limits: Any) -> Connection:
    return Connection(send, Limits(**limits), lambda one: one.close(1013))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_message_is_sent_at_once_while_the_client_reads() -> None:
    async def main() -> None:
        wire = Wire()
        connection(wire.send).say({"type": "ka"})
        assert wire.sent == [{"type": "ka"}]

    asyncio.run(main())


def test_messages_keep_their_order_when_the_client_stops_and_reads_again() -> None:
    async def main() -> None:
        wire = Wire()
        one = connection(wire.send)
        one.say({"n": 0})
        wire.reads.clear()
        for n in (1, 2, 3):
            one.say({"n": n})
        await settle()
        assert wire.sent == [{"n": 0}]
        wire.reads.set()
        one.say({"n": 4})
        await settle()
        one.say({"n": 5})
        assert wire.sent == [{"n": n} for n in range(6)]

    asyncio.run(main())


@pytest.mark.parametrize("limits", [{"waiting": 3}, {"waiting_chars": 40}])
def test_when_too_much_waits_it_is_dropped_and_the_connection_ends(limits: dict[str, int]) -> None:
    async def main() -> None:
        wire = Wire()
        wire.reads.clear()
        one = connection(wire.send, **limits)
        for n in range(10):
            one.say({"n": f"{n:04}"})
        assert one.is_over
        wire.reads.set()
        await settle()
        assert wire.sent == [{"n": "0000"}, 1013]

    asyncio.run(main())


def test_a_client_that_is_gone_costs_nothing_more() -> None:
    async def main() -> None:
        wire = Wire()
        wire.reads.clear()
        one = connection(wire.send)
        for n in range(3):
            one.say({"n": n})
        wire.is_gone = True
        wire.reads.set()
        await settle()
        one.say({"n": 4})
        one.close(1000)
        assert one.is_over
        assert wire.sent == []

    asyncio.run(main())


def test_what_has_been_read_counts_no_more() -> None:
    async def main() -> None:
        wire = Wire()
        one = connection(wire.send, waiting=5, waiting_chars=50)
        for n in range(10):
            wire.reads.clear()
            for _ in range(4):
                one.say({"n": n})
            wire.reads.set()
            await settle()
        assert not one.is_over
        assert len(wire.sent) == 40

    asyncio.run(main())


# ------------------------------------------------------------------------------------ the endpoint

QUERY = "subscription S($r: ID!) { onRoomEvent(roomId: $r) { cursor type } }"
WHO = "subscription S($r: ID!) { onPresence(roomId: $r) { __typename online } }"


class Users:
    """What the endpoint needs to know of the GraphQL API: a token is a user's name."""

    def __init__(self, lives_s: float) -> None:
        self.schema = schemas.load()
        self.documents = Documents(self.schema, introspection=False)
        self._expires = 4e9 if lives_s == 0 else lives_s

    def identity(self, token: str | None) -> dict[str, Any] | None:
        if token is None:
            return None
        return {"sub": token, "issuer": "x", "claims": {"sub": token, "exp": self._expires}}


class Client:
    """A connection to an endpoint in this process."""

    frames = False

    def __init__(self, endpoint: Realtime) -> None:
        self.wire = Wire()
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": "/graphql",
            "query_string": b"",
            "subprotocols": ["graphql-ws"],
            "headers": [(b"authorization", b"ana")],
        }
        if self.frames:
            scope["state"] = {EXTENSION: self.wire.write}
        self.serving = asyncio.create_task(endpoint.serve(scope, self._inbox.get, self.wire.send))

    async def say(self, message: dict[str, Any]) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})
        await settle()

    async def start(self, name: str, room: str, user: str = "ana", query: str = QUERY) -> None:
        data = json.dumps({"query": query, "variables": {"r": room}})
        extensions = {"authorization": {"Authorization": user}}
        payload = {"data": data, "extensions": extensions}
        await self.say({"type": "start", "id": name, "payload": payload})

    async def leave(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.serving

    def told(self) -> list[Any]:
        """Return what was sent since the last look, without the id's of frames."""
        sent, self.wire.sent = self.wire.sent, []
        return [one for one in sent if one not in ("websocket.accept", {"type": "ka"})]


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, level: str, message: str, **fields: Any) -> None:
        self.lines.append((level, message, fields))


async def allow(_function: Any, _event: Any) -> None:
    pass


def endpoint(call: Any = allow, log: Any = None, expires: float = 0, **limits: Any) -> Realtime:
    limits.setdefault("gather_from_s", math.inf)  # or it would depend on how fast tests run
    return Realtime(call, Users(expires), log or Lines(), Limits(**limits))  # type: ignore[arg-type]


def test_ka_comes_again_and_again() -> None:
    async def main() -> None:
        client = Client(endpoint(keep_alive_s=0.01))
        async with asyncio.timeout(5):
            while client.wire.sent.count({"type": "ka"}) < 4:
                await asyncio.sleep(0.005)
        await client.leave()

    asyncio.run(main())


def test_a_connection_has_a_longest_life() -> None:
    async def main() -> None:
        client = Client(endpoint(longest_s=0.01))
        async with asyncio.timeout(5):
            while 1001 not in client.wire.sent:
                await asyncio.sleep(0.005)
        await client.leave()

    asyncio.run(main())


def test_the_function_gets_a_genuine_event_of_appsync() -> None:
    async def main() -> None:
        events: list[Any] = []

        async def call(function: Any, event: Any) -> None:
            events.append((function.name, event))

        client = Client(endpoint(call))
        await client.start("1", "r1", "ben")
        [(name, event)] = events
        assert name == "follow_room"
        assert event["arguments"] == {"roomId": "r1"}
        assert event["identity"]["claims"]["sub"] == "ben"
        assert event["source"] is None
        assert event["prev"] is None
        assert event["stash"] == {}
        assert event["request"]["headers"]["x-amzn-requestid"]
        assert event["info"]["selectionSetList"] == ["cursor", "type"]
        assert event["info"]["parentTypeName"] == "Subscription"
        await client.leave()

    asyncio.run(main())


@pytest.mark.parametrize("user", ["ben", None])
def test_who_is_removed_while_a_start_is_under_way_does_not_follow(user: str | None) -> None:
    async def main() -> None:
        may_go_on = asyncio.Event()

        async def call(_function: Any, _event: Any) -> None:
            await may_go_on.wait()

        realtime = endpoint(call)
        client = Client(realtime)
        await client.start("1", "r1", "ben")
        realtime.end("r2", None)  # type: ignore[arg-type]
        realtime.end("r1", "ana")  # type: ignore[arg-type]
        realtime.end("r1", user)  # type: ignore[arg-type]
        await settle()
        may_go_on.set()
        await settle()
        assert client.told() == [{"type": "complete", "id": "1"}]
        realtime.publish("r1", EVENT)  # type: ignore[arg-type]
        await settle()
        assert client.told() == []
        await client.leave()

    asyncio.run(main())


def test_nothing_is_told_before_a_start_is_acknowledged() -> None:
    async def main() -> None:
        may_go_on = asyncio.Event()

        async def call(_function: Any, _event: Any) -> None:
            await may_go_on.wait()

        realtime = endpoint(call)
        client = Client(realtime)
        await client.start("1", "r1")
        realtime.publish("r1", EVENT)  # type: ignore[arg-type]
        await settle()
        assert client.told() == []
        may_go_on.set()
        await settle()
        realtime.publish("r1", {**EVENT, "cursor": "8"})  # type: ignore[arg-type]
        await settle()
        acknowledged, event = client.told()
        assert acknowledged == {"type": "start_ack", "id": "1"}
        assert event["payload"]["data"]["onRoomEvent"]["cursor"] == "8"
        await client.leave()

    asyncio.run(main())


def test_a_refusal_of_the_function_is_an_error_with_the_id() -> None:
    async def main() -> None:
        async def call(_function: Any, _event: Any) -> None:
            raise NotAMember

        client = Client(endpoint(call))
        await client.start("1", "r1")
        error = {"errorType": "NotAMember", "message": NotAMember().detail}
        assert client.told() == [{"type": "error", "id": "1", "payload": {"errors": [error]}}]
        await client.leave()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("letters", "selected", "arrives"),
    [
        (240 * 1024 - 500, "data", True),
        (240 * 1024, "data", False),
        (240 * 1024, "cursor", True),  # what counts is what a subscriber would be sent
        (2 * 1024, " ".join(f"a{n}: data" for n in range(100)), True),
        (3 * 1024, " ".join(f"a{n}: data" for n in range(100)), False),
    ],
)
def test_a_message_of_240_kilobytes_is_not_delivered_and_the_log_says_so(
    letters: int, selected: str, arrives: bool
) -> None:
    query = f"subscription S($r: ID!) {{ onRoomEvent(roomId: $r) {{ {selected} }} }}"

    async def main() -> None:
        log = Lines()
        realtime = endpoint(log=log)
        client = Client(realtime)
        await client.start("1", "r1", query=query)
        client.told()
        realtime.publish("r1", {**EVENT, "data": {"x": "x" * letters}})  # type: ignore[arg-type]
        await settle()
        assert bool(client.told()) is arrives
        warnings = [line for line in log.lines if line[0] == "warning"]
        assert bool(warnings) is not arrives
        assert all(line[2]["cursor"] == "7" for line in warnings)
        await client.leave()

    asyncio.run(main())


def test_who_is_here_is_shown_to_those_who_want_to_know_and_events_to_the_others() -> None:
    async def main() -> None:
        realtime = endpoint()
        client = Client(realtime)
        await client.start("events", "r1")
        await client.start("who", "r1", query=WHO)
        await client.start("elsewhere", "r2", query=WHO)
        client.told()
        presence = {"roomId": "r1", "at": "2026-11-22T12:00:00.000Z", "online": ["ana"]}
        realtime.show("r1", presence)  # type: ignore[arg-type]
        realtime.publish("r1", EVENT)  # type: ignore[arg-type]
        await settle()
        shown, event = client.told()
        data = {"onPresence": {"__typename": "Presence", "online": ["ana"]}}
        assert shown == {"type": "data", "id": "who", "payload": {"data": data}}
        assert event["id"] == "events"
        await client.leave()

    asyncio.run(main())


def test_who_is_too_slow_for_presence_is_not_sent_to_the_log() -> None:
    async def main() -> None:
        realtime = endpoint(waiting=2)
        client = Client(realtime)
        await client.start("who", "r1", query=WHO)
        client.told()
        client.wire.reads.clear()
        for n in range(9):
            realtime.show("r1", {"roomId": "r1", "online": [str(n)]})  # type: ignore[arg-type]
        await settle()
        client.wire.reads.set()
        await settle()
        *_, error, code = client.told()
        assert error["payload"]["errors"][0]["errorType"] == "SlowSubscriber"
        assert "roomEvents" not in error["payload"]["errors"][0]["message"]
        assert code == 1013
        await client.leave()

    asyncio.run(main())


def test_who_follows_is_noted_again_and_who_is_gone_is_given_up() -> None:
    async def main() -> None:
        called: list[str] = []

        async def call(function: Any, _event: Any) -> None:
            called.append(function.name)

        client = Client(endpoint(call, renew_s=0.01, back_s=0.01))
        await client.start("1", "r1")
        async with asyncio.timeout(5):
            while called.count("follow_room") < 4:
                await asyncio.sleep(0.005)
            await client.leave()
            while called[-1] != "step_away":
                await asyncio.sleep(0.005)

    asyncio.run(main())


def test_a_member_no_more_who_is_found_while_he_follows_hears_no_more() -> None:
    async def main() -> None:
        is_removed = False

        async def call(_function: Any, _event: Any) -> None:
            if is_removed:
                raise NotAMember

        client = Client(endpoint(call, renew_s=0.01))
        await client.start("1", "r1")
        await client.start("2", "r1", query=WHO)
        client.told()
        is_removed = True
        async with asyncio.timeout(5):
            while len(client.wire.sent) < 2:
                await asyncio.sleep(0.005)
        assert client.told() == [{"type": "complete", "id": name} for name in "12"]
        await client.leave()

    asyncio.run(main())


def test_an_end_is_for_one_user_in_one_room() -> None:
    async def main() -> None:
        realtime = endpoint()
        client = Client(realtime)
        for name, room, user in (("1", "r1", "ana"), ("2", "r1", "ben"), ("3", "r2", "ana")):
            await client.start(name, room, user)
        await client.start("4", "r1", "ana", WHO)
        client.told()
        realtime.end("r1", "ana")  # type: ignore[arg-type]
        await settle()
        assert client.told() == [{"type": "complete", "id": name} for name in "14"]
        realtime.end("r1", None)  # type: ignore[arg-type]
        await settle()
        assert client.told() == [{"type": "complete", "id": "2"}]
        await client.leave()

    asyncio.run(main())


def test_a_slow_client_is_told_the_last_cursor_of_each_subscription() -> None:
    async def main() -> None:
        realtime = endpoint(waiting=4)
        client = Client(realtime)
        await client.start("1", "r1")
        realtime.publish("r1", EVENT)  # type: ignore[arg-type]
        await settle()
        client.told()
        client.wire.reads.clear()
        await client.start("2", "r1")
        for cursor in range(8, 20):
            realtime.publish("r1", {**EVENT, "cursor": str(cursor)})  # type: ignore[arg-type]
        await settle()
        client.wire.reads.set()
        await settle()
        *_, first, second, code = client.told()
        assert 'after: "7"' in first["payload"]["errors"][0]["message"]
        assert 'after: "7"' in second["payload"]["errors"][0]["message"]
        assert code == 1013
        realtime.publish("r1", EVENT)  # type: ignore[arg-type]
        await settle()
        assert client.told() == []
        await client.leave()

    asyncio.run(main())


def test_the_last_cursor_is_that_of_the_last_event_that_went_out_of_the_queue() -> None:
    async def main() -> None:
        realtime = endpoint(waiting=4)
        client = Client(realtime)
        await client.start("1", "r1")
        client.told()
        client.wire.reads.clear()
        for cursor in range(7, 11):
            realtime.publish("r1", {**EVENT, "cursor": str(cursor)})  # type: ignore[arg-type]
        await settle()
        client.wire.takes = 3
        client.wire.reads.set()
        await settle()
        assert len(client.told()) == 3
        for cursor in range(11, 20):
            realtime.publish("r1", {**EVENT, "cursor": str(cursor)})  # type: ignore[arg-type]
        await settle()
        client.wire.takes = None
        client.wire.reads.set()
        await settle()
        event, error, code = client.told()
        assert event["payload"]["data"]["onRoomEvent"]["cursor"] == "10"
        assert 'after: "10"' in error["payload"]["errors"][0]["message"]
        assert code == 1013
        await client.leave()

    asyncio.run(main())


def test_one_that_is_too_slow_takes_nothing_from_those_with_the_same_view() -> None:
    async def main() -> None:
        realtime = endpoint(waiting=2)
        clients = [Client(realtime) for _ in range(3)]
        for client in clients:
            await client.start("1", "r1")
            client.told()
        clients[0].wire.reads.clear()
        for cursor in range(8, 18):
            realtime.publish("r1", {**EVENT, "cursor": str(cursor)})  # type: ignore[arg-type]
        await settle()
        assert [len(client.told()) for client in clients] == [0, 10, 10]
        for client in clients:
            await client.leave()

    asyncio.run(main())


def numbered(number: int, **more: Any) -> dict[str, Any]:
    return {**EVENT, "cursor": str(number), **more}


def cursors(client: Client) -> list[int]:
    events = [one["payload"]["data"]["onRoomEvent"] for one in client.told()]
    return [int(event["cursor"]) for event in events]


def test_what_comes_together_goes_out_in_one_piece_but_never_too_much_of_it() -> None:
    async def main() -> None:
        realtime = endpoint()
        client = Client(realtime)
        await client.start("1", "r1")
        client.told()
        for number in range(1, 201):
            realtime.publish("r1", numbered(number))  # type: ignore[arg-type]
        await settle()
        assert cursors(client) == list(range(1, 201))
        assert client.wire.writes == (4 if client.frames else 0)
        await client.leave()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("lots", "turns"),
    [([1, 1, 1, 1], [[1], [2], [3], [4]]), ([1, 2, 1, 1], [[1], [2, 3], [4, 5]])],
)
def test_when_more_comes_than_can_be_told_one_by_one_it_goes_out_together(
    lots: list[int], turns: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)  # the loop's own clock, too

    async def main() -> None:
        nonlocal now
        realtime = endpoint(gather_from_s=0.001)
        client = Client(realtime)
        await client.start("1", "r1")
        client.told()
        tell, taken = realtime._tell_arrived, []

        def tell_for_long() -> None:
            nonlocal now
            taken.append([int(event["cursor"]) for _, event in realtime._arrived])
            tell()
            now += 0.008

        monkeypatch.setattr(realtime, "_tell_arrived", tell_for_long)
        numbers = itertools.count(1)
        for lot in lots:
            for number in itertools.islice(numbers, lot):
                realtime.publish("r1", numbered(number))  # type: ignore[arg-type]
            await settle()
            now += 0.003
        now += 0.005  # the rest is over
        await settle()
        assert taken == turns
        assert cursors(client) == list(range(1, sum(lots) + 1))
        await client.leave()

    asyncio.run(main())


def test_a_turn_that_fails_is_not_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        failures: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: failures.append(about))
        realtime = endpoint()
        client = Client(realtime)
        await client.start("1", "r1")
        client.told()

        def fail(*_: Any) -> None:
            raise RuntimeError

        with monkeypatch.context() as broken:
            broken.setattr(realtime, "_publish", fail)
            realtime.publish("r1", numbered(1))  # type: ignore[arg-type]
            await settle()
        realtime.publish("r1", numbered(2))  # type: ignore[arg-type]
        await settle()
        assert len(failures) == 1
        assert cursors(client) == [2]
        await client.leave()

    asyncio.run(main())


def test_an_event_that_overtook_the_one_before_it_is_told_behind_it() -> None:
    async def main() -> None:
        realtime = endpoint()
        client, other = Client(realtime), Client(realtime)
        await client.start("1", "r1")
        await other.start("1", "r2")
        for number in (1, 3, 4):
            realtime.publish("r1", numbered(number))  # type: ignore[arg-type]
        await settle()
        client.told()
        other.told()
        realtime.publish("r2", numbered(7, roomId="r2"))  # type: ignore[arg-type]
        await settle()
        assert (cursors(client), cursors(other)) == ([], [7])
        realtime.publish("r1", numbered(2))  # type: ignore[arg-type]
        await settle()
        assert cursors(client) == [2, 3, 4]
        await client.leave()
        await other.leave()

    asyncio.run(main())


def test_an_event_that_never_comes_holds_the_next_ones_up_for_a_moment_only() -> None:
    async def main() -> None:
        realtime = endpoint()
        client = Client(realtime)
        await client.start("1", "r1")
        client.told()
        for number in (1, 4, 3):
            realtime.publish("r1", numbered(number))  # type: ignore[arg-type]
        seen: list[int] = []
        async with asyncio.timeout(5):
            while len(seen) < 3:
                await asyncio.sleep(0.005)
                seen += cursors(client)
        realtime.publish("r1", numbered(5))  # type: ignore[arg-type]
        realtime.publish("r1", numbered(2))  # type: ignore[arg-type]
        await settle()
        assert seen + cursors(client) == [1, 3, 4, 5, 2]  # late, but not lost
        await client.leave()

    asyncio.run(main())


def test_who_is_removed_hears_all_that_came_before_and_then_no_more() -> None:
    async def main() -> None:
        realtime = endpoint()
        client = Client(realtime)
        await client.start("1", "r1")
        client.told()
        many = [*range(1, 120), 121]
        for number in many:
            realtime.publish("r1", numbered(number))  # type: ignore[arg-type]
        realtime.end("r1", "ana")  # type: ignore[arg-type]
        await settle()
        *told, end = client.told()
        assert [int(one["payload"]["data"]["onRoomEvent"]["cursor"]) for one in told] == many
        assert end == {"type": "complete", "id": "1"}
        await client.leave()

    asyncio.run(main())


@given(st.integers(1, 50), st.permutations(range(8)), st.booleans())
def test_whatever_the_order_in_which_events_come_it_is_mended_or_they_are_told_late(
    first: int, order: list[int], asked: bool
) -> None:
    sequence = Sequence()
    told = sequence.take(numbered(first))
    for number in order:
        told += sequence.take(numbered(first + 1 + number))
        if asked:
            told += sequence.rest()
            assert not sequence.waits
    assert not sequence.waits
    numbers = [int(event["cursor"]) for event in told]
    expected = range(first, first + 9)
    assert sorted(numbers) == list(expected)
    if not asked:
        assert numbers == list(expected)


def test_who_has_left_is_forgotten() -> None:
    async def main() -> None:
        realtime = endpoint(keep_alive_s=0.01)
        gone, there = Client(realtime), Client(realtime)
        await gone.start("1", "r1")
        await gone.leave()
        gone.wire.sent.clear()
        async with asyncio.timeout(5):
            while there.wire.sent.count({"type": "ka"}) < 4:
                await asyncio.sleep(0.005)
        realtime.publish("r1", EVENT)  # type: ignore[arg-type]
        await there.leave()
        assert gone.wire.sent == []
        assert realtime._topics == {}
        assert realtime._sequences == {}

    asyncio.run(main())


def test_a_client_that_comes_while_the_server_stops_is_sent_away() -> None:
    async def main() -> None:
        realtime = endpoint()
        early = Client(realtime)
        await settle()
        realtime.stop()
        late = Client(realtime)
        await settle()
        assert early.told() == [1001]
        assert late.told() == [1001]
        await early.leave()
        await late.leave()

    asyncio.run(main())


def test_what_is_told_when_the_loop_is_no_more_reaches_nobody_and_does_no_harm() -> None:
    async def main() -> Realtime:
        realtime = endpoint()
        client = Client(realtime)
        await client.start("1", "r1")
        return realtime  # the connection is never closed

    realtime = asyncio.run(main())
    realtime.publish("r1", EVENT)  # type: ignore[arg-type]
    realtime.show("r1", {"roomId": "r1", "online": []})  # type: ignore[arg-type]
    realtime.end("r1")  # type: ignore[arg-type]
