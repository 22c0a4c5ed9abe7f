"""When a group agrees, when it does not, and that everybody hears of it exactly once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.scenarios import (
    ANY,
    TIME,
    Host,
    Scenario,
    World,
    delete,
    did,
    get,
    length,
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

_ROOM = "/api/rooms/{r1}"
_MATCHES = "/api/me/matches"
ALL_BUT_ONE = {"ana": {"jaws": "yes"}, "ben": {"jaws": "yes"}}
DECIDED = {"type": "roomUpdated", "data": {"state": "decided"}}


def at_least(count: int):
    return {"kind": "atLeast", "count": count}


def share(percent: int):
    return {"kind": "share", "percent": percent}


def change(**changes):
    return patch(_ROOM, as_="ana", json=changes)


def leave(who: str):
    return post(_ROOM + "/leave", as_=who)


def found(title: str = "jaws", kind: str = "unanimous", **more):
    data = {"titleId": f"{{r1.{title}}}", "title": {"title": title}, "kind": kind, **more}
    return {"type": "matchFound", "data": data}


def room_has(*titles: str, state: str):
    """What everybody sees afterwards: these matches, newest first."""
    matches = [{"titleId": f"{{r1.{title}}}"} for title in titles]
    return (
        get(_ROOM, as_="ana"),
        status(200).json({"state": state, "matches": matches}),
    )


SCENARIOS = [
    Scenario(
        "the last yes of all makes a match, which everybody hears of once",
        given=[room("r1", ["ana", "ben", "cleo"]), votes("r1", **ALL_BUT_ONE)],
        when=vote("r1", "cleo", "jaws", "yes"),
        then=status(200)
        .json(
            {
                "accepted": 1,
                "matches": [
                    {
                        "titleId": "{r1.jaws}",
                        "title": {"id": "{r1.jaws}", "title": "jaws"},
                        "at": TIME,
                        "userIds": ANY,
                        "kind": "unanimous",
                    }
                ],
            }
        )
        .contains("{ana}", "{ben}", "{cleo}")
        .events(found(), DECIDED, "progress"),
        after=[
            room_has("jaws", state="decided"),
            (get(_ROOM, as_="ben"), status(200).json({"matches": "{when.matches}"})),
        ],
    ),
    Scenario(
        "one who is missing is one too few",
        given=[room("r1", ["ana", "ben", "cleo"]), votes("r1", ana={"jaws": "yes"})],
        when=vote("r1", "cleo", "jaws", "yes"),
        then=status(200).json({"matches": []}).events("progress"),
        after=[room_has(state="open")],
    ),
    Scenario(
        "those who are there count, not the size that was planned",
        given=[room("r1", ["ana", "ben"], capacity=4), votes("r1", ana={"jaws": "yes"})],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": [ANY]}),
    ),
    Scenario(
        "nobody agrees alone, not even where one is enough",
        given=[room("r1", ["ana"], rule=at_least(1))],
        when=vote("r1", "ana", "jaws", "super"),
        then=status(200).json({"matches": []}).events("progress"),
        after=[room_has(state="open")],
    ),
    Scenario(
        "nobody agrees alone because all others have left",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "yes"})],
        when=leave("ben"),
        then=status(204).events("memberLeft"),
        after=[room_has(state="open")],
    ),
    Scenario(
        "whoever leaves completes the agreement of those who stay",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", cleo={"jaws": "no"}, **ALL_BUT_ONE),
        ],
        when=leave("cleo"),
        then=status(204).events("memberLeft", found(), DECIDED),
        after=[room_has("jaws", state="decided")],
    ),
    Scenario(
        "whoever is removed completes the agreement of those who stay",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", cleo={"jaws": "veto"}, **ALL_BUT_ONE),
        ],
        when=delete(_ROOM + "/members/{cleo}", as_="ana"),
        then=status(204).events("memberLeft", found(), DECIDED),
        after=[room_has("jaws", state="decided")],
    ),
    Scenario(
        "who has left is not among those who agreed",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", cleo={"jaws": "yes"}, ana={"jaws": "yes"}),
            did(leave("cleo")),
        ],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": [ANY]}).without("{cleo}"),
    ),
    Scenario(
        "a latecomer has to agree, too",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}),
            did(post("/api/rooms/join", as_="cleo", json={"code": "{r1.code}"})),
        ],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": []}).events("progress"),
        after=[
            (vote("r1", "cleo", "jaws", "yes"), status(200).json({"matches": [ANY]})),
        ],
    ),
    Scenario(
        "a latecomer does not undo a match that was made",
        given=[
            room("r1", ["ana", "ben"], stopAt="never"),
            votes("r1", **ALL_BUT_ONE),
        ],
        when=post("/api/rooms/join", as_="cleo", json={"code": "{r1.code}"}),
        then=status(200).json({"matches": [{"titleId": "{r1.jaws}"}], "state": "open"}),
    ),
    Scenario(
        "a no of a third one does not tell of a match again",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=at_least(2), stopAt="never"),
            votes("r1", **ALL_BUT_ONE),
        ],
        when=vote("r1", "cleo", "jaws", "no"),
        then=status(200).json({"matches": []}).events("progress"),
        after=[room_has("jaws", state="open")],
    ),
    Scenario(
        "a further yes gives the match that there is, and tells of it to nobody again",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=at_least(2), stopAt="never"),
            votes("r1", **ALL_BUT_ONE),
        ],
        when=vote("r1", "cleo", "jaws", "yes"),
        then=status(200).json({"matches": [{"titleId": "{r1.jaws}"}]}).events("progress"),
        after=[room_has("jaws", state="open")],
    ),
    # Rules
    Scenario(
        "at least two: the second yes is enough among four",
        given=[
            room("r1", ["ana", "ben", "cleo", "dan"], rule=at_least(2)),
            votes("r1", ana={"jaws": "yes"}, cleo={"jaws": "no"}),
        ],
        when=vote("r1", "ben", "jaws", "super"),
        then=status(200)
        .json({"matches": [{"kind": "atLeast", "userIds": length(2)}]})
        .events(found(kind="atLeast"), DECIDED, "progress"),
    ),
    Scenario(
        "at least three: two are not enough, even if nobody else is there",
        given=[room("r1", ["ana", "ben"], rule=at_least(3)), votes("r1", ana={"jaws": "yes"})],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": []}),
        after=[room_has(state="open")],
    ),
    Scenario(
        "at least two: somebody who joins with a yes from before counts",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=at_least(2)),
            votes("r1", ben={"jaws": "yes"}),
            did(leave("ben")),
            votes("r1", ana={"jaws": "yes"}),
        ],
        when=post("/api/rooms/join", as_="ben", json={"code": "{r1.code}"}),
        then=status(200).json({"state": "decided", "matches": [ANY]}),
    ),
    *(
        Scenario(
            f"{percent} percent of three are {needed}",
            given=[
                room("r1", ["ana", "ben", "cleo"], rule=share(percent)),
                votes(
                    "r1",
                    **{name: {"jaws": "yes"} for name in ("ana", "ben", "cleo")[: needed - 1]},
                ),
                *([did(get(_ROOM, as_="ana"), keep="seen")]),
            ],
            when=vote("r1", ("ana", "ben", "cleo")[needed - 1], "jaws", "yes"),
            then=status(200).json({"matches": [{"kind": "share"}]}),
        )
        for percent, needed in ((1, 1), (33, 1), (34, 2), (66, 2), (67, 3), (100, 3))
    ),
    Scenario(
        "67 percent of three are not two",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=share(67)),
            votes("r1", ana={"jaws": "yes"}),
        ],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": []}),
    ),
    Scenario(
        "a share grows when others leave",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=share(50)),
            votes("r1", ana={"jaws": "yes"}),
        ],
        when=leave("cleo"),
        then=status(204).events("memberLeft", found(kind="share"), DECIDED),
    ),
    Scenario(
        "a rule that the host makes easier matches what was voted before",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", **ALL_BUT_ONE),
        ],
        when=change(rule=at_least(2)),
        then=status(200)
        .json({"state": "decided", "rule": at_least(2), "matches": [{"kind": "atLeast"}]})
        .events(
            {"type": "roomUpdated", "data": {"rule": at_least(2)}}, found(kind="atLeast"), DECIDED
        ),
    ),
    Scenario(
        "a rule that the host makes harder takes no match back",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=at_least(2), stopAt="never"),
            votes("r1", **ALL_BUT_ONE),
        ],
        when=change(rule={"kind": "unanimous"}),
        then=status(200).json({"matches": [{"titleId": "{r1.jaws}"}]}),
    ),
    # When it ends
    Scenario(
        "a room that never stops collects matches, the newest first",
        given=[
            room("r1", ["ana", "ben"], stopAt="never"),
            votes("r1", ana={"jaws": "yes", "heat": "yes"}, ben={"jaws": "yes"}),
        ],
        when=vote("r1", "ben", "heat", "yes"),
        then=status(200)
        .json({"matches": [{"titleId": "{r1.heat}"}]})
        .events(found("heat"), "progress"),
        after=[room_has("heat", "jaws", state="open")],
    ),
    Scenario(
        "a room that stops at two goes on after the first match",
        given=[room("r1", ["ana", "ben"], stopAt=2), votes("r1", ana={"jaws": "yes"})],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": [ANY]}).events(found(), "progress"),
        after=[room_has("jaws", state="open")],
    ),
    Scenario(
        "a room that stops at two is decided by the second",
        given=[
            room("r1", ["ana", "ben"], stopAt=2),
            votes("r1", ana={"jaws": "yes", "heat": "yes"}, ben={"jaws": "yes"}),
        ],
        when=vote("r1", "ben", "heat", "yes"),
        then=status(200).events(found("heat"), DECIDED, "progress"),
        after=[
            room_has("heat", "jaws", state="decided"),
            (vote("r1", "ana", "alien", "yes"), refused(409, "room_closed")),
        ],
    ),
    Scenario(
        "a batch makes no more matches than the room asks for",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes", "heat": "yes", "alien": "yes"}),
        ],
        when=post(
            _ROOM + "/votes",
            as_="ben",
            json={
                "votes": [
                    {"titleId": f"{{r1.{title}}}", "choice": "yes"}
                    for title in ("heat", "jaws", "alien")
                ]
            },
        ),
        then=status(200).json({"accepted": 3, "matches": [{"titleId": "{r1.heat}"}]}),
        after=[room_has("heat", state="decided")],
    ),
    Scenario(
        "a decided room that is opened again goes on until the next match",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", **ALL_BUT_ONE),
            did(change(state="open")),
            votes("r1", ana={"heat": "yes"}),
        ],
        when=vote("r1", "ben", "heat", "yes"),
        then=status(200).events(found("heat"), DECIDED, "progress"),
        after=[room_has("heat", "jaws", state="decided")],
    ),
    Scenario(
        "opening a decided room again does not tell of its match again",
        given=[room("r1", ["ana", "ben"]), votes("r1", **ALL_BUT_ONE)],
        when=change(state="open"),
        then=status(200)
        .json({"state": "open", "matches": [ANY]})
        .events({"type": "roomUpdated", "data": {"state": "open"}}),
    ),
    # Vetoes
    Scenario(
        "a veto that is replaced by a no sets the agreement of the others free",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=at_least(2)),
            votes("r1", cleo={"jaws": "veto"}, **ALL_BUT_ONE),
        ],
        when=vote("r1", "cleo", "jaws", "no"),
        then=status(200)
        .json({"matches": [{"titleId": "{r1.jaws}"}]})
        .events(found(kind="atLeast"), DECIDED),
        after=[room_has("jaws", state="decided")],
    ),
    Scenario(
        "a veto that is taken back sets the agreement of the others free",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=at_least(2)),
            votes("r1", cleo={"jaws": "veto"}, **ALL_BUT_ONE),
        ],
        when=delete(_ROOM + "/votes/{r1.jaws}", as_="cleo"),
        then=status(204).events(found(kind="atLeast"), DECIDED, "progress"),
        after=[room_has("jaws", state="decided")],
    ),
    Scenario(
        "of two vetoes one that is lifted is not enough",
        given=[
            room("r1", ["ana", "ben", "cleo", "dan"], rule=at_least(2)),
            votes("r1", cleo={"jaws": "veto"}, dan={"jaws": "veto"}, **ALL_BUT_ONE),
        ],
        when=delete(_ROOM + "/votes/{r1.jaws}", as_="cleo"),
        then=status(204).events("progress"),
        after=[room_has(state="open")],
    ),
    Scenario(
        "a veto that is replaced by a yes completes the agreement",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", cleo={"jaws": "veto"}, **ALL_BUT_ONE),
        ],
        when=vote("r1", "cleo", "jaws", "yes"),
        then=status(200).json({"matches": [ANY]}).events(found(), DECIDED),
    ),
    Scenario(
        "a veto after the match does not take it back",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule=at_least(2), stopAt="never"),
            votes("r1", **ALL_BUT_ONE),
        ],
        when=vote("r1", "cleo", "jaws", "veto"),
        then=status(200).json({"matches": []}),
        after=[room_has("jaws", state="open")],
    ),
    # All my matches
    Scenario(
        "my matches are those of all my rooms, each with its room",
        given=[
            room("r1", ["ana", "ben"], name="first"),
            room("r2", ["ben", "ana"], name="second", stopAt="never"),
            votes("r1", **ALL_BUT_ONE),
            votes("r2", ana={"jaws": "yes", "heat": "yes"}, ben={"jaws": "yes", "heat": "yes"}),
        ],
        when=get(_MATCHES, as_="ana"),
        then=status(200).json(
            {
                "items": [
                    {"roomId": "{r2}", "roomName": "second"},
                    {"roomId": "{r2}", "roomName": "second"},
                    {
                        "roomId": "{r1}",
                        "roomName": "first",
                        "titleId": "{r1.jaws}",
                        "title": {"title": "jaws"},
                        "kind": "unanimous",
                    },
                ],
                "cursor": None,
            }
        ),
    ),
    Scenario(
        "the matches of others are not mine",
        given=[room("r1", ["ana", "ben"]), votes("r1", **ALL_BUT_ONE)],
        when=get(_MATCHES, as_="eve"),
        then=status(200).json({"items": [], "cursor": None}),
    ),
    Scenario(
        "the cursor of my matches is nobody else's",
        given=[
            room("r1", ["ana", "ben"]),
            room("r2", ["ana", "ben"]),
            did(get(_MATCHES + "?limit=1", as_="ana"), keep="page"),
        ],
        when=get(_MATCHES + "?cursor={page.cursor}", as_="ben"),
        then=refused(422, "invalid_request"),
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_matches(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


def test_an_easing_rule_eases_by_one_and_then_by_two_as_votes_come_in(world: World) -> None:
    rule = {"kind": "easing", "after": [1, 2]}
    deck = ["jaws", "heat", "alien", "fargo"]
    world.room("r1", ["ana", "ben", "cleo", "dan"], deck, {"rule": rule, "stopAt": "never"})
    path = "/api/rooms/{r1}"
    votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}, cleo={"jaws": "yes"}).do(world)
    assert world.send(get(path, as_="ana")).json["matches"] == []
    votes("r1", dan={"jaws": "no"}).do(world)  # four votes, one a head: all but one is enough now

    def matches(count: int):
        def look():
            seen = world.send(get(path, as_="ana")).json["matches"]
            return seen if len(seen) == count else None

        return eventually(look, f"there are {count} matches")

    assert matches(1)[0]["kind"] == "easing"
    votes("r1", ana={"heat": "yes"}, ben={"heat": "yes"}).do(world)
    world.settled("r1")
    assert len(world.send(get(path, as_="ana")).json["matches"]) == 1
    votes("r1", cleo={"heat": "no"}, dan={"heat": "no"}).do(world)  # eight votes: all but two
    assert matches(2)[0]["titleId"] == world.fill("{r1.heat}")
    types = [event["type"] for event in world.settled("r1") if event["type"] != "progress"]
    eased = [e["data"] for e in world.events("r1") if "eased" in e["data"]]
    assert [data["eased"] for data in eased] == [1, 2]
    assert types.count("matchFound") == 2


def test_changing_the_rule_to_easing_counts_the_votes_that_are_there(world: World) -> None:
    world.room("r1", ["ana", "ben", "cleo"], ["jaws", "heat"], {})
    votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}, cleo={"jaws": "no"}).do(world)
    world.settled("r1")
    rule = {"kind": "easing", "after": [1]}
    world.send(patch("/api/rooms/{r1}", as_="ana", json={"rule": rule}))
    eventually(
        lambda: world.send(get("/api/rooms/{r1}", as_="ana")).json["matches"],
        "three votes of three have eased the rule by one, and two agree",
        within_s=5,
    )


def test_last_voters_who_vote_at_the_same_time_make_one_match_each_time(world: World) -> None:
    people = ["ana", "ben", "cleo", "dan", "eli"]
    for round_ in range(8):
        name = f"r{round_}"
        world.room(name, people, ["jaws"], {})

        def yes(who: str, name: str = name):
            return world.send(vote(name, who, "jaws", "yes"))

        with ThreadPoolExecutor(5) as pool:
            answers = list(pool.map(yes, people))
        assert {answer.status for answer in answers} == {200}
        assert any(answer.json["matches"] for answer in answers), "nobody was told"
        room_shape = world.send(get(f"/api/rooms/{{{name}}}", as_="ana")).json
        assert (room_shape["state"], len(room_shape["matches"])) == ("decided", 1)
        assert sorted(room_shape["matches"][0]["userIds"]) == sorted(
            world.people[who].id for who in people
        )
    for round_ in range(8):
        types = [event["type"] for event in world.settled(f"r{round_}")]
        assert types.count("matchFound") == 1


def test_a_yes_and_a_leave_at_the_same_time_never_miss_the_match(world: World) -> None:
    for round_ in range(8):
        name = f"r{round_}"
        world.room(name, ["ana", "ben", "cleo"], ["jaws"], {})
        votes(name, ana={"jaws": "yes"}).do(world)
        calls = [
            vote(name, "ben", "jaws", "yes"),
            post(f"/api/rooms/{{{name}}}/leave", as_="cleo"),
        ]
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(world.send, calls))
        assert [answer.status for answer in answers] == [200, 204]
        room_shape = world.send(get(f"/api/rooms/{{{name}}}", as_="ana")).json
        assert (room_shape["state"], len(room_shape["matches"])) == ("decided", 1)
