"""The command `trinity report`: how it goes, in the terminal, on both hosts."""

import argparse
import json
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import msgspec

from trinity.common.settings import Settings
from trinity.domain.ids import DAY, Millis, RoomId, utc_day

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from trinity.bootstrap import Services
    from trinity.common.reports import RoomReport
    from trinity.domain.reports import Day

_MOST_DAYS = 400
_BARS = "▁▂▃▄▅▆▇█"
_BAR = 20


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    report = commands.add_parser(
        "report",
        help="see how it goes, day by day or in one room",
        description="Show the rooms of the last days: how many people and votes they had, how many"
        " found a match, and how long the first one took. With --room, show one room: who has"
        " voted how much, who agrees with whom, votes over time. While a secret room is at it,"
        " nothing is shown that single votes could be made out from. On AWS, TRINITY_TABLE_NAME"
        " and TRINITY_BUCKET_NAME tell where to look; the server on this machine may go on"
        " meanwhile. Numbers are some seconds behind.",
    )
    what = report.add_mutually_exclusive_group()
    what.add_argument(
        "--days", type=_days, default=14, metavar="N", help="so many, with today (default 14)"
    )
    what.add_argument("--room", metavar="CODE", help="the room with this code, or this id")
    report.add_argument("--json", action="store_true", help="print JSON")
    report.set_defaults(run=_run)


def _days(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"1 to {_MOST_DAYS}")
    return number


def _run(parsed: argparse.Namespace, settings: Settings) -> int:
    import sqlite3

    from trinity.bootstrap import Services
    from trinity.domain.errors import RoomNotFound
    from trinity.embedded.backup import DATABASE
    from trinity.infrastructure.aws.client import AwsError
    from trinity.infrastructure.sqlite.store import SchemaTooNew
    from trinity.ports import Unavailable

    database = settings.folder / DATABASE
    if not settings.table_name and not database.exists():
        print(f"trinity: there is no data in {settings.folder}", file=sys.stderr)
        return 1
    services = Services(settings)
    try:
        with ExitStack() as stack:
            if not settings.table_name:
                stack.enter_context(closing(services.store))
            if parsed.room is None:
                _show_days(services, parsed.days, as_json=parsed.json)
            else:
                _show_room(services, parsed.room, as_json=parsed.json)
    except RoomNotFound:
        print(f"trinity: there is no room {parsed.room}", file=sys.stderr)
    except sqlite3.DatabaseError as error:
        print(f"trinity: {database} cannot be used: {error}; try trinity doctor", file=sys.stderr)
    except (AwsError, SchemaTooNew, Unavailable, RuntimeError) as error:
        print(f"trinity: {error}", file=sys.stderr)
    else:
        return 0
    return 1


# ----------------------------------------------------------------------------------------- days


def _show_days(services: "Services", count: int, *, as_json: bool) -> None:
    from trinity.domain.reports import day
    from trinity.store import reports

    now = services.clock.now()
    dates = [utc_day(Millis(now - ago * DAY)) for ago in reversed(range(count))]
    rows = [(date, day(reports.of_day(services.table, date))) for date in dates]
    if as_json:
        print(json.dumps([_of_day(date, row) for date, row in rows], indent=2))
        return
    console = _console()
    some = [(date, row) for date, row in rows if row.rooms]
    if not some:
        console.print(f"No room was opened in the last {count} days.")
        return
    from rich.table import Table

    table = Table("day", caption="Times are from opening a room to its first match.")
    for column in ("rooms", "people", "votes", "matched", "half within", "90 % within"):
        table.add_column(column, justify="right")
    for date, row in some:
        matched = f"{row.matched:,} ({row.matched / row.rooms:.0%})"
        counts = (f"{n:,}" for n in (row.rooms, row.members, row.votes))
        table.add_row(date, *counts, matched, _took(row.p50_ms), _took(row.p90_ms))
    console.print(table)


def _of_day(date: str, row: "Day") -> dict[str, Any]:
    rate = round(row.matched / row.rooms, 4) if row.rooms else None
    return {
        "day": date,
        "rooms": row.rooms,
        "members": row.members,
        "votes": row.votes,
        "matched": row.matched,
        "matchRate": rate,
        "p50Ms": row.p50_ms,
        "p90Ms": row.p90_ms,
    }


# ----------------------------------------------------------------------------------------- rooms


def _show_room(services: "Services", name: str, *, as_json: bool) -> None:
    from trinity.common import reports
    from trinity.domain.codes import normalise
    from trinity.domain.errors import RoomNotFound
    from trinity.store import rooms

    room = rooms.find(services.table, RoomId(name), consistent=True)
    if room is None:
        code = normalise(name)
        if code is None:
            raise RoomNotFound
        room_id = rooms.id_of_code(services.table, services.cache, code)
        room = rooms.get(services.table, room_id, consistent=True)
    report = reports.of_room(services.table, services.blobs, room, services.clock.now())
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    console = _console()
    for part in _parts(report):
        console.print(part)


def _parts(report: "RoomReport") -> "list[RenderableType]":
    from rich.text import Text

    votes, matches = _plural(report.votes, "vote"), _plural(report.matches, "match", "matches")
    parts: list[RenderableType] = [
        Text.assemble((_printable(report.name), "bold"), f"  {report.state}, {votes}, {matches}"),
    ]
    if report.ms_to_first_match is not None:
        until = _plural(report.votes_to_first_match or 0, "vote")
        parts.append(Text(f"The first match took {_took(report.ms_to_first_match)} and {until}."))
    parts.append(_members(report))
    if report.hidden:
        parts.append(
            Text("Votes are secret: agreement and votes over time are shown when the room is done.")
        )
        return parts
    if any(pair.titles for pair in report.agreement):
        parts.append(_matrix(report))
    if report.over_time:
        most = max(part.votes for part in report.over_time)
        bars = "".join(
            _BARS[round(part.votes / most * (len(_BARS) - 1))] if part.votes else " "
            for part in report.over_time
        )
        first, last = report.over_time[0].at[:16], report.over_time[-1].at[:16]
        parts.append(Text(f"Votes, {report.slice_minutes} min a bar, {first} to {last} UTC:"))
        parts.append(Text(bars))
    return parts


def _members(report: "RoomReport") -> "RenderableType":
    from rich.table import Table

    table = Table("who", "seen")
    table.add_column("votes", justify="right")
    table.add_column("yes", justify="right")
    for member in report.members:
        seen = "█" * round(member.participation * _BAR)
        yes = "" if member.yes_rate is None else f"{member.yes_rate:.0%}"
        votes = f"{member.votes}/{report.deck_size}"
        table.add_row(_plain(member.name), f"{seen:░<{_BAR}}", votes, yes)
    return table


def _matrix(report: "RoomReport") -> "RenderableType":
    from rich.table import Table

    rates = {pair.user_ids: pair.rate for pair in report.agreement}
    table = Table("agree")
    for member in report.members:
        table.add_column(_plain(member.name), justify="right")
    for one in report.members:
        row = []
        for other in report.members:
            rate = rates.get((one.user_id, other.user_id), rates.get((other.user_id, one.user_id)))
            row.append("·" if rate is None else f"{rate:.0%}")
        table.add_row(_plain(one.name), *row)
    return table


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _plain(name: str) -> "RenderableType":
    """Return a name that is no markup."""
    from rich.text import Text

    return Text(_printable(name))


def _printable(name: str) -> str:
    """Return a name without what would steer the terminal."""
    return "".join(char if char.isprintable() else "�" for char in name)


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _took(millis: float | None) -> str:
    if millis is None:
        return ""
    seconds = round(millis / 1000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
