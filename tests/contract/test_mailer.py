"""The contract of the `Mailer` port, for every adapter, and what is particular to each."""

import base64
import email.utils
import json
import stat
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import account, boto
from tests.contract.scripted_server import ScriptedServer, Step, answer
from tests.smtp import SmtpServer, authority, smtp_server
from trinity.common.telemetry import Log
from trinity.domain import errors
from trinity.domain.users import clean_email
from trinity.infrastructure.aws.client import SES
from trinity.infrastructure.filesystem import atomic
from trinity.infrastructure.filesystem.mailer import FileMailer
from trinity.infrastructure.mail.smtp import SmtpMailer
from trinity.infrastructure.ses.mailer import SesMailer
from trinity.ports import Mail, Mailer, Refused, Unavailable

LONG = "A line that is much longer than the 998 characters that RFC 5322 allows. " * 40


class Lines(Log):
    """A log to read."""

    def __init__(self) -> None:
        super().__init__("debug")
        self.lines: list[dict[str, Any]] = []

    def __call__(self, level: Any, message: str, **fields: Any) -> None:
        self.lines.append({"level": level, "message": message, **fields})


class Box(Protocol):
    """A mailer, and where its mail ends up."""

    mailer: Mailer

    def messages(self) -> list[EmailMessage]: ...

    def raw(self) -> str:
        """Return the only mail as it was carried, apart from the ends of its lines."""
        ...


class FileBox:
    """The mailbox folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mailbox"
        self.log = Lines()
        self.mailer: Mailer = FileMailer(self.folder, SENDER, self.log)

    def messages(self) -> list[EmailMessage]:
        read = [path.read_bytes() for path in sorted(self.folder.iterdir())]
        return [message_from_bytes(raw, policy=policy.default) for raw in read]  # type: ignore[misc]

    def raw(self) -> str:
        [path] = self.folder.iterdir()
        return path.read_text()


class SmtpBox:
    """A mail server."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server
        self.mailer: Mailer = SmtpMailer(f"smtp+plain://127.0.0.1:{server.port}", SENDER)

    def messages(self) -> list[EmailMessage]:
        return [arrived.message for arrived in self.server.arrived]

    def raw(self) -> str:
        [arrived] = self.server.arrived
        return arrived.content.decode().replace("\r\n", "\n")


class SesBox:
    """A server that takes mails as SES does: the request is held against the model of the API."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.mailer: Mailer = SesMailer(account(server.url).client(SES), SENDER)

    def messages(self) -> list[EmailMessage]:
        sent = [json.loads(body)["Content"]["Raw"]["Data"] for body in self.server.bodies]
        return [
            message_from_bytes(base64.b64decode(raw), policy=policy.default)  # type: ignore[misc]
            for raw in sent
        ]

    def raw(self) -> str:
        [body] = self.server.bodies
        sent = base64.b64decode(json.loads(body)["Content"]["Raw"]["Data"])
        return sent.decode().replace("\r\n", "\n")


@contextmanager
def ses_server() -> Iterator[Any]:
    """Take every mail."""

    class Take(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            server.bodies.append(body)
            server.targets.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "20")
            self.end_headers()
            self.wfile.write(b'{"MessageId":"m-01"}')

        def log_message(self, *_: Any) -> None:
            return

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Take)
    server.daemon_threads = True
    server.bodies, server.targets = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


SENDER = "Trinity <trinity@films.example>"


@pytest.fixture(params=["filesystem", "smtp", "ses"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    """A mailer of each adapter, and where its mail ends up."""
    if request.param == "filesystem":
        yield FileBox(tmp_path)
    elif request.param == "ses":
        with ses_server() as server:
            yield SesBox(server)
    else:
        with smtp_server() as server:
            yield SmtpBox(server)


def a_mail(**parts: str) -> Mail:
    return Mail(**{"to": "ana@example.org", "subject": "Hello", "text": "How are you?\n"} | parts)


def send(box: Box, **parts: str) -> EmailMessage:
    """Send one message and return what arrives."""
    before = {message["Message-ID"] for message in box.messages()}
    box.mailer.send(a_mail(**parts))
    [arrived] = [m for m in box.messages() if m["Message-ID"] not in before]
    return arrived


def test_a_message_arrives_with_all_that_a_mail_program_wants(box: Box) -> None:
    message = send(box)
    assert message["To"] == "ana@example.org"
    assert message["Subject"] == "Hello"
    assert message.get_content() == "How are you?\n"
    assert message.get_content_type() == "text/plain"
    assert message["From"] == SENDER
    assert message["Auto-Submitted"] == "auto-generated"
    assert "List-Unsubscribe" not in message
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
def test_a_text_arrives_as_it_was_written(box: Box, text: str) -> None:
    arrived = send(box, text=text).get_content()
    assert arrived.rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize("subject", ["Grüße", "映画の夜", "🎬🍿", "a" * 500, "=?utf-8?q?no?="])
def test_a_subject_arrives_as_it_was_written(box: Box, subject: str) -> None:
    message = send(box, subject=subject)
    assert message["Subject"] in (subject, "no")  # what looks like an encoded word is one
    assert [name for name in message if name == "Subject"] == ["Subject"]


@pytest.mark.parametrize("field", ["to", "subject"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028"])
def test_no_header_can_be_smuggled_in(box: Box, field: str, end: str) -> None:
    parts = {"to": "ana@example.org", "subject": "Hello"}
    parts[field] += f"{end}Bcc: eve@example.org{end}{end}Click here"
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        box.mailer.send(a_mail(**parts))
    assert box.messages() == []


def test_two_messages_to_one_person_are_two_messages(box: Box) -> None:
    for _ in range(2):
        box.mailer.send(a_mail())
    first, second = box.messages()
    assert first["Message-ID"] != second["Message-ID"]


def test_a_mail_that_is_sent_again_is_known_by_its_id(box: Box) -> None:
    for _ in range(2):
        box.mailer.send(a_mail(id="abc123"))
    assert [message["Message-ID"] for message in box.messages()] == ["<abc123@films.example>"] * 2


def test_a_mail_comes_as_text_and_formatted(box: Box) -> None:
    message = send(box, text="Füße\n", html="<p>Füße</p>\n")
    assert message.get_content_type() == "multipart/alternative"
    kinds = [(part.get_content_type(), part.get_content()) for part in message.iter_parts()]
    assert kinds == [("text/plain", "Füße\n"), ("text/html", "<p>Füße</p>\n")]


def test_a_mail_can_be_unsubscribed_from_with_one_click(box: Box) -> None:
    """RFC 8058, 3.1."""
    message = send(box, unsubscribe_url="https://films.example/api/unsubscribe/t0ken")
    assert message["List-Unsubscribe"] == "<https://films.example/api/unsubscribe/t0ken>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_one_click_is_not_promised_without_encryption(box: Box) -> None:
    message = send(box, unsubscribe_url="http://localhost:8000/api/unsubscribe/t0ken")
    assert message["List-Unsubscribe"] == "<http://localhost:8000/api/unsubscribe/t0ken>"
    assert "List-Unsubscribe-Post" not in message


def test_a_long_link_to_unsubscribe_is_not_broken(box: Box) -> None:
    url = "https://films.example/api/unsubscribe/" + "x" * 300
    send(box, unsubscribe_url=url)
    assert f"\nList-Unsubscribe: <{url}>\n" in box.raw()


def test_an_address_of_any_letters_gets_its_mail_or_is_refused_for_good(box: Box) -> None:
    if isinstance(box, SesBox):
        with pytest.raises(Refused, match="RFC 6531"):
            send(box, to="josé@exämple.org")
        assert box.messages() == []
    else:
        assert send(box, to="josé@exämple.org")["To"] == "josé@exämple.org"


WORD = st.text(st.sampled_from("ab1.-_+!#$%&'*/=?^`{|}~[]üé日"), min_size=1, max_size=6)


@settings(
    max_examples=400, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(local="b", host="[", top="x1")
@example(local="=?utf-8?q?x?=b", host="example", top="org")
@example(local="=?utf-8?q?x?=", host="example", top="org")
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
        FileMailer(tmp_path, SENDER, Lines()).send(a_mail(to=address))
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


# ------------------------------------------------------------------------------------ by SMTP alone


def test_a_mail_is_seven_bit_and_in_lines_that_every_server_takes() -> None:
    with smtp_server() as server:
        send(SmtpBox(server), subject="Grüße 🎬", text=LONG + "ü", html=f"<p>{LONG}ü</p>")
        [arrived] = server.arrived
        assert arrived.content.isascii()
        assert max(map(len, arrived.content.split(b"\r\n"))) <= 998
        assert b"\n" not in arrived.content.replace(b"\r\n", b"")
        assert (arrived.sender, arrived.recipients) == (
            "trinity@films.example",
            ["ana@example.org"],
        )


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "starttls"])
def test_password_and_mail_are_sent_encrypted(implicit: bool, tmp_path: Path) -> None:
    trust = authority(tmp_path)
    scheme = "smtps" if implicit else "smtp"
    account = ("me@films.example", "pass:word/?")
    with smtp_server(tls=trust.server, implicit=implicit, account=account) as server:
        url = f"{scheme}://me%40films.example:pass%3Aword%2F%3F@localhost:{server.port}"
        SmtpMailer(url, SENDER, tls=trust.client).send(a_mail())
        [arrived] = server.arrived
        assert arrived.user == "me@films.example"
        assert implicit or arrived.encrypted  # aiosmtpd notes STARTTLS alone


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_nothing_is_said_to_a_server_that_cannot_prove_who_it_is(
    scheme: str, tmp_path: Path
) -> None:
    trust = authority(tmp_path)
    account = ("me", "secret")
    with smtp_server(tls=trust.server, implicit=scheme == "smtps", account=account) as server:
        mailer = SmtpMailer(f"{scheme}://me:secret@localhost:{server.port}", SENDER)
        with pytest.raises(Unavailable, match="SSLCertVerificationError"):
            mailer.send(a_mail())
        assert server.arrived == []


def test_a_server_that_does_not_turn_to_tls_is_told_nothing() -> None:
    with smtp_server(account=("me", "secret")) as server:
        with pytest.raises(Unavailable):
            SmtpMailer(f"smtp://me:secret@127.0.0.1:{server.port}", SENDER).send(a_mail())
        assert server.arrived == []


@pytest.mark.parametrize(
    ("command", "code", "meaning"),
    [
        ("RCPT", 550, Refused),
        ("RCPT", 553, Refused),
        ("DATA", 554, Refused),
        ("RCPT", 450, Unavailable),
        ("RCPT", 452, Unavailable),
        ("DATA", 451, Unavailable),
        ("MAIL", 450, Unavailable),
        ("MAIL", 550, Unavailable),  # it is our sender that is not welcome
    ],
)
def test_what_is_final_is_told_from_what_may_pass(
    command: str, code: int, meaning: type[Exception]
) -> None:
    with smtp_server() as server:
        box = SmtpBox(server)
        server.answers = [(command, code)]
        with pytest.raises(meaning) as refused:
            box.mailer.send(a_mail())
        assert str(code) in str(refused.value)
        assert "ana" not in _all_of(refused.value)
        box.mailer.send(a_mail())
        assert len(server.arrived) == 1


def test_a_wrong_password_is_ours_to_mend_and_no_mail_is_given_up(tmp_path: Path) -> None:
    with smtp_server(account=("me", "secret")) as server:
        mailer = SmtpMailer(f"smtp+plain://me:wr0ng@127.0.0.1:{server.port}", SENDER)
        with pytest.raises(Unavailable) as refused:
            mailer.send(a_mail())
        assert "535" in str(refused.value)
        assert "wr0ng" not in _all_of(refused.value)


def test_a_password_that_cannot_be_sent_is_told_by_kind() -> None:
    with smtp_server(account=("me", "sécret")) as server:
        mailer = SmtpMailer(f"smtp+plain://me:s%C3%A9cret@127.0.0.1:{server.port}", SENDER)
        with pytest.raises(Unavailable, match="UnicodeEncodeError"):
            mailer.send(a_mail())


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with smtp_server() as server:
        port = server.port
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        SmtpMailer(f"smtp+plain://127.0.0.1:{port}", SENDER).send(a_mail())


def test_an_outcome_that_is_not_known_counts_as_not_sent() -> None:
    with smtp_server() as server:
        server.drop_at_data = True
        with pytest.raises(Unavailable):
            SmtpBox(server).mailer.send(a_mail(id="abc"))
        assert len(server.arrived) == 1


def test_an_address_that_the_server_cannot_write_is_refused() -> None:
    with smtp_server(any_letters=False) as server:
        with pytest.raises(Refused):
            SmtpBox(server).mailer.send(a_mail(to="josé@exämple.org"))
        assert server.arrived == []


def _all_of(error: BaseException) -> str:
    """Return what the log would say of an error."""
    return "".join(traceback.format_exception(error))


# ------------------------------------------------------------------------------------ by SES alone


def ses(server: ScriptedServer) -> SesMailer:
    return SesMailer(account(server.url).client(SES), SENDER)


def test_a_mail_is_the_request_that_aws_s_own_client_would_send() -> None:
    with ses_server() as server:
        SesBox(server).mailer.send(a_mail(to="ana@exämple.org"))
        [ours] = server.bodies
        raw = base64.b64decode(json.loads(ours)["Content"]["Raw"]["Data"])
        boto("sesv2", server.url).send_email(
            FromEmailAddress=SENDER,
            Destination={"ToAddresses": ["ana@xn--exmple-cua.org"]},
            Content={"Raw": {"Data": raw}},
        )
        assert json.loads(server.bodies[1]) == json.loads(ours)
        assert server.targets[0] == server.targets[1]


def test_a_mail_is_taken_by_the_local_cloud_if_it_knows_the_sender(aws: str) -> None:
    mailer = SesMailer(account(aws).client(SES), SENDER)
    with pytest.raises(Unavailable, match="MessageRejected"):
        mailer.send(a_mail())
    boto("sesv2", aws).create_email_identity(EmailIdentity="films.example")
    boto("sesv2", aws).create_email_identity(EmailIdentity="ana@example.org")  # in the sandbox
    mailer.send(a_mail())


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        ("BadRequestException", "Local address of ana@example.org", Refused),
        ("MessageRejected", "Message contains a virus, ana@example.org", Refused),
        ("MessageRejected", "Email address is not verified: ana@example.org", Unavailable),
        ("MailFromDomainNotVerifiedException", "for ana@example.org", Unavailable),
        ("AccountSuspendedException", "until ana@example.org pays", Unavailable),
        ("LimitExceededException", "ana@example.org", Unavailable),
        ("AccessDeniedException", "ana@example.org", Unavailable),
    ],
)
def test_what_ses_says_of_a_recipient_is_final_and_what_it_says_of_us_is_not(
    code: str, message: str, meaning: type[Exception]
) -> None:
    body = json.dumps({"message": message}).encode()
    with ScriptedServer(answer(body, status=400, headers=[f"x-amzn-ErrorType: {code}"])) as server:
        with pytest.raises(meaning) as refused:
            ses(server).send(a_mail())
        assert code in str(refused.value)
        assert "ana" not in _all_of(refused.value)


def test_a_mail_whose_outcome_is_not_known_is_not_sent_again_by_itself() -> None:
    with ScriptedServer(Step(close=True)) as server, pytest.raises(Unavailable, match="unknown"):
        ses(server).send(a_mail())


def test_a_mail_that_ses_has_no_time_for_is_sent_again() -> None:
    busy = answer(b"{}", status=429, headers=["x-amzn-ErrorType: TooManyRequestsException"])
    with ScriptedServer(busy, answer(b'{"MessageId":"1"}')) as server:
        ses(server).send(a_mail())


def test_a_domain_that_can_be_none_is_refused() -> None:
    with ScriptedServer() as server, pytest.raises(Refused, match="domain"):
        ses(server).send(a_mail(to="ana@" + "ü" * 70 + ".org"))
