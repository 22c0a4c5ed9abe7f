"""Ask for a mail that lets one set a new password."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.rate_limits import RateLimits
from trinity.common.requests import Origin, Request
from trinity.common.settings import Settings
from trinity.domain import errors
from trinity.domain.users import clean_email
from trinity.ports import Clock, Ids, Mail, Mailer, Table
from trinity.store import sessions, users


class ForgotPassword(Request, frozen=True, kw_only=True):
    """Whose password."""

    email: Annotated[str, Meta(max_length=320)]


def forgot_password(
    request: ForgotPassword,
    origin: Origin,
    *,
    table: Table,
    mailer: Mailer,
    limits: RateLimits,
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> None:
    """Send a mail with a token, if there is such an account; the answer is the same if not.

    The link in the mail leads to the address of the settings and never to one from the request:
    whoever asks could have made that up to catch the token.

    Raises:
        RateLimited: too many mails from one address or for one account.
    """
    try:
        email = clean_email(request.email)
    except errors.InvalidRequest:
        return
    limits.check("forgot_password", address=origin.address, account=email)
    user = users.by_email(table, email)
    if user is None:
        return
    token = sessions.start_reset(table, ids, user.id, clock.now(), epoch=user.epoch)
    mailer.send(
        Mail(
            to=email,
            subject="Set a new password for Trinity",
            text=(
                f"Hello {user.name},\n\nset a new password here within an hour:\n\n"
                f"{settings.home}/#reset={token}\n\n"
                "If you did not ask for this, do nothing: your password stays as it is.\n"
            ),
        )
    )


handler = operation(forgot_password, status=202)
