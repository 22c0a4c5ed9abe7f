"""Writes the reference pages of docs/ and schema/openapi.json from the code (`make docs`).

With `--check` nothing is written: the exit status is 1 if a page is not what it should be.
"""

import json
import sys
from pathlib import Path

import msgspec

from deploy import permissions
from trinity.common import problems, rate_limits
from trinity.common.settings import PREFIX, Settings
from trinity.openapi import document, load
from trinity.topology import FUNCTIONS

ROOT = Path(__file__).resolve().parent.parent


def settings_page() -> str:
    """Return docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "All of them are environment variables, and none is needed. An unknown `TRINITY_*` variable",
        "or a value that makes no sense stops the start with a message.",
        "",
        "| variable | default | what it does |",
        "|---|---|---|",
    ]
    for field in msgspec.structs.fields(Settings):
        text = field.type.__metadata__[0].description
        default = f"`{field.default}`" if str(field.default) else "(empty)"
        lines.append(f"| `{PREFIX}{field.name.upper()}` | {default} | {text} |")
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Return docs/errors.md."""
    lines = [
        "# Errors",
        "",
        "Every error is a problem document (RFC 9457, `application/problem+json`) with a `code` that",
        "stays the same for good. `detail` is one sentence for people; `errors` tells which field of",
        "the request is meant, as JSON pointers; `instance` names the request as the log does. Errors",
        "with status 429 and 503 say in `Retry-After` when to try again.",
        "",
        "| code | status | when |",
        "|---|---|---|",
    ]
    rows = []
    for error, (status, _) in problems.STATUS.items():
        meaning = " ".join((error.__doc__ or "").split())
        rows.append((status, error.code, meaning))
    lines += [f"| `{code}` | {status} | {meaning} |" for status, code, meaning in sorted(rows)]
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """Return docs/api.md."""
    lines = [
        "# The API",
        "",
        "JSON over HTTP; the exact shapes are in [openapi.json](../schema/openapi.json), which a",
        "server also gives at `/api/openapi.json`. Errors are in [errors.md](errors.md).",
        "",
        "* Sign in with `Authorization: Bearer <accessToken>`; it is good for 15 minutes, and",
        "  `POST /api/auth/refresh` gives the next. Each refresh token works once.",
        "* `POST /api/rooms` takes an `Idempotency-Key`: the same key from the same caller gives the",
        "  same answer for a day. The other creates open sessions, whose tokens are never stored and",
        "  so cannot be given twice; an e-mail address is unique, and a guest too many is harmless.",
        "* Lists are `{items, cursor}`; a cursor is good for a day and for the list it came from.",
        "* Room, deck and results carry an `ETag`; send it as `If-None-Match` and get 304.",
        "* A body has at most 256 KiB.",
        "",
        "| method and path | operation | what it does |",
        "|---|---|---|",
    ]
    for function in FUNCTIONS:
        if function.route:
            summary = " ".join((load(function).use_case.__doc__ or "").split("\n\n")[0].split())
            lines.append(f"| `{function.route}` | `{function.name}` | {summary} |")
    lines += [
        "",
        "Not there yet: uploads (and decks made of them), avatars, and the reports of rooms and users.",
        "",
        "## Limits",
        "",
        "| action | per address | per account |",
        "|---|---|---|",
    ]
    actions = dict.fromkeys([*rate_limits.PER_ADDRESS, *rate_limits.PER_ACCOUNT])
    for action in actions:
        by_address = _limit(rate_limits.PER_ADDRESS.get(action))
        by_account = _limit(rate_limits.PER_ACCOUNT.get(action))
        lines.append(f"| `{action}` | {by_address} | {by_account} |")
    return "\n".join(lines) + "\n"


def _limit(limit: rate_limits.Limit | None) -> str:
    if limit is None:
        return ""
    return f"{limit.most} in {limit.per_s} s"


def permissions_page() -> str:
    """Return docs/permissions.md."""
    lines = [
        "# Permissions",
        "",
        "What each function may do on AWS, made from the grants of the topology (deploy/permissions.py).",
        "Each has a role of its own with these actions on these resources and nothing else. A change of",
        "this page is a change of what somebody who breaks into a function can do.",
        "",
        "Every function: " + "; ".join(map(_allowed, permissions.BASIC)) + ".",
        "Where a stage has a shared cache, functions that share it: "
        + "; ".join(map(_allowed, permissions.IN_VPC))
        + ".",
        "",
        "| function | may |",
        "|---|---|",
    ]
    for function in FUNCTIONS:
        own = permissions.statements(function)[len(permissions.BASIC) :]
        lines.append(f"| `{function.name}` | {'<br>'.join(map(_allowed, own)) or 'no more'} |")
    return "\n".join(lines) + "\n"


def _allowed(statement: permissions.Statement) -> str:
    actions = ", ".join(f"`{action}`" for action in statement.actions)
    return f"{actions} on {', '.join(f'*{r}*' if r != '*' else 'anything' for r in statement.resources)}"


PAGES = {
    "docs/permissions.md": permissions_page,
    "docs/settings.md": settings_page,
    "docs/errors.md": errors_page,
    "docs/api.md": api_page,
    "schema/openapi.json": lambda: json.dumps(document(), indent=2, ensure_ascii=False) + "\n",
}


def main() -> int:
    """Write or check every page; return the exit status."""
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    for name in stale:
        print(f"{name} was not up to date" + ("; run make docs" if "--check" in sys.argv else ""))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
