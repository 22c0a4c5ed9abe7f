"""Let a program hear no more."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.ports import Table
from trinity.store import notices


class RemoveWebhook(Request, frozen=True, kw_only=True):
    """Which one."""

    webhook_id: str


def remove_webhook(request: RemoveWebhook, caller: Caller, *, table: Table) -> None:
    """Remove a webhook.

    Raises:
        NotFound: the caller has no such webhook.
    """
    notices.remove_webhook(table, caller.user_id, request.webhook_id)


handler = operation(remove_webhook, status=204)
