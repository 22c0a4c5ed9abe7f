"""`Mailer` into a folder: each message is a file that any mail program opens."""

import os
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from trinity.common.telemetry import Log
from trinity.infrastructure.filesystem import atomic


class FileMailer:
    """See `Mailer`.

    Args:
        folder: the mailbox; it is created.
        log: is told where a message lies, and nothing of what is in it.
    """

    def __init__(self, folder: Path, log: Log) -> None:
        self._folder = folder
        self._log = log
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)

    def send(self, *, to: str, subject: str, text: str) -> None:
        """See `Mailer.send`."""
        message = EmailMessage(
            policy=policy.default.clone(utf8=True)
        )  # addresses may hold any letter
        message["From"] = "Trinity <trinity@localhost>"
        message["To"] = to
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="localhost")
        message.set_content(text)
        path = self._folder / f"{os.urandom(8).hex()}.eml"
        atomic.write(path, bytes(message), mode=0o600)
        self._log("info", "mail written to the mailbox folder", file=str(path))
