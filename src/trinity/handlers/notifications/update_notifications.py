"""Choose what I want to hear of."""

import msgspec

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Request
from trinity.domain.notices import Channel, Kind, Preferences
from trinity.ports import Table
from trinity.store import notices


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """Channels to switch on or off; what is left out stays."""

    email: bool | None = None
    push: bool | None = None
    webhook: bool | None = None


class UpdateNotifications(Request, frozen=True, kw_only=True):
    """What to change; what is left out stays."""

    match_found: Choices | None = None
    invited: Choices | None = None


def update_notifications(
    request: UpdateNotifications, caller: Caller, *, table: Table
) -> Preferences:
    """Switch channels on or off for matches and for invitations.

    Raises:
        Unauthenticated: the account was removed.
    """
    by_kind: dict[Kind, Choices | None] = {
        "matchFound": request.match_found,
        "invited": request.invited,
    }
    wanted: dict[tuple[Kind, Channel], bool | None] = {}
    for kind, choices in by_kind.items():
        if choices is not None:
            wanted[kind, "email"] = choices.email
            wanted[kind, "push"] = choices.push
            wanted[kind, "webhook"] = choices.webhook
    chosen = {choice: on for choice, on in wanted.items() if on is not None}
    notices.prefer(table, caller.user_id, chosen)
    return notices.preferences(table, caller.user_id)


handler = operation(update_notifications)
