"""Functions answer the event of an AppSync direct Lambda resolver as AppSync wants it."""

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any

import msgspec
import pytest
import pytest_socket

from trinity import bootstrap
from trinity.bootstrap import Operation, Services
from trinity.common import resolvers
from trinity.common.requests import Reply
from trinity.common.settings import Settings
from trinity.common.shapes import TitlesPage
from trinity.domain import errors
from trinity.domain.errors import DomainError
from trinity.domain.ids import Millis, UserId
from trinity.domain.users import User
from trinity.embedded.graphql.api import Api, Request
from trinity.openapi import load
from trinity.ports import Unavailable
from trinity.store import users
from trinity.topology import FUNCTIONS, Function

_RECORD = Path(__file__).parent / "resolver_events" / "oidc.json"
_GENUINE: dict[str, Any] = json.loads(_RECORD.read_text())["event"]
BY_FIELD = {field: function for function in FUNCTIONS for field in function.fields}


def genuine(field: str, user: str, **arguments: Any) -> dict[str, Any]:
    """Return what AppSync calls a function with."""
    event = copy.deepcopy(_GENUINE)
    event["info"]["parentTypeName"], _, event["info"]["fieldName"] = field.partition(".")
    event["identity"]["sub"] = event["identity"]["claims"]["sub"] = user
    event["arguments"] = arguments
    return event


class World:
    """Functions over the services of a machine, and a room of Ana's."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._functions: dict[str, Operation] = {}
        for name in ("ana", "ben"):
            user = User(id=UserId(name), name=name, created_at=Millis(1_700_000_000_000))
            users.create_guest(services.table, user)
        deck = {"source": "list", "items": [{"title": "Jaws"}, {"title": "Heat"}]}
        made = self.ask("Mutation.createRoom", "ana", input={"deck": deck, "stopAt": "never"})
        self.room, self.code = made["id"], made["code"]
        self.jaws = self.ask("Query.deck", "ana", roomId=self.room)["items"][0]["id"]

    def function(self, field: str) -> Operation:
        """Return a function of its own: those of the topology keep the services they had first."""
        if field not in self._functions:
            made = load(BY_FIELD[field])
            fresh = bootstrap.operation(made.use_case, status=made.status, tagged=made.tagged)
            self._functions[field] = fresh
        return self._functions[field]

    def joined(self, user: str) -> str:
        self.ask("Mutation.joinRoom", user, code=self.code)
        return user

    def ask(self, field: str, user: str, **arguments: Any) -> Any:
        return self.function(field)(genuine(field, user, **arguments), None)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    services = Services(Settings(data=tmp_path, rate_limits="off", log_level="error"))
    monkeypatch.setattr(bootstrap, "_services", services)
    yield World(services)
    services.store.close()


ARGUMENTS: dict[str, Callable[[World], dict[str, Any]]] = {
    "Query.me": lambda _: {},
    "Query.room": lambda w: {"id": w.room},
    "Query.rooms": lambda _: {"cursor": None, "limit": 5},
    "Query.myMatches": lambda _: {"limit": 5},
    "Query.deck": lambda w: {"roomId": w.room, "limit": 1},
    "Query.nextTitles": lambda w: {"roomId": w.room, "count": 2},
    "Query.results": lambda w: {"roomId": w.room},
    "Query.roomEvents": lambda w: {"roomId": w.room, "after": "0"},
    "Query.genres": lambda _: {},
    "Query.titles": lambda _: {"q": "jaws", "from": 1970},
    "Mutation.createRoom": lambda _: {
        "input": {
            "deck": {"source": "list", "items": [{"title": "Jaws"}]},
            "rule": {"kind": "atLeast", "count": 2},
            "stopAt": "3",  # a text, as the schema has it
            "name": None,
        }
    },
    "Mutation.joinRoom": lambda w: {"code": w.code},
    "Mutation.updateRoom": lambda w: {"roomId": w.room, "name": "Friday", "state": None},
    "Mutation.castVote": lambda w: {"roomId": w.room, "titleId": w.jaws, "choice": "yes"},
    "Mutation.castVotes": lambda w: {
        "roomId": w.room,
        "votes": [{"titleId": w.jaws, "choice": "veto"}],
    },
    "Mutation.undoVote": lambda w: {"roomId": w.room, "titleId": w.jaws},
    "Mutation.kickMember": lambda w: {"roomId": w.room, "userId": w.joined("ben")},
    "Mutation.deleteRoom": lambda w: {"roomId": w.room},
    "Mutation.stepAway": lambda w: {"roomId": w.room},
    "Mutation.leaveRoom": lambda w: {"roomId": w.room},
    "Subscription.onRoomEvent": lambda w: {"roomId": w.room},
    "Subscription.onPresence": lambda w: {"roomId": w.room},
}


@pytest.mark.parametrize("field", BY_FIELD)
def test_a_field_is_resolved_by_the_function_of_its_route(field: str, world: World) -> None:
    value = world.ask(field, "ana", **ARGUMENTS[field](world))
    kind = world.function(field).result_type
    if field.startswith("Subscription."):
        assert value is None  # anything else would have to be an event
    elif kind in (None, NoneType):
        assert value is True
    else:
        assert isinstance(json.loads(json.dumps(value)), dict)
        msgspec.convert(value, TitlesPage if kind is Reply else kind)


def test_a_vote_by_graphql_is_a_vote(world: World) -> None:
    world.ask("Mutation.joinRoom", "ben", code=world.code)
    vote = ARGUMENTS["Mutation.castVote"](world)
    assert world.ask("Mutation.castVote", "ana", **vote) == {"accepted": 1, "matches": []}
    answer = world.ask("Mutation.castVote", "ben", **vote)
    assert answer["matches"][0]["titleId"] == world.jaws
    assert sorted(answer["matches"][0]["userIds"]) == ["ana", "ben"]


@pytest.mark.parametrize(
    ("field", "user", "arguments", "refusal"),
    [
        ("Query.room", "ana", {"id": "none"}, errors.RoomNotFound),
        ("Query.room", "ben", {"id": "{room}"}, errors.NotAMember),
        ("Subscription.onRoomEvent", "ben", {"roomId": "{room}"}, errors.NotAMember),
        ("Subscription.onPresence", "ben", {"roomId": "{room}"}, errors.NotAMember),
        ("Mutation.stepAway", "ben", {"roomId": "{room}"}, errors.NotAMember),
        ("Query.roomEvents", "ana", {"roomId": "{room}", "after": "x"}, errors.InvalidRequest),
        ("Mutation.castVote", "ana", {"roomId": "{room}", "titleId": ""}, errors.InvalidRequest),
        ("Query.me", "nobody", {}, errors.Unauthenticated),
    ],
)
def test_a_refusal_is_an_exception_whose_class_is_the_type_of_the_error(
    field: str,
    user: str,
    arguments: dict[str, str],
    refusal: type[DomainError],
    world: World,
) -> None:
    """Lambda makes `errorType` of the class and `errorMessage` of the text, AppSync passes both on.

    https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    given = {name: value.replace("{room}", world.room) for name, value in arguments.items()}
    with pytest.raises(refusal) as raised:
        world.ask(field, user, **given)
    assert type(raised.value) is refusal
    assert str(raised.value) == raised.value.detail != ""


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (Unavailable("down"), errors.ServiceUnavailable),
        (RuntimeError("the secret is 42"), errors.InternalError),
    ],
)
def test_a_fault_says_nothing_of_the_inside(
    failure: Exception, shown: type[DomainError], world: World
) -> None:
    def me(caller: resolvers.Caller) -> str:
        raise failure

    fresh = bootstrap.operation(me)
    with pytest.raises(shown) as raised:
        fresh(genuine("Query.me", "ana"), None)
    assert str(failure) not in str(raised.value)


@pytest.mark.parametrize("identity", [None, {}, {"accountId": "1", "userArn": "arn:x"}])
def test_who_is_no_user_is_nobody(identity: Any, world: World) -> None:
    event = genuine("Query.me", "ana")
    event["identity"] = identity
    with pytest.raises(errors.Unauthenticated):
        world.function("Query.me")(event, None)


def test_limits_go_by_the_address_that_appsync_saw() -> None:
    origin = resolvers.origin(genuine("Query.me", "ana"), "", 0, "")
    assert origin.address == "198.51.100.7"
    assert origin.base_url.startswith("https://abcdefghijklmnopqrstuvwxyz.appsync-api.")


# ---------------------------------------------------------------- the events of the embedded host


class Trusting:
    """An authorizer that knows Ana."""

    def claims(self, _: str | None) -> dict[str, str]:
        claims = _GENUINE["identity"]["claims"] | {"sub": "ana", "guest": "true"}
        return {name: str(value) for name, value in claims.items()}


def test_the_embedded_host_calls_functions_with_the_same_event() -> None:
    pytest_socket.enable_socket()  # for the pair of sockets that a loop wakes itself up with
    seen: list[tuple[Function, dict[str, Any]]] = []

    async def call(function: Function, event: dict[str, Any]) -> Any:
        seen.append((function, event))
        return {"id": "r1", "matches": []}

    log: Any = None
    api = Api(call, Trusting(), lambda: "1", log, introspection=False)  # type: ignore[arg-type]

    async def main() -> None:
        query = "query Q($id: ID!) { room(id: $id) { id matches { title { title } } } }"
        request = Request(
            document=api.documents.read(query),
            identity=api.identity("a token") or {},
            headers={"host": "127.0.0.1"},
            domain="127.0.0.1",
        )
        await api.execute(request, {"id": "r1"}, None)

    asyncio.run(main())
    [(function, event)] = seen
    assert function.name == "get_room"
    expected = genuine("Query.room", "ana", id="r1")
    assert _outline(event) == _outline(expected)
    assert event["arguments"] == expected["arguments"]
    assert event["identity"] == expected["identity"]
    assert event["info"] == {
        "fieldName": "room",
        "parentTypeName": "Query",
        "variables": {"id": "r1"},
        "selectionSetList": ["id", "matches", "matches/title", "matches/title/title"],
        "selectionSetGraphQL": "{\n  id\n  matches {\n    title {\n      title\n    }\n  }\n}",
    }


def _outline(event: dict[str, Any]) -> Any:
    """Return which members an event has, but for those that are the request's own."""
    own = ("arguments", "headers", "variables")
    return {
        name: _outline(value) if isinstance(value, dict) and name not in own else None
        for name, value in event.items()
    }
