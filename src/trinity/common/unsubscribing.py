"""Links by which people who get our mails stop them, without signing in.

They stay good, for a mail is kept for years, and name nobody: neither they nor what is kept for
them in the table holds an address.
"""

import msgspec

from trinity.common import sealed
from trinity.common.requests import Reply
from trinity.domain import errors
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
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}


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
    """Return a page that needs nothing else.

    Args:
        title: a sentence.
        content: HTML of ours.
    """
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title} · Trinity</title><style>body{{font:1.1em/1.5 system-ui,sans-serif;"
        "max-width:34em;margin:4em auto;padding:0 1em}button{font:inherit;padding:.6em 1.2em}"
        f"</style></head><body><h1>{title}</h1>{content}</body></html>"
    )
    return Reply(html.encode(), _HEADERS)


def invitee(key: bytes, address: str) -> str:
    """Return what an address without an account is called where addresses should not be."""
    return sealed.mac(key, "invitee", address.encode()).hex()
