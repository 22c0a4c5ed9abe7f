"""An SMTP server for tests, in a thread of its own, that keeps what it is given."""

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Arrived(NamedTuple):
    """A mail as the server got it."""

    sender: str
    recipients: list[str]
    content: bytes
    encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        lines = self.content.replace(b"\r\n", b"\n")  # on the wire each ends in both
        return message_from_bytes(lines, policy=policy.default)  # type: ignore[return-value]


class SmtpServer:
    """What came, and what to say to whom.

    Attributes:
        arrived: mails that were accepted.
        answers: codes to answer with, in order, each for one mail: at `RCPT` or at `DATA`;
            once they are used up everything is accepted.
        drop_at_data: keep the mail, and hang up instead of saying so.
    """

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.answers: list[tuple[str, int]] = []
        self.port = 0
        self.drop_at_data = False

    def _answer(self, command: str) -> str | None:
        if self.answers and self.answers[0][0] == command:
            _, code = self.answers.pop(0)
            return f"{code} no mail for you"
        return None

    async def handle_MAIL(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refused := self._answer("MAIL"):
            return refused
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refused := self._answer("RCPT"):
            return f"{refused}, {address}"  # real servers repeat the address, too
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if refused := self._answer("DATA"):
            return refused
        user = session.auth_data.login.decode() if session.authenticated else None
        self.arrived.append(
            Arrived(
                str(envelope.mail_from),
                list(envelope.rcpt_tos),
                bytes(envelope.original_content or b""),
                session.ssl is not None,
                user,
            )
        )
        if self.drop_at_data:  # the mail is there, and the sender will not know
            server.transport.abort()
        return "250 OK"


class Authority(NamedTuple):
    """A certificate of 127.0.0.1 and localhost, and how to trust it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def authority(folder: Path) -> Authority:
    """Make a certificate that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("localhost"),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.pem").write_bytes(secret + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return Authority(server, ssl.create_default_context(cadata=pem.decode()))


@contextmanager
def smtp_server(
    *,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    account: tuple[str, str] | None = None,
    any_letters: bool = True,
) -> Iterator[SmtpServer]:
    """Run a server while the block is at work.

    Args:
        tls: what it encrypts with; None for not at all.
        implicit: TLS from the beginning; otherwise by STARTTLS.
        account: user and password without which it takes nothing.
        any_letters: it knows SMTPUTF8.
    """
    kept = SmtpServer()

    def authenticate(*arguments: Any) -> AuthResult:
        given = arguments[-1]
        good = isinstance(given, LoginPassword) and account == (
            given.login.decode(),
            given.password.decode(),
        )
        return AuthResult(success=good, handled=False, auth_data=given)

    def protocol() -> SMTP:
        return SMTP(
            kept,
            hostname="localhost",
            enable_SMTPUTF8=any_letters,
            tls_context=None if implicit else tls,
            require_starttls=tls is not None and not implicit,
            auth_required=account is not None,
            auth_require_tls=False,
            authenticator=authenticate,
            loop=loop,
        )

    loop = asyncio.new_event_loop()
    started = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        serving = loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)
        server = loop.run_until_complete(serving)
        kept.port = server.sockets[0].getsockname()[1]
        started.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(server.wait_closed())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield kept
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
