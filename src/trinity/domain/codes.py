"""Room codes that can be read out across a table."""

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Digits and capitals without the look-alikes 0/O and 1/I/L: 31 symbols."""
LENGTH = 6
"""31^6 = 887 million codes; joining is rate-limited, so guessing one is hopeless."""


def normalise(typed: str) -> str | None:
    """Return the code that somebody meant, None if it cannot be one.

    Letter case, blanks and hyphens do not matter.
    """
    code = "".join(typed.split()).replace("-", "").upper()
    return code if len(code) == LENGTH and all(char in ALPHABET for char in code) else None
