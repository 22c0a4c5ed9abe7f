"""The command line: `trinity --help`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from trinity import __version__, dlq, report
from trinity.common.described import described
from trinity.common.settings import PREFIX, InvalidSettings, Settings, from_environment

_EPILOG = (
    "Settings are environment variables named TRINITY_*, for example TRINITY_PORT=9000 trinity"
    " serve. trinity serve --help lists them, and so does docs/settings.md."
)
_ON_AWS_ALONE = (
    "table_name",
    "bucket_name",
    "archive_bucket_name",
    "uploads_bucket_name",
    "bus_name",
    "queue_prefix",
    "appsync_url",
    "signing_secret",
    "cursor_secret",
)
"""Settings that would keep things where backup, doctor and the change feed do not look."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        settings = from_environment(os.environ)
    except InvalidSettings as error:
        print(f"trinity: {error}", file=sys.stderr)
        return 2
    try:
        status: int = parsed.run(parsed, settings)
        sys.stdout.flush()
    except BrokenPipeError:  # `trinity … | head` has what it wanted
        # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trinity",
        description="Groups decide together what to watch, or eat, or name the cat: everybody"
        " swipes through the same deck until the group agrees.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"trinity {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="serve Trinity on this machine until Ctrl-C",
        description="Serve the web page and the API. Everything that lasts is kept in the folder"
        " TRINITY_DATA (./data). TRINITY_HOST=0.0.0.0 lets phones in your network join.",
        epilog=_settings(),
        formatter_class=_KeepIndented,
    )
    serve.set_defaults(run=_serve)

    demo = commands.add_parser(
        "demo",
        help="watch simulated friends reach a match",
        description="Simulated friends swipe in a room until they agree, live in this terminal."
        " Without further words they get a room and a server of their own, which are gone"
        " afterwards. With --join they come to your room on a server that runs.",
    )
    demo.add_argument("--friends", type=int, default=4, metavar="N", help="how many (default 4)")
    demo.add_argument("--join", metavar="CODE", help="come to the room with this code")
    demo.add_argument(
        "--url", default=None, help="the server with that room (default: this machine's)"
    )
    demo.add_argument(
        "--pace",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="that somebody looks at a card, about (default 1.0)",
    )
    demo.add_argument(
        "--seed", type=int, default=None, metavar="N", help="the same number, the same tastes"
    )
    demo.set_defaults(run=_demo)

    backup = commands.add_parser(
        "backup",
        help="copy everything that lasts into one file",
        description="Copy the database, decks and keys of TRINITY_DATA into one tar file. The"
        " server may go on meanwhile. Keep the file private: it holds the signing key.",
    )
    backup.add_argument(
        "file", type=Path, metavar="FILE", help="the tar file; one that is there is replaced"
    )
    backup.set_defaults(run=_backup)

    restore = commands.add_parser(
        "restore",
        help="bring a backup back into an empty TRINITY_DATA",
        description="Bring a backup back. TRINITY_DATA must not have data yet, so nothing is ever"
        " written over. Everybody stays signed in: the keys are part of the backup.",
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="what trinity backup wrote")
    restore.set_defaults(run=_restore)

    doctor = commands.add_parser(
        "doctor",
        help="check the data",
        description="Check the data in TRINITY_DATA without changing it: the database and what its"
        " items say of each other, the decks, the keys. Each line is one check, with how many"
        " things it looked at. The exit status is 1 if anything is wrong. The server may go on"
        " meanwhile.",
    )
    doctor.set_defaults(run=_doctor)

    dlq.add_to(commands)
    report.add_to(commands)

    openapi = commands.add_parser(
        "openapi",
        help="print the description of the API",
        description="Print the OpenAPI 3.1 document of the API as JSON, the same that a server"
        " gives at /api/openapi.json.",
    )
    openapi.set_defaults(run=_openapi)
    return parser


class _KeepIndented(argparse.HelpFormatter):
    """Wraps each line of a text by itself, and keeps its indent."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            super(_KeepIndented, self)._fill_text(line, width, line[: -len(line.lstrip())] + indent)
            for line in text.splitlines()
        )


def _settings() -> str:
    """Return what can be set and what is set if nothing is said."""
    lines = ["settings, environment variables that may all be left out:"]
    _, meanings = described(Settings)
    for field in msgspec.structs.fields(Settings):
        description = meanings[field.name]
        if not description.startswith("On AWS"):
            default = f" ({field.default})" if str(field.default) else ""
            lines += [f"  {PREFIX}{field.name.upper()}{default}", f"      {description}"]
    return "\n".join(lines)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if 0 <= value <= 3600:
            return value
    raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 3600")


def _serve(parsed: argparse.Namespace, settings: Settings) -> int:
    from trinity.bootstrap import Services
    from trinity.embedded import server
    from trinity.infrastructure.sqlite.store import SchemaTooNew

    def announce(host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        print(f"Trinity is at http://{shown}:{port}")
        if host in ("0.0.0.0", "::"):  # noqa: S104  (the address that was asked for)
            for address in server.addresses():
                print(f"  for phones in your network: http://{address}:{port}")
        print(f"  data: {settings.folder.resolve()}   stop: Ctrl-C", flush=True)

    for name in _ON_AWS_ALONE:
        if getattr(settings, name):
            variable = PREFIX + name.upper()
            print(
                f"trinity: {variable} is for functions on AWS; this server keeps all of it in"
                " TRINITY_DATA",
                file=sys.stderr,
            )
            return 2
    try:
        server.serve(Services(settings), announce)
    except (
        server.DataInUse,
        server.DataUnusable,
        server.AddressInUse,
        SchemaTooNew,
    ) as error:
        print(f"trinity: {error}", file=sys.stderr)
        return 1
    return 0


def _demo(parsed: argparse.Namespace, settings: Settings) -> int:
    from trinity.embedded import demo

    try:
        return demo.run(
            friends=parsed.friends,
            code=parsed.join,
            url=parsed.url or (f"http://localhost:{settings.port}" if parsed.join else None),
            pace_s=parsed.pace,
            seed=parsed.seed,
        )
    except demo.DemoFailed as error:
        print(f"trinity: {error}", file=sys.stderr)
        return 1


def _backup(parsed: argparse.Namespace, settings: Settings) -> int:
    from trinity.embedded import backup

    try:
        size = backup.take(settings.folder, parsed.file)
    except backup.BackupFailed as error:
        print(f"trinity: {error}", file=sys.stderr)
        return 1
    print(f"{parsed.file}: {size / 1e6:.1f} MB")
    return 0


def _restore(parsed: argparse.Namespace, settings: Settings) -> int:
    from trinity.embedded import backup

    try:
        backup.restore(parsed.file, settings.folder)
    except backup.BackupFailed as error:
        print(f"trinity: {error}", file=sys.stderr)
        return 1
    print(f"{settings.folder} is as it was when the backup was taken")
    return 0


def _doctor(parsed: argparse.Namespace, settings: Settings) -> int:
    from trinity.embedded import doctor

    healthy = True
    for finding in doctor.examine(settings.folder):
        mark = "ok " if not finding.problems else "BAD"
        print(f"{mark}  {finding.check} ({finding.looked_at:,})")
        for problem in finding.problems:
            print(f"       {problem}")
        healthy = healthy and not finding.problems
    return 0 if healthy else 1


def _openapi(parsed: argparse.Namespace, settings: Settings) -> int:
    from trinity.openapi import document

    print(json.dumps(document(), indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
