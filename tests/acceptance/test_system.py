"""What machines ask: health, keys, the document; and how the process starts and stops."""

import re
import signal
import time
from pathlib import Path

import jwt
import pytest

from tests.acceptance.contract import violations
from tests.acceptance.scenarios import (
    TEXT,
    Host,
    Scenario,
    World,
    each,
    get,
    play,
    status,
)
from tests.server import Client, Server, running
from trinity.topology import FUNCTIONS

_DISCOVERY = "/.well-known/openid-configuration"
_JWKS = "/.well-known/jwks.json"
ROUTES = [str(function.route) for function in FUNCTIONS if function.route]

SCENARIOS = [
    Scenario(
        "health says that it is well, of what version, and on what that rests",
        when=get("/api/health"),
        then=status(200)
        .json({"status": "ok", "version": TEXT, "checks": {"table": "ok", "cache": "ok"}})
        .header("cache-control", "no-store"),
    ),
    Scenario(
        "the issuer document leads to the keys",
        when=get(_DISCOVERY),
        then=status(200)
        .json(
            {
                "issuer": TEXT,
                "jwks_uri": TEXT,
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )
        .header("cache-control", "public, max-age=[0-9]+"),
    ),
    Scenario(
        "keys are public ones, each with an id, and nothing of a private key is there",
        when=get(_JWKS),
        then=status(200)
        .json(
            {
                "keys": each(
                    {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": TEXT, "n": TEXT, "e": TEXT}
                )
            }
        )
        .without('"d"', '"p"', '"q"', '"dp"', '"dq"', '"qi"', "PRIVATE"),
    ),
    Scenario(
        "the document describes the API in OpenAPI 3.1",
        when=get("/api/openapi.json"),
        then=status(200).json({"openapi": "3.1.0", "info": {"title": "Trinity"}}),
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_system(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


@pytest.mark.parametrize("kind", ["guest", "user"])
def test_an_access_token_is_verified_by_the_served_keys_and_says_the_right_things(
    kind: str, world: World
) -> None:
    before = int(time.time())
    person = world.guest("ana") if kind == "guest" else world.user("ana")
    issuer = world.client.get(_DISCOVERY).json
    keys = jwt.PyJWKSet.from_dict(world.client.get(_JWKS).json)
    header = jwt.get_unverified_header(person.token)
    assert header == {"alg": "RS256", "typ": "JWT", "kid": header["kid"]}
    claims = jwt.decode(
        person.token,
        keys[header["kid"]],
        algorithms=["RS256"],
        audience="trinity",
        issuer=issuer["issuer"],
        options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
    )
    assert claims["sub"] == person.id
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert before - 1 <= claims["iat"] <= time.time() + 1
    assert claims["guest"] is (kind == "guest")
    assert not {"email", "name"} & claims.keys(), "a token names nobody"


def test_no_two_access_tokens_are_the_same(world: World) -> None:
    session = {"refreshToken": world.guest("ana").refresh}
    tokens = {world.people["ana"].token}
    for _ in range(3):
        answer = world.client.post("/api/auth/refresh", json=session).json
        session = {"refreshToken": answer["refreshToken"]}
        tokens.add(answer["accessToken"])
    assert len(tokens) == 4


def test_the_issuer_of_tokens_is_where_the_document_is_served(host: Host) -> None:
    document = host.client.get(_DISCOVERY).json
    assert document["jwks_uri"] == document["issuer"] + _JWKS
    port = host.client.base_url.rpartition(":")[2]
    assert document["issuer"].rpartition(":")[2] == port


@pytest.mark.parametrize("path", ["/", "/r/ABC234", "/nowhere", "/api/health", "/api/nowhere"])
def test_every_response_carries_a_request_id(path: str, host: Host) -> None:
    answer = host.client.get(path)
    assert answer.headers.get("x-request-id"), f"{path}: {answer.headers}"


def test_no_two_requests_have_the_same_id(host: Host) -> None:
    ids = [host.client.get("/api/health").headers["x-request-id"] for _ in range(20)]
    assert len(set(ids)) == 20


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/me", "/nowhere", _JWKS])
def test_security_headers_are_sent_once(path: str, host: Host) -> None:
    assert host.client.get(path).headers["x-content-type-options"] == "nosniff"


def test_the_server_does_not_say_what_it_is_made_of(host: Host) -> None:
    headers = host.client.get("/").headers
    assert not {"server", "x-powered-by"} & headers.keys()


@pytest.mark.parametrize("path", sorted({route.split(" ")[1] for route in ROUTES}))
def test_a_path_says_which_methods_it_takes(path: str, host: Host) -> None:
    takes = {route.split(" ")[0] for route in ROUTES if route.split(" ")[1] == path}
    real = re.sub(r"\{\w+\}", "abcdefghijklmnop", path)
    for method in ("PUT", "TRACE", "OPTIONS", "PROPFIND", *{"GET", "POST", "DELETE"} - takes):
        answer = host.client.request(method, real)
        assert (answer.status, answer.code) == (405, "method_not_allowed"), f"{method} {real}"
        assert violations(answer) == []
        assert set(answer.headers["allow"].split(", ")) == takes


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/nothing", "/api/me/", "/API/me", "//api/me", "/api//me", "/api/rooms/"],
)
def test_a_path_that_does_not_exist_is_not_found(path: str, host: Host) -> None:
    answer = host.client.get(path)
    assert (answer.status, answer.code) == (404, "not_found")
    assert violations(answer) == []


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/../../../etc/passwd",
        "/index.html%00.js",
        "/r/../../etc/passwd",
        "/.env",
        "/trinity.sqlite",
        "/data/keys/cursor.key",
        "//etc/passwd",
        "/\\etc\\passwd",
    ],
)
def test_no_file_but_those_of_the_page_is_served(path: str, host: Host) -> None:
    answer = host.client.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("method", "path", "code", "error", "title"),
    [
        ("GET", "/nope", 404, "not_found", "There is no such page"),
        ("GET", "/r/ABC234/more", 404, "not_found", "There is no such page"),
        ("GET", "/apiary", 404, "not_found", "There is no such page"),
        ("POST", "/nope", 404, "not_found", "There is no such page"),
        ("POST", "/r/ABC234", 405, "method_not_allowed", "This page only shows something"),
        ("GET", "/", 431, "headers_too_large", "Your browser sends too much"),
    ],
)
def test_people_get_a_page_where_programs_get_a_problem(
    method: str, path: str, code: int, error: str, title: str, host: Host
) -> None:
    more = {"cookie": "x" * 10_240} if code == 431 else {}
    page = host.client.request(method, path, headers={"accept": BROWSER, **more})
    assert (page.status, page.headers["content-type"]) == (code, "text/html; charset=utf-8")
    assert f"<h1>{title}</h1>" in page.text
    assert 'href="/">To the start page</a>' in page.text
    for accept in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        problem = host.client.request(method, path, headers={**accept, **more})
        assert (problem.status, problem.code) == (code, error)
        assert violations(problem) == []
        for name in ("x-content-type-options", "allow"):
            assert page.headers.get(name) == problem.headers.get(name)


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/nothing", "/api/rooms/x", "/graphql", "/media/x.webp", "/.well-known/nothing"],
)
def test_whoever_asks_the_api_gets_no_page(path: str, host: Host) -> None:
    answer = host.client.get(path, headers={"accept": BROWSER})
    assert answer.status >= 400
    assert "json" in answer.headers["content-type"]


# ----------------------------------------------------------------------------- starting, stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_the_server_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with running(tmp_path, RATE_LIMITS="off") as server:
        client = server.client
        for _ in range(5):
            assert client.post("/api/auth/guest", json={"name": "ana"}).status == 201
        assert server.stop(number) == 0, server.log
        assert "Traceback" not in server.log, server.log
        # What a clean end does last: SQLite folds its write-ahead log into the file.
        left = sorted(path.name for path in server.data.glob("trinity.sqlite*"))
        assert left == ["trinity.sqlite"], left


def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    settings = {"RATE_LIMITS": "off", "PUBLIC_URL": "http://trinity.example"}
    server = Server(tmp_path, settings)
    try:
        server.start()
        world = Host(server.base_url).world()
        world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
        path = f"/api/rooms/{world.kept['r1']['id']}"
        json = {"titleId": world.kept["r1"]["jaws"], "choice": "yes"}
        token = world.token("ana")
        assert server.client.post(f"{path}/votes", token=token, json=json).status == 200
        before = server.client.get(path, token=token).json
        server.stop(signal.SIGKILL)
        server.start()
        after = server.client.get(path, token=token).json
        assert after["members"] == before["members"]
        assert after["members"][0]["progress"] == 1
    finally:
        if server.is_running:
            server.stop()


def test_two_servers_do_not_share_their_data(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        other = Server(tmp_path, {})
        with pytest.raises(AssertionError, match="another Trinity serves the data"):
            other.start()
        assert Client(server.base_url).get("/api/health").status == 200
