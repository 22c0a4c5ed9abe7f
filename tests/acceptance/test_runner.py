"""The runner of scenarios itself: whatever is expected wrongly makes a scenario fail."""

import json
from collections.abc import Sequence

import pytest

from tests.acceptance.contract import violations
from tests.acceptance.scenarios import (
    ABSENT,
    Call,
    Expected,
    Host,
    Scenario,
    differences,
    each,
    get,
    length,
    like,
    none,
    patch,
    play,
    refused,
    room,
    status,
    vote,
)
from tests.server import Response

VOTE = vote("r1", "ana", "jaws", "yes")
ROOM = get("/api/rooms/{r1}", as_="ana")
STRANGER = get("/api/rooms/{r1}", as_="eve")
RENAME = patch("/api/rooms/{r1}", as_="ana", json={"name": "x"})
GIVEN = [room("r1", ["ana", "ben"])]


def of(when: Call, then: Expected, after: Sequence[tuple[Call, Expected]] = ()) -> Scenario:
    return Scenario("", given=GIVEN, when=when, then=then, after=after)


RIGHT = {
    "status": of(ROOM, status(200)),
    "code": of(STRANGER, refused(403, "not_a_member")),
    "json": of(ROOM, status(200).json({"hostId": "{ana}"})),
    "an event": of(VOTE, status(200).events("progress")),
    "afterwards": of(VOTE, status(200), after=[(ROOM, status(200))]),
}

WRONG = {
    "another status": of(ROOM, status(201)),
    "another code": of(STRANGER, refused(403, "forbidden")),
    "no code": of(STRANGER, status(403)),
    "another value": of(ROOM, status(200).json({"capacity": 19})),
    "another type": of(ROOM, status(200).json({"capacity": "20"})),
    "a number for a bool": of(ROOM, status(200).json({"secret": 1})),
    "a missing member": of(ROOM, status(200).json({"x": 1})),
    "a shorter list": of(ROOM, status(200).json({"members": [{}]})),
    "a missing text": of(ROOM, status(200).contains("cleo")),
    "a forbidden text": of(ROOM, status(200).without("ben")),
    "a forbidden id": of(ROOM, status(200).without("{ben}")),
    "a forbidden header": of(ROOM, status(200).without("private, no-cache")),
    "a missing header": of(ROOM, status(200).header("x-x", ".*")),
    "another header": of(ROOM, status(200).header("etag", "x")),
    "a body": of(ROOM, status(200).empty()),
    "no event that comes": of(VOTE, status(200).events(none)),
    "an event that does not come": of(ROOM, status(200).events("progress")),
    "one event too few": of(RENAME, status(200).events(none)),
    "one event too many": of(RENAME, status(200).events("roomUpdated", "roomUpdated")),
    "another event": of(RENAME, status(200).events("progress")),
    "an event with other data": of(RENAME, status(200).events({"data": {"name": "y"}})),
    "a forbidden text in an event": of(VOTE, status(200).without("deckSize").events("progress")),
    "something else afterwards": of(VOTE, status(200), after=[(ROOM, status(404))]),
}


@pytest.mark.parametrize("what", RIGHT)
def test_a_scenario_that_is_right_passes(what: str, host: Host) -> None:
    play(RIGHT[what], host)


@pytest.mark.parametrize("what", WRONG)
def test_a_scenario_that_is_wrong_fails(what: str, host: Host) -> None:
    with pytest.raises(AssertionError):
        play(WRONG[what], host)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": ABSENT}, {"a": 1}),
        ({"a": ABSENT}, {"a": None}),
        ({"a": None}, {}),
        ([], [1]),
        ([1], []),
        ([1, 2], [2, 1]),
        (1, 1.0),
        (True, 1),
        ("", None),
        (length(2), [1]),
        (each({"a": 1}), [{"a": 1}, {"a": 2}]),
        (each({"a": 1}), []),
        (like("^a"), "ba"),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}),
        ({}, []),
    ],
)
def test_what_differs_is_told(expected: object, actual: object) -> None:
    assert differences(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": ABSENT}, {}),
        ([{"a": 1}, {}], [{"a": 1, "b": 1}, {"c": 1}]),
        (each({"a": like("x")}), [{"a": "x"}, {"a": "yx"}]),
    ],
)
def test_what_fits_is_not(expected: object, actual: object) -> None:
    assert differences(expected, actual) == []


GOOD = {
    "type": "urn:x",
    "title": "x",
    "status": 404,
    "detail": "x",
    "code": "not_found",
    "instance": "urn:request:1",
}


def response(code: int = 404, body: dict | None = None, **headers: str) -> Response:
    sent = {"content-type": "application/problem+json", "x-request-id": "1"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps(GOOD if body is None else body).encode()
    return Response(code, sent | named, content)


def test_a_response_that_keeps_the_conventions_breaks_none() -> None:
    assert violations(response()) == []


@pytest.mark.parametrize(
    "broken",
    [
        response(500, {**GOOD, "status": 500}),
        response(x_request_id=""),
        response(x_request_id="2"),
        response(content_type="application/json"),
        response(body={**GOOD, "status": 403}),
        response(body={**GOOD, "detail": ""}),
        response(401, {**GOOD, "status": 401}),
        response(405, {**GOOD, "status": 405}),
        response(429, {**GOOD, "status": 429}),
        response(429, {**GOOD, "status": 429}, retry_after="0"),
        response(204),
        *(response(body={k: v for k, v in GOOD.items() if k != name}) for name in GOOD),
    ],
)
def test_a_response_that_breaks_a_convention_is_noticed(broken: Response) -> None:
    assert violations(broken)
