"""The contract of the `Blobs` port, for every adapter, and how files keep it when writing fails."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from trinity.domain.ids import BlobId
from trinity.infrastructure.filesystem import atomic
from trinity.infrastructure.filesystem.blobs import FileBlobs
from trinity.ports import Blobs

BOUND_S = 20.0
TYPE = "application/json"
ADAPTERS: dict[str, Callable[[Path], Blobs]] = {
    "filesystem": lambda folder: FileBlobs(folder / "blobs"),
}
UNKNOWN = hashlib.sha256(b"nobody stored this").hexdigest()


@pytest.fixture(params=ADAPTERS)
def open_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Blobs]:
    """Open the same blobs, again and again."""
    return lambda: ADAPTERS[request.param](tmp_path)


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
