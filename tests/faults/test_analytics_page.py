"""What docs/analytics.md lets people ask is answered, and rightly."""

import random
import re
import statistics
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.fakes import World
from tests.faults.evening import spend, told
from tests.faults.groups import Group
from trinity.domain.consensus import Easing
from trinity.domain.domain_events import DomainEvent
from trinity.domain.ids import MINUTE, utc_day
from trinity.infrastructure.filesystem.archive import FileArchive
from trinity.store import archive as files

PAGE = Path(__file__).parents[2] / "docs" / "analytics.md"
VIEWS, BY_DAY, AGREED_ON, BY_RULE = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def events(world: World) -> list[DomainEvent]:
    """An evening, and rooms of another day that went otherwise."""
    spend(world)
    for minutes in (1, 4, 30):
        group = Group(world, members=2, stop_at="never", rule=Easing())
        world.vote(group.users[0], group.room, 1)
        world.clock.advance(minutes * MINUTE)
        world.vote(group.users[1], group.room, 1)
        world.vote(group.users[1], group.room, 2)
    return told(world)


@pytest.fixture
def ask(events: list[DomainEvent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask DuckDB, in a data folder whose archive has each event at least once."""
    archive = FileArchive(tmp_path / "archive")
    some = [*events, *random.Random(1).sample(events, len(events) // 2)]
    random.Random(2).shuffle(some)
    for first in range(0, len(some), 20):
        files.write(archive, some[first : first + 20])
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        connection.execute(VIEWS)
        yield lambda sql: connection.execute(sql).fetchall()


def test_each_event_and_each_vote_counts_once(ask: Any, events: list[DomainEvent]) -> None:
    assert ask("SELECT count(*) FROM events") == [(len({event.id for event in events}),)]
    newest: dict[Any, tuple[int, Any]] = {}
    for event in events:
        for vote in event.data.get("votes", ()):
            key = event.data["roomId"], vote["titleId"], vote["userId"]
            newest[key] = max(newest.get(key, (0, None)), (vote["rev"], vote["choice"]))
    expected = sorted((*key, choice) for key, (_, choice) in newest.items() if choice is not None)
    assert sorted(ask("SELECT room, title, member, choice FROM votes")) == expected
    assert len(expected) > 20


def test_days_are_told_as_they_were(ask: Any, events: list[DomainEvent]) -> None:
    rows = {str(row[0]): row[1:] for row in ask(BY_DAY)}
    opened = {e.data["roomId"]: e.data["at"] for e in events if e.type == "RoomOpened"}
    matched: dict[str, int] = {}
    for event in events:
        if event.type == "MatchFound":
            room, at = event.data["roomId"], event.data["at"]
            matched[room] = min(matched.get(room, at), at)
    joined = {(e.data["roomId"], e.data["userId"]) for e in events if e.type == "MemberJoined"}
    days = {utc_day(at) for at in opened.values()}
    assert rows.keys() == days
    for day in days:
        rooms = [room for room, at in opened.items() if utc_day(at) == day]
        took = [matched[room] - opened[room] for room in rooms if room in matched]
        count, members, votes, rate, p50, p90 = rows[day]
        assert count == len(rooms)
        assert members == sum(room in rooms for room, _ in joined)
        assert votes == ask(f"SELECT count(*) FROM votes WHERE list_contains({rooms}, room)")[0][0]
        assert rate == pytest.approx(len(took) / len(rooms))
        assert p50 == pytest.approx(statistics.median(took))
        deciles = statistics.quantiles(took, n=10, method="inclusive")
        assert p90 == pytest.approx(deciles[-1])


def test_the_other_questions_have_answers(ask: Any, events: list[DomainEvent]) -> None:
    agreed = dict(ask(AGREED_ON))
    assert sum(agreed.values()) == sum(event.type == "MatchFound" for event in events)
    assert agreed["Film 1"] >= 3
    rules = {rule: (rooms, rate) for rule, rooms, rate in ask(BY_RULE)}
    assert rules["easing"] == (3, 1.0)
