"""Notices to programs, signed as "Standard Webhooks" has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hmac

import msgspec

from trinity.common.shapes import rfc3339
from trinity.domain.notices import SECRET_PREFIX, Content, Webhook
from trinity.infrastructure.notifiers.outbound import Outbound
from trinity.ports import Clock, EndpointGone


class WebhookNotifier:
    """See `Notifier`; it sends to webhooks.

    Args:
        outbound: carries the requests.
        clock: when they are made.
    """

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock

    def send(self, to: Webhook, content: Content) -> None:
        """See `Notifier.send`."""
        payload = {"type": content.kind, "timestamp": rfc3339(content.at), "data": content.data}
        body = msgspec.json.encode(payload)
        seconds = self._clock.now() // 1000
        headers = {
            "content-type": "application/json",
            "user-agent": "Trinity",
            "webhook-id": content.id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign(to.secret, content.id, seconds, body),
        }
        answer = self._outbound.post(to.url, headers, body)
        if answer.status == 410:
            raise EndpointGone("the webhook is gone")
        answer.settle()


def sign(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """Return the signature of a message."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{seconds}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"
