"""The command `trinity dlq`: what becomes of messages that failed too often, on both hosts."""

import argparse
import json
import sys
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from trinity.common.settings import Settings

if TYPE_CHECKING:
    from trinity.bootstrap import Services
    from trinity.common.dead_letters import DeadLetters
    from trinity.ports import Message


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    dlq = commands.add_parser(
        "dlq",
        help="see to messages that failed too often",
        description="A message that fails again and again ends in the dead-letter queue of its"
        " queue. Here you see what lies there, send it back once the cause is mended, or drop"
        " it. On AWS, TRINITY_QUEUE_PREFIX tells which queues are meant, and stream-failures is"
        " one more: it holds notes on changes and clocks' calls that a function could not cope"
        " with. The server on this machine may go on meanwhile.",
    )
    actions = dlq.add_subparsers(title="actions", required=True, metavar="ACTION")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON")
    of_queue = argparse.ArgumentParser(add_help=False)
    of_queue.add_argument("queue", metavar="QUEUE", help="one that `trinity dlq list` names")

    counts = actions.add_parser(
        "list",
        parents=[as_json],
        help="count what waits and what is dead",
        description="Count, for each queue, the messages that wait or are being worked on, and"
        " those that failed too often. On AWS the numbers may be a minute old.",
    )
    counts.set_defaults(run=_run, act=_list)

    show = actions.add_parser(
        "show",
        parents=[of_queue, as_json],
        help="show dead messages, or one whole",
        description="Show the dead messages of a queue, a line each, or one of them whole. Whoever"
        " looks at the same time may miss some.",
    )
    show.add_argument("id", metavar="ID", nargs="?", help="of the message to show whole")
    show.add_argument(
        "--limit",
        type=_positive,
        default=100,
        metavar="N",
        help="show at most so many (default 100)",
    )
    show.set_defaults(run=_run, act=_show)

    for action, act, help_, description in (
        (
            "redrive",
            _redrive,
            "send dead messages back to their queue",
            "Send dead messages back to their queue, where each is tried anew under a new ID. What"
            " stream-failures notes is done at once: the function is called again, with the changes"
            " that the stream keeps for 24 hours.",
        ),
        ("drop", _drop, "remove dead messages for good", "Remove dead messages for good."),
    ):
        settle = actions.add_parser(
            action, parents=[of_queue, as_json], help=help_, description=description
        )
        settle.add_argument("ids", metavar="ID", nargs="*", help="of the messages that are meant")
        settle.add_argument("--all", action="store_true", help="all that are dead by now")
        settle.set_defaults(run=_run, act=act)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


class _Refused(Exception):
    """What a command was asked for cannot be done; the message says why."""


def _run(parsed: argparse.Namespace, settings: Settings) -> int:
    import sqlite3

    from trinity.bootstrap import Services
    from trinity.embedded.backup import DATABASE
    from trinity.infrastructure.aws.client import AwsError
    from trinity.infrastructure.sqlite.store import SchemaTooNew
    from trinity.ports import Unavailable

    services = Services(settings)
    database = settings.folder / DATABASE
    try:
        if settings.queue_prefix:
            return _act(parsed, services)
        if not database.exists():
            print(f"trinity: there is no data in {settings.folder}", file=sys.stderr)
            return 1
        with closing(services.store):
            return _act(parsed, services)
    except sqlite3.DatabaseError as error:
        print(f"trinity: {database} cannot be used: {error}; try trinity doctor", file=sys.stderr)
    except KeyError as error:
        prefix = settings.queue_prefix
        print(f"trinity: there is no queue {prefix}{error.args[0]} on AWS", file=sys.stderr)
    except (_Refused, AwsError, SchemaTooNew, Unavailable, RuntimeError) as error:
        print(f"trinity: {error}", file=sys.stderr)
    return 1


def _act(parsed: argparse.Namespace, services: "Services") -> int:
    status: int = parsed.act(parsed, services)
    return status


def _list(parsed: argparse.Namespace, services: "Services") -> int:
    from trinity.topology import FAILED_CALLS, QUEUES

    count = services.queues.count
    rows: list[dict[str, Any]] = [
        {"queue": queue.name, "waiting": count(queue.name), "dead": count(queue.dead_letters)}
        for queue in QUEUES
    ]
    if services.settings.queue_prefix:
        rows.append({"queue": FAILED_CALLS, "waiting": None, "dead": count(FAILED_CALLS)})
    if parsed.json:
        print(json.dumps(rows, indent=2))
        return 0
    width = max(map(len, ["queue", *(row["queue"] for row in rows)]))
    print(f"{'queue':{width}}  {'waiting':>9}  {'dead':>9}")
    for row in rows:
        waiting = "-" if row["waiting"] is None else f"{row['waiting']:,}"
        print(f"{row['queue']:{width}}  {waiting:>9}  {row['dead']:>9,}")
    return 0


def _show(parsed: argparse.Namespace, services: "Services") -> int:
    dead = _dead_letters(parsed, services, {})
    if parsed.id is not None:
        message = dead.find(parsed.id)
        if message is None:
            raise _Refused(f"there is no dead message {parsed.id} in {parsed.queue}")
        print(json.dumps(_shown(message), indent=2, ensure_ascii=False))
        return 0
    messages = dead.look(limit=parsed.limit)
    if parsed.json:
        print(json.dumps([_shown(message) for message in messages], indent=2, ensure_ascii=False))
        return 0
    if not messages:
        print(f"nothing is dead in {parsed.queue}")
    for message in messages:
        shown = _shown(message)
        print(f"{message.id}  {shown['sentAt']}  {_about(shown['body'])}".rstrip())
    return 0


def _about(body: Any) -> str:
    """Return in a few words what a message tells of."""
    match body:
        case {"detail-type": kind}:
            return str(kind)
        case {"DDBStreamBatchInfo": {"batchSize": size}, "requestContext": {"functionArn": arn}}:
            changes = "1 change" if size == 1 else f"{size} changes"
            return f"{changes} for {arn.partition(':function:')[2]}"
        case {"schedule": clock, "time": due}:
            return f"{clock} at {due}"
    return ""


def _shown(message: "Message") -> dict[str, Any]:
    """Return a message as it is printed: with its body as JSON, if it is some."""
    body: Any = message.body
    with suppress(ValueError):
        body = json.loads(message.body)
    seconds, millis = divmod(message.sent_at, 1000)
    sent = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return {"id": message.id, "sentAt": f"{sent}.{millis:03}Z", "body": body}


def _redrive(parsed: argparse.Namespace, services: "Services") -> int:
    failed: dict[str, str] = {}
    dead, ids = _dead_letters(parsed, services, failed), _meant(parsed)
    done = dead.redrive(ids, before=services.clock.now())
    return _settled(parsed, "redriven", done, failed)


def _drop(parsed: argparse.Namespace, services: "Services") -> int:
    dead, ids = _dead_letters(parsed, services, {}), _meant(parsed)
    return _settled(parsed, "dropped", dead.drop(ids, before=services.clock.now()), {})


def _dead_letters(
    parsed: argparse.Namespace, services: "Services", failed: dict[str, str]
) -> "DeadLetters":
    """Return those of the queue that is meant; `failed` takes what cannot be redriven, and why."""
    from trinity.common.dead_letters import DeadLetters
    from trinity.topology import FAILED_CALLS, QUEUES

    known = {queue.name: queue for queue in QUEUES}
    if parsed.queue in known:
        return DeadLetters.of(services.queues, known[parsed.queue])
    on_aws = bool(services.settings.queue_prefix)
    if parsed.queue == FAILED_CALLS and on_aws:
        return DeadLetters(services.queues, FAILED_CALLS, partial(_call_again, services, failed))
    names = ", ".join([*known, *([FAILED_CALLS] if on_aws else [])])
    raise _Refused(f"there is no queue {parsed.queue}, but there are: {names}")


def _call_again(
    services: "Services", failed: dict[str, str], messages: "list[Message]"
) -> "list[Message]":
    """Make the calls once more that some messages tell of; return those that could be made."""
    from trinity.infrastructure.messaging.failed_calls import CannotRepeat

    for message in messages:
        try:
            services.failed_calls.again(message.body)
        except CannotRepeat as error:
            failed[message.id] = str(error)
    return [message for message in messages if message.id not in failed]


def _meant(parsed: argparse.Namespace) -> set[str] | None:
    """Return the ids of the messages that are meant, None for all."""
    if parsed.all == bool(parsed.ids):
        raise _Refused("name the messages by their IDs, or say --all")
    return None if parsed.all else set(parsed.ids)


def _settled(parsed: argparse.Namespace, what: str, done: set[str], failed: dict[str, str]) -> int:
    missing = sorted(set(parsed.ids) - done - failed.keys())
    if parsed.json:
        print(json.dumps({what: sorted(done), "missing": missing, "failed": failed}, indent=2))
    else:
        print(f"{len(done):,} {what}")
        for id_ in missing:
            print(f"trinity: there is no dead message {id_} in {parsed.queue}", file=sys.stderr)
        for id_, why in failed.items():
            print(f"trinity: {id_}: {why}", file=sys.stderr)
    return 1 if missing or failed else 0
