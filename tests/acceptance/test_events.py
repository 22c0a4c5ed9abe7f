"""The log of a room: in order, without gaps, the same for everybody."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.scenarios import (
    Host,
    Scenario,
    World,
    get,
    patch,
    play,
    post,
    refused,
    room,
    status,
    vote,
    votes,
)
from tests.server import eventually

_EVENTS = "/api/rooms/{r1}/events"

SCENARIOS = [
    Scenario(
        "a stranger reads no events",
        given=[room("r1", ["ana"])],
        when=get(_EVENTS, as_="eve"),
        then=refused(403, "not_a_member").without("ana"),
    ),
    Scenario(
        "after the last event there is nothing, and the cursor stays",
        given=[room("r1", ["ana"])],
        when=get(_EVENTS + "?after=999", as_="ana"),
        then=status(200).json({"items": [], "cursor": "999"}).header("cache-control", "no-store"),
    ),
    *(
        Scenario(
            f"after={after} is no cursor of events",
            given=[room("r1", ["ana"])],
            when=get(f"{_EVENTS}?after={after}", as_="ana"),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": "/after"}]}),
        )
        for after in ("x", "-1", "1.5", "", "1234567890123", "%D9%A1", "1%00", "0x1", "+1", "1_0")
    ),
    *(
        Scenario(
            f"limit={limit} is refused",
            given=[room("r1", ["ana"])],
            when=get(f"{_EVENTS}?limit={limit}", as_="ana"),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": "/limit"}]}),
        )
        for limit in ("0", "501", "x")
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_events(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


def everything(world: World) -> None:
    """Let most things happen that can happen in a room."""
    world.room("r1", ["ana", "ben", "cleo"], ["jaws", "heat", "alien"], {"stopAt": 2})
    votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}).do(world)
    for call in (
        patch("/api/rooms/{r1}", as_="ana", json={"name": "renamed"}),
        patch("/api/me", as_="ben", json={"name": "Benjamin"}),
        vote("r1", "cleo", "jaws", "yes"),
        post("/api/rooms/{r1}/leave", as_="ana"),
        vote("r1", "ben", "heat", "yes"),
        vote("r1", "cleo", "heat", "yes"),
        patch("/api/rooms/{r1}", as_="ben", json={"state": "open"}),
        patch("/api/rooms/{r1}", as_="ben", json={"state": "closed"}),
    ):
        assert world.send(call).status < 300, call


def test_a_room_tells_its_whole_story_in_order(world: World) -> None:
    everything(world)
    types = [event["type"] for event in world.settled("r1") if event["type"] != "progress"]
    assert types == [
        "memberJoined",
        "memberJoined",
        "memberJoined",
        "roomUpdated",
        "memberUpdated",
        "matchFound",
        "memberLeft",
        "memberUpdated",
        "matchFound",
        "roomUpdated",
        "roomUpdated",
        "roomClosed",
    ]


def test_cursors_count_from_one_without_gaps(world: World) -> None:
    everything(world)
    log = world.settled("r1")
    assert [event["cursor"] for event in log] == [str(n) for n in range(1, len(log) + 1)]
    assert {event["roomId"] for event in log} == {world.kept["r1"]["id"]}


def test_the_times_of_a_log_never_go_back(world: World) -> None:
    everything(world)
    times = [event["at"] for event in world.settled("r1")]
    assert times == sorted(times)


def test_every_member_sees_the_same_log(world: World) -> None:
    everything(world)
    world.settled("r1")
    path = _EVENTS + "?limit=500"
    logs = [world.send(get(path, as_=who)).json["items"] for who in ("ben", "cleo")]
    assert logs[0] == logs[1] != []


def test_who_comes_late_reads_the_log_from_its_beginning(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws"], {})
    assert world.join(world.kept["r1"]["code"], "cleo").status == 200
    world.settled("r1")
    log = world.send(get(_EVENTS, as_="cleo")).json["items"]
    joined = [event["actorId"] for event in log if event["type"] == "memberJoined"]
    assert joined == [world.people[name].id for name in ("ana", "ben", "cleo")]


@pytest.mark.parametrize("limit", [1, 3, 500])
def test_going_on_after_each_page_misses_nothing_and_repeats_nothing(
    limit: int, world: World
) -> None:
    everything(world)
    whole = world.settled("r1")
    seen: list[object] = []
    after = "0"
    while True:
        page = world.send(get(f"{_EVENTS}?after={after}&limit={limit}", as_="ben")).json
        assert len(page["items"]) <= limit
        if not page["items"]:
            assert page["cursor"] == after
            break
        seen += page["items"]
        after = page["cursor"]
        assert after == page["items"][-1]["cursor"]
    assert seen == whole


def test_a_reader_who_follows_along_sees_each_event_once(world: World) -> None:
    world.room("r1", ["ana", "ben"], [f"t{n}" for n in range(30)], {"stopAt": "never"})
    seen: list[dict] = []
    after = "0"

    def follow() -> bool:
        nonlocal after
        page = world.send(get(f"{_EVENTS}?after={after}", as_="ben")).json
        seen.extend(page["items"])
        after = page["cursor"]
        return any(e["type"] == "roomClosed" for e in seen)

    def act() -> None:
        for n in range(30):
            who = ("ana", "ben")[n % 2]
            assert world.send(vote("r1", who, f"t{n // 2}", "yes")).status == 200
        done = world.send(patch("/api/rooms/{r1}", as_="ana", json={"state": "closed"}))
        assert done.status == 200

    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act)
        eventually(follow, "the room is closed", within_s=20)
        acting.result()
    assert [int(event["cursor"]) for event in seen] == list(range(1, len(seen) + 1))
    assert sum(event["type"] == "matchFound" for event in seen) == 15


def test_two_hundred_votes_are_told_in_few_progress_events_and_the_last_is_exact(
    world: World,
) -> None:
    people = ["ana", "ben", "cleo", "dan"]
    titles = [f"t{n}" for n in range(50)]
    world.room("r1", people, titles, {"stopAt": "never"})
    for name in people:
        world.person(name)

    def swipe(who: str) -> None:
        for title in titles:
            assert world.send(vote("r1", who, title, "no")).status == 200

    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(swipe, people))
    log = [event for event in world.settled("r1") if event["type"] == "progress"]
    assert log[-1]["data"] == {
        "progress": {world.people[name].id: 50 for name in people},
        "deckSize": 50,
    }
    # Four times a second at most, and as often as one likes where nothing was gathered yet.
    most = 20 if world.host.one_process else 20 + 5 * (time.monotonic() - began)
    assert 1 <= len(log) <= most, f"200 votes were told in {len(log)} events"
    totals = [sum(event["data"]["progress"].values()) for event in log]
    assert totals == sorted(set(totals)), "progress went back or was told twice"


def test_progress_counts_titles_and_not_votes(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
    for choice in ("yes", "no", "veto", "no"):
        votes("r1", ana={"jaws": choice}).do(world)
    votes("r1", ana={"heat": "no"}).do(world)
    log = [event for event in world.settled("r1") if event["type"] == "progress"]
    ana = world.people["ana"].id
    assert log[-1]["data"]["progress"][ana] == 2
    members = world.send(get("/api/rooms/{r1}", as_="ben")).json["members"]
    assert [member["progress"] for member in members] == [2, 0]


def test_somebody_whose_account_is_gone_is_not_named_in_progress_any_more(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
    votes("r1", ana={"jaws": "no"}, ben={"jaws": "no", "heat": "no"}).do(world)
    world.settled("r1")
    assert world.client.delete("/api/me", token=world.token("ben")).status == 204
    votes("r1", ana={"heat": "no"}).do(world)
    log = [event for event in world.settled("r1") if event["type"] == "progress"]
    assert log[-1]["data"]["progress"] == {world.people["ana"].id: 2}


def test_votes_of_two_rooms_do_not_show_in_each_other(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws"], {})
    world.room("r2", ["cleo", "dan"], ["jaws"], {})
    votes("r1", ana={"jaws": "no"}).do(world)
    votes("r2", cleo={"jaws": "no"}, dan={"jaws": "no"}).do(world)
    for name, people in (("r1", {"ana": 1}), ("r2", {"cleo": 1, "dan": 1})):
        log = [event for event in world.settled(name) if event["type"] == "progress"]
        expected = {world.people[who].id: count for who, count in people.items()}
        assert log[-1]["data"]["progress"] == expected
