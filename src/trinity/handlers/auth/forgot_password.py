"""Ask for a mail that lets one set a new password."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Origin, Request
from trinity.domain import errors
from trinity.domain.users import clean_email
from trinity.ports import Clock, Ids, Table
from trinity.store import sessions, users


class ForgotPassword(Request, frozen=True, kw_only=True):
    """Whose password."""

    email: Annotated[str, Meta(max_length=320)]


def forgot_password(
    request: ForgotPassword,
    origin: Origin,
    *,
    table: Table,
    limits: RateLimits,
    clock: Clock,
    ids: Ids,
) -> None:
    """Send a mail with a token, if there is such an account; the answer is the same if not.

    The mail is sent afterwards: neither how long that takes nor whether it can be done now shows in
    the answer, which could tell whether there is such an account.

    Raises:
        RateLimited: too many mails from one address or for one account.
    """
    try:
        email = clean_email(request.email)
    except errors.InvalidRequest:
        return
    limits.check("forgot_password", address=origin.address, account=email)
    user = users.by_email(table, email)
    if user is not None:
        sessions.ask_for_reset(table, ids, user.id, clock.now())


handler = operation(forgot_password, status=202)
