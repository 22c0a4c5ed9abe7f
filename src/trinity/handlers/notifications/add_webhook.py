"""Let a program hear of things."""

import base64
from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import endpoints
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Request
from trinity.common.settings import Settings
from trinity.common.shapes import WebhookShape, rfc3339
from trinity.domain import errors
from trinity.domain.notices import SECRET_PREFIX, Webhook
from trinity.ports import Clock, Ids, Table
from trinity.store import notices


class AddWebhook(Request, frozen=True, kw_only=True):
    """Where to post notices to."""

    url: Annotated[str, Meta(max_length=endpoints.LONGEST)]


class NewWebhookShape(WebhookShape, frozen=True, kw_only=True):
    """A new webhook. Its secret is not shown again."""

    secret: str


def add_webhook(
    request: AddWebhook,
    caller: Caller,
    *,
    table: Table,
    limits: RateLimits,
    ids: Ids,
    clock: Clock,
    settings: Settings,
) -> NewWebhookShape:
    """Post what the caller wants to hear of to a URL, signed with a secret that is told just now.

    Raises:
        InvalidRequest: the URL is not on the public Internet, or reached by https; or the caller
            has five webhooks already.
        RateLimited: too many webhooks.
        Unauthenticated: the account was removed.
    """
    limits.check("add_endpoint", account=caller.user_id)
    endpoints.check(request.url, "/url", local=settings.local_endpoints == "on")
    if len(notices.webhooks(table, caller.user_id)) >= notices.MOST_WEBHOOKS:
        raise errors.InvalidRequest("There are five webhooks already. Remove one of them first.")
    chance = base64.b64encode(ids.secret().encode()).decode()
    webhook = Webhook(
        id=ids.new(), url=request.url, secret=SECRET_PREFIX + chance, created_at=clock.now()
    )
    notices.add_webhook(table, caller.user_id, webhook)
    return NewWebhookShape(
        id=webhook.id,
        url=webhook.url,
        created_at=rfc3339(webhook.created_at),
        disabled=False,
        secret=webhook.secret,
    )


handler = operation(add_webhook, status=201)
