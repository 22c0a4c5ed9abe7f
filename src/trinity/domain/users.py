"""People and their sessions."""

import msgspec

from trinity.domain import errors
from trinity.domain.ids import DAY, HOUR, MINUTE, BlobId, Millis, UserId
from trinity.domain.pictures import Picture

ACCESS_TOKEN_FOR = Millis(15 * MINUTE)
REFRESH_TOKEN_FOR = Millis(30 * DAY)
RESET_TOKEN_FOR = Millis(HOUR)

LONGEST_EMAIL = 254
"""RFC 5321, 4.5.3.1.3, less the angle brackets."""


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Somebody with an account. A guest has a name and nothing else.

    Attributes:
        avatar: a picture.
        avatar_at: when it was chosen, or taken away; of two choices the later one counts.
        password_hash: argon2id, in its own encoding with its parameters.
        epoch: grows with every new password or address. Sessions and reset tokens belong to an
            epoch, and are over when it is.
    """

    id: UserId
    name: str
    created_at: Millis
    email: str | None = None
    password_hash: str | None = None
    avatar: Picture | None = None
    avatar_at: Millis = Millis(0)
    epoch: int = 0

    @property
    def shown_avatar(self) -> BlobId | None:
        """The picture that rooms show."""
        return self.avatar.medium if self.avatar is not None else None

    @property
    def guest(self) -> bool:
        """Whether this account has no e-mail address and password yet."""
        return self.email is None


def clean_email(raw: str, pointer: str = "/email") -> str:
    """Return the address in the form that accounts are told apart by.

    Only what cannot be an address is refused; whether it is one, a mail will tell.

    Raises:
        InvalidRequest: it cannot be an e-mail address.
    """
    email = raw.strip().lower()
    local, at, host = email.rpartition("@")
    if (
        not at
        or not local
        or "." not in host.strip(".")
        or len(email) > LONGEST_EMAIL
        or not email.isprintable()
        or any(char in email for char in " <>[]\"'(),:;\\")
        or "@" in local
        or "=?" in email  # to mail programs an encoded word, and so another address (RFC 2047)
        or ".." in email
        or host.startswith((".", "-"))
        or host.endswith((".", "-"))
    ):
        raise errors.InvalidRequest(errors=[(pointer, "is not an e-mail address")])
    return email
