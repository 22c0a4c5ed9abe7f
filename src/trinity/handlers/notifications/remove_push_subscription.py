"""Let a browser show no more notices."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.ports import Table
from trinity.store import notices


class RemovePushSubscription(Request, frozen=True, kw_only=True):
    """Which browser."""

    subscription_id: str


def remove_push_subscription(
    request: RemovePushSubscription, caller: Caller, *, table: Table
) -> None:
    """Let a browser show no more notices.

    Raises:
        NotFound: it shows none of the caller's.
    """
    notices.remove_browser(table, caller.user_id, request.subscription_id)


handler = operation(remove_push_subscription, status=204)
