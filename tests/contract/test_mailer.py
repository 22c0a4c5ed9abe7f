"""The contract of the `Mailer` port, for every adapter, and what lies in the mailbox folder."""

import email.utils
import stat
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trinity.common.telemetry import Log
from trinity.domain import errors
from trinity.domain.users import clean_email
from trinity.infrastructure.filesystem import atomic
from trinity.infrastructure.filesystem.mailer import FileMailer
from trinity.ports import Mailer

LONG = "A line that is much longer than the 998 characters that RFC 5322 allows. " * 40


class Lines(Log):
    """A log to read."""

    def __init__(self) -> None:
        super().__init__("debug")
        self.lines: list[dict[str, Any]] = []

    def __call__(self, level: Any, message: str, **fields: Any) -> None:
        self.lines.append({"level": level, "message": message, **fields})


class FileBox:
    """The mailbox folder, and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mailbox"
        self.log = Lines()
        self.mailer: Mailer = FileMailer(self.folder, self.log)

    def messages(self) -> list[EmailMessage]:
        read = [path.read_bytes() for path in sorted(self.folder.iterdir())]
        return [message_from_bytes(raw, policy=policy.default) for raw in read]  # type: ignore[misc]


BOXES: dict[str, Callable[[Path], FileBox]] = {"filesystem": FileBox}


@pytest.fixture(params=BOXES)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> FileBox:
    """A mailer of each adapter, and where its mail ends up."""
    return BOXES[request.param](tmp_path)


def send(box: FileBox, **parts: str) -> EmailMessage:
    """Send one message and return what arrives."""
    mail = {"to": "ana@example.org", "subject": "Hello", "text": "How are you?\n"} | parts
    before = len(box.messages())
    box.mailer.send(**mail)
    assert len(box.messages()) == before + 1
    return box.messages()[-1] if before == 0 else box.messages()[before]


def test_a_message_arrives_with_all_that_a_mail_program_wants(box: FileBox) -> None:
    message = send(box)
    assert message["To"] == "ana@example.org"
    assert message["Subject"] == "Hello"
    assert message.get_content() == "How are you?\n"
    assert message.get_content_type() == "text/plain"
    assert "@" in message["From"]
    assert abs(email.utils.parsedate_to_datetime(message["Date"]).timestamp() - time.time()) < 60
    assert message["Message-ID"].startswith("<")
    assert message.defects == []


@pytest.mark.parametrize(
    "text",
    [
        "Füße, 映画, 🎬\n",
        "",
        "no end of line",
        "From here on\n.\n\nQUIT\n",
        LONG,
        "Bcc: eve@x.org\n",
    ],
)
def test_a_text_arrives_as_it_was_written(box: FileBox, text: str) -> None:
    arrived = send(box, text=text).get_content()
    assert arrived.rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize("subject", ["Grüße", "映画の夜", "🎬🍿", "a" * 500, "=?utf-8?q?no?="])
def test_a_subject_arrives_as_it_was_written(box: FileBox, subject: str) -> None:
    message = send(box, subject=subject)
    assert message["Subject"] in (subject, "no")  # what looks like an encoded word is one
    assert [name for name in message if name == "Subject"] == ["Subject"]


@pytest.mark.parametrize("field", ["to", "subject"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028"])
def test_no_header_can_be_smuggled_in(box: FileBox, field: str, end: str) -> None:
    parts = {"to": "ana@example.org", "subject": "Hello", "text": "Hi"}
    parts[field] += f"{end}Bcc: eve@example.org{end}{end}Click here"
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        box.mailer.send(**parts)
    assert box.messages() == []


def test_two_messages_to_one_person_are_two_messages(box: FileBox) -> None:
    for _ in range(2):
        box.mailer.send(to="ana@example.org", subject="Hello", text="Hi")
    first, second = box.messages()
    assert first["Message-ID"] != second["Message-ID"]


WORD = st.text(st.sampled_from("ab1.-_+!#$%&'*/=?^`{|}~[]üé日"), min_size=1, max_size=6)


@settings(
    max_examples=400, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(local="b", host="[", top="x1")
@given(local=WORD, host=WORD, top=WORD)
def test_whoever_could_register_an_address_can_be_sent_mail_and_nobody_else_gets_it(
    local: str, host: str, top: str, tmp_path: Path
) -> None:
    try:
        address = clean_email(f"{local}@{host}.{top}")
    except errors.InvalidRequest:
        return
    arrived: list[bytes] = []
    with pytest.MonkeyPatch.context() as instead:
        instead.setattr(atomic, "write", lambda _, content, mode: arrived.append(content))
        FileMailer(tmp_path, Lines()).send(to=address, subject="Hello", text="Hi")
    [message] = [message_from_bytes(raw, policy=policy.default) for raw in arrived]
    assert str(message["To"]) == address


# ---------------------------------------------------------------------------------- in files alone


def test_the_mailbox_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    box = FileBox(tmp_path)
    send(box)
    assert stat.S_IMODE(box.folder.stat().st_mode) == 0o700
    [path] = box.folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.suffix == ".eml"


def test_the_log_tells_where_a_message_lies_and_nothing_of_what_is_in_it(tmp_path: Path) -> None:
    box = FileBox(tmp_path)
    send(box, to="zoe@example.org", subject="Confidential", text="token-1234")
    [line] = box.log.lines
    [path] = box.folder.iterdir()
    assert line["file"] == str(path)
    for secret in ("zoe", "Confidential", "token-1234"):
        assert secret not in str(line)
