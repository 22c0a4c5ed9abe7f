"""`Ids` from the operating system's generator.

`os.urandom` asks the kernel each time, so two environments restored from one snapshot never give
the same value.
"""

import base64
import os

from trinity.domain import codes


class SystemIds:
    """See `Ids`."""

    def new(self) -> str:
        """See `Ids.new`."""
        # RFC 4648 base32 has no 0, 1, 8, 9: letters and 2 to 7 only.
        return base64.b32encode(os.urandom(10)).decode().lower()

    def secret(self) -> str:
        """See `Ids.secret`."""
        return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")

    def code(self) -> str:
        """See `Ids.code`."""
        symbols = ""
        while len(symbols) < codes.LENGTH:
            # 5 bits give 0 to 31; the alphabet has 31 symbols: drawing again keeps it fair.
            number = os.urandom(1)[0] & 31
            if number < len(codes.ALPHABET):
                symbols += codes.ALPHABET[number]
        return symbols

    def seed(self) -> int:
        """See `Ids.seed`."""
        return int.from_bytes(os.urandom(4), "big")
