"""Which programs hear of things?"""

from trinity.bootstrap import operation
from trinity.common.requests import Caller
from trinity.common.shapes import Page, WebhookShape, rfc3339
from trinity.ports import Table
from trinity.store import notices


class WebhookPage(Page, frozen=True, kw_only=True):
    """All webhooks; there is no next part."""

    items: list[WebhookShape]


def list_webhooks(caller: Caller, *, table: Table) -> WebhookPage:
    """Return the caller's webhooks, the oldest first, without their secrets."""
    items = [
        WebhookShape(
            id=webhook.id,
            url=webhook.url,
            created_at=rfc3339(webhook.created_at),
            disabled=webhook.disabled,
        )
        for webhook in notices.webhooks(table, caller.user_id)
    ]
    return WebhookPage(items=items, cursor=None)


handler = operation(list_webhooks)
