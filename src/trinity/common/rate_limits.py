"""How often something may be tried, by address and by account."""

import math

from trinity.domain import errors
from trinity.ports import Cache


class Limit:
    """So many attempts in so many seconds."""

    __slots__ = ("most", "per_s")

    def __init__(self, most: int, per_s: int) -> None:
        self.most = most
        self.per_s = per_s


PER_ADDRESS: dict[str, Limit] = {
    # A household or a school shares one address: generous, and still hopeless for guessing.
    "register": Limit(60, 60),
    "login": Limit(60, 60),
    "guest": Limit(120, 60),
    "join": Limit(120, 60),
    "create_room": Limit(240, 60),
    "invite": Limit(120, 3600),
    "create_upload": Limit(120, 60),
    "forgot_password": Limit(20, 60),
    "reset_password": Limit(30, 60),
}
PER_ACCOUNT: dict[str, Limit] = {
    "login": Limit(10, 60),
    "join": Limit(30, 60),
    "create_room": Limit(60, 60),
    "invite": Limit(40, 3600),
    # By whomever, and to whichever rooms: nobody's mailbox is for others to fill.
    "invited": Limit(5, 86_400),
    "add_endpoint": Limit(30, 3600),
    "create_upload": Limit(20, 60),
    "forgot_password": Limit(5, 3600),
    "change_account": Limit(10, 60),
}


class RateLimits:
    """Counts attempts in the cache; if what is shared is down, each process for itself.

    Args:
        cache: where the counts are; they last as long as their window.
        enabled: False lets everything through.
    """

    def __init__(self, cache: Cache, *, enabled: bool = True) -> None:
        self._cache = cache
        self._enabled = enabled

    def check(self, action: str, *, address: str | None = None, account: str | None = None) -> None:
        """Count one attempt.

        Raises:
            RateLimited: too many came from this address or for this account.
        """
        if not self._enabled:
            return
        if address is not None:
            self._count(f"rate:{action}:address:{_household(address)}", PER_ADDRESS[action])
        if account is not None:
            self._count(f"rate:{action}:account:{account}", PER_ACCOUNT[action])

    def _count(self, key: str, limit: Limit) -> None:
        count, remaining = self._cache.increment(key, ttl=limit.per_s)
        if count > limit.most:
            raise errors.RateLimited(retry_after=max(1, math.ceil(remaining)))


def _household(address: str) -> str:
    """Return what to count by: an IPv6 customer has at least a /64 of addresses to choose from."""
    if ":" not in address:
        return address
    from ipaddress import ip_network

    try:
        return str(ip_network(f"{address}/64", strict=False))
    except ValueError:
        return address
