"""The API description: the committed file is the generated one, and it holds together."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trinity.common import problems
from trinity.domain import errors
from trinity.openapi import document
from trinity.topology import FUNCTIONS, Function

COMMITTED = Path(__file__).parents[2] / "schema" / "openapi.json"
ROUTED = [function for function in FUNCTIONS if function.route]
DOCUMENT = document()

# The routes of the contract, less those that are to come: uploads and reports.
CONTRACT = (
    "POST /api/auth/register",
    "POST /api/auth/login",
    "POST /api/auth/guest",
    "POST /api/auth/refresh",
    "POST /api/auth/logout",
    "POST /api/auth/password/forgot",
    "POST /api/auth/password/reset",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/jwks.json",
    "GET /api/me",
    "PATCH /api/me",
    "DELETE /api/me",
    "POST /api/rooms",
    "GET /api/rooms",
    "POST /api/rooms/join",
    "GET /api/rooms/{roomId}",
    "PATCH /api/rooms/{roomId}",
    "DELETE /api/rooms/{roomId}",
    "POST /api/rooms/{roomId}/leave",
    "DELETE /api/rooms/{roomId}/members/{userId}",
    "GET /api/rooms/{roomId}/deck",
    "GET /api/rooms/{roomId}/next",
    "POST /api/rooms/{roomId}/votes",
    "DELETE /api/rooms/{roomId}/votes/{titleId}",
    "GET /api/rooms/{roomId}/results",
    "GET /api/rooms/{roomId}/events",
    "GET /api/me/matches",
    "GET /api/catalogue/genres",
    "GET /api/catalogue/titles",
    "GET /api/health",
    "GET /api/openapi.json",
)


def operation(function: Function) -> dict[str, Any]:
    method, path = str(function.route).split(" ")
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_committed_document_is_the_generated_one() -> None:
    written = json.dumps(DOCUMENT, indent=2, ensure_ascii=False) + "\n"
    assert COMMITTED.read_text() == written, "run `make docs`"


def test_the_document_has_what_openapi_3_1_asks_for() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]
    assert set(DOCUMENT) <= {
        "openapi",
        "info",
        "servers",
        "paths",
        "components",
        "security",
        "tags",
    }
    assert all(path.startswith("/") for path in DOCUMENT["paths"])


@pytest.mark.parametrize("route", CONTRACT)
def test_every_route_of_the_contract_is_there(route: str) -> None:
    method, path = route.split(" ")
    assert method.lower() in DOCUMENT["paths"][path]


def test_every_route_of_the_topology_is_described_and_no_other() -> None:
    described = {
        f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item
    }
    assert described == {function.route for function in ROUTED}


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    known = {
        f"#/components/{kind}/{name}"
        for kind in ("headers", "schemas")
        for name in DOCUMENT["components"][kind]
    }
    assert set(references(DOCUMENT)) == known


@pytest.mark.parametrize("function", ROUTED, ids=lambda function: function.name)
class TestOperation:
    """Each operation by itself."""

    def test_it_is_called_like_its_function(self, function: Function) -> None:
        assert operation(function)["operationId"] == function.name
        module = importlib.import_module(f"trinity.handlers.{function.module}")
        assert module.handler.name == function.name

    def test_it_says_what_it_does(self, function: Function) -> None:
        summary = operation(function)["summary"]
        assert summary.endswith((".", "?"))
        assert "\n" not in summary

    def test_its_path_parameters_are_declared_and_required(self, function: Function) -> None:
        parameters = operation(function).get("parameters", [])
        declared = {p["name"] for p in parameters if p["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", str(function.route)))
        assert all(p["required"] for p in parameters if p["in"] == "path")
        assert len({(p["in"], p["name"]) for p in parameters}) == len(parameters)
        assert all("schema" in p for p in parameters)

    def test_its_guard_is_that_of_the_topology(self, function: Function) -> None:
        security = operation(function)["security"]
        guarded = bool(security) and {} not in security
        assert guarded == (function.auth == "user")

    def test_its_responses_name_the_headers_that_they_have(self, function: Function) -> None:
        handler = importlib.import_module(f"trinity.handlers.{function.module}").handler
        own = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
        own |= {"200": "ETag", "304": "ETag"} if handler.tagged else {}
        for status, response in operation(function)["responses"].items():
            assert set(response["headers"]) == {"X-Request-Id", own.get(status, "X-Request-Id")}
        parameters = [p["name"] for p in operation(function).get("parameters", [])]
        assert ("If-None-Match" in parameters) == handler.tagged

    def test_its_refusals_are_problems_with_documented_codes(self, function: Function) -> None:
        codes = {error.code for error in problems.STATUS}
        for status, response in operation(function)["responses"].items():
            assert response["description"]
            if int(status) >= 400:
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
                named = set(re.findall(r"`(\w+)`", response["description"]))
                assert named
                assert named <= codes

    def test_the_errors_that_its_docstring_names_exist_and_are_documented(
        self, function: Function
    ) -> None:
        handler = importlib.import_module(f"trinity.handlers.{function.module}").handler
        _, _, raises = (handler.use_case.__doc__ or "").partition("Raises:")
        names = {
            name
            for line in re.findall(r"^ +([A-Z]\w+(?:, [A-Z]\w+)*): ", raises, re.MULTILINE)
            for name in line.split(", ")
        }
        responses = operation(function)["responses"]
        for name in names - {"Unavailable"}:
            error = getattr(errors, name)
            status, _ = problems.STATUS[error]
            assert f"`{error.code}`" in responses[str(status)]["description"]

    def test_whoever_reads_or_writes_a_room_is_told_that_it_may_not_exist(
        self, function: Function
    ) -> None:
        if "{roomId}" in str(function.route):
            responses = operation(function)["responses"]
            assert "`room_not_found`" in responses["404"]["description"]
            assert "`not_a_member`" in responses["403"]["description"]


def test_every_error_has_a_status_and_every_status_an_error() -> None:
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, errors.DomainError)
        and kind is not errors.DomainError
    }
    assert set(problems.STATUS) == kinds


def test_no_code_means_two_things() -> None:
    by_code: dict[str, set[str]] = {}
    for error in problems.STATUS:
        by_code.setdefault(error.code, set()).add(error.__name__)
    twice = {code: names for code, names in by_code.items() if len(names) > 1}
    assert twice == {"invalid_request": {"MalformedRequest", "InvalidRequest"}}
