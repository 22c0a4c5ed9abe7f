"""Ask whoever follows the link in a mail whether to stop such mails."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import unsubscribing
from trinity.common.requests import Reply, Request
from trinity.ports import Secrets


class ConfirmUnsubscribe(Request, frozen=True, kw_only=True):
    """The token of the link."""

    token: Annotated[str, Meta(max_length=1024)]


def confirm_unsubscribe(request: ConfirmUnsubscribe, *, secrets: Secrets) -> Reply:
    """Return a page with a button; nothing changes yet, for mail programs follow links, too.

    Raises:
        InvalidToken: the link is not complete.
    """
    stopped = unsubscribing.read(secrets.cursor_key(), request.token)
    return unsubscribing.page(
        f"No more mails about {unsubscribing.ABOUT[stopped.kind]}?",
        '<p class="lead">They stop at once, and nothing else changes.</p>'
        '<form method="post">'
        '<button class="button strong">Stop these mails</button></form>',
    )


handler = operation(confirm_unsubscribe, explain=unsubscribing.explain)
