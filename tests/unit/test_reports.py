"""The arithmetic of reports, and how they are written as CSV."""

import csv
import io
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.common.reports import COLUMNS, MemberReport, PairReport, RoomReport, SliceShape, as_csv
from trinity.common.requests import prefers
from trinity.domain.reports import (
    Cast,
    RoomOfDay,
    Share,
    agreement,
    day,
    over_time,
    quantile,
    rate,
    taste,
    together,
)
from trinity.domain.titles import Title

MINUTE = 60_000
CHOICES = st.sampled_from(["yes", "no", "super", "veto"])
BALLOTS = st.lists(st.dictionaries(st.sampled_from("abc"), CHOICES), max_size=6)


def title(name, *, genres=(), year=None):
    return Title(id=name, title=name, media_type="movie", genres=genres, year=year)


# --------------------------------------------------------------------------------- agreement


def test_a_super_agrees_with_a_yes_and_a_veto_with_a_no():
    ballots = [{"a": "super", "b": "yes"}, {"a": "veto", "b": "no"}, {"a": "yes", "b": "no"}]
    assert agreement(ballots, ["b", "a"]) == [("a", "b", 3, 2)]


def test_only_titles_that_both_have_voted_on_count():
    ballots = [{"a": "yes"}, {"b": "yes"}, {"a": "no", "c": "no"}]
    pairs = {(p.one, p.other): (p.titles, p.same) for p in agreement(ballots, "abc")}
    assert pairs == {("a", "b"): (0, 0), ("a", "c"): (1, 1), ("b", "c"): (0, 0)}


@given(BALLOTS)
def test_each_two_are_a_pair_whose_numbers_make_sense(ballots):
    pairs = agreement(ballots, "cab")
    assert [(p.one, p.other) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(0 <= p.same <= p.titles <= len(ballots) for p in pairs)
    assert agreement(list(reversed(ballots)), "abc") == pairs


# --------------------------------------------------------------------------------- over time


def test_no_votes_are_no_time():
    assert over_time([]) == (MINUTE, [])


def test_minutes_without_votes_are_told_too():
    votes = [Cast(10 * MINUTE + 5, "yes"), Cast(12 * MINUTE, "no"), Cast(12 * MINUTE + 1, "super")]
    width, slices = over_time(votes)
    assert width == MINUTE
    assert slices == [(10 * MINUTE, 1, 1), (11 * MINUTE, 0, 0), (12 * MINUTE, 2, 1)]


@given(st.lists(st.tuples(st.integers(0, 60 * 86_400_000), CHOICES), min_size=1))
def test_every_vote_is_in_one_stretch_and_there_are_not_too_many(votes):
    cast = [Cast(*vote) for vote in votes]
    width, slices = over_time(cast)
    assert 1 <= len(slices) <= 48
    assert sum(s.votes for s in slices) == len(votes)
    assert sum(s.yes for s in slices) == sum(c in ("yes", "super") for _, c in votes)
    assert [s.at for s in slices] == list(range(slices[0].at, slices[-1].at + 1, width))
    for part in slices:
        assert part.votes == sum(part.at <= vote.at < part.at + width for vote in cast)


# ------------------------------------------------------------------------------------- taste


def test_a_taste_is_told_by_genre_and_decade():
    titles = {
        "t1": title("t1", genres=("Drama", "Crime"), year=1994),
        "t2": title("t2", genres=("Drama",), year=1999),
        "t3": title("t3"),
    }
    mine = taste({"t1": "super", "t2": "no", "t3": "yes", "gone": "veto"}, titles)
    assert mine.total == Share(4, 2)
    assert mine.genres == {"Drama": Share(2, 1), "Crime": Share(1, 1)}
    assert mine.decades == {"1990": Share(2, 1)}


@given(st.lists(st.dictionaries(st.sampled_from(["t1", "t2"]), CHOICES), max_size=3))
def test_tastes_add_up(some):
    titles = {"t1": title("t1", genres=("Drama",), year=2001), "t2": title("t2", genres=("War",))}
    whole = together(taste(votes, titles) for votes in some)
    assert whole.total.votes == sum(map(len, some))
    assert sum(share.votes for share in whole.genres.values()) == whole.total.votes


# -------------------------------------------------------------------------------------- days


@given(st.lists(st.integers(0, 10_000), min_size=2))
def test_a_quantile_is_that_of_the_standard_library(values):
    assert quantile(values, 0.5) == pytest.approx(statistics.median(values))
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    assert quantile(values, 0.9) == pytest.approx(deciles[8])


def test_nothing_has_no_quantile_and_one_value_is_all_of_them():
    assert quantile([], 0.5) is None
    assert quantile([7], 0.9) == 7


def test_a_day_counts_its_rooms_and_those_that_have_matched():
    rooms = [RoomOfDay(0, 3, 20, 100), RoomOfDay(50, 2, 4), RoomOfDay(10, 2, 6, 310)]
    assert day(rooms) == (3, 7, 30, 2, 200.0, 280.0)
    assert day([]) == (0, 0, 0, 0, None, None)


def test_a_share_of_nothing_is_none():
    assert rate(0, 0) is None
    assert rate(1, 3) == 0.3333


# ------------------------------------------------------------------------------- media types


@pytest.mark.parametrize(
    ("accept", "csv_it_is"),
    [
        ("", False),
        ("*/*", False),
        ("text/csv", True),
        ("TEXT/CSV", True),
        ("text/*", True),
        ("application/json", False),
        ("application/json, text/csv", False),
        ("application/json;q=0.5, text/csv", True),
        ("text/csv;q=0.4, */*;q=0.5", False),
        ("text/csv;q=0.6, */*;q=0.5", True),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
        ("text/csv;header=present;q=0.9", True),
        ("text/html, text/csv;q=0.1", True),
        (",;,=;q=", False),
    ],
)
def test_a_client_gets_what_it_would_rather_have(accept, csv_it_is):
    assert prefers(accept, "text/csv", over="application/json") == csv_it_is


@given(st.text(max_size=200))
def test_no_header_is_too_odd(accept):
    assert prefers(accept, "text/csv", over="application/json") in (True, False)


# ---------------------------------------------------------------------------------------- CSV

NAMES = ["=cmd()", '"Ana, of the house"', "Zoë\nJr"]


def report(**changes):
    given = {
        "room_id": "r1",
        "name": "Friday",
        "state": "open",
        "hidden": False,
        "created_at": "2026-11-25T20:00:00.000Z",
        "deck_size": 4,
        "votes": 5,
        "members": [
            MemberReport(user_id=f"u{n}", name=name, votes=n, participation=n / 4, yes_rate=0.5)
            for n, name in enumerate(NAMES)
        ],
        "agreement": [
            PairReport(user_ids=("u0", "u1"), titles=0, same=0),
            PairReport(user_ids=("u1", "u2"), titles=2, same=1, rate=0.5),
        ],
        "over_time": [SliceShape(at="2026-11-25T20:01:00.000Z", votes=5, yes=2)],
        "matches": 0,
    }
    return RoomReport(**{**given, **changes})


def read(content):
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_a_report_is_a_table_with_a_line_for_each_number():
    rows = read(as_csv(report()))
    assert list(rows[0]) == list(COLUMNS)
    cells = {(r["measure"], r["userId"], r["otherId"], r["at"]): r["value"] for r in rows}
    assert cells["matches", "", "", ""] == "0"
    assert cells["votes", "", "", ""] == "5"
    assert cells["votes", "u2", "", ""] == "2"
    assert cells["yesRate", "u2", "", ""] == "0.5"
    assert cells["agreement", "u1", "u2", ""] == "0.5"
    assert cells["yes", "", "", "2026-11-25T20:01:00.000Z"] == "2"
    assert ("agreement", "u0", "u1", "") not in cells
    assert ("msToFirstMatch", "", "", "") not in cells


def test_names_come_through_whole_and_none_is_taken_for_a_formula():
    by_user = {row["userId"]: row["name"] for row in read(as_csv(report())) if row["userId"]}
    assert by_user == {"u0": "'" + NAMES[0], "u1": NAMES[1], "u2": NAMES[2]}
