"""Let a browser show notices."""

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import endpoints
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Caller, Request
from trinity.common.settings import Settings
from trinity.common.shapes import Shape, rfc3339
from trinity.domain.notices import Browser
from trinity.ports import Clock, Table
from trinity.store import notices


class PushKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of a browser, base64url: a point of P-256 (65 bytes), and 16 bytes of chance."""

    p256dh: Annotated[str, Meta(pattern=r"^B[A-Za-z0-9_-]{86}=?$")]
    auth: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{22}(==)?$")]


class AddPushSubscription(Request, frozen=True, kw_only=True):
    """What `PushSubscription.toJSON()` gives in a browser."""

    endpoint: Annotated[str, Meta(max_length=endpoints.LONGEST)]
    keys: PushKeys


class PushSubscriptionShape(Shape, frozen=True, kw_only=True):
    """A browser that shows notices."""

    id: str
    created_at: str


def add_push_subscription(
    request: AddPushSubscription,
    caller: Caller,
    *,
    table: Table,
    limits: RateLimits,
    clock: Clock,
    settings: Settings,
) -> PushSubscriptionShape:
    """Let a browser show notices until the caller signs out there; again is fine.

    Of more than ten browsers the oldest is forgotten.

    Raises:
        InvalidRequest: the endpoint is not on the public Internet, or reached by https.
        RateLimited: too many subscriptions.
        Unauthenticated: the account was removed.
    """
    limits.check("add_endpoint", account=caller.user_id)
    endpoints.check(request.endpoint, "/endpoint", local=settings.local_endpoints == "on")
    browser = Browser(
        id=hashlib.sha256(request.endpoint.encode()).hexdigest()[:32],
        endpoint=request.endpoint,
        p256dh=request.keys.p256dh,
        auth=request.keys.auth,
        session=caller.session,
        created_at=clock.now(),
    )
    notices.add_browser(table, caller.user_id, browser)
    return PushSubscriptionShape(id=browser.id, created_at=rfc3339(browser.created_at))


handler = operation(add_push_subscription, status=201)
