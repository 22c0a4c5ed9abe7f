"""Writes the reference pages of docs/ and schema/openapi.json from the code (`make docs`).

With `--check` nothing is written: the exit status is 1 if a page is not what it should be.
"""

import json
import sys
from pathlib import Path

import msgspec

from deploy import permissions
from trinity.common import problems, rate_limits
from trinity.common.described import described
from trinity.common.settings import PREFIX, Settings
from trinity.domain.domain_events import FACTS
from trinity.event_schemas import breaks, schemas
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
    _, meanings = described(Settings)
    for field in msgspec.structs.fields(Settings):
        default = f"`{field.default}`" if str(field.default) else "(empty)"
        lines.append(f"| `{PREFIX}{field.name.upper()}` | {default} | {meanings[field.name]} |")
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
        "Browsers, which would rather have `text/html`, get a page in words for people instead, with",
        "the same status: from the links in mails, and in the embedded host from every path that is",
        "none of the API.",
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
        "* `POST /api/rooms` and `POST /api/uploads` take an `Idempotency-Key`: the same key from the",
        "  same caller gives the same answer for a day. The other creates open sessions, whose tokens",
        "  are never stored and so cannot be given twice; an e-mail address is unique, and a guest too",
        "  many is harmless.",
        "* Lists are `{items, cursor}`; a cursor is good for a day and for the list it came from.",
        "* Room, deck and results carry an `ETag`; send it as `If-None-Match` and get 304.",
        "* A body has at most 256 KiB. Files go past the API: [uploads.md](uploads.md).",
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


def events_page() -> str:
    """Return docs/events.md."""
    known = schemas()
    lines = [
        "# Events",
        "",
        "What has happened is told on a bus: EventBridge on AWS, queues in the SQLite file where",
        "Trinity runs as one process. Notifications, analytics and the archive live on it, and",
        "whatever you build can, too.",
        "",
        "Only the change feed emits (`handlers/streams/emit.py`): what was committed is told, even",
        "if the process dies right after, about a second later. No request waits for it.",
        "",
        "## What there is",
        "",
        "| event | when | schema |",
        "|---|---|---|",
    ]
    for name in FACTS:
        versioned = f"{name}.v{FACTS[name].version}"
        when = known[versioned]["description"]
        lines.append(f"| `{name}` | {when} | [{versioned}](../schema/events/{versioned}.json) |")
    lines += [
        "",
        "Each of them is the `data` of an [envelope](../schema/events/DomainEvent.v1.json):",
        "",
        "| field | what it is |",
        "|---|---|",
    ]
    for field, schema in known["DomainEvent.v1"]["properties"].items():
        lines.append(f"| `{field}` | {schema['description']} |")
    lines += [
        "",
        "On AWS the envelope is the `detail` of an event of EventBridge, with source `trinity` and",
        "the type as `detail-type`. In a queue the body of a message is that whole event.",
        "",
        "## How to consume them",
        "",
        "* **Expect each event twice, and any order.** Remember the `id` of what has had its effect,",
        "  or, better, let the effect be the same when it comes again. Of two events on one room the",
        "  one with the larger `roomVersion` is newer; a vote is known by its room, title, user and",
        "  `rev`, and the largest `rev` is what the user says now.",
        "* **A vote may come in two different `VoteCast`.** They are gathered by room, and what is",
        "  delivered again may be gathered in another way.",
        "* **Skip what you do not know**: types, fields, and values of enumerations. Within a version",
        "  fields are only added. What would break a reader is a new version, told under a schema of",
        "  its own; `make docs` refuses to change a released schema in another way.",
        "* **Events tell what happened, not what is.** Whoever needs the room as it is asks for it.",
        "* **They are for the inside.** `VoteCast` tells who voted what at once, in secret rooms, too.",
        "  Nothing that reaches members may: show counts or names only as the room's results do.",
        "* Users are told by their ids, which are chance; names and addresses are in no event.",
        "  `title` of `MatchFound` is free text where a room votes on a list of its own.",
        "* The removal of a room, by its host or because it is 60 days old, is one `RoomDeleted`. Its",
        "  members do not leave and its votes are not taken back, each by itself.",
        "* `correlationId` is the `X-Request-Id` of the request that led here. What a stream or a",
        "  schedule does bears the id of the change that made it do so, where there is one.",
        "",
        "In Trinity itself a consumer is a function with a queue in `topology.py`; its use case takes",
        "`event` or `events`, and `tests/faults/test_consumers.py` hands it a whole evening twice and",
        "shuffled.",
        "",
        "## Examples",
        "",
    ]
    for name, kind in FACTS.items():
        example = ROOT / EXAMPLES / f"{name}.v{kind.version}.json"
        lines += [f"### {name}", "", "```json", example.read_text().rstrip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _limit(limit: rate_limits.Limit | None) -> str:
    if limit is None:
        return ""
    return f"{limit.most} in {limit.per_s} s"


def permissions_page() -> str:
    """Return docs/permissions.md."""
    readers = [f"`{f.name}`" for f in FUNCTIONS if permissions.CATALOGUE in f.grants]
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
        "Where a stage asks TMDB, functions that read the catalogue ("
        + ", ".join(readers)
        + "): "
        + "; ".join(map(_allowed, permissions.TMDB))
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


EVENTS = "schema/events"
EXAMPLES = f"{EVENTS}/examples"
PAGES = {
    "docs/permissions.md": permissions_page,
    "docs/settings.md": settings_page,
    "docs/errors.md": errors_page,
    "docs/api.md": api_page,
    "docs/events.md": events_page,
    "schema/openapi.json": lambda: json.dumps(document(), indent=2, ensure_ascii=False) + "\n",
}


def main() -> int:
    """Write or check every page; return the exit status."""
    pages = {name: make() for name, make in PAGES.items()}
    broken = False
    for name, schema in schemas().items():
        path = ROOT / EVENTS / f"{name}.json"
        for reason in breaks(json.loads(path.read_text()), schema) if path.exists() else ():
            broken = True
            print(f"{name}: {reason}; that needs a new version of the event")
        pages[f"{EVENTS}/{name}.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if broken:
        return 1
    stale = []
    for name, text in pages.items():
        path = ROOT / name
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
