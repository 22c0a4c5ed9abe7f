"""Send a notice by e-mail."""

from trinity.bootstrap import worker
from trinity.common import unsubscribing
from trinity.common.settings import Settings
from trinity.domain.notices import Notice
from trinity.ports import Clock, Ids, Notifier, Secrets, Table
from trinity.store import deliveries, keys, notices, users


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
    content = deliveries.content(
        table,
        notice,
        settings.home,
        unsubscribe_url=unsubscribing.url(secrets.cursor_key(), settings.home, notice),
    )
    address = _address(table, notice) if content is not None else None
    if content is not None and address is not None:

        def send() -> None:
            if notice.kind == "matchFound" and notice.user_id is not None:
                deliveries.spare_mails(table, notice.user_id, notice, clock.now())
            email.send(address, content)

        deliveries.deliver(table, ids, clock, notice, send)
    if notice.user_id is None:
        key = keys.invitation(notice.room_id, None, notice.invitee)
        notices.forget_names(table, key, "address")


def _address(table: Table, notice: Notice) -> str | None:
    """Return where to send a notice, None if it is not wanted any more."""
    if notice.user_id is None:
        if notices.muted(table, notice.invitee):
            return None
        return notices.invited_address(table, notice.room_id, notice.invitee)
    user = users.find(table, notice.user_id)
    wanted = notices.preferences(table, notice.user_id).of(notice.kind).email
    return user.email if user is not None and wanted else None


handler = worker(deliver_email)
