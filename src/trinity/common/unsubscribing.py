"""Links by which people who get our mails stop them, without signing in.

They stay good, for a mail is kept for years, and name nobody: neither they nor what is kept for
them in the table holds an address.
"""

import msgspec

from trinity.common import pages, sealed
from trinity.common.requests import Event, Reply, Response
from trinity.domain import errors
from trinity.domain.errors import DomainError
from trinity.domain.ids import UserId
from trinity.domain.notices import Kind


class Unsubscription(msgspec.Struct, frozen=True, array_like=True):
    """Who wants no mails of a kind any more: a user, or somebody invited without an account."""

    kind: Kind
    user_id: UserId | None
    invitee: str


ABOUT: dict[Kind, str] = {
    "matchFound": "matches of your groups",
    "invited": "invitations to rooms",
}
_BROKEN = (
    '<p class="lead">A part of it is missing, or it is very old. Nothing has changed: you get the'
    " same mails as before.</p><p>Some mail programs cut long links. Open it from the mail once"
    " more, or copy all of it into the address line of your browser. If that does not help, take"
    " the link in our newest mail to you: that one works.</p>"
)


def url(key: bytes, home: str, kind: Kind, user_id: UserId | None, invitee: str) -> str:
    """Return the link for a mail to a user, or else to somebody without an account."""
    stopped = Unsubscription(kind, user_id, invitee)
    token = sealed.seal(key, "unsubscribe", msgspec.json.encode(stopped))
    return f"{home}/api/unsubscribe/{token}"


def read(key: bytes, token: str) -> Unsubscription:
    """Return what the token of a link stands for.

    Raises:
        InvalidToken: it is none of ours.
    """
    payload = sealed.unseal(key, "unsubscribe", token)
    if payload is None:
        raise errors.InvalidToken("This link is not complete. Open it from the mail once more.")
    return msgspec.json.decode(payload, type=Unsubscription)


def page(title: str, content: str) -> Reply:
    """Return a page; see `pages.page`."""
    return Reply(pages.page(title, content).encode(), pages.HEADERS)


def explain(event: Event, error: DomainError, problem: Response) -> Response:
    """Return the refusal of a link: a page for people, the problem document for programs."""
    if not pages.wanted(event["headers"]):
        return problem
    if isinstance(error, errors.InvalidToken | errors.InvalidRequest):
        return pages.instead_of(problem, "This link does not work", _BROKEN)
    return pages.instead_of(problem, "That did not work", f'<p class="lead">{error.detail}</p>')


def invitee(key: bytes, address: str) -> str:
    """Return what an address without an account is called where addresses should not be."""
    return sealed.mac(key, "invitee", address.encode()).hex()
