"""The command line: `trinity --help`."""

import argparse
import os
import sys
from collections.abc import Sequence

from trinity import __version__
from trinity.common.settings import InvalidSettings, Settings, from_environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = from_environment(os.environ)
    except InvalidSettings as error:
        print(f"trinity: {error}", file=sys.stderr)
        return 2
    status: int = parsed.run(parsed, settings)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trinity", description="Groups decide together by swiping through a shared deck."
    )
    parser.add_argument("--version", action="version", version=f"trinity {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve Trinity on this machine")
    serve.set_defaults(run=_serve)
    return parser


def _serve(parsed: argparse.Namespace, settings: Settings) -> int:
    from trinity.bootstrap import Services
    from trinity.embedded import server
    from trinity.infrastructure.sqlite.store import SchemaTooNew

    def announce(host: str, port: int) -> None:
        print(f"Trinity is at http://{host}:{port}", flush=True)

    try:
        server.serve(Services(settings), announce)
    except (server.DataInUse, server.AddressInUse, SchemaTooNew) as error:
        print(f"trinity: {error}", file=sys.stderr)
        return 1
    return 0
