"""End a session."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common.requests import Request
from trinity.ports import Table
from trinity.store import sessions


class Logout(Request, frozen=True, kw_only=True):
    """The newest refresh token of the session."""

    refresh_token: Annotated[str, Meta(max_length=256)]


def logout(request: Logout, *, table: Table) -> None:
    """End the session of a refresh token. A session that has ended already is fine."""
    sessions.end(table, request.refresh_token)


handler = operation(logout, status=204)
