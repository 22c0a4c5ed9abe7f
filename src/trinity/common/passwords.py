"""Passwords: argon2id with the parameters that OWASP recommends.

19 MiB of memory, 2 passes, 1 lane:
https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

import functools
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

if TYPE_CHECKING:
    from argon2 import PasswordHasher

Password = Annotated[str, Meta(min_length=8, max_length=256)]
"""What somebody may choose. What it is made of does not matter (NIST SP 800-63B, 5.1.1.2)."""


def digest(password: str) -> str:
    """Return the hash to store, with its salt and parameters."""
    return _hasher().hash(password)


def matches(password: str, stored: str | None) -> bool:
    """Tell whether a password belongs to a stored hash.

    Without one the same work is done on a decoy, so that the time tells nobody whether an account
    exists.
    """
    from argon2.exceptions import VerifyMismatchError

    try:
        _hasher().verify(stored or _decoy(), password)
    except VerifyMismatchError:
        return False
    return stored is not None


@functools.cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@functools.cache
def _decoy() -> str:
    return _hasher().hash("nobody's password")
