"""PyPI's gql, as it is, cannot tell this server from AppSync."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from gql import Client, GraphQLRequest, gql
from gql.transport.appsync_auth import AppSyncJWTAuthentication
from gql.transport.appsync_websockets import AppSyncWebsocketsTransport
from gql.transport.exceptions import TransportError, TransportQueryError
from graphql import print_ast

from tests.clients.conftest import Person

WITHIN_S = 15.0
FOLLOW = """
    subscription Follow($room: ID!) {
      onRoomEvent(roomId: $room) { cursor roomId type at actorId data }
    }
"""


class Frames(logging.Handler):
    """What gql receives, frame by frame, as its log tells it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._received: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "<<< %s" and isinstance(record.args, tuple):
            self._received.append(json.loads(str(record.args[0]))["type"])

    async def until(self, kind: str, count: int = 1) -> None:
        """Return when frames of a kind have come."""
        async with asyncio.timeout(WITHIN_S):
            while self._received.count(kind) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
def frames() -> Iterator[Frames]:
    log = logging.getLogger("gql.transport.common.base")
    handler, level = Frames(), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


def client(url: str, token: str, path: str = "/graphql/realtime") -> Client:
    host = urlsplit(url).netloc
    transport = AppSyncWebsocketsTransport(
        url=f"ws://{host}{path}",
        auth=AppSyncJWTAuthentication(host=host, jwt=token),
    )
    return Client(transport=transport)


def ask(person: Person, query: str, **variables: Any) -> Any:
    """Send what gql has parsed over HTTP: its HTTP transports need packages of their own."""
    return person.graphql(print_ast(gql(query).document), **variables)


async def followed(session: Any, room: str) -> list[Any]:
    """Return the events of a room up to its first match."""
    events: list[Any] = []
    request = GraphQLRequest(FOLLOW, variable_values={"room": room})
    async with asyncio.timeout(WITHIN_S):
        async for result in session.subscribe(request):
            events.append(result["onRoomEvent"])
            if events[-1]["type"] == "matchFound":
                break
    return events


def evening(ana: Person, ben: Person) -> tuple[str, str]:
    """Open a room and let Ben join; return the room and a title."""
    room = ask(
        ana,
        """mutation ($input: CreateRoomInput!) {
          createRoom(input: $input) { id code deckSize members { name } }
        }""",
        input={"deck": {"source": "list", "items": [{"title": "Pizza"}, {"title": "Sushi"}]}},
    )["createRoom"]
    assert room["deckSize"] == 2
    joined = ask(
        ben,
        "mutation ($code: String!) { joinRoom(code: $code) { members { name role } } }",
        code=room["code"],
    )["joinRoom"]
    assert [member["name"] for member in joined["members"]] == ["Ana", "Ben"]
    cards = ask(
        ana,
        "query ($room: ID!) { nextTitles(roomId: $room) { items { id title } } }",
        room=room["id"],
    )["nextTitles"]["items"]
    [pizza] = [card["id"] for card in cards if card["title"] == "Pizza"]
    return room["id"], pizza


CAST = """
    mutation ($room: ID!, $title: ID!) {
      castVote(roomId: $room, titleId: $title, choice: yes) { accepted matches { titleId } }
    }
"""


@pytest.mark.parametrize("path", ["/graphql/realtime", "/graphql"])
def test_gql_spends_an_evening_and_receives_a_match_made_over_http(
    path: str, url: str, ana: Person, ben: Person, frames: Frames
) -> None:
    room, pizza = evening(ana, ben)

    async def follow() -> list[Any]:
        async with client(url, ana.token, path) as session:
            following = asyncio.create_task(followed(session, room))
            await frames.until("start_ack")
            voted = await asyncio.to_thread(ask, ana, CAST, room=room, title=pizza)
            assert voted["castVote"] == {"accepted": 1, "matches": []}
            made = await asyncio.to_thread(ben.say_yes, room, pizza)
            assert [match["titleId"] for match in made["matches"]] == [pizza]
            return await following

    events = asyncio.run(follow())
    cursors = [int(event["cursor"]) for event in events]
    assert cursors == sorted(set(cursors)), "in order, and once each"
    assert {event["roomId"] for event in events} == {room}
    match = events[-1]
    assert json.loads(match["data"])["titleId"] == pizza
    told = ask(
        ana,
        """query ($room: ID!) {
          room(id: $room) { state matches { titleId } }
          roomEvents(roomId: $room) { items { cursor type } }
        }""",
        room=room,
    )
    assert told["room"] == {"state": "decided", "matches": [{"titleId": pizza}]}
    logged = {"cursor": match["cursor"], "type": "matchFound"}
    assert logged in told["roomEvents"]["items"]


def test_gql_follows_two_rooms_on_one_connection(
    url: str, ana: Person, ben: Person, frames: Frames
) -> None:
    rooms = [evening(ana, ben)[0] for _ in range(2)]

    async def follow() -> list[list[Any]]:
        async with client(url, ana.token) as session:
            following = [asyncio.create_task(followed(session, room)) for room in rooms]
            await frames.until("start_ack", count=2)
            for room in rooms:
                title = await asyncio.to_thread(ana.title_id, room, "Pizza")
                for person in (ana, ben):
                    await asyncio.to_thread(person.say_yes, room, title)
            return await asyncio.gather(*following)

    for room, events in zip(rooms, asyncio.run(follow()), strict=True):
        assert {event["roomId"] for event in events} == {room}


def test_gql_is_told_when_its_member_leaves(
    url: str, ana: Person, ben: Person, frames: Frames
) -> None:
    room, _ = evening(ana, ben)

    async def follow() -> list[Any]:
        async with client(url, ben.token) as session:
            following = asyncio.create_task(followed(session, room))
            await frames.until("start_ack")
            leave = "mutation ($room: ID!) { leaveRoom(roomId: $room) }"
            left = await asyncio.to_thread(ask, ben, leave, room=room)
            assert left == {"leaveRoom": True}
            return await following

    assert "matchFound" not in [event["type"] for event in asyncio.run(follow())]


def test_gql_is_told_that_its_token_is_refused(url: str) -> None:
    async def connect() -> None:
        async with asyncio.timeout(WITHIN_S), client(url, "not.a.token"):
            raise AssertionError("it was let in")

    # If gql has not sent its first message before the server is gone, that is what it tells.
    with pytest.raises(TransportError, match=r"UnauthorizedException|Error trying to send data"):
        asyncio.run(connect())


def test_gql_is_told_why_a_stranger_may_not_follow_a_room(
    url: str, ana: Person, ben: Person
) -> None:
    room = ana.open_room("Pizza")["id"]

    async def follow() -> None:
        async with client(url, ben.token) as session:
            await followed(session, room)

    with pytest.raises(TransportQueryError, match="Only members of this room") as refused:
        asyncio.run(follow())
    [payload] = refused.value.errors or []
    assert [error["errorType"] for error in payload["errors"]] == ["NotAMember"]
