"""Send a notice to a webhook."""

from trinity.bootstrap import worker
from trinity.common.settings import Settings
from trinity.domain.notices import Notice, Webhook
from trinity.ports import Clock, EndpointGone, Ids, Notifier, Refused, Table, Unavailable
from trinity.store import deliveries, notices


def deliver_webhook(
    notice: Notice,
    *,
    table: Table,
    webhook: Notifier[Webhook],
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> None:
    """Post a notice to a program, once; one that fails again and again is switched off.

    Raises:
        Unavailable: it could not be sent now.
    """
    user = notice.user_id
    to = notices.webhook(table, user, notice.endpoint) if user is not None else None
    content = deliveries.content(table, notice, settings.home)
    if user is None or to is None or to.disabled or content is None:
        return

    def send() -> None:
        try:
            webhook.send(to, content)
        except (Refused, Unavailable) as failure:
            gone = isinstance(failure, EndpointGone)
            notices.webhook_failed(table, user, to, for_good=gone)
            raise
        notices.webhook_worked(table, user, to)

    deliveries.deliver(table, ids, clock, notice, send)


handler = worker(deliver_webhook)
