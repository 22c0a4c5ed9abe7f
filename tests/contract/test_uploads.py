"""The contract of the `Uploads` port, and of the forms that its adapters sign and storages take."""

import asyncio
import base64
import datetime
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
import uvicorn
from botocore.config import Config

from tests import forms, ministack
from tests.contract.conftest import NUMBERS, account, boto, uploads_bucket
from tests.fakes import FakeClock
from tests.server import eventually
from trinity.common.messages import stored_files
from trinity.common.telemetry import Log
from trinity.domain.ids import Millis
from trinity.embedded.app import _send
from trinity.embedded.forms import Forms
from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.credentials import Credentials
from trinity.infrastructure.filesystem import uploads as module
from trinity.infrastructure.filesystem.uploads import FileUploads
from trinity.infrastructure.s3.forms import FormSigner
from trinity.infrastructure.s3.uploads import S3Uploads
from trinity.infrastructure.sqlite.queues import SqliteQueues
from trinity.infrastructure.sqlite.store import SqliteStore
from trinity.infrastructure.system.clock import SystemClock
from trinity.ports import Unavailable, Uploads
from trinity.topology import QUEUES

KEY = "uploads/somebody/upload1"
OTHER_KEY = "uploads/somebody/upload2"
LARGEST = 1000
HERE = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


class Storage(Protocol):
    """An adapter, where its forms are posted to, and the queue that it tells of files."""

    uploads: Uploads
    base_url: str

    def notices(self) -> list[str]:
        """Take all notices of files out of the queue."""
        ...


class EmbeddedStorage:
    """A folder, and the end of the embedded host that takes forms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "uploads"
        clock = SystemClock()
        self.uploads: Uploads = FileUploads(self.folder, folder / "keys", clock)
        self.store = SqliteStore(folder / "store.sqlite")
        self.queues = SqliteQueues(self.store, QUEUES, clock)
        self.forms = Forms(self.uploads, self.queues, clock, Log("error"))
        listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self._app, interface="asgi3", lifespan="off", log_config=None)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        response = await self.forms.answer(headers, receive, self.base_url, "request-1")
        await _send(response, send, head=False)

    def notices(self) -> list[str]:
        taken = self.queues.receive("process-upload")
        self.queues.delete("process-upload", [message.receipt for message in taken])
        return [message.body for message in taken]

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self.store.close()


class AwsStorage:
    """A bucket in MiniStack that tells a queue of its files, as the deployment sets it up."""

    def __init__(self, endpoint: str) -> None:
        self._sqs = boto("sqs", endpoint)
        self._queue = self._sqs.create_queue(QueueName=f"files-{next(NUMBERS)}")["QueueUrl"]
        name = uploads_bucket(endpoint, self._queue)
        self.uploads: Uploads = S3Uploads(account(endpoint), name, SystemClock())
        self.base_url = ""

    def notices(self) -> list[str]:
        taken = self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages", [])
        for message in taken:
            receipt = message["ReceiptHandle"]
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=receipt)
        return [message["Body"] for message in taken]


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedStorage]:
    storage = EmbeddedStorage(tmp_path)
    yield storage
    storage.close()


@pytest.fixture(scope="module")
def strict_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a local AWS that looks at signatures."""
    with ministack.running(tmp_path_factory.mktemp("ministack"), AUTH="true") as url:
        yield url


@pytest.fixture(params=["embedded", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    if request.param == "embedded":
        found: Storage = request.getfixturevalue("embedded")
        return found
    return AwsStorage(request.getfixturevalue("strict_aws"))


def form(
    storage: Storage, *, key: str = KEY, seconds: float = 600, largest: int = LARGEST
) -> tuple[str, dict[str, str]]:
    """Return where a form goes, and its fields."""
    expires = Millis(round((time.time() + seconds) * 1000))
    signed = storage.uploads.presign(
        key, content_type="image/png", largest_bytes=largest, expires=expires
    )
    return storage.base_url + signed.url, signed.fields


def heard(storage: Storage) -> list[str]:
    """Return the keys of files that the storage tells of, waiting for the first."""
    bodies = eventually(storage.notices, "a notice of the file")
    return [key for body in bodies for key in stored_files(body)]


# -------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("size", [1, 500, LARGEST])
def test_a_file_with_its_form_is_stored_and_told_of(storage: Storage, size: int) -> None:
    content = bytes(range(250)) * 4
    url, fields = form(storage)
    posted = forms.post(url, fields, content[:size])
    assert (posted.status, posted.text) == (204, "")
    assert posted.headers["etag"] == f'"{hashlib.md5(content[:size]).hexdigest()}"'
    assert posted.headers["location"].endswith(KEY)
    assert storage.uploads.read(KEY) == content[:size]
    assert storage.uploads.size(KEY) == size
    assert set(heard(storage)) == {KEY}


def test_a_file_that_is_posted_again_takes_the_place_of_the_first(storage: Storage) -> None:
    url, fields = form(storage)
    for content in (b"first", b"second"):
        assert forms.post(url, fields, content).status == 204
    assert storage.uploads.read(KEY) == b"second"


def test_a_file_that_is_removed_is_gone_and_removing_it_again_is_fine(storage: Storage) -> None:
    url, fields = form(storage)
    forms.post(url, fields, b"content")
    for _ in range(2):
        storage.uploads.delete(KEY)
        assert storage.uploads.size(KEY) is None
        with pytest.raises(KeyError):
            storage.uploads.read(KEY)


def test_a_field_that_is_to_be_ignored_is(storage: Storage) -> None:
    url, fields = form(storage)
    assert forms.post(url, {"x-ignore-me": "x", **fields}, b"content").status == 204


def test_the_names_of_fields_may_be_in_any_case(storage: Storage) -> None:
    url, fields = form(storage)
    shouting = {name.upper(): value for name, value in fields.items()}
    assert forms.post(url, shouting, b"content").status == 204


# --------------------------------------------------------------------------------- what is refused


def altered(fields: dict[str, str], change: Callable[[Any], None]) -> dict[str, str]:
    policy = json.loads(base64.b64decode(fields["policy"]))
    change(policy)
    return fields | {"policy": base64.b64encode(json.dumps(policy).encode()).decode()}


def grow(policy: Any) -> None:
    (sizes,) = [c for c in policy["conditions"] if isinstance(c, list)]
    sizes[2] = 10**9


TAMPERED: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "another key": lambda f: f | {"key": OTHER_KEY},
    "a key above": lambda f: f | {"key": "../secret"},
    "another type": lambda f: f | {"Content-Type": "text/html"},
    "no type": lambda f: {n: v for n, v in f.items() if n != "Content-Type"},
    "a larger policy": lambda f: altered(f, grow),
    "a later policy": lambda f: altered(f, lambda p: p.update(expiration="2999-01-01T00:00:00Z")),
    "a policy without conditions": lambda f: altered(f, lambda p: p.update(conditions=[])),
    "another signature": lambda f: f | {"x-amz-signature": "0" * 64},
    "an odd signature": lambda f: f | {"x-amz-signature": "é"},
    "no policy": lambda f: {n: v for n, v in f.items() if n != "policy"},
    "a field more": lambda f: {"acl": "public-read", **f},
    "another day": lambda f: f | {"x-amz-date": "20200101T000000Z"},
}


@pytest.mark.parametrize("tampering", TAMPERED)
def test_a_form_that_was_tampered_with_is_refused_and_leaves_nothing(
    storage: Storage, tampering: str
) -> None:
    url, fields = form(storage)
    posted = forms.post(url, TAMPERED[tampering](fields), b"content")
    assert 400 <= posted.status < 500, posted
    assert posted.code is not None
    assert storage.uploads.size(KEY) is None
    assert storage.uploads.size(OTHER_KEY) is None
    assert not any(stored_files(body) for body in storage.notices())


@pytest.mark.parametrize(
    ("tampering", "code"),
    [
        ("another key", "AccessDenied"),
        ("another type", "AccessDenied"),
        ("a field more", "AccessDenied"),
        ("a larger policy", "SignatureDoesNotMatch"),
        ("a later policy", "SignatureDoesNotMatch"),
        ("another signature", "SignatureDoesNotMatch"),
    ],
)
def test_what_was_tampered_with_is_told(storage: Storage, tampering: str, code: str) -> None:
    url, fields = form(storage)
    posted = forms.post(url, TAMPERED[tampering](fields), b"content")
    assert (posted.status, posted.code) == (403, code)
    assert posted.headers["content-type"] == "application/xml"


def test_a_form_expires(storage: Storage) -> None:
    url, fields = form(storage, seconds=-1)
    posted = forms.post(url, fields, b"content")
    assert (posted.status, posted.code) == (403, "AccessDenied")
    assert "Policy expired" in posted.text


@pytest.mark.parametrize(
    ("size", "code"),
    [(0, "EntityTooSmall"), (LARGEST + 1, "EntityTooLarge"), (700_000, "EntityTooLarge")],
)
def test_a_file_of_the_wrong_size_is_refused(storage: Storage, size: int, code: str) -> None:
    url, fields = form(storage)
    posted = forms.post(url, fields, b"x" * size)
    assert (posted.status, posted.code) == (400, code)
    assert storage.uploads.size(KEY) is None


def test_a_form_without_a_file_is_refused(storage: Storage) -> None:
    url, fields = form(storage)
    posted = forms.post(url, fields, None)
    assert (posted.status, posted.code) == (400, "InvalidArgument")


def test_a_form_without_a_key_is_refused(storage: Storage) -> None:
    url, fields = form(storage)
    posted = forms.post(url, {n: v for n, v in fields.items() if n != "key"}, b"content")
    assert (posted.status, posted.code) == (400, "InvalidArgument")


# ------------------------------------------------------------------------------- beside AWS's own


def test_forms_are_signed_as_botocore_signs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    moment = datetime.datetime.fromtimestamp(clock.time / 1000, datetime.UTC)
    for part in ("auth", "signers"):
        monkeypatch.setattr(f"botocore.{part}.get_current_datetime", lambda: moment)
    s3 = boto3.client(
        "s3",
        region_name="eu-west-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(signature_version="s3v4"),
    )
    theirs = s3.generate_presigned_post(
        "pictures",
        KEY,
        Fields={"Content-Type": "image/png"},
        Conditions=[["content-length-range", 1, LARGEST], {"Content-Type": "image/png"}],
        ExpiresIn=600,
    )["fields"]
    uploads = S3Uploads(Account(HERE), "pictures", clock)
    expires = Millis(clock.time + 600_000)
    ours = uploads.presign(
        KEY, content_type="image/png", largest_bytes=LARGEST, expires=expires
    ).fields
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"policy", "x-amz-signature"}:
        assert ours[name] == theirs[name], name
    policies = [json.loads(base64.b64decode(fields["policy"])) for fields in (ours, theirs)]
    conditions = [sorted(map(json.dumps, policy.pop("conditions"))) for policy in policies]
    assert conditions[0] == conditions[1]
    assert policies[0] == policies[1]
    # The order of conditions is free, and so the signature is of another text: sign theirs, too.
    signer = FormSigner("pictures", "eu-west-1")
    for fields in (ours, theirs):
        date = fields["x-amz-date"][:8]
        signature = signer.signature(Credentials("a", "b"), fields["policy"], date)
        assert signature == fields["x-amz-signature"]


def test_a_form_of_a_function_on_aws_bears_the_token_of_its_role() -> None:
    role = Account(HERE | {"AWS_SESSION_TOKEN": "of the role"})
    signed = S3Uploads(role, "pictures", FakeClock()).presign(
        KEY, content_type="image/png", largest_bytes=1, expires=Millis(0)
    )
    assert signed.url == "https://pictures.s3.eu-west-1.amazonaws.com/"
    assert signed.fields["x-amz-security-token"] == "of the role"
    policy = json.loads(base64.b64decode(signed.fields["policy"]))
    assert {"x-amz-security-token": "of the role"} in policy["conditions"]


# -------------------------------------------------------------------------- the embedded host alone


def test_a_notice_is_that_of_s3(storage: Storage) -> None:
    url, fields = form(storage)
    forms.post(url, fields, b"content")
    bodies = [body for body in eventually(storage.notices, "notices") if stored_files(body)]
    (record,) = json.loads(bodies[-1])["Records"]
    assert record["eventSource"] == "aws:s3"
    assert record["eventName"] == "ObjectCreated:Post"
    assert record["eventVersion"].startswith("2.")
    assert record["s3"]["object"]["key"] == KEY
    assert record["s3"]["object"]["size"] == 7
    assert record["s3"]["bucket"]["name"]


def test_keys_in_notices_are_decoded_and_the_test_notice_tells_of_nothing() -> None:
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b", "RequestId": "r"}
    assert stored_files(json.dumps(test)) == []
    named = {"s3": {"object": {"key": "a+b%2Fc%C3%A9"}}}
    records = [
        {"eventName": "ObjectCreated:Post", **named},
        {"eventName": "ObjectRemoved:Delete", **named},
    ]
    assert stored_files(json.dumps({"Records": records})) == ["a b/cé"]


def files(embedded: EmbeddedStorage) -> list[str]:
    return sorted(path.name for path in embedded.folder.iterdir())


BROKEN = {
    "nothing": b"",
    "no boundary": b"hello",
    "an end at once": f"--{forms.BOUNDARY}--\r\n".encode(),
    "half a head": f'--{forms.BOUNDARY}\r\nContent-Disposition: form-data; name="k'.encode(),
    "a part without a name": f"--{forms.BOUNDARY}\r\nX: y\r\n\r\nz\r\n".encode(),
    "zero bytes": b"\0" * 1000,
    "a head without an end": f"--{forms.BOUNDARY}\r\n".encode() + b"x" * 10_000,
    "thousands of parts": forms.part("x-ignore", b"") * 5000,
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_form_is_refused(embedded: EmbeddedStorage, what: str) -> None:
    posted = forms.post(f"{embedded.base_url}/uploads", {}, None, raw=BROKEN[what])
    assert posted.status == 400
    assert posted.code in ("MalformedPOSTRequest", "InvalidArgument")
    assert files(embedded) == []


def test_a_form_that_ends_in_the_middle_of_its_file_leaves_nothing(
    embedded: EmbeddedStorage,
) -> None:
    url, fields = form(embedded, largest=10**7)
    whole = forms.body(fields, b"x" * 600_000)
    for cut in (len(whole) - 10, 400_000, 2000):
        posted = forms.post(url, {}, None, raw=whole[:cut])
        assert (posted.status, posted.code) == (400, "MalformedPOSTRequest")
    assert files(embedded) == []
    assert embedded.notices() == []


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(embedded: EmbeddedStorage) -> None:
    url, fields = form(embedded, largest=10**7)
    whole = forms.body(fields, b"x" * 5_000_000)
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole)}\r\n"
            f"Content-Type: multipart/form-data; boundary={forms.BOUNDARY}\r\n\r\n"
        )
        connection.sendall(head.encode() + whole[:1_000_000])
        eventually(lambda: files(embedded), "the file is coming in")
    eventually(lambda: files(embedded) == [], "what was half done is removed")
    assert embedded.notices() == []


def test_a_client_that_sends_nothing_any_more_is_let_go(
    embedded: EmbeddedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trinity.embedded.forms._IDLE_S", 0.1)
    url, fields = form(embedded)
    length = {"content-length": "100000"}
    posted = forms.post(url, fields, b"content", headers=length)
    assert (posted.status, posted.code) == (400, "RequestTimeout")
    assert files(embedded) == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "application/json"}, 412, "PreconditionFailed"),
        ({"content-type": "multipart/form-data"}, 412, "PreconditionFailed"),
        ({"content-length": str(10**9)}, 400, "EntityTooLarge"),
        ({"content-length": None, "transfer-encoding": "chunked"}, 411, "MissingContentLength"),
    ],
)
def test_a_request_of_the_wrong_kind_is_refused_before_its_body(
    embedded: EmbeddedStorage, headers: dict[str, str | None], status: int, code: str
) -> None:
    async def never() -> dict[str, Any]:
        raise AssertionError("the body was read")

    given = {
        "content-type": f"multipart/form-data; boundary={forms.BOUNDARY}",
        "content-length": "100",
    } | headers
    sent = {name: value for name, value in given.items() if value is not None}
    answer = asyncio.run(embedded.forms.answer(sent, never, "http://x", "r1"))
    assert answer["statusCode"] == status
    assert f"<Code>{code}</Code>" in answer["body"]
    assert "<RequestId>r1</RequestId>" in answer["body"]


def test_fields_before_the_file_are_few(embedded: EmbeddedStorage) -> None:
    url, fields = form(embedded)
    posted = forms.post(url, {"x-ignore-1": "x" * 30_000, **fields}, b"content")
    assert (posted.status, posted.code) == (400, "MaxPostPreDataLengthExceeded")


def test_what_follows_the_file_does_not_count(embedded: EmbeddedStorage) -> None:
    url, fields = form(embedded)
    late = forms.body({}, b"content", [forms.part(n, v.encode()) for n, v in fields.items()])
    assert forms.post(url, {}, None, raw=late).code == "InvalidArgument"
    more = [forms.part("acl", b"public-read"), forms.part("file", b"another", file="x")]
    assert forms.post(url, {}, None, raw=forms.body(fields, b"content", more)).status == 204
    assert embedded.uploads.read(KEY) == b"content"


def test_names_in_errors_are_text(embedded: EmbeddedStorage) -> None:
    url, fields = form(embedded)
    posted = forms.post(url, {"<Code>&\x01": "x", **fields}, b"content")
    assert "&lt;code&gt;&amp;" in posted.text
    assert "\x01" not in posted.text


def test_a_file_is_told_of_before_its_client_is_answered(
    embedded: EmbeddedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, fields = form(embedded)

    def full(*_: Any) -> None:
        assert embedded.uploads.read(KEY) == b"content", "the file is there first"
        raise Unavailable("the queue takes nothing")

    with monkeypatch.context() as broken:
        broken.setattr(embedded.queues, "send", full)
        posted = forms.post(url, fields, b"content")
    assert (posted.status, posted.code) == (503, "SlowDown")
    assert forms.post(url, fields, b"content").status == 204
    assert heard(embedded) == [KEY]


def test_what_a_killed_process_left_half_done_is_removed(tmp_path: Path) -> None:
    first = FileUploads(tmp_path / "uploads", tmp_path / "keys", SystemClock())
    expires = Millis(2**42)
    fields = first.presign(KEY, content_type="image/png", largest_bytes=9, expires=expires).fields
    admitted = first.admit({name.lower(): value for name, value in fields.items()})
    admitted.incoming.write(b"half")
    assert len(list((tmp_path / "uploads").iterdir())) == 1
    second = FileUploads(tmp_path / "uploads", tmp_path / "keys", SystemClock())
    assert list((tmp_path / "uploads").iterdir()) == []
    # The key is the same, so forms that were given out before are good after a start.
    again = second.admit({name.lower(): value for name, value in fields.items()})
    again.incoming.write(b"content")
    again.incoming.keep()
    assert second.read(KEY) == b"content"
    assert (tmp_path / "uploads" / "somebody.upload1").stat().st_mode & 0o777 == 0o600


def test_files_come_in_pieces_and_not_as_a_whole(
    embedded: EmbeddedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[int] = []
    write = module.Incoming.write

    def noted(self: Any, piece: bytes) -> None:
        pieces.append(len(piece))
        write(self, piece)

    monkeypatch.setattr(module.Incoming, "write", noted)
    url, fields = form(embedded, largest=10**7)
    assert forms.post(url, fields, b"x" * 9_000_000).status == 204
    assert sum(pieces) == 9_000_000
    assert max(pieces) <= 1024 * 1024
