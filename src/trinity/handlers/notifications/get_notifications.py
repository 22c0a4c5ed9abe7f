"""What do I want to hear of?"""

from trinity.bootstrap import operation
from trinity.common.requests import Caller
from trinity.domain.notices import Preferences
from trinity.ports import Table
from trinity.store import notices


def get_notifications(caller: Caller, *, table: Table) -> Preferences:
    """Return by which channels the caller hears of what while away."""
    return notices.preferences(table, caller.user_id)


handler = operation(get_notifications)
