"""Stop mails, by the link in one of them."""

from contextlib import suppress
from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import unsubscribing
from trinity.common.requests import Reply, Request
from trinity.domain import errors
from trinity.ports import Secrets, Table
from trinity.store import notices


class Unsubscribe(Request, frozen=True, kw_only=True):
    """The token of the link. What mail programs send along (RFC 8058) says nothing more."""

    token: Annotated[str, Meta(max_length=1024)]


def unsubscribe(request: Unsubscribe, *, table: Table, secrets: Secrets) -> Reply:
    """Send no more mails of that kind; again is fine.

    Raises:
        InvalidToken: the link is not complete.
    """
    stopped = unsubscribing.read(secrets.cursor_key(), request.token)
    if stopped.user_id is None:
        notices.mute(table, stopped.invitee)
    else:
        with suppress(errors.Unauthenticated):  # an account that is gone gets no mails
            notices.prefer(table, stopped.user_id, {(stopped.kind, "email"): False})
    return unsubscribing.page(
        "These mails have stopped",
        f'<p class="lead">You get no more mails about {unsubscribing.ABOUT[stopped.kind]}.</p>',
    )


handler = operation(unsubscribe, explain=unsubscribing.explain)
