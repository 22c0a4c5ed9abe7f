"""A token that somebody else's service gave us, in a secret of AWS."""

from trinity.infrastructure.aws.client import AwsError
from trinity.infrastructure.secretsmanager.secret import Secret
from trinity.ports import Unavailable


def token_in(secret: Secret) -> str:
    """Return the token; the secret is read at its first use, and again now and then.

    Raises:
        Unavailable: the secret has no value yet, or cannot be read, for whatever reason: what hangs
            on it can be done without.
    """
    try:
        text = secret.current().text.strip()
    except AwsError as refusal:
        raise Unavailable(f"its token cannot be read: {refusal.code}") from refusal
    if not text:
        raise Unavailable("the secret with its token has no value yet")
    return text
