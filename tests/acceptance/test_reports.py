"""Reports of rooms and people, as clients get them."""

import csv
import io

import pytest

from tests.acceptance.scenarios import (
    ABSENT,
    Host,
    Scenario,
    World,
    get,
    play,
    post,
    refused,
    room,
    status,
    votes,
)
from tests.server import eventually

_REPORT = "/api/rooms/{r1}/report"
CSV = {"accept": "text/csv"}
TAKES_S = 20.0
"""Some seconds pass until a vote is in a report: those that the queue gathers events for."""

SCENARIOS = [
    Scenario(
        "a new room has a report of what there is",
        given=[room("r1", ["ana", "ben"], secret=False)],
        when=get(_REPORT, as_="ana"),
        then=status(200)
        .json(
            {
                "votes": 0,
                "matches": 0,
                "hidden": False,
                "state": "open",
                "agreement": [{"titles": 0, "same": 0, "rate": ABSENT}],
                "overTime": [],
                "firstMatchAt": ABSENT,
                "yesRate": ABSENT,
                "members": [
                    {"name": "ana", "votes": 0, "participation": 0.0},
                    {"name": "ben", "votes": 0, "participation": 0.0},
                ],
            }
        )
        .header("vary", "accept, authorization")
        .header("content-type", "application/json"),
    ),
    Scenario(
        "a report comes as CSV to who would rather have that",
        given=[room("r1", ["ana", "ben"])],
        when=get(_REPORT, as_="ana", headers=CSV),
        then=status(200)
        .header("content-type", "text/csv; charset=utf-8; header=present")
        .header("content-disposition", 'attachment; filename="trinity-[0-9a-z]+.csv"')
        .contains("measure,userId,name"),
    ),
    Scenario(
        "a stranger gets no report",
        given=[room("r1", ["ana", "ben"])],
        when=get(_REPORT, as_="eve"),
        then=refused(403, "not_a_member").without("ana", "ben"),
    ),
    Scenario(
        "who was put out gets no report",
        given=[room("r1", ["ana", "ben"])],
        when=post("/api/rooms/{r1}/leave", as_="ben"),
        then=status(204),
        after=[(get(_REPORT, as_="ben"), refused(403, "not_a_member"))],
    ),
    Scenario(
        "a room that does not exist has no report, not even as CSV",
        when=get("/api/rooms/nowhere/report", as_="ana", headers=CSV),
        then=refused(404, "room_not_found").header("content-type", "application/problem.json"),
    ),
    Scenario(
        "nobody gets a report without a token",
        given=[room("r1", ["ana"])],
        when=get(_REPORT),
        then=refused(401, "unauthenticated"),
        one_process=True,
    ),
    Scenario(
        "who has never voted has an empty report",
        when=get("/api/me/report", as_="ana"),
        then=status(200).json(
            {"rooms": 0, "votes": 0, "genres": [], "decades": [], "agreement": []}
        ),
    ),
    Scenario(
        "my report is nobody else's",
        when=get("/api/me/report"),
        then=refused(401, "unauthenticated"),
        one_process=True,
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_reports(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


def test_votes_are_in_the_reports_of_room_and_people_a_few_seconds_later(world: World) -> None:
    wishes = {"secret": False, "stopAt": "never"}
    world.room("r1", ["ana", "ben"], ["jaws", "heat", "alien"], wishes)
    votes("r1", ana={"jaws": "yes", "heat": "no"}, ben={"jaws": "super", "heat": "yes"}).do(world)

    def report() -> dict | None:
        found = world.send(get(_REPORT, as_="ana")).json
        return found if found["votes"] == 4 else None

    found = eventually(report, "the votes are in the report", within_s=TAKES_S)
    assert (found["matches"], found["yesRate"]) == (1, 0.75)
    assert found["votesToFirstMatch"] >= 2
    assert found["msToFirstMatch"] >= 0
    [pair] = found["agreement"]
    assert (pair["titles"], pair["same"], pair["rate"]) == (2, 1, 0.5)
    assert sum(part["votes"] for part in found["overTime"]) == 4
    table = world.send(get(_REPORT, as_="ben", headers=CSV)).text
    rows = {(r["measure"], r["name"]): r["value"] for r in csv.DictReader(io.StringIO(table))}
    assert rows["participation", "ana"] == "0.6667"

    def of_ben() -> dict | None:
        mine = world.send(get("/api/me/report", as_="ben")).json
        return mine if mine["votes"] == 2 else None

    mine = eventually(of_ben, "his votes are in the report of ben", within_s=TAKES_S)
    assert (mine["rooms"], mine["yesRate"]) == (1, 1.0)
    [peer] = mine["agreement"]
    assert (peer["name"], peer["rate"]) == ("ana", 0.5)


def test_a_secret_room_hides_in_its_report_what_its_results_hide(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws", "heat", "alien"], {"stopAt": "never"})
    votes("r1", ana={"jaws": "veto", "heat": "super"}).do(world)

    def report() -> dict | None:
        found = world.send(get(_REPORT, as_="ben")).json
        return found if found["votes"] == 2 else None

    found = eventually(report, "the votes are in the report", within_s=TAKES_S)
    assert found["hidden"]
    assert (found["agreement"], found["overTime"]) == ([], [])
    assert "yesRate" not in str(found)
    assert world.send(get("/api/me/report", as_="ben")).json["agreement"] == []
