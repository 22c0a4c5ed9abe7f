"""The client for AWS's JSON protocols: its signatures, and what it does when things go wrong.

botocore is the oracle for signatures and for how services are addressed. Failures come from a
scripted server; waiting is recorded, not done.
"""

import datetime
import functools
import hashlib
import ipaddress
import ssl
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from unittest import mock

import botocore.auth
import botocore.session
import certifi
import msgspec
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.scripted_server import ScriptedServer, Step, answer
from trinity.infrastructure.aws import client as aws
from trinity.infrastructure.aws.client import DYNAMODB, AwsError, Client
from trinity.infrastructure.aws.credentials import Credentials, CredentialSource
from trinity.infrastructure.aws.http import Connection, Endpoint
from trinity.infrastructure.aws.retry import Limits
from trinity.infrastructure.aws.sigv4 import Signer
from trinity.infrastructure.system import amazon_roots, stream
from trinity.ports import Unavailable

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
LIMITS = Limits(attempts=4, connect=2, exchange=5, total=10, first_wait=0.05, longest_wait=1)
FREEZE = Step()  # read the request and never answer


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


def make_client(server: ScriptedServer | str, passing: Time | None = None, **options) -> Client:
    passing = passing or Time()
    options.setdefault("limits", LIMITS)
    options.setdefault("credentials", CredentialSource(ENVIRONMENT))
    endpoint = server if isinstance(server, str) else server.url
    return Client(
        options.pop("service", DYNAMODB),
        region="eu-west-1",
        endpoint=endpoint,
        clock=passing.clock,
        sleep=passing.sleep,
        **options,
    )


def call(client: Client, *, idempotent: bool = True, n: int = 1):
    return client.call("PutItem", {"n": n}, idempotent=idempotent)


def error(code: str, status: int = 400, **members) -> Step:
    body = msgspec.json.encode({"__type": f"com.amazonaws#{code}", "message": "because", **members})
    return answer(body, status=status)


# ------------------------------------------------------------------------------------ signatures

HOSTS = st.sampled_from(
    ["dynamodb.eu-west-1.amazonaws.com", "127.0.0.1:4566", "[::1]:8000", "localhost", "a-b.c:1"]
)
WORDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", min_size=1)
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


def botocore_authorization(
    credentials: Credentials, *, service, region, host, path, headers, body, now, method="POST"
) -> dict[str, str]:
    request = AWSRequest(method, f"http://{host}{path}", dict(headers), body)
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer = kind(
        BotoCredentials(credentials.access_key, credentials.secret_key, credentials.token),
        service,
        region,
    )
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@settings(max_examples=300)
@given(
    access_key=WORDS,
    secret_key=SECRETS,
    token=st.none() | SECRETS,
    service=WORDS | st.just("s3"),
    region=WORDS,
    host=HOSTS,
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    path=st.sampled_from(["/", "/graphql", "/a/b-c_d.e~f"]),
    target=WORDS,
    version=st.sampled_from(["1.0", "1.1"]),
    body=st.binary() | st.text().map(str.encode),
    now=st.integers(min_value=0, max_value=4_000_000_000),
)
def test_a_signature_is_botocores_byte_for_byte(
    access_key, secret_key, token, service, region, host, method, path, target, version, body, now
):
    credentials = Credentials(access_key, secret_key, token)
    headers = {"content-type": f"application/x-amz-json-{version}", "x-amz-target": target}
    ours = Signer(service=service, region=region).sign(
        credentials,
        method=method,
        path=path,
        headers={**headers, "host": host},
        body=body,
        now=now,
    )
    theirs = botocore_authorization(
        credentials,
        service=service,
        region=region,
        host=host,
        method=method,
        path=path,
        headers=headers,
        body=body,
        now=now,
    )
    assert ours["authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
    assert {**theirs, "host": host} == ours


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/events/date%3D2026-11-25/a.gz", ""),
        ("/", "list-type=2&prefix=events%2Fdate%3D&start-after="),
    ],
)
def test_a_signature_for_s3_holds_encoded_names_and_a_query(path, query):
    credentials = Credentials("AKID", "secret", None)
    ours = Signer(service="s3", region="eu-west-1").sign(
        credentials, method="GET", path=path, query=query, headers={"host": "h"}, body=b"", now=0.0
    )
    theirs = botocore_authorization(
        credentials,
        service="s3",
        region="eu-west-1",
        host="h",
        method="GET",
        path=f"{path}?{query}" if query else path,
        headers={},
        body=b"",
        now=0.0,
    )
    assert {**theirs, "host": "h"} == ours


def test_a_signer_follows_new_credentials_and_new_days():
    signer = Signer(service="dynamodb", region="eu-west-1")
    day = 86_400
    for secret_key, now in [("one", 0), ("one", day - 1), ("one", day), ("two", day), ("one", 0)]:
        credentials = Credentials("AKID", secret_key)
        ours = signer.sign(credentials, path="/", headers={"host": "h"}, body=b"", now=now)
        theirs = botocore_authorization(
            credentials,
            service="dynamodb",
            region="eu-west-1",
            host="h",
            path="/",
            headers={},
            body=b"",
            now=now,
        )
        assert ours["authorization"] == theirs["authorization"]


def test_the_request_on_the_wire_has_botocores_signature():
    now = 1_795_342_486.0
    environment = {**ENVIRONMENT, "AWS_SESSION_TOKEN": "a/token+with=signs"}
    with ScriptedServer(answer()) as server:
        client = make_client(server, credentials=CredentialSource(environment), now=lambda: now)
        client.call("GetItem", {"ü": ["€", None, 1.5]}, idempotent=True)
        port = server.port
    [request] = server.requests
    first, *lines = request.head.split("\r\n")
    assert first == "POST / HTTP/1.1"
    sent = dict(line.split(": ", 1) for line in lines)
    assert request.body == '{"ü":["€",null,1.5]}'.encode()
    assert sent.pop("content-length") == str(len(request.body))
    assert sent["host"] == f"127.0.0.1:{port}"
    assert sent["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert sent["content-type"] == "application/x-amz-json-1.0"
    theirs = botocore_authorization(
        Credentials("AKID", "secret", "a/token+with=signs"),
        service="dynamodb",
        region="eu-west-1",
        host=sent["host"],
        path="/",
        headers={name: sent[name] for name in ("content-type", "x-amz-target")},
        body=request.body,
        now=now,
    )
    assert {**theirs, "host": sent["host"]} == sent


@pytest.mark.parametrize(
    ("endpoint", "path", "target"),
    [("", "", "/"), ("", "/a", "/a"), ("/b", "", "/b"), ("/b/", "/a", "/b/a")],
)
def test_a_request_of_rest_goes_below_the_endpoint_as_it_was_given(endpoint, path, target):
    with ScriptedServer(answer(b"<fine/>", status=201, headers=["ETag: x"])) as server:
        client = make_client(server.url + endpoint, service=aws.S3)
        response = client.send(
            "PUT", path, headers={"content-type": "a/b"}, body=b"\0", idempotent=True
        )
    assert (response.status, response.headers["etag"], response.body) == (201, "x", b"<fine/>")
    [request] = server.requests
    first, *lines = request.head.split("\r\n")
    assert first == f"PUT {target} HTTP/1.1"
    sent = dict(line.split(": ", 1) for line in lines)
    assert request.body == b"\0"
    assert sent["content-type"] == "a/b"
    assert sent["x-amz-content-sha256"] == hashlib.sha256(b"\0").hexdigest()


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_has_no_body_is_not_waited_for(status):
    bare = Step(f"HTTP/1.1 {status} Whatever\r\n\r\n".encode())
    with ScriptedServer(bare, answer(b"<more/>")) as server:
        client = make_client(server, service=aws.S3)
        if status == 204:
            assert client.send("DELETE", "/a", headers={}, idempotent=True).body == b""
        else:
            with pytest.raises(AwsError, match="Http304"):
                client.send("GET", "/a", headers={}, idempotent=True)
        assert client.send("GET", "/a", headers={}, idempotent=True).body == b"<more/>"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("body", "headers", "code", "message"),
    [
        (
            b"<Error><Code>NoSuchKey</Code><Message>Gone.</Message></Error>",
            [],
            "NoSuchKey",
            "Gone.",
        ),
        (
            b'{"message":"No."}',
            ["x-amzn-ErrorType: NotFoundException:http://a/"],
            "NotFoundException",
            "No.",
        ),
        (b'{"message":"No."}', [], "Http404", "No."),
        (b"<html>Not here</html>", [], "Http404", ""),
        (b"\xff", [], "Http404", ""),
        (b"", [], "Http404", ""),
    ],
)
def test_an_error_of_rest_is_read_from_xml_json_or_header(body, headers, code, message):
    with ScriptedServer(answer(body, status=404, headers=headers)) as server:
        client = make_client(server, service=aws.S3)
        with pytest.raises(AwsError) as raised:
            client.send("GET", "/a", headers={}, idempotent=True)
    assert (raised.value.code, raised.value.message, raised.value.status) == (code, message, 404)


MODELS = {
    "dynamodb": aws.DYNAMODB,
    "dynamodbstreams": aws.DYNAMODB_STREAMS,
    "events": aws.EVENTBRIDGE,
    "s3": aws.S3,
    "secretsmanager": aws.SECRETS_MANAGER,
    "sesv2": aws.SES,
    "sqs": aws.SQS,
}


@pytest.mark.parametrize("model", MODELS)
def test_a_service_is_addressed_as_its_model_says(model):
    service = MODELS[model]
    metadata = botocore.session.get_session().get_service_model(model).metadata
    assert service.target_prefix == metadata.get("targetPrefix", "")
    if metadata["protocol"] == "json":
        assert service.json_version == metadata["jsonVersion"]
    assert service.endpoint_prefix == metadata["endpointPrefix"]
    assert service.signing_name == metadata.get("signingName", metadata["endpointPrefix"])


@pytest.mark.parametrize("model", MODELS)
def test_without_an_endpoint_the_public_one_of_the_region_is_called(model, monkeypatch):
    called = []

    def connect(address, timeout):
        called.append(address)
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", connect)
    client = Client(
        MODELS[model],
        region="eu-central-1",
        credentials=CredentialSource(ENVIRONMENT),
        limits=Limits(attempts=1),
    )
    with pytest.raises(Unavailable):
        client.call("Anything", {}, idempotent=True)
    theirs = botocore.session.get_session().create_client(
        model, "eu-central-1", aws_access_key_id="AKID", aws_secret_access_key="secret"
    )
    [(host, port)] = called
    assert (f"https://{host.decode()}", port) == (theirs.meta.endpoint_url, 443)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        (
            "https://sqs.eu-west-1.amazonaws.com",
            (True, "sqs.eu-west-1.amazonaws.com", 443, "", "/"),
        ),
        ("http://127.0.0.1:4566", (False, "127.0.0.1", 4566, ":4566", "/")),
        ("http://localhost:80/", (False, "localhost", 80, "", "/")),
        ("https://host:8443/graphql", (True, "host", 8443, ":8443", "/graphql")),
        ("http://[::1]:8000", (False, "::1", 8000, ":8000", "/")),
        ("http://[::1]", (False, "::1", 80, "", "/")),
    ],
)
def test_an_endpoint_is_read_from_its_url(url, endpoint):
    tls, host, port, suffix, path = endpoint
    authority = (f"[{host}]" if ":" in host else host) + suffix
    assert Endpoint.parse(url) == Endpoint(tls, host, port, authority, path)


@pytest.mark.parametrize(
    "url", ["", "localhost", "ftp://h", "http://", "http://h/?a=b", "http://h:x"]
)
def test_what_is_no_url_of_an_endpoint_is_refused(url):
    with pytest.raises(ValueError):  # noqa: PT011
        Endpoint.parse(url)


# ----------------------------------------------------------------------------------- connections


def test_calls_share_a_connection():
    with ScriptedServer(answer(b'{"n":1}'), answer(b'{"n":2}'), answer(b'{"n":3}')) as server:
        client = make_client(server)
        assert [call(client)["n"] for _ in range(3)] == [1, 2, 3]
    assert server.connections == 1


@pytest.mark.parametrize(
    "last",
    [
        answer(b'{"n":1}', headers=["Connection: close"]),
        Step(b'HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n{"n":1}'),
        Step(b'HTTP/1.1 200 OK\r\n\r\n{"n":1}', close=True),  # ends where the connection does
        Step(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"n":1}surplus'),
    ],
    ids=["connection: close", "http/1.0", "no length", "surplus"],
)
def test_a_connection_that_ends_with_its_response_is_not_used_again(last):
    with ScriptedServer(last, answer(b'{"n":2}')) as server:
        client = make_client(server)
        assert call(client, idempotent=False) == {"n": 1}
        assert call(client, idempotent=False) == {"n": 2}
    assert server.connections == 2


def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing_even_a_delicate_write():
    with ScriptedServer(answer(close=True), answer(b'{"n":2}')) as server:
        passing = Time()
        client = make_client(server, passing)
        call(client)
        assert server.closed_by_server.wait(5)
        assert call(client, idempotent=False) == {"n": 2}
    assert len(server.requests) == 2
    assert passing.waits == []


def test_a_connection_idle_for_long_is_not_used_again(monkeypatch):
    with ScriptedServer(answer(), answer()) as server:
        client = make_client(server)
        call(client)
        later = time.time() + 60
        monkeypatch.setattr(time, "time", lambda: later)
        call(client, idempotent=False)
    assert server.connections == 2


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_a_stale_connection_is_replaced_without_counting_an_attempt(reset):
    stale = Step(close=True, reset=reset)
    only_one = Limits(attempts=1, total=10, exchange=5)
    with ScriptedServer(answer(), stale, answer(b'{"n":2}')) as server:
        passing = Time()
        client = make_client(server, passing, limits=only_one)
        call(client)
        assert call(client) == {"n": 2}
    assert server.connections == 2
    assert passing.waits == []


def test_a_delicate_write_of_which_nothing_could_be_sent_is_sent_over_a_new_connection(monkeypatch):
    monkeypatch.setattr(Connection, "alive", lambda _: True)  # it dies right after the look
    dying = answer()._replace(reset=True)
    with ScriptedServer(dying, answer(b'{"n":2}')) as server:
        client = make_client(server, limits=Limits(attempts=1, total=10, exchange=5))
        call(client)
        assert server.closed_by_server.wait(5)
        assert call(client, idempotent=False) == {"n": 2}
    assert server.connections == 2


def test_a_stale_connection_gives_up_the_other_idle_ones():
    both = threading.Barrier(2)

    def together(_request):
        both.wait(5)
        return answer()

    with ScriptedServer(together, together, Step(close=True), answer(b'{"n":3}')) as server:
        client = make_client(server, limits=Limits(attempts=1, total=10, exchange=5))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: call(client), range(2)))
        assert server.connections == 2
        assert call(client) == {"n": 3}
    assert [request.connection for request in server.requests][3] == 3


def test_a_new_connection_that_is_closed_counts_as_an_attempt():
    closes = Step(close=True)
    with ScriptedServer(closes, closes, closes, closes) as server:
        passing = Time()
        with pytest.raises(Unavailable, match="after 4 attempts"):
            call(make_client(server, passing))
    assert server.connections == 4
    assert len(passing.waits) == 3


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize(
    "failure",
    [
        Step(close=True),
        Step(reset=True),
        Step(b"HTTP/1.1 200 OK\r\nContent-Le", close=True),
        Step(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", close=True),
        Step(b"not HTTP at all\r\n\r\n", close=True),
        answer(b"<html>", status=502),
        answer(status=500),
        answer(status=503),
        answer(b"{}", headers=["X-Amz-Crc32: 1"]),
        answer(b"not JSON"),
        error("InternalServerError", 500),
    ],
    ids=[
        "closed",
        "reset",
        "half a head",
        "half a body",
        "no http",
        "html",
        "500",
        "503",
        "checksum",
        "no json",
        "internal error",
    ],
)
def test_a_write_that_is_not_idempotent_is_never_sent_twice(failure, warm):
    before = [answer()] if warm else []
    with ScriptedServer(*before, failure) as server:
        passing = Time()
        client = make_client(server, passing)
        if warm:
            call(client)
        with pytest.raises(Unavailable, match="outcome of PutItem is unknown"):
            call(client, idempotent=False)
    assert len(server.requests) == len(before) + 1
    assert passing.waits == []


def test_a_write_that_is_not_idempotent_is_not_sent_again_after_a_part_of_it():
    class Cutting(ScriptedServer):
        def _play(self, connection, number):
            connection.recv(1)
            return False  # to close with unread data resets the connection

    passing = Time()
    with Cutting() as server, pytest.raises(Unavailable, match=r"is unknown: cannot send"):
        make_client(server, passing).call("PutItem", {"text": "x" * 20_000_000}, idempotent=False)
    assert server.connections == 1


@pytest.mark.parametrize(
    "failure",
    [
        Step(b"HTTP/1.1 200 OK\r\nContent-Le", close=True),
        Step(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", close=True),
        Step(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", reset=True),
        Step(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", close=True),
        Step(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", close=True),
        Step(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", close=True),
        Step(b"\r\n\r\n", close=True),
        Step(b"x" * 70_000, close=True),
        answer(b"{}", headers=["X-Amz-Crc32: 1"]),
        answer(b"[]"),
        answer(b"not JSON"),
        answer(b"<html>", status=502),
        answer(status=500),
        error("InternalServerError", 500),
        error("ProvisionedThroughputExceededException"),
        error("TransactionConflictException"),
        answer(status=429),
    ],
    ids=str,
)
@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "kept connection"])
def test_an_idempotent_request_is_sent_again_after_a_passing_failure(failure, warm):
    before = [answer()] if warm else []
    with ScriptedServer(*before, failure, answer(b'{"n":2}')) as server:
        passing = Time()
        client = make_client(server, passing)
        if warm:
            call(client)
        assert call(client) == {"n": 2}
    assert len(passing.waits) == 1
    assert {request.body for request in server.requests} == {b'{"n":1}'}


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"],
)
def test_a_throttled_request_is_sent_again_whatever_it_does(code, idempotent):
    with ScriptedServer(error(code), error(code, 503), answer(b'{"n":3}')) as server:
        passing = Time()
        assert call(make_client(server, passing), idempotent=idempotent) == {"n": 3}
    assert len(passing.waits) == 2
    assert server.connections == 1


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_server_that_cannot_be_reached_is_tried_again(idempotent):
    with ScriptedServer() as server:
        url = server.url
    passing = Time()
    with pytest.raises(Unavailable, match="cannot connect") as failure:
        call(make_client(url, passing), idempotent=idempotent)
    assert len(passing.waits) == 3
    assert failure.value.__cause__ is not None


# --------------------------------------------------------------------------- time and attempts


def test_a_time_out_counts_as_an_attempt_even_on_a_kept_connection():
    limits = Limits(attempts=2, connect=2, exchange=0.05, total=10)
    with ScriptedServer(answer(), FREEZE, FREEZE) as server:
        client = make_client(server, limits=limits)
        call(client)
        with pytest.raises(Unavailable, match="after 2 attempts"):
            call(client)
    assert len(server.requests) == 3
    assert server.connections == 2  # what comes late must not be taken for another answer


def test_a_time_out_of_a_write_that_is_not_idempotent_is_an_unknown_outcome():
    limits = Limits(attempts=4, connect=2, exchange=0.05, total=10)
    with ScriptedServer(FREEZE) as server, pytest.raises(Unavailable, match="is unknown"):
        call(make_client(server, limits=limits), idempotent=False)
    assert len(server.requests) == 1


def test_a_response_that_drips_is_cut_off():
    """A time-out for each piece would let a slow server hold us for ever."""
    stop = threading.Event()

    def drip(_request):
        return Step(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    class Dripping(ScriptedServer):
        def _play(self, connection, number):
            alive = super()._play(connection, number)
            while alive and not stop.wait(0.01):
                connection.sendall(b" ")
            return False

    limits = Limits(attempts=1, connect=2, exchange=0.1, total=10)
    with Dripping(drip) as server:
        credentials = CredentialSource(ENVIRONMENT)
        client = Client(
            DYNAMODB,
            region="r",
            credentials=credentials,
            endpoint=server.url,
            limits=limits,
        )
        with pytest.raises(Unavailable, match="time"):
            call(client)
        stop.set()


def test_waits_are_random_below_a_bound_that_doubles(monkeypatch):
    limits = Limits(attempts=7, total=100, first_wait=0.1, longest_wait=1.0)
    failures = [answer(status=500)] * 7
    for chance, share in ((b"\xff\xff\xff\xff", 1.0), (b"\x80\x00\x00\x00", 0.5), (bytes(4), 0.0)):
        monkeypatch.setattr("os.urandom", lambda size, chance=chance: chance[:size])
        with ScriptedServer(*failures) as server:
            passing = Time()
            with pytest.raises(Unavailable, match="after 7 attempts") as failure:
                call(make_client(server, passing, limits=limits))
        assert isinstance(failure.value.__cause__, AwsError)
        bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
        assert passing.waits == pytest.approx([share * bound for bound in bounds])
        assert len(server.requests) == 7


def test_no_wait_goes_beyond_the_time_of_the_call(monkeypatch):
    monkeypatch.setattr("os.urandom", lambda size: b"\x80\x00\x00\x00"[:size])
    limits = Limits(attempts=100, total=1.0, first_wait=0.5, longest_wait=100)
    with ScriptedServer(*[answer(status=500)] * 3) as server:
        passing = Time()
        with pytest.raises(Unavailable, match="no time is left"):
            call(make_client(server, passing, limits=limits))
    assert passing.waits == pytest.approx([0.25, 0.5])  # one second more would be too late
    assert len(server.requests) == 3


def test_an_attempt_gets_only_the_time_that_is_left():
    limits = Limits(attempts=3, connect=2, exchange=60, total=0.1)
    with ScriptedServer(FREEZE) as server:
        client = Client(
            DYNAMODB,
            region="r",
            credentials=CredentialSource(ENVIRONMENT),
            endpoint=server.url,
            limits=limits,
        )
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            call(client)
        assert time.monotonic() - begun < 30


def test_calls_with_one_budget_share_its_attempts():
    with ScriptedServer(answer(status=500), answer(), answer(status=500)) as server:
        client = make_client(server, limits=Limits(attempts=2, total=100))
        budget = client.budget()
        client.call("GetItem", {}, idempotent=True, budget=budget)
        with pytest.raises(Unavailable):
            client.call("GetItem", {}, idempotent=True, budget=budget)
    assert len(server.requests) == 3


# ------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """A server's TLS context for 127.0.0.1, and the file to trust it by."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(private_key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    trusted, both = tmp_path / "trusted.pem", tmp_path / "server.pem"
    trusted.write_bytes(pem)
    both.write_bytes(
        pem
        + private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    anew = functools.cache(stream.tls_context.__wrapped__)
    monkeypatch.setattr(stream, "_trust_all", functools.cache(stream._trust_all.__wrapped__))
    monkeypatch.setattr(stream, "tls_context", anew)
    monkeypatch.setattr(aws, "tls_context", anew)
    return context, trusted


def test_calls_over_tls_share_a_connection(certificate, monkeypatch):
    context, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    body = msgspec.json.encode({"text": "x" * 100_000})
    with ScriptedServer(answer(b'{"n":1}'), answer(body), answer(), tls=context) as server:
        client = make_client(server)
        assert call(client, idempotent=False) == {"n": 1}
        assert call(client, idempotent=False) == msgspec.json.decode(body)
        call(client)
    assert server.connections == 1


def test_nothing_is_sent_to_a_server_that_is_not_trusted(certificate):
    context, _ = certificate
    with ScriptedServer(tls=context) as server:
        client = make_client(server, limits=Limits(attempts=1))
        for tried in (2, 3):  # with Amazon's roots and the system's; and then with all of them
            with pytest.raises(Unavailable, match="CERTIFICATE"):
                call(client)
            assert server.connections == tried
    assert server.requests == []


@pytest.fixture
def on_lambda(monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "trinity-test-cast_votes")


@pytest.mark.usefixtures("certificate", "on_lambda")
def test_a_function_starts_with_the_roots_of_amazon_alone():
    """A system has some 150, and each of them takes its time: the count is the budget."""
    trusted = stream.tls_context().get_ca_certs()
    names = [dict(part for (part,) in root["subject"])["organizationName"] for root in trusted]
    assert sorted(names) == ["Amazon"] * 4 + ["Starfield Technologies, Inc."]


@pytest.mark.usefixtures("on_lambda")
def test_other_roots_of_the_system_are_trusted_when_they_are_needed(certificate, monkeypatch):
    context, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))  # read when the system's are loaded
    with ScriptedServer(answer(b'{"n":1}'), answer(b'{"n":2}'), tls=context) as server:
        assert call(make_client(server, limits=Limits(attempts=1))) == {"n": 1}
        assert server.connections == 2
        assert call(make_client(server, limits=Limits(attempts=1))) == {"n": 2}
        assert server.connections == 3


@pytest.mark.usefixtures("on_lambda")
def test_a_certificate_of_another_host_is_not_tried_twice(certificate, monkeypatch):
    context, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with ScriptedServer(answer(b"{}"), tls=context) as server:
        call(make_client(server))
        assert server.connections == 2
        port = server.url.rpartition(":")[2]
        with pytest.raises(stream.TransportError, match="mismatch"):
            Connection(Endpoint.parse(f"https://localhost:{port}"), seconds=5)
        assert server.connections == 3


def test_the_roots_of_amazon_are_still_trusted_everywhere():
    system = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)
    own = ssl.create_default_context(cadata=amazon_roots.PEM).get_ca_certs(binary_form=True)
    assert set(own) <= set(system)


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "name",
    [
        "ConditionalCheckFailedException",
        "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "com.amazonaws#ConditionalCheckFailedException:http://internal.amazon.com/x",
    ],
)
@pytest.mark.parametrize("idempotent", [False, True])
def test_a_refusal_is_raised_at_once_with_all_that_it_says(name, idempotent):
    body = {"__type": name, "Message": "The conditional request failed", "Item": {"n": {"N": "1"}}}
    with ScriptedServer(answer(msgspec.json.encode(body), status=400), answer()) as server:
        client = make_client(server)
        with pytest.raises(AwsError) as failure:
            call(client, idempotent=idempotent)
        call(client)
    assert failure.value.code == "ConditionalCheckFailedException"
    assert failure.value.message == "The conditional request failed"
    assert failure.value.status == 400
    assert failure.value.body == body
    assert server.connections == 1


def test_a_refusal_without_a_body_has_its_status():
    with ScriptedServer(answer(b"", status=403)) as server, pytest.raises(AwsError) as failure:
        call(make_client(server))
    assert (failure.value.code, failure.value.status) == ("Http403", 403)


def test_an_operation_without_output_returns_an_empty_one():
    with ScriptedServer(answer(b"")) as server:
        assert call(make_client(server)) == {}


def test_the_right_checksum_is_accepted():
    body = '{"text":"ü"}'.encode()
    with ScriptedServer(answer(body, headers=[f"x-amz-crc32: {zlib.crc32(body)}"])) as server:
        assert call(make_client(server)) == {"text": "ü"}


@pytest.mark.parametrize(
    "body",
    [
        b'7\r\n{"n":"a\r\n3\r\nbc"\r\n1\r\n}\r\n0\r\n\r\n',
        b'00B;ext=1\r\n{"n":"abc"}\r\n0\r\nTrailer: x\r\n\r\n',
    ],
)
def test_a_chunked_body_is_put_together(body):
    chunked = Step(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    with ScriptedServer(chunked, answer(b'{"n":2}')) as server:
        client = make_client(server)
        assert call(client) == {"n": "abc"}
        assert call(client) == {"n": 2}
    assert server.connections == 1


def test_a_huge_response_arrives_whole():
    text = "ü" * 8_000_000
    body = msgspec.json.encode({"text": text})
    with ScriptedServer(answer(body), answer()) as server:
        client = make_client(server)
        assert call(client) == {"text": text}
        call(client)
    assert server.connections == 1


def test_a_huge_request_arrives_whole():
    text = "ü" * 4_000_000
    with ScriptedServer(answer(b'{"n":1}')) as server:
        assert make_client(server).call("PutItem", {"text": text}, idempotent=True) == {"n": 1}
    assert msgspec.json.decode(server.requests[0].body) == {"text": text}


# ------------------------------------------------------------------------------------ clock skew


def test_a_wrong_clock_is_corrected_by_the_servers_date():
    true_time, wrong_time = 1_795_342_486, 1_795_342_486 - 3600
    refusal = msgspec.json.encode({"__type": "InvalidSignatureException", "message": "expired"})
    date = f"Date: {formatdate(true_time, usegmt=True)}"
    with ScriptedServer(
        answer(refusal, status=400, headers=[date]), answer(b'{"n":2}'), answer()
    ) as server:
        client = make_client(server, now=lambda: wrong_time)
        assert call(client, idempotent=False) == {"n": 2}
        call(client)
    stamps = [
        line.split(": ")[1]
        for request in server.requests
        for line in request.head.split("\r\n")
        if line.startswith("x-amz-date")
    ]
    assert stamps == ["20261122T091446Z", "20261122T101446Z", "20261122T101446Z"]


@pytest.mark.parametrize("date", [[], ["Date: yesterday"], ["Date: Sun, 22 Nov 2026 10:15:00 GMT"]])
@pytest.mark.parametrize("code", ["InvalidSignatureException", "RequestTimeTooSkewed"])
def test_a_wrong_signature_with_a_right_clock_is_an_error(code, date):
    refusal = msgspec.json.encode({"__type": code})
    with ScriptedServer(answer(refusal, status=403, headers=date)) as server:
        client = make_client(server, now=lambda: 1_795_342_486)
        with pytest.raises(AwsError, match=code):
            call(client)
    assert len(server.requests) == 1


# ----------------------------------------------------------------------------------- credentials


def container(server: ScriptedServer) -> dict[str, str]:
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/role?x=1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let me in",
    }


def key(name: str, expires: str = "2026-11-22T16:00:00Z") -> Step:
    return answer(
        msgspec.json.encode(
            {
                "AccessKeyId": name,
                "SecretAccessKey": "s",
                "Token": "t",
                "Expiration": expires,
                "RoleArn": "ignored",
            }
        )
    )


NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
HOUR = 3600.0


def test_the_environments_key_is_used():
    source = CredentialSource({**ENVIRONMENT, "AWS_SESSION_TOKEN": "t"})
    assert source.current() == Credentials("AKID", "secret", "t")
    assert not source.renew(source.current())


def test_credentials_are_not_fetched_before_they_are_needed():
    with ScriptedServer(key("A"), answer()) as server:
        client = make_client(
            server, credentials=CredentialSource(container(server), now=lambda: NOON)
        )
        assert server.connections == 0
        call(client)
    first, second = server.requests
    assert first.head.startswith("GET /role?x=1 HTTP/1.1\r\n")
    assert "\r\nAuthorization: let me in" in first.head
    assert "Credential=A/" in second.head
    assert "x-amz-security-token: t" in second.head


def test_credentials_are_fetched_again_before_they_expire():
    now = NOON
    with ScriptedServer(key("A"), key("B", "2026-11-22T22:00:00Z")) as server:
        source = CredentialSource(container(server), now=lambda: now)
        assert source.current() == Credentials("A", "s", "t", NOON + 4 * HOUR)
        now = NOON + 3.9 * HOUR
        assert source.current().access_key == "A"
        now = NOON + 4 * HOUR - 299
        assert source.current().access_key == "B"
        assert source.current().access_key == "B"
    assert len(server.requests) == 2


def test_credentials_that_still_hold_outlive_a_failing_endpoint():
    now = NOON
    with ScriptedServer(key("A"), answer(status=500), answer(b"{}"), Step(close=True)) as server:
        source = CredentialSource(container(server), now=lambda: now)
        source.current()
        now = NOON + 4 * HOUR - 10
        assert source.current().access_key == "A"
        assert source.current().access_key == "A"
        now = NOON + 4 * HOUR
        with pytest.raises(Unavailable):
            source.current()


def test_credentials_that_a_service_calls_expired_are_replaced():
    with ScriptedServer(key("A"), error("ExpiredTokenException"), key("B"), answer()) as server:
        source = CredentialSource(container(server), now=lambda: NOON)
        call(make_client(server, credentials=source), idempotent=False)
    assert "Credential=A/" in server.requests[1].head
    assert "Credential=B/" in server.requests[3].head


def test_an_expired_key_of_the_environment_is_an_error():
    with ScriptedServer(error("ExpiredTokenException")) as server:
        client = make_client(server)
        with pytest.raises(AwsError, match="ExpiredToken"):
            call(client)


def test_racing_threads_fetch_credentials_once():
    with ScriptedServer(key("A")) as server:
        source = CredentialSource(container(server), now=lambda: NOON)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: source.current().access_key, range(8)))
    assert found == ["A"] * 8


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"AWS_ACCESS_KEY_ID": "only"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/role"},
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/role",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nHost: elsewhere",
        },
    ],
)
def test_an_environment_without_a_proper_source_is_an_error(environment):
    with pytest.raises(RuntimeError):
        CredentialSource(environment).current()


def test_a_secret_is_never_shown():
    credentials = Credentials("AKID", "secret-key", "secret-token")
    assert "AKID" in f"{credentials} {credentials!r}"
    assert "secret" not in f"{credentials} {credentials!r}"


# --------------------------------------------------------------------------- threads and imports


def test_threads_never_get_each_others_answers():
    calls = 200

    def echo(request):
        return answer(request.body)

    with ScriptedServer(*[echo] * calls) as server:
        client = make_client(server)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: call(client, n=n), range(calls)))
    assert answers == [{"n": n} for n in range(calls)]
    assert server.connections <= 8


def test_only_so_many_connections_are_kept():
    together = threading.Barrier(20)

    def wait_for_all(_request):
        together.wait(10)
        return answer()

    with ScriptedServer(*[wait_for_all] * 40) as server:
        client = make_client(server, limits=Limits(connect=5, exchange=10, total=20))
        with ThreadPoolExecutor(20) as pool:
            for _ in range(2):
                list(pool.map(lambda n: call(client, n=n), range(20)))
    assert server.connections == 20 + 4


@pytest.mark.parametrize(
    "module",
    ["trinity.infrastructure.dynamodb.table", "trinity.infrastructure.aws.client"],
)
def test_a_function_does_not_pay_for_what_it_does_not_use(module):
    heavy = [
        "asyncio",
        "boto3",
        "botocore",
        "dataclasses",
        "email",
        "http",
        "inspect",
        "logging",
        "random",
        "ssl",
        "urllib",
        "urllib3",
    ]
    # What a function is deployed with has no typing_extensions, which msgspec uses where it is.
    script = f"""
import sys
sys.path[:0] = {[path for path in sys.path if path]!r}
sys.modules["typing_extensions"] = None
import {module}
print(*sorted(set({heavy}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
