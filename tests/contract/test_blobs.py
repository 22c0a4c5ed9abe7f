"""The contract of the `Blobs` port, for every adapter, and how each keeps it when things fail."""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.conftest import account, boto, new_bucket
from tests.contract.scripted_server import ScriptedServer, Step, answer
from trinity.domain.ids import BlobId, Millis
from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.client import AwsError
from trinity.infrastructure.filesystem import atomic
from trinity.infrastructure.filesystem.blobs import FileBlobs
from trinity.infrastructure.s3 import bucket
from trinity.infrastructure.s3.blobs import S3Blobs
from trinity.ports import Blobs, Unavailable

BOUND_S = 20.0
TYPE = "application/json"
UNKNOWN = hashlib.sha256(b"nobody stored this").hexdigest()


@pytest.fixture(params=["filesystem", "s3"])
def open_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Blobs]:
    """Open the same blobs, again and again."""
    if request.param == "filesystem":
        return lambda: FileBlobs(tmp_path / "blobs")
    aws: str = request.getfixturevalue("aws")
    name = new_bucket(aws)
    return lambda: open_bucket(aws, name)


def open_bucket(endpoint: str, name: str) -> S3Blobs:
    return S3Blobs(bucket.client(account(endpoint), name))


@pytest.fixture
def blobs(open_blobs: Callable[[], Blobs]) -> Blobs:
    return open_blobs()


@pytest.mark.parametrize(
    "content", [b"", b"x", bytes(range(256)), "Füße".encode(), b"x" * 1_000_000]
)
def test_content_comes_back_as_it_was_stored(blobs: Blobs, content: bytes) -> None:
    assert blobs.get(blobs.put(content, content_type=TYPE)) == content


def test_a_blob_is_named_by_the_hash_of_its_content(blobs: Blobs) -> None:
    assert blobs.put(b"hello", content_type=TYPE) == hashlib.sha256(b"hello").hexdigest()


def test_the_same_content_is_the_same_blob_whatever_its_type(blobs: Blobs) -> None:
    first = blobs.put(b"hello", content_type=TYPE)
    assert blobs.put(b"hello", content_type=TYPE) == first
    assert blobs.put(b"hello", content_type="text/plain") == first
    assert blobs.get(first) == b"hello"


def test_blobs_are_there_when_opened_again(open_blobs: Callable[[], Blobs]) -> None:
    blob_id = open_blobs().put(b"hello", content_type=TYPE)
    assert open_blobs().get(blob_id) == b"hello"


@pytest.mark.parametrize(
    "blob_id",
    [
        UNKNOWN,
        "",
        ".",
        "..",
        "/",
        "abc",
        "../secret",
        "../../secret",
        "/etc/passwd",
        UNKNOWN[:2],
        f"{UNKNOWN}/..",
        f"{UNKNOWN}\n",
        f"{UNKNOWN}\0",
        UNKNOWN[:-1],
        UNKNOWN + "0",
        "../" * 21 + "x",
        "é" * 64,
    ],
)
def test_what_names_no_blob_is_a_key_error_and_leads_nowhere(
    blobs: Blobs, blob_id: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("nobody's business")
    blobs.put(b"hello", content_type=TYPE)
    with pytest.raises(KeyError):
        blobs.get(BlobId(blob_id))


def test_a_blob_that_is_removed_is_gone_and_can_be_stored_again(blobs: Blobs) -> None:
    blob_id = blobs.put(b"hello", content_type=TYPE)
    other = blobs.put(b"other", content_type=TYPE)
    for _ in range(2):
        blobs.delete(blob_id)
        with pytest.raises(KeyError):
            blobs.get(blob_id)
    assert blobs.get(other) == b"other"
    assert blobs.put(b"hello", content_type=TYPE) == blob_id
    assert blobs.get(blob_id) == b"hello"


def test_removing_what_names_no_blob_removes_nothing(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("nobody's business")
    blob_id = blobs.put(b"hello", content_type=TYPE)
    for name in ("../secret", "", UNKNOWN, blob_id.upper(), f"{blob_id}/", "../" * 21 + "x"):
        blobs.delete(BlobId(name))
    assert (tmp_path / "secret").exists()
    assert blobs.get(blob_id) == b"hello"


def test_a_name_in_capitals_is_another_name(blobs: Blobs) -> None:
    blob_id = blobs.put(b"hello", content_type=TYPE)
    with pytest.raises(KeyError):
        blobs.get(BlobId(blob_id.upper()))


def test_threads_that_store_the_same_at_once_all_succeed(blobs: Blobs) -> None:
    threads = 8
    start = threading.Barrier(threads)
    ids: list[str] = []

    def store() -> None:
        start.wait(BOUND_S)
        for number in range(20):
            ids.append(blobs.put(b"%d" % number * 1000, content_type=TYPE))

    workers = [threading.Thread(target=store, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(BOUND_S)
    assert len(ids) == threads * 20
    assert len(set(ids)) == 20
    for number in range(20):
        content = b"%d" % number * 1000
        assert blobs.get(BlobId(hashlib.sha256(content).hexdigest())) == content


# ---------------------------------------------------------------------------------- in files alone


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class Crash(BaseException):
    """The process is gone: nothing after this happens."""


def crash(*_: object, **__: object) -> None:
    raise Crash


@pytest.mark.parametrize("moment", ["fsync", "fchmod", "rename", "replace"])
def test_a_write_that_breaks_off_leaves_nothing_to_see_and_can_be_done_again(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path)
    blobs.put(b"other", content_type=TYPE)
    before = files(tmp_path)
    blob_id = BlobId(hashlib.sha256(b"hello").hexdigest())
    with monkeypatch.context() as breaking:
        if moment in ("rename", "replace"):  # whichever of them is used
            breaking.setattr(os, "rename", crash)
            breaking.setattr(os, "replace", crash)
            breaking.setattr(Path, "replace", crash)
        else:
            breaking.setattr(os, moment, crash)
        with pytest.raises(Crash):
            blobs.put(b"hello", content_type=TYPE)
        with pytest.raises(KeyError):
            blobs.get(blob_id)
    assert files(tmp_path) == before
    assert blobs.put(b"hello", content_type=TYPE) == blob_id
    assert blobs.get(blob_id) == b"hello"


def test_what_a_killed_writer_left_half_done_is_no_blob(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    blob_id = hashlib.sha256(b"hello").hexdigest()
    (tmp_path / blob_id[:2]).mkdir()
    (tmp_path / blob_id[:2] / f".{blob_id}.k3x1").write_bytes(b"hel")
    with pytest.raises(KeyError):
        blobs.get(BlobId(blob_id))
    assert blobs.put(b"hello", content_type=TYPE) == blob_id
    assert blobs.get(BlobId(blob_id)) == b"hello"


def test_content_and_name_are_on_the_disk_before_a_blob_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FileBlobs(tmp_path)
    steps: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        steps.append(f"sync {path.relative_to(tmp_path)}" if path.is_dir() else "sync the file")
        fsync(handle)

    def noted_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    blob_id = blobs.put(b"hello", content_type=TYPE)
    assert steps == ["sync .", "sync the file", "rename", f"sync {blob_id[:2]}"]


def test_a_sweep_removes_what_was_last_stored_before_and_nothing_else(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    day = 24 * 3600
    now = time.time()

    def stored(content: bytes, days_ago: float) -> BlobId:
        blob_id = blobs.put(content, content_type=TYPE)
        os.utime(tmp_path / blob_id[:2] / blob_id, (now - days_ago * day,) * 2)
        return blob_id

    old, young, renewed = stored(b"old", 11), stored(b"young", 9), stored(b"renewed", 11)
    assert blobs.put(b"renewed", content_type=TYPE) == renewed
    (tmp_path / old[:2] / f".{old}.k3x1").write_bytes(b"half done")
    os.utime(tmp_path / old[:2] / f".{old}.k3x1", (now - 11 * day,) * 2)
    assert blobs.sweep(Millis(int((now - 10 * day) * 1000))) == 2
    assert sorted(path.name for path in files(tmp_path)) == sorted([young, renewed])
    with pytest.raises(KeyError):
        blobs.get(old)
    assert blobs.sweep(Millis(int((now - 10 * day) * 1000))) == 0


def test_what_is_stored_again_while_a_sweep_goes_on_stays(tmp_path: Path) -> None:
    """Whoever stores comes before the sweep or after it: either way it is there in the end."""
    blobs = FileBlobs(tmp_path)
    limit = Millis(int(time.time() * 1000) - 1000)
    stop, ended = threading.Event(), threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            blobs.sweep(limit)
        ended.set()

    sweeper = threading.Thread(target=sweep, daemon=True)
    blob_id = blobs.put(b"hello", content_type=TYPE)
    path = tmp_path / blob_id[:2] / blob_id
    sweeper.start()
    try:
        for _ in range(300):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (0, 0))
            blobs.put(b"hello", content_type=TYPE)
            assert blobs.get(blob_id) == b"hello"
    finally:
        stop.set()
        sweeper.join(BOUND_S)
    assert ended.is_set(), "the sweep broke off"


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic.write(path, b"old", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as breaking:
        breaking.setattr(os, "fsync", crash)
        with pytest.raises(Crash):
            atomic.write(path, b"new", mode=0o600)
    assert path.read_bytes() == b"old"
    atomic.write(path, b"new", mode=0o640)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert files(tmp_path) == [path]


# ---------------------------------------------------------------------------------- in S3 alone


HELLO = BlobId(hashlib.sha256(b"hello").hexdigest())


def s3_error(status: int, code: str) -> Step:
    """Answer as S3 refuses: in XML."""
    body = f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>No.</Message></Error>"
    return answer(body.encode(), status=status)


def test_an_object_has_its_type_and_storing_it_again_makes_it_new(aws: str) -> None:
    name = new_bucket(aws)
    blobs = open_bucket(aws, name)
    s3 = boto("s3", aws)

    def versions() -> set[str]:
        found = s3.list_object_versions(Bucket=name)["Versions"]
        assert {version["Key"] for version in found} == {f"blobs/{HELLO}"}
        return {version["VersionId"] for version in found}

    blobs.put(b"hello", content_type=TYPE)
    first = versions()
    blobs.put(b"hello", content_type=TYPE)
    assert versions() > first  # a lifecycle rule counts from the newest one
    assert s3.get_object(Bucket=name, Key=f"blobs/{HELLO}")["ContentType"] == TYPE


def test_a_lost_answer_to_storing_is_asked_for_again() -> None:
    with ScriptedServer(Step(close=True), answer(b"")) as server:
        assert open_bucket(server.url, "decks").put(b"hello", content_type=TYPE) == HELLO
    first, second = server.requests
    assert first.body == second.body == b"hello"
    assert first.head.startswith(f"PUT /decks/blobs/{HELLO} HTTP/1.1\r\n")
    assert "if-none-match" not in first.head.lower()  # it would leave the object as old as it is


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (400, "InvalidDigest")]
)
def test_a_refusal_is_no_missing_blob(status: int, code: str) -> None:
    refusal = s3_error(status, code)
    with ScriptedServer(refusal, refusal) as server:
        blobs = open_bucket(server.url, "decks")
        with pytest.raises(AwsError, match=f"{code}: No."):
            blobs.get(HELLO)
        with pytest.raises(AwsError, match=f"{code}: No."):
            blobs.put(b"hello", content_type=TYPE)


def test_a_bucket_that_is_busy_is_asked_again() -> None:
    with ScriptedServer(s3_error(503, "SlowDown"), answer(b"hello")) as server:
        assert open_bucket(server.url, "decks").get(HELLO) == b"hello"


def test_on_aws_a_bucket_has_a_host_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def connect(address: tuple[bytes, int], timeout: float) -> None:
        asked.append((address[0].decode(), address[1]))
        raise OSError("no network")

    monkeypatch.setattr("socket.create_connection", connect)
    monkeypatch.setattr("time.sleep", lambda _: None)
    here = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.raises(Unavailable):
        S3Blobs(bucket.client(Account(here), "decks")).get(HELLO)
    assert set(asked) == {("decks.s3.eu-west-1.amazonaws.com", 443)}
