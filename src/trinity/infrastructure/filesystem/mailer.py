"""`Mailer` into a folder: each message is a file that any mail program opens."""

import os
from pathlib import Path

from trinity.common.telemetry import Log
from trinity.infrastructure.filesystem import atomic
from trinity.infrastructure.mail.message import compose
from trinity.ports import Mail


class FileMailer:
    """See `Mailer`.

    Args:
        folder: the mailbox; it is created.
        sender: whom mails come from.
        log: is told where a message lies, and nothing of what is in it.
    """

    def __init__(self, folder: Path, sender: str, log: Log) -> None:
        self._folder = folder
        self._sender = sender
        self._log = log
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)

    def send(self, mail: Mail) -> None:
        """See `Mailer.send`."""
        message = compose(mail, self._sender)
        path = self._folder / f"{os.urandom(8).hex()}.eml"
        atomic.write(path, bytes(message), mode=0o600)
        self._log("info", "mail written to the mailbox folder", file=str(path))
