"""Schemathesis reads the API's document and schema, asks what fits them, and looks at the answers.

Everything is derandomised: the same document gives the same requests.
"""

import io
import re
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.graphql import nodes
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.acceptance.contract import violations
from tests.acceptance.scenarios import Host, World
from tests.server import Response
from trinity.embedded.graphql import schema as schemas
from trinity.openapi import document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


schema = schemathesis.openapi.from_dict(document())


def test_the_document_that_is_served_is_the_one_that_is_generated(host: Host) -> None:
    assert host.client.get("/api/openapi.json").json == document()


class Visitor:
    """A guest with a room, whose place another takes when he or his room is gone.

    Args:
        world: a fresh one.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._arrive()

    def _arrive(self) -> None:
        self._world.people.clear()
        self._world.guest("ana")
        self._room = self._world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
        file = {"kind": "avatar", "contentType": "image/png", "size": 1}
        asked = self._world.client.post("/api/uploads", token=self._world.token("ana"), json=file)
        self._upload = asked.json["uploadId"]

    def send(self, case: Case) -> None:
        """Send a request and look at the answer."""
        token = self._world.token("ana")
        answer = case.call_and_validate(
            base_url=self._world.client.base_url,
            headers={"authorization": f"Bearer {token}"},
            checks=CHECKS,
        )
        headers = {name: values[0] for name, values in answer.headers.items()}
        broken = violations(Response(answer.status_code, headers, answer.content))
        assert broken == [], f"{case.as_curl_command()}: {broken}"
        if answer.status_code != 401 and case.method in ("DELETE", "POST"):
            gone = self._world.client.get(f"/api/rooms/{self._room['id']}", token=token)
            if gone.status != 200:
                self._arrive()

    def ask(self, case: Any) -> None:
        """Send a query, its ids those of the visitor's own room, and look at the answer."""
        query = case.body
        for name, own in {"roomId": self._room["id"], "titleId": self._room["jaws"]}.items():
            query = re.sub(rf'{name}: "(?:[^"\\\\]|\\\\.)*"', f'{name}: "{own}"', query)
        token = self._world.token("ana")
        for text in {case.body, query}:
            answer = self._world.client.post("/graphql", json={"query": text}, token=token)
            assert answer.status == 200, f"{text}\n{answer}"
            for error in answer.json.get("errors", []):
                assert error["message"], error
                assert error.get("errorType") not in ("InternalError", "ServiceUnavailable"), error
            assert "data" in answer.json
        gone = self._world.client.get(f"/api/rooms/{self._room['id']}", token=token)
        if gone.status != 200:
            self._arrive()

    def at_home(self, case: Case) -> None:
        """Let a request be about the visitor's own room."""
        own = {
            "roomId": self._room["id"],
            "titleId": self._room["jaws"],
            "userId": self._world.people["ben"].id,
            "uploadId": self._upload,
        }
        case.path_parameters = {n: own.get(n, given) for n, given in case.path_parameters.items()}


@pytest.fixture(scope="module")
def visitor(host: Host) -> Visitor:
    return Visitor(host.world())


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_what_the_document_says_is_what_happens(case: Case, visitor: Visitor) -> None:
    visitor.send(case)
    if case.path_parameters:
        visitor.at_home(case)
        visitor.send(case)


# --------------------------------------------------------------------------------------- GraphQL

for name, examples in {
    "AWSJSON": st.just('{"a": 1}'),
    "AWSDateTime": st.just("2026-11-22T12:00:00.000Z"),
    "AWSURL": st.just("https://example.org/"),
}.items():
    schemathesis.graphql.scalar(name, examples.map(nodes.String))

graphql = schemathesis.graphql.from_file(io.StringIO(schemas.prelude() + schemas.sdl()))


@graphql.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_whatever_fits_the_schema_is_answered_or_refused_with_a_reason(
    case: Case, visitor: Visitor
) -> None:
    visitor.ask(case)
