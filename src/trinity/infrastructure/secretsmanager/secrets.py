"""`Secrets` in a secret of AWS."""

from trinity.infrastructure.secretsmanager.secret import Secret
from trinity.ports import Unavailable


class AwsSecrets:
    """See `Secrets`.

    Args:
        secret: any text that nobody can guess, such as AWS generates.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def cursor_key(self) -> bytes:
        """See `Secrets.cursor_key`.

        Raises:
            Unavailable: the secret has no value yet, or it cannot be read.
        """
        text = self._secret.current().text
        if not text:
            raise Unavailable("the secret that cursors are signed with has no value yet")
        import hashlib

        return hashlib.blake2b(text.encode(), digest_size=32).digest()
