"""Who am I?"""

from trinity.bootstrap import operation
from trinity.common.requests import Caller, Origin
from trinity.common.shapes import UserShape
from trinity.ports import Table
from trinity.store import users


def get_me(caller: Caller, origin: Origin, *, table: Table) -> UserShape:
    """Return the caller's profile.

    Raises:
        Unauthenticated: the account was removed since the token was given out.
    """
    return UserShape.of(users.get(table, caller.user_id), origin.base_url)


handler = operation(get_me)
