"""No input, however odd, does more than be refused politely: over every route of the topology.

The routes and their fields are read from the topology and from the document, so that a new route is
covered when it is there.
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.acceptance.contract import violations
from tests.acceptance.scenarios import Host, World
from tests.server import Client, Response, Server, eventually
from trinity.topology import FUNCTIONS, Function

ROUTED = [function for function in FUNCTIONS if function.route]
WITH_BODY = [f for f in ROUTED if str(f.route).split(" ")[0] in ("POST", "PATCH", "PUT")]
GUARDED = [f for f in ROUTED if f.auth == "user"]
IN_A_ROOM = [f for f in GUARDED if "{roomId}" in str(f.route)]
NOT_IN_IT = "abcdefghijklmnop"
"""What an id looks like, of nothing."""


def name(function: Function) -> str:
    return function.name


def method_and_path(function: Function, **parameters: str) -> tuple[str, str]:
    """Return method and path of a function; what is not named is an id of nothing."""
    method, path = str(function.route).split(" ")
    return method, re.sub(r"\{(\w+)\}", lambda m: parameters.get(m[1], NOT_IN_IT), path)


def operation(host: Host, function: Function) -> dict[str, Any]:
    method, path = str(function.route).split(" ")
    found: dict[str, Any] = host.document.document["paths"][path][method.lower()]
    return found


class Probe:
    """Sends odd requests as a guest who is in a room of his own.

    Some of them may well be good ones: `DELETE /api/me` is. The guest is replaced when he is gone.

    Args:
        world: a fresh one.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._arrive()

    def _arrive(self) -> None:
        self.world.people.clear()
        self.world.guest("ana")
        self.room = self.world.room("r1", ["ana"], ["jaws", "heat"], {})

    def parameters(self) -> dict[str, str]:
        return {
            "roomId": self.room["id"],
            "titleId": self.room["jaws"],
            "userId": self.world.people["ana"].id,
        }

    def send(self, function: Function, query: str = "", **options: Any) -> Response:
        """Send something, and hold the answer against the conventions and the document."""
        method, path = method_and_path(function, **options.pop("parameters", self.parameters()))
        token = options.pop("token", self.world.token("ana"))
        path = f"{path}?{query}" if query else path
        answer = self.world.client.request(method, path, token=token, **options)
        broken = self.world.host.document.violations(method, path, answer)
        assert not broken, f"{method} {path} {str(options)[:300]}: {broken}\n{answer}"
        if answer.status < 300 and function.name in ("delete_me", "delete_room", "leave_room"):
            self._arrive()
        return answer


@pytest.fixture
def probe(world: World) -> Probe:
    return Probe(world)


# ------------------------------------------------------------------------------------------ bodies

NOT_JSON = {
    "nothing": b"",
    "a blank": b" ",
    "half an object": b'{"name": "x"',
    "a trailing comma": b'{"name": "x",}',
    "two objects": b"{}{}",
    "a comment": b"{} // x",
    "single quotes": b"{'name': 'x'}",
    "a word": b"name",
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a surrogate pair the wrong way round": b'{"name": "\\udc00\\ud800"}',
    "a raw control character": b'{"name": "\x00"}',
    "a bad escape": b'{"name": "\\x41"}',
    "zero bytes": b"\x00" * 100,
    "a form": b"name=x&email=y",
    "XML": b"<?xml version='1.0'?><name/>",
    "100,000 open brackets": b"[" * 100_000,
    "100,000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "20,000 objects in each other": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "100,000 brackets in a field": b'{"deck":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
NOT_OBJECTS = (b"[]", b"null", b"true", b"0", b'"x"', b'["name"]', b"[{}]")


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
@pytest.mark.parametrize("what", NOT_JSON)
def test_what_is_no_json_is_refused(what: str, function: Function, probe: Probe) -> None:
    answer = probe.send(function, body=NOT_JSON[what])
    takes_nothing = "requestBody" not in operation(probe.world.host, function)
    if takes_nothing or what == "nothing":
        assert answer.status < 500
    else:
        assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
@pytest.mark.parametrize("body", NOT_OBJECTS)
def test_json_that_is_no_object_is_refused(body: bytes, function: Function, probe: Probe) -> None:
    if "requestBody" in operation(probe.world.host, function):
        answer = probe.send(function, body=body)
        assert (answer.status, answer.code) == (400, "invalid_request")


def needs(host: Host, function: Function) -> list[str]:
    body = operation(host, function).get("requestBody")
    required: list[str] = (
        body["content"]["application/json"]["schema"].get("required", []) if body else []
    )
    return required


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
def test_without_a_body_that_is_needed_a_request_is_refused(
    function: Function, probe: Probe
) -> None:
    if needs(probe.world.host, function):
        for body in (None, b"", b"{}"):
            answer = probe.send(function, body=body)
            assert answer.status in (400, 422)
            assert answer.code == "invalid_request"


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
@pytest.mark.parametrize("kind", [None, "text/plain", "application/octet-stream", "x", "a" * 8000])
def test_the_type_of_a_body_that_is_json_does_not_matter(
    kind: str | None, function: Function, probe: Probe
) -> None:
    headers = {"content-type": kind} if kind is not None else {}
    answer = probe.send(function, body=b'{"name": "x"}', headers=headers)
    assert answer.status != 400
    assert probe.send(function, body=b"{", headers=headers).status < 500


@pytest.mark.parametrize("function", [f for f in ROUTED if f not in WITH_BODY], ids=name)
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"limit": "x", "count": 0, "cursor": 1}'])
def test_a_body_where_none_is_taken_is_not_looked_at(
    body: bytes, function: Function, world: World
) -> None:
    first, second = Probe(world), Probe(world.host.world())
    assert first.send(function, body=body).status == second.send(function).status


@pytest.mark.parametrize("function", ROUTED, ids=name)
def test_a_body_of_300_kib_is_too_large_everywhere(function: Function, probe: Probe) -> None:
    body = b'{"name": "' + b"x" * (300 * 1024) + b'"}'
    method, path = method_and_path(function, **probe.parameters())
    token = probe.world.token("ana")
    answer = probe.world.client.request(method, path, token=token, body=body)
    assert (answer.status, answer.code) == (413, "payload_too_large")
    if function in WITH_BODY:
        assert probe.world.host.document.violations(method, path, answer) == []
    else:  # nobody documents the size of a body that is not read
        assert violations(answer) == []


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
def test_a_body_of_256_kib_is_read(function: Function, probe: Probe) -> None:
    body = b'{"unknown": "' + b"x" * (256 * 1024 - 15) + b'"}'
    assert len(body) == 256 * 1024
    assert probe.send(function, body=body).status != 413


def test_a_body_that_comes_in_chunks_without_its_length_is_measured_too(world: World) -> None:
    token = world.token("ana")
    host, _, port = world.client.base_url.partition("//")[2].partition(":")
    head = (
        f"POST /api/rooms HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
        "transfer-encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(5):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:200]
    assert b"payload_too_large" in answer


# ------------------------------------------------------------------------------------------ fields

ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "zero": 0,
    "minus one": -1,
    "a fraction": 1.5,
    "2^31": 2**31,
    "2^53 + 1": 2**53 + 1,
    "2^63": 2**63,
    "2^64": 2**64,
    "10^400": 10**400,
    "-10^4000": -(10**4000),
    "10^5000": "LITERAL:1" + "0" * 5000,
    "1e308": 1e308,
    "1e999": "LITERAL:1e999",
    "1e-999": "LITERAL:1e-999",
    "-0.0": -0.0,
    "an empty text": "",
    "blanks": "   ",
    "NUL": "\x00",
    "a text with NUL": "a\x00b",
    "a line break": "a\r\nX-Evil: 1",
    "a bidi override": "\u202eabc",
    "zero width": "\u200b",
    "marks in a stack": "a" + "\u0301" * 100,
    "full width": "ＡＢＣ１２３",
    "a family": "👨‍👩‍👧‍👦",
    "a replacement character": "\ufffd",
    "a noncharacter": "\uffff\U0010ffff",
    "SQL": "' OR 1=1; DROP TABLE items; --",
    "a template": "{{7*7}}${7*7}<%= 7*7 %>",
    "markup": "<script>alert(1)</script>",
    "a path": "../../../etc/passwd",
    "a key of ours": "ROOM#abc",
    "300 characters": "x" * 300,
    "100,000 characters": "x" * 100_000,
    "100,000 emoji": "🦊" * 50_000,
    "an empty list": [],
    "a list of null": [None],
    "a list in a list": [[[[]]]],
    "10,000 numbers": [0] * 10_000,
    "an empty object": {},
    "an object": {"a": 1},
    "a prototype": {"__proto__": {"a": 1}, "constructor": 1},
    "an empty name": {"": 1},
}


def encode(fields: dict[str, Any]) -> bytes:
    """Return JSON; a text `LITERAL:x` stands for x as it is."""
    return re.sub(r'"LITERAL:([^"]+)"', r"\1", json.dumps(fields)).encode()


def good_fields(host: Host, function: Function) -> dict[str, Any]:
    """Return a body that is good as far as its types go."""
    known: dict[str, Any] = {
        "name": "ana",
        "email": "nobody@example.org",
        "password": "long enough",
        "refreshToken": "a.b.c",
        "token": "x",
        "code": "ABC234",
        "endpoint": "https://push.example/x",
        "keys": {"p256dh": "B" + "x" * 86, "auth": "x" * 22},
        "url": "https://hook.example/x",
        "deck": {"source": "list", "items": [{"title": "x"}]},
        "kind": "avatar",
        "contentType": "image/png",
        "size": 1,
    }
    return {field: known[field] for field in needs(host, function)}


def body_fields(host: Host, function: Function) -> dict[str, Any]:
    body = operation(host, function).get("requestBody")
    properties: dict[str, Any] = (
        body["content"]["application/json"]["schema"]["properties"] if body else {}
    )
    return properties


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
@pytest.mark.parametrize("what", ODD)
def test_an_odd_value_in_any_field_of_a_body_is_no_fault(
    what: str, function: Function, probe: Probe
) -> None:
    host = probe.world.host
    for field in body_fields(host, function):
        probe.send(function, body=encode({**good_fields(host, function), field: ODD[what]}))


# Values of a kind that no field of that name takes.
OTHER_KINDS = {
    "string": [True, 0, 1.5, [], {}],
    "integer": [True, "x", "1", 1.5, [], {}],
    "boolean": ["true", 0, 1, [], {}],
    "array": [True, "x", 0, {}],
    "object": [True, "x", 0, []],
}


def kinds(schema: Any, host: Host) -> set[str]:
    """Return the JSON types that a schema takes."""
    if "$ref" in schema:
        named = schema["$ref"].rpartition("/")[2]
        return kinds(host.document.document["components"]["schemas"][named], host)
    if "anyOf" in schema:
        return set().union(*(kinds(one, host) for one in schema["anyOf"]))
    if "enum" in schema:
        return {"string"}
    return {schema["type"]} if "type" in schema else set(OTHER_KINDS)


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
def test_a_value_of_the_wrong_type_is_refused_and_the_field_is_named(
    function: Function, probe: Probe
) -> None:
    host = probe.world.host
    for field, schema in body_fields(host, function).items():
        taken = kinds(schema, host)
        if taken - {"null"} and len(taken - {"null"}) == 1:
            for value in OTHER_KINDS[next(iter(taken - {"null"}))]:
                sent = {**good_fields(host, function), field: value}
                answer = probe.send(function, body=encode(sent))
                about = f"{field} = {value!r}: {answer}"
                assert (answer.status, answer.code) == (422, "invalid_request"), about
                assert answer.json["errors"][0]["pointer"] == f"/{field}", about


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
def test_a_field_that_is_missing_is_named(function: Function, probe: Probe) -> None:
    host = probe.world.host
    for field in needs(host, function):
        sent = good_fields(host, function)
        del sent[field]
        answer = probe.send(function, body=encode(sent) if sent else b'{"x": 1}')
        assert (answer.status, answer.code) == (422, "invalid_request")
        assert field in answer.json["detail"]


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
def test_a_field_that_is_there_a_hundred_thousand_times_is_no_fault(
    function: Function, probe: Probe
) -> None:
    for field in body_fields(probe.world.host, function):
        probe.send(function, body=b"{" + b",".join([f'"{field}":0'.encode()] * 10_000) + b"}")


@pytest.mark.parametrize("function", WITH_BODY, ids=name)
def test_a_body_that_the_document_requires_is_required(function: Function, probe: Probe) -> None:
    if operation(probe.world.host, function).get("requestBody", {}).get("required"):
        answer = probe.send(function)
        assert answer.status in (400, 422)
        assert answer.code == "invalid_request"


def test_a_number_in_a_query_cannot_be_null(world: World) -> None:
    for field in ("from", "to", "limit"):
        answer = world.client.get(f"/api/catalogue/titles?{field}=null")
        assert (answer.status, answer.code) == (422, "invalid_request"), field


def test_an_idempotency_key_is_no_longer_than_the_document_says(probe: Probe) -> None:
    body = b'{"deck": {"source": "list", "items": [{"title": "x"}]}}'
    create = next(function for function in ROUTED if function.name == "create_room")
    assert probe.send(create, body=body, headers={"idempotency-key": "x" * 255}).status == 201
    answer = probe.send(create, body=body, headers={"idempotency-key": "x" * 256})
    assert (answer.status, answer.code) == (422, "invalid_request")


QUERY_VALUES = (
    "",
    "%00",
    "%ff",
    "%ed%a0%80",
    "%",
    "%zz",
    "%u0041",
    "+",
    "%2B",
    "null",
    "true",
    "NaN",
    "-1",
    "0",
    "1e3",
    "0x10",
    "1_000",
    "%D9%A1",
    "9" * 400,
    "%F0%9F%A6%8A",
    "%E2%80%AE",
    "a" * 5000,
    "[]",
    "{}",
    "a&{field}=b",
    "a;b",
)


@pytest.mark.parametrize("function", ROUTED, ids=name)
@pytest.mark.parametrize("value", QUERY_VALUES)
def test_an_odd_value_in_any_field_of_a_query_is_no_fault(
    value: str, function: Function, probe: Probe
) -> None:
    parameters = operation(probe.world.host, function).get("parameters", [])
    for field in [p["name"] for p in parameters if p["in"] == "query"]:
        probe.send(function, query=f"{field}={value.replace('{field}', field)}")
    probe.send(function, query=value)
    probe.send(function, query=f"roomId={value}&{value}={value}&&&=&=x")


@pytest.mark.parametrize("function", ROUTED, ids=name)
def test_ten_thousand_query_parameters_are_no_fault(function: Function, probe: Probe) -> None:
    probe.send(function, query="&".join(f"a{n}={n}" for n in range(5_000)))


# ------------------------------------------------------------------------------------------- paths

ODD_SEGMENTS = (
    "x",
    "0",
    "%00",
    "%ff",
    "%ed%a0%80",
    "%2F",
    "%2e%2e",
    "%2e%2e%2f%2e%2e",
    "..%5c..",
    "%",
    "%zz",
    "%25",
    "%2500",
    "%0d%0aX-Evil:%201",
    "%20",
    "+",
    "*",
    "null",
    "%F0%9F%A6%8A",
    "%E2%80%AE",
    "ROOM%23x",
    "%7BroomId%7D",
    "a" * 4000,
    "%00" * 500,
    ";a=b",
    "@",
    ":",
    "~",
)


@pytest.mark.parametrize("function", [f for f in ROUTED if "{" in str(f.route)], ids=name)
@pytest.mark.parametrize("segment", ODD_SEGMENTS)
def test_an_odd_segment_in_a_path_is_no_fault(
    segment: str, function: Function, probe: Probe
) -> None:
    good = probe.parameters()
    for field in re.findall(r"\{(\w+)\}", str(function.route)):
        body = encode({"titleId": good["titleId"], "choice": "no"})
        method = str(function.route).split(" ")[0]
        answer = probe.send(
            function,
            parameters={**good, field: segment},
            body=body if method in ("POST", "PATCH") else None,
        )
        assert 400 <= answer.status < 500, f"{field} = {segment}: {answer}"


@pytest.mark.parametrize("segment", ["..", ".", "../..", "./x", "%2e%2e/x"])
def test_dots_in_a_path_lead_nowhere(segment: str, probe: Probe) -> None:
    token = probe.world.token("ana")
    for path in (f"/api/rooms/{segment}/me", f"/api/rooms/{segment}", f"/{segment}/api/me"):
        answer = probe.world.client.get(path, token=token)
        assert answer.status in (403, 404, 405), f"{path}: {answer}"
        assert answer.code is not None


# ---------------------------------------------------------------------------- other people's rooms


@pytest.mark.parametrize("function", IN_A_ROOM, ids=name)
def test_an_unknown_room_is_not_found(function: Function, probe: Probe) -> None:
    good = {"titleId": probe.room["jaws"], "choice": "no"}
    answer = probe.send(
        function,
        parameters={**probe.parameters(), "roomId": NOT_IN_IT, "userId": NOT_IN_IT},
        body=encode(good) if function.name == "cast_votes" else None,
    )
    assert (answer.status, answer.code) == (404, "room_not_found")


@pytest.mark.parametrize("function", IN_A_ROOM, ids=name)
def test_the_room_of_somebody_else_is_closed_to_me(function: Function, probe: Probe) -> None:
    parameters = probe.parameters()
    stranger = probe.world.guest("eve")
    before = probe.world.client.get(
        f"/api/rooms/{parameters['roomId']}", token=probe.world.token("ana")
    )
    body = {"cast_votes": {"titleId": parameters["titleId"], "choice": "no"}}
    answer = probe.send(
        function,
        parameters=parameters,
        token=stranger.token,
        body=encode(body.get(function.name, {"name": "x"}))
        if str(function.route).split(" ")[0] in ("POST", "PATCH")
        else None,
        headers={"if-none-match": "*"},
    )
    assert (answer.status, answer.code) == (403, "not_a_member")
    text = answer.text
    assert not [x for x in ("ana", "jaws", probe.room["code"], parameters["userId"]) if x in text]
    after = probe.world.client.get(
        f"/api/rooms/{parameters['roomId']}", token=probe.world.token("ana")
    )
    assert after.json == before.json


# ------------------------------------------------------------------------------------------ tokens


def _encode_part(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


class Forger:
    """Makes tokens that are nearly right, with the server's own key.

    Args:
        server: whose key.
    """

    def __init__(self, server: Server) -> None:
        client = server.client
        session = client.post("/api/auth/guest", json={"name": "ana"}).json
        self.good = session["accessToken"]
        self.header = jwt.get_unverified_header(self.good)
        self.claims = jwt.decode(self.good, options={"verify_signature": False})
        path = next(Path(server.data / "keys").glob("*.pem"))
        self.key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(self.key, rsa.RSAPrivateKey)
        self.public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def signed(self, claims: dict[str, Any] | None = None, /, **header: Any) -> str:
        merged = {**self.claims, **(claims or {})}
        kept = {name: value for name, value in merged.items() if value is not None}
        return jwt.encode(
            kept, self.key, algorithm="RS256", headers={"kid": self.header["kid"], **header}
        )

    def by_hmac(self, secret: bytes) -> str:
        head = {"alg": "HS256", "typ": "JWT", "kid": self.header["kid"]}
        text = f"{_encode_part(head)}.{_encode_part(self.claims)}"
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def bad(self) -> Iterator[tuple[str, str]]:
        """Return tokens that nobody may accept, by what is wrong with them."""
        now = int(time.time())
        head, body, signature = self.good.split(".")
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        yield "expired", self.signed({"iat": now - 1000, "exp": now - 1})
        yield "expired long ago", self.signed({"iat": 0, "exp": 1})
        yield "of another issuer", self.signed({"iss": "http://evil.example"})
        yield "of an issuer that begins alike", self.signed({"iss": self.claims["iss"] + "0"})
        yield "for somebody else", self.signed({"aud": "evil"})
        yield "not valid yet", self.signed({"nbf": now + 600})
        for claim in ("exp", "iss", "aud", "sub"):
            yield f"without {claim}", self.signed({claim: None})
        yield "with an expiry that is no number", self.signed({"exp": "tomorrow"})
        yield "with an infinite expiry", self.signed({"exp": 1e400})
        yield (
            "of another key",
            jwt.encode(self.claims, other, algorithm="RS256", headers={"kid": self.header["kid"]}),
        )
        yield "with an unknown kid", self.signed(kid="unknown")
        yield "with a path as kid", self.signed(kid="../../../dev/null")
        yield (
            "with a number as kid",
            f"{_encode_part({**self.header, 'kid': 1})}.{body}.{signature}",
        )
        yield "with alg none", f"{_encode_part({**self.header, 'alg': 'none'})}.{body}."
        yield "with alg NONE", f"{_encode_part({**self.header, 'alg': 'NoNe'})}.{body}."
        yield (
            "with alg none and a signature",
            (f"{_encode_part({**self.header, 'alg': 'none'})}.{body}.{signature}"),
        )
        yield "with HS256 by the public key", self.by_hmac(self.public)
        yield "with HS256 by the public key without its end", self.by_hmac(self.public.strip())
        yield "with HS256 by an empty secret", self.by_hmac(b"")
        yield (
            "with RS512",
            jwt.encode(
                self.claims, self.key, algorithm="RS512", headers={"kid": self.header["kid"]}
            ),
        )
        yield (
            "with its own key in the header",
            jwt.encode(
                self.claims,
                other,
                algorithm="RS256",
                headers={
                    "kid": "mine",
                    "jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key())),
                },
            ),
        )
        changed = _encode_part({**self.claims, "sub": NOT_IN_IT})
        yield "changed after it was signed", f"{head}.{changed}.{signature}"
        yield "without its signature", f"{head}.{body}."
        yield "without its end", self.good[:-10]
        yield "with more at its end", self.good + "AAAA"
        yield "twice", f"{self.good}.{self.good}"
        yield "two in one", f"{self.good} {self.good}"
        yield "garbage", "garbage"
        yield "empty", ""
        yield "dots", "..."
        yield "huge", "a" * 8_000
        yield "nested", _encode_part({"alg": "RS256"}) + "." + "W1tb" * 2000 + ".AA"
        yield "null", "null.null.null"
        yield "a list as header", "W10.W10.AA"


@pytest.fixture(scope="session")
def forger(embedded: Server) -> Forger:
    return Forger(embedded)


@pytest.fixture(scope="session")
def here(embedded: Server) -> Host:
    return Host(embedded.base_url)


def refused_as_nobody(host: Host, function: Function, authorization: str | None) -> None:
    method, path = method_and_path(function)
    headers = {} if authorization is None else {"authorization": authorization}
    answer = host.client.request(method, path, headers=headers)
    about = f"{method} {path} {str(authorization)[:80]}: {answer}"
    assert (answer.status, answer.code) == (401, "unauthenticated"), about
    assert not host.document.violations(method, path, answer), about


@pytest.mark.parametrize("function", GUARDED, ids=name)
def test_a_token_that_is_not_valid_opens_no_route(
    function: Function, here: Host, forger: Forger
) -> None:
    for _, token in forger.bad():
        refused_as_nobody(here, function, f"Bearer {token}")


@pytest.mark.parametrize("function", GUARDED, ids=name)
def test_a_token_that_is_not_sent_as_a_bearer_opens_no_route(
    function: Function, here: Host, forger: Forger
) -> None:
    good = forger.good
    basic = base64.b64encode(f"ana:{good}".encode()).decode()
    for authorization in (
        None,
        "",
        "Bearer",
        "Bearer ",
        good,
        f"Basic {basic}",
        f"Basic {good}",
        f"Token {good}",
        f"Bearer{good}",
        f"Bearer: {good}",
        f"Bearer {good}, Bearer {good}",
        f"Bearer,{good}",
        f"Bearer \x00{good}".replace("\x00", "%00"),
    ):
        refused_as_nobody(here, function, authorization)


@pytest.mark.parametrize("function", GUARDED, ids=name)
def test_a_token_in_the_query_or_a_cookie_opens_no_route(
    function: Function, here: Host, forger: Forger
) -> None:
    method, path = method_and_path(function)
    for query, headers in (
        (f"?access_token={forger.good}", {}),
        (f"?authorization=Bearer%20{forger.good}", {}),
        ("", {"cookie": f"authorization=Bearer {forger.good}; token={forger.good}"}),
        ("", {"x-authorization": f"Bearer {forger.good}"}),
    ):
        answer = here.client.request(method, path + query, headers=headers)
        assert (answer.status, answer.code) == (401, "unauthenticated")


def test_the_forger_can_sign_what_is_accepted(here: Host, forger: Forger) -> None:
    """Else all tokens above might be refused for another reason than the one they are made for."""
    for token in (forger.good, forger.signed(), forger.signed({"extra": [1, {"a": None}]})):
        for scheme in ("Bearer", "bearer", "BEARER"):
            answer = here.client.get("/api/me", headers={"authorization": f"{scheme} {token}"})
            assert answer.status == 200, str(answer)


def test_a_token_stops_working_when_it_expires_though_it_was_seen_before(
    here: Host, forger: Forger
) -> None:
    token = forger.signed({"exp": int(time.time()) + 2})
    assert here.client.get("/api/me", token=token).status == 200
    eventually(
        lambda: here.client.get("/api/me", token=token).status == 401,
        "the token expires",
        within_s=5,
    )


def test_a_bad_token_is_refused_before_the_body_is_looked_at(here: Host) -> None:
    answer = here.client.post("/api/rooms", token="garbage", body=b"{")
    assert (answer.status, answer.code) == (401, "unauthenticated")


@pytest.mark.parametrize("function", ROUTED, ids=name)
def test_a_route_that_needs_no_token_takes_no_notice_of_a_bad_one(
    function: Function, host: Host
) -> None:
    if function.auth == "none" and function.name != "register":
        method, path = method_and_path(function)
        body = encode(good_fields(host, function)) if method == "POST" else None
        plain = host.client.request(method, path, body=body)
        answer = host.client.request(method, path, token="garbage", body=body)
        assert answer.status == plain.status


# ------------------------------------------------------------------------------- headers, raw bytes


@pytest.mark.parametrize("function", ROUTED, ids=name)
def test_odd_headers_are_no_fault(function: Function, probe: Probe) -> None:
    for headers in (
        {"if-none-match": '"' + "x" * 5000},
        {"if-none-match": ", , ,W/"},
        {"idempotency-key": ""},
        {"idempotency-key": "x" * 8000},
        {"idempotency-key": "\xff\xfe"},
        {"accept": "application/xml;q=bogus"},
        {"x-forwarded-for": "'; DROP TABLE items; --"},
        {"x-forwarded-for": "," * 1000},
        {"host": ""},
        {"host": "[::1]:99999999"},
        {"host": "evil.example/../"},
        {"cookie": ";;;=;a;=b;" * 50},
        {"content-encoding": "gzip"},
        {"range": "bytes=0-"},
        {"expect": "x"},
        {"x-http-method-override": "DELETE"},
        {"user-agent": "\xff" * 500},
    ):
        probe.send(function, headers=headers)


RAW = {
    "bytes that are no ASCII in the path": b"GET /api/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes that are no ASCII in the query": (
        b"GET /api/health?\xff=\xfe HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    "no host": b"GET /api/health HTTP/1.1\r\n\r\n",
    "HTTP/1.0": b"GET /api/health HTTP/1.0\r\n\r\n",
    "an absolute address": b"GET http://evil.example/api/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /api/health#x HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method that is known": b"BREW /api/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
    "a length that is no number": (
        b"POST /api/auth/guest HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"
    ),
    "two lengths": (
        b"POST /api/auth/guest HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"Content-Length: 3\r\n\r\n{} "
    ),
    "length and chunks": (
        b"POST /api/auth/guest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a header with a line break": b"GET /api/health HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "an upgrade": (
        b"GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ),
}


@pytest.mark.parametrize("what", RAW)
def test_what_is_hardly_http_is_answered_or_hung_up_on_and_harms_nobody(
    what: str, host: Host
) -> None:
    address, _, port = host.client.base_url.partition("//")[2].partition(":")
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        connection.sendall(RAW[what])
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    if answer:
        status = int(answer.split(b" ", 2)[1])
        assert status < 500, answer
    assert Client(host.client.base_url).get("/api/health").status == 200
