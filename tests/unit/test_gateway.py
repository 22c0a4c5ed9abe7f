"""The embedded gateway against recorded events: the same request makes the same event.

The records are in `events/`, each with its source, the request that must have caused it, and the
event that came of it. They are minimised: what a client may or may not send is left out of both.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from trinity.embedded.authorizer import Authorizer
from trinity.embedded.gateway import Events, Match, Route, Router
from trinity.topology import FUNCTIONS, Function

RECORDS = sorted((Path(__file__).parent / "events").glob("*.json"))

# What cannot be the same: names of an account and of a moment, and the addresses on the way.
INHERENT = {
    ("requestContext", "accountId"),
    ("requestContext", "apiId"),
    ("requestContext", "requestId"),
    ("requestContext", "time"),
    ("requestContext", "timeEpoch"),
    ("headers", "x-amzn-trace-id"),
    ("headers", "x-forwarded-for"),
    ("headers", "x-forwarded-port"),
}


class Trusting:
    """An authorizer that takes every token for one with these claims."""

    def __init__(self, claims: dict[str, Any] | None) -> None:
        self._claims = claims

    def public(self) -> list[dict[str, str]]:
        return []

    def claims(self, authorization: str | None) -> dict[str, str] | None:
        real = Authorizer(self, "issuer")  # type: ignore[arg-type]
        real._verify = lambda _: self._claims  # type: ignore[method-assign]
        return real.claims(authorization)


def scope(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request as ASGI has it."""
    path, _, query = request["target"].partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": request["method"],
        "scheme": "https",
        "path": unquote_to_bytes(path).decode(),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in request["headers"]],
        "client": (request["client"], 50000),
        "server": ("10.0.0.1", 443),
    }


def match(request: dict[str, Any], event: dict[str, Any]) -> Match:
    """Return what the router would have found by the route of the record."""
    function = Function(
        "recorded", "none", event["routeKey"], "user" if "claims" in request else "none"
    )
    names = re.findall(r"\{(\w+)\}", event["routeKey"])
    pattern = re.sub(r"\{\w+\}", "([^/]+)", event["routeKey"].partition(" ")[2])
    found = re.fullmatch(pattern, request["target"].partition("?")[0]) if names else None
    values = found.groups() if found else ()
    parameters = {n: unquote_to_bytes(v).decode() for n, v in zip(names, values, strict=True)}
    return Match(Route(function, event["routeKey"]), parameters)


def flat(value: Any, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return the leaves of nested objects by their paths."""
    if isinstance(value, dict) and value:
        return {k: v for name, one in value.items() for k, v in flat(one, (*at, name)).items()}
    return {at: value}


def make(record: dict[str, Any]) -> dict[str, Any]:
    request, event = record["_request"], record["event"]
    events = Events(Trusting(request.get("claims")))  # type: ignore[arg-type]
    body = base64.b64decode(request["body_base64"])
    made = events.make(scope(request), match(request, event), body)
    assert made is not None
    return made


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_request_makes_the_event_that_was_recorded(path: Path) -> None:
    record = json.loads(path.read_text())
    made = {key: value for key, value in flat(make(record)).items() if key not in INHERENT}
    recorded = {key: value for key, value in flat(record["event"]).items() if key not in INHERENT}
    assert made == recorded


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_what_differs_by_nature_is_there_all_the_same(path: Path) -> None:
    made = make(json.loads(path.read_text()))
    leaves = flat(made)
    here = INHERENT - {("headers", "x-amzn-trace-id")}
    assert {key for key in here if not leaves.get(key)} == set()
    context = made["requestContext"]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["time"])
    assert context["timeEpoch"] > 1_700_000_000_000
    assert isinstance(context["timeEpoch"], int)
    assert made["headers"]["x-forwarded-for"].endswith(context["http"]["sourceIp"])


def test_every_record_names_its_source() -> None:
    assert len(RECORDS) >= 8
    assert [p.name for p in RECORDS if not json.loads(p.read_text())["_source"]] == []


def test_an_event_is_json() -> None:
    for path in RECORDS:
        made = make(json.loads(path.read_text()))
        assert json.loads(json.dumps(made)) == made


# ------------------------------------------------------------------------------------- the router


def find(method: str, path: str) -> Any:
    return Router(FUNCTIONS).find(method, path)


@pytest.mark.parametrize(
    "function", [function for function in FUNCTIONS if function.route], ids=lambda f: f.name
)
def test_every_route_of_the_topology_is_found(function: Function) -> None:
    method, path = str(function.route).split(" ")
    names = re.findall(r"\{(\w+)\}", path)
    found = find(method, re.sub(r"\{(\w+)\}", r"the-\1", path))
    assert isinstance(found, Match)
    assert found.route == Route(function, str(function.route))
    assert found.parameters == {name: f"the-{name}" for name in names}


def test_a_fixed_path_goes_before_a_pattern() -> None:
    assert find("POST", "/api/rooms/join").route.function.name == "join_room"
    assert find("GET", "/api/rooms/joined").route.function.name == "get_room"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/api/rooms/a%2Fb", "a/b"),
        ("/api/rooms/%2e%2e", ".."),
        ("/api/rooms/%C3%A9", "é"),
        ("/api/rooms/a+b", "a+b"),
        ("/api/rooms/%00", "\x00"),
    ],
)
def test_a_parameter_is_decoded_once_and_stays_one_segment(path: str, value: str) -> None:
    assert find("GET", path).parameters == {"roomId": value}
    assert find("GET", path.replace("%", "%25")).parameters["roomId"].count("%") == path.count("%")


@pytest.mark.parametrize(
    "path", ["", "/", "/api", "/api/rooms/", "/api/rooms//deck", "/api/rooms/x/deck/", "//api/me"]
)
def test_a_path_that_is_no_route_is_not_found(path: str) -> None:
    assert find("GET", path) is None


def test_a_path_with_another_method_says_which_it_takes() -> None:
    assert find("PUT", "/api/me") == frozenset(("GET", "PATCH", "DELETE"))
    assert find("PUT", "/api/rooms/x") == frozenset(("GET", "PATCH", "DELETE"))


def test_no_two_requests_have_the_same_id() -> None:
    events = [Events(Trusting(None)) for _ in range(2)]  # type: ignore[arg-type]
    ids = [one.request_id() for one in events for _ in range(1000)]
    assert len(set(ids)) == len(ids)
