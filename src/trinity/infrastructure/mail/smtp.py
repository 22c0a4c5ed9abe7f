"""`Mailer` by SMTP (RFC 5321), a connection for each message.

What the server says of our side, of sender, password or encryption, is for the operator to mend:
such mails are kept and tried again. Only what it says of a recipient or of a message is final.
"""

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from trinity.infrastructure.mail.message import compose
from trinity.ports import Mail, Refused, Unavailable

_TIMEOUT_S = 10.0  # for connecting, and for each answer
_PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}


class SmtpMailer:
    """See `Mailer`.

    Args:
        url: of the server, `smtp://user:password@mail.example.org:587`. `smtp` begins in plain
            text and turns to TLS before anything else is said (STARTTLS, RFC 3207), `smtps` is TLS
            from the beginning (RFC 8314), `smtp+plain` does without.
        sender: whom mails come from.
        tls: what is trusted; by default the authorities of the system.
    """

    def __init__(self, url: str, sender: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = sender
        self._tls = tls

    def send(self, mail: Mail) -> None:
        """See `Mailer.send`."""
        message = compose(mail, self._sender)
        server = self._connect()
        try:
            self._hand_over(server, mail.to, message)
        # What smtplib raises may name the address; so nothing of it is passed on.
        except smtplib.SMTPRecipientsRefused as refused:
            raise _refusal(*(code for code, _ in refused.recipients.values())) from None
        except smtplib.SMTPDataError as refused:
            raise _refusal(refused.smtp_code) from None
        except (smtplib.SMTPException, OSError) as error:
            raise _unavailable(error) from None
        finally:
            # The mail was taken or was not; how the server takes its leave changes nothing.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()

    def _hand_over(self, server: smtplib.SMTP, to: str, message: EmailMessage) -> None:
        # smtplib's own `send_message` turns "From" at the beginning of a line into ">From".
        content = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        options: tuple[str, ...] = ()
        if not to.isascii():
            server.ehlo_or_helo_if_needed()
            if not server.has_extn("smtputf8"):
                raise Refused("the mail server does not know such addresses (RFC 6531)")
            options = ("SMTPUTF8", "BODY=8BITMIME")
        server.sendmail(parseaddr(self._sender)[1], [to], content, options)

    def _connect(self) -> smtplib.SMTP:
        try:
            if self._scheme == "smtps":
                server: smtplib.SMTP = smtplib.SMTP_SSL(
                    self._host, self._port, timeout=_TIMEOUT_S, context=self._context()
                )
            else:
                server = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_S)
        except (smtplib.SMTPException, OSError) as error:
            raise _unavailable(error) from None
        try:
            if self._scheme == "smtp":
                server.starttls(context=self._context())
            if self._user:
                server.login(self._user, self._password)
        # smtplib can log in with a password of ASCII letters alone.
        except (smtplib.SMTPException, OSError, UnicodeEncodeError) as error:
            server.close()
            raise _unavailable(error) from None
        return server

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _refusal(*codes: int) -> Exception:
    """Return what a code means: 4xx may pass, 5xx will not (RFC 5321, 4.2.1)."""
    message = f"the mail server answered {codes[0]}"
    return Refused(message) if min(codes) >= 500 else Unavailable(message)


def _unavailable(error: Exception) -> Unavailable:
    code = getattr(error, "smtp_code", None)
    said = f" {code}" if code is not None else ""
    return Unavailable(f"the mail server could not be used: {type(error).__name__}{said}")
