"""Send a notice by e-mail."""

from trinity.bootstrap import worker
from trinity.common import unsubscribing
from trinity.common.settings import Settings
from trinity.domain.notices import RESET_WITHIN, Kind, Notice, reset_content
from trinity.ports import Clock, Ids, Notifier, Secrets, Table
from trinity.store import deliveries, keys, notices, sessions, users


def deliver_email(
    notice: Notice,
    *,
    table: Table,
    email: Notifier[str],
    secrets: Secrets,
    clock: Clock,
    ids: Ids,
    settings: Settings,
) -> None:
    """Mail a notice, once.

    Preferences are looked at again: whoever has unsubscribed a moment ago gets nothing more.

    Raises:
        Unavailable: it could not be sent now.
    """
    key, home = secrets.cursor_key(), settings.home
    if notice.kind == "passwordReset":
        _reset_password(notice, table, email, clock, ids, home)
        return
    stop = unsubscribing.url(key, home, notice.kind, notice.user_id, notice.invitee)
    content = deliveries.content(table, notice, home, unsubscribe_url=stop)
    address = _address(table, notice, notice.kind) if content is not None else None
    if content is not None and address is not None:

        def send() -> None:
            if notice.kind == "matchFound" and notice.user_id is not None:
                deliveries.spare_mails(table, notice.user_id, notice, clock.now())
            email.send(address, content)

        deliveries.deliver(table, ids, clock, notice, send)
    if notice.user_id is None:
        invitation = keys.invitation(notice.room_id, None, notice.invitee)
        notices.forget_names(table, invitation, "address")


def _address(table: Table, notice: Notice, kind: Kind) -> str | None:
    """Return where to send a notice, None if it is not wanted any more."""
    if notice.user_id is None:
        if notices.muted(table, notice.invitee):
            return None
        return notices.invited_address(table, notice.room_id, notice.invitee)
    user = users.find(table, notice.user_id)
    wanted = notices.preferences(table, notice.user_id).of(kind).email
    return user.email if user is not None and wanted else None


def _reset_password(
    notice: Notice, table: Table, email: Notifier[str], clock: Clock, ids: Ids, home: str
) -> None:
    """Mail a link that lets its reader set a new password.

    It leads to the address of the settings and never to one from the request: whoever asks could
    have made that up to catch the token. The token is made only now: no queue has ever held it.
    """
    user = users.find(table, notice.user_id) if notice.user_id is not None else None
    address = user.email if user is not None else None
    if user is None or address is None or clock.now() - notice.at > RESET_WITHIN:
        return

    def send() -> None:
        token = sessions.start_reset(table, ids, user.id, clock.now(), epoch=user.epoch)
        email.send(address, reset_content(notice, user.name, f"{home}/#reset={token}"))

    deliveries.deliver(table, ids, clock, notice, send)


handler = worker(deliver_email)
