"""Take my picture away."""

from trinity.bootstrap import operation
from trinity.common.requests import Caller
from trinity.ports import Cache, Clock, Table
from trinity.store import memberships, users


def remove_avatar(caller: Caller, *, table: Table, cache: Cache, clock: Clock) -> None:
    """Be without a picture again, in all rooms. One that is still being processed will not come.

    Raises:
        Unauthenticated: the account was removed since the token was given out.
    """
    users.remove_avatar(table, caller.user_id, clock.now())
    memberships.show_profile(table, cache, caller.user_id)


handler = operation(remove_avatar, status=204)
