"""The contract of the `Archive` port, for every adapter."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.conftest import account, boto, new_bucket
from tests.contract.scripted_server import ScriptedServer, answer
from trinity.infrastructure.filesystem.archive import FileArchive
from trinity.infrastructure.s3 import bucket
from trinity.infrastructure.s3.archive import S3Archive
from trinity.ports import Archive

NAME = "events/date=2026-11-25/0a-b_c.ndjson.gz"


@pytest.fixture(params=["filesystem", "s3"])
def open_archive(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Archive]:
    """Open the same archive, again and again."""
    if request.param == "filesystem":
        return lambda: FileArchive(tmp_path / "archive")
    aws: str = request.getfixturevalue("aws")
    name = new_bucket(aws)
    return lambda: S3Archive(bucket.client(account(aws), name))


@pytest.fixture
def archive(open_archive: Callable[[], Archive]) -> Archive:
    return open_archive()


@pytest.mark.parametrize("content", [b"", bytes(range(256)), b"x" * 300_000])
def test_what_was_put_comes_back_and_stays(
    open_archive: Callable[[], Archive], content: bytes
) -> None:
    open_archive().put(NAME, content)
    assert open_archive().get(NAME) == content
    assert open_archive().names("") == [NAME]


def test_a_file_is_replaced_by_one_of_the_same_name(archive: Archive) -> None:
    archive.put(NAME, b"old")
    archive.put(NAME, b"new")
    assert archive.get(NAME) == b"new"
    assert archive.names("") == [NAME]


@pytest.mark.parametrize("name", ["nothing", "events", "events/date=2026-11-25", NAME + "/x"])
def test_what_is_not_there_is_a_key_error(archive: Archive, name: str) -> None:
    archive.put(NAME, b"x")
    with pytest.raises(KeyError):
        archive.get(name)


def test_names_are_told_by_their_beginning_and_in_order(archive: Archive) -> None:
    for name in ("b/2", "b/1", "a", "b/1/c", "bc", "b/10", "ba/1"):
        if name != "b/1/c":
            archive.put(name, b"x")
    assert archive.names("") == ["a", "b/1", "b/10", "b/2", "ba/1", "bc"]
    assert archive.names("b/") == ["b/1", "b/10", "b/2"]
    assert archive.names("b/1") == ["b/1", "b/10"]
    assert archive.names("b") == ["b/1", "b/10", "b/2", "ba/1", "bc"]
    assert archive.names("c") == []
    assert archive.names("x/y") == []


def test_what_was_deleted_is_gone_and_may_be_deleted_again(archive: Archive) -> None:
    archive.put(NAME, b"x")
    archive.put("other", b"y")
    archive.delete(NAME)
    archive.delete(NAME)
    archive.delete("never/there")
    assert archive.names("") == ["other"]
    with pytest.raises(KeyError):
        archive.get(NAME)


# ---------------------------------------------------------------------------------- in files alone


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../secret", "a/../../secret", "/etc/passwd", "a//b"]
)
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("nobody's business")
    archive = FileArchive(tmp_path / "archive")
    with pytest.raises(KeyError):
        archive.get(name)
    with pytest.raises(KeyError):
        archive.put(name, b"x")


def test_a_write_that_breaks_off_leaves_nothing_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = FileArchive(tmp_path)
    archive.put(NAME, b"old")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as breaking:
        breaking.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            archive.put(NAME, b"new")
    (tmp_path / NAME).with_name(".half").write_bytes(b"of a process that was killed")
    (tmp_path / NAME).with_name("not ours.gz").write_bytes(b"")
    assert archive.get(NAME) == b"old"
    assert archive.names("") == [NAME]


# ---------------------------------------------------------------------------------- in S3 alone


def test_more_names_than_a_page_holds_are_all_told(aws: str) -> None:
    name = new_bucket(aws)
    s3 = boto("s3", aws)
    expected = [f"events/date=2026-11-25/{n:05}" for n in range(1_050)]
    for key in expected:
        s3.put_object(Bucket=name, Key=key, Body=b"")
    assert S3Archive(bucket.client(account(aws), name)).names("events/") == expected


def test_a_page_is_asked_for_behind_the_last_name() -> None:
    def page(*names: str, more: bool) -> bytes:
        keys = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
        text = f"<IsTruncated>{str(more).lower()}</IsTruncated>{keys}"
        return f"<ListBucketResult>{text}</ListBucketResult>".encode()

    with ScriptedServer(
        answer(page("a=1", "b", more=True)), answer(page("c", more=False))
    ) as server:
        assert S3Archive(bucket.client(account(server.url), "x")).names("a=") == ["a=1", "b", "c"]
    heads = [request.head.splitlines()[0] for request in server.requests]
    assert heads == [
        "GET /x/?list-type=2&prefix=a%3D&start-after= HTTP/1.1",
        "GET /x/?list-type=2&prefix=a%3D&start-after=b HTTP/1.1",
    ]
