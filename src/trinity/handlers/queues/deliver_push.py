"""Send a notice by Web Push."""

from trinity.bootstrap import worker
from trinity.common.settings import Settings
from trinity.domain.notices import Browser, Notice
from trinity.ports import Clock, EndpointGone, Ids, Notifier, Table
from trinity.store import deliveries, notices, sessions


def deliver_push(
    notice: Notice,
    *,
    table: Table,
    push: Notifier[Browser],
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> None:
    """Show a notice in a browser, once; a browser that is gone is forgotten.

    Whoever has signed out there is told nothing more: the next one to use it may be somebody else.

    Raises:
        Unavailable: it could not be sent now.
    """
    user = notice.user_id
    browser = notices.browser(table, user, notice.endpoint) if user is not None else None
    content = deliveries.content(table, notice, settings.home)
    if user is None or browser is None or content is None:
        return
    if not sessions.goes_on(table, user, browser.session, clock.now()):
        notices.forget_browser(table, user, browser.id)
        return

    def send() -> None:
        try:
            push.send(browser, content)
        except EndpointGone:
            notices.forget_browser(table, user, browser.id)
            raise

    deliveries.deliver(table, ids, clock, notice, send)


handler = worker(deliver_push)
