"""Requests that are done once, however often they are sent (`Idempotency-Key`).

The answer is stored by the transaction that does the work, on condition that there is none yet: of
two of the same at one time only one is done, and the other finds its answer. An answer is good for
a day, whenever the store gets to removing it.
"""

import hashlib
from typing import Any, TypeVar

import msgspec

from trinity.domain import errors
from trinity.domain.ids import DAY, Millis, UserId
from trinity.ports import Absent, AnyOf, Key, Less, Table, TransactPut
from trinity.store import keys

KEPT_FOR = Millis(DAY)
LONGEST_KEY = 255

T = TypeVar("T")


class Once(msgspec.Struct, frozen=True):
    """A request that must not be done twice.

    Attributes:
        key: where its answer is kept.
        request_hash: tells it from another request with the same idempotency key.
    """

    key: Key
    request_hash: str

    @classmethod
    def of(cls, operation: str, user: UserId, sent: str | None, request: Any) -> "Once | None":
        """Return the request as one to be done once; None if it came without a key.

        Raises:
            InvalidRequest: the key is too long.
        """
        if not sent:
            return None
        if len(sent) > LONGEST_KEY:
            raise errors.InvalidRequest(f"An Idempotency-Key has at most {LONGEST_KEY} characters.")
        name = hashlib.sha256(sent.encode()).hexdigest()
        content = hashlib.sha256(msgspec.json.encode(request)).hexdigest()
        return cls(keys.once(user, operation, name), content)

    def answer(self, table: Table, kind: type[T], now: Millis) -> T | None:
        """Return the answer that was given before, None if there was none.

        Raises:
            IdempotencyMismatch: the key came with another request.
        """
        item = table.get(self.key, consistent=True)
        if item is None or item["expires"] <= now // 1000:
            return None
        if item["request"] != self.request_hash:
            raise errors.IdempotencyMismatch
        return msgspec.json.decode(item["answer"], type=kind)

    def storing(self, answer: Any, now: Millis) -> TransactPut:
        """Return the action that keeps an answer, unless there is one already."""
        return TransactPut(
            {
                "PK": self.key.pk,
                "SK": self.key.sk,
                "request": self.request_hash,
                "answer": msgspec.json.encode(answer).decode(),
                "expires": (now + KEPT_FOR) // 1000,
            },
            AnyOf((Absent("PK"), Less("expires", now // 1000 + 1))),
        )
