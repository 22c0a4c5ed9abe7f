"""What the group thinks, and that nobody learns from it who voted what."""

import itertools
import json

import pytest

from tests.acceptance.scenarios import (
    ABSENT,
    Host,
    Scenario,
    World,
    did,
    get,
    patch,
    play,
    post,
    refused,
    room,
    satisfies,
    status,
    vote,
    votes,
)

_RESULTS = "/api/rooms/{r1}/results"
DECK = ["jaws", "heat", "alien"]


def results(**members):
    return status(200).json(members)


def row(title: str, yes: int = 0, no: int = 0, sup: int = 0, veto: int = 0, **more):
    return {
        "titleId": f"{{r1.{title}}}",
        "title": {"title": title},
        "yes": yes,
        "no": no,
        "super": sup,
        "veto": veto,
        **more,
    }


SAYS_WHY = satisfies("a sentence", lambda text: text.endswith(".") and len(text) > 10)

SCENARIOS = [
    Scenario(
        "a new room has no results",
        given=[room("r1", ["ana", "ben"])],
        when=get(_RESULTS, as_="ana"),
        then=results(matches=[], ranking=[], voted=0, members=2, complete=False)
        .header("etag", '"[0-9a-f]+"')
        .header("cache-control", "private, no-cache"),
    ),
    Scenario(
        "a secret room that is still at it shows no ranking, not even my own votes",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", ana={"jaws": "yes", "heat": "veto"}, ben={"jaws": "super"}),
        ],
        when=get(_RESULTS, as_="ana"),
        then=results(matches=[], ranking=[], voted=2, members=3, complete=False).without(
            "jaws", "heat", "{r1.jaws}", "{r1.heat}", "{ana}", "{ben}", "super", "veto"
        ),
    ),
    Scenario(
        "a room that is not secret shows its ranking at any time",
        given=[
            room("r1", ["ana", "ben", "cleo"], secret=False),
            votes("r1", ana={"jaws": "yes", "heat": "no"}, ben={"jaws": "super"}),
        ],
        when=get(_RESULTS, as_="cleo"),
        then=results(
            ranking=[
                row("jaws", yes=1, sup=1, reason=SAYS_WHY),
                row("heat", no=1, score=0.0, reason=SAYS_WHY),
            ],
            voted=2,
            complete=False,
        ).without("{ana}", "{ben}", '"ana"', '"ben"'),
    ),
    Scenario(
        "a decided room shows its match and its ranking",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"heat": "no", "jaws": "yes"}, ben={"jaws": "yes"}),
        ],
        when=get(_RESULTS, as_="ana"),
        then=results(
            matches=[{"titleId": "{r1.jaws}"}],
            ranking=[row("jaws", yes=2, score=1.0), row("heat", no=1)],
            complete=False,
        ),
    ),
    Scenario(
        "a closed room shows its ranking",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}, ben={"jaws": "no"}),
            did(patch("/api/rooms/{r1}", as_="ana", json={"state": "closed"})),
        ],
        when=get(_RESULTS, as_="ben"),
        then=results(matches=[], ranking=[row("jaws", yes=1, no=1)]),
    ),
    Scenario(
        "when all have seen all without a match, the best compromise comes first and says why",
        given=[
            room("r1", ["ana", "ben", "cleo"], DECK),
            votes(
                "r1",
                ana={"jaws": "yes", "heat": "yes", "alien": "no"},
                ben={"jaws": "no", "heat": "yes", "alien": "no"},
                cleo={"jaws": "no", "heat": "no", "alien": "super"},
            ),
        ],
        when=get(_RESULTS, as_="ana"),
        then=results(
            matches=[],
            ranking=[
                row("heat", yes=2, no=1, score=0.667, reason=SAYS_WHY),
                row("alien", sup=1, no=2, score=0.417),
                row("jaws", yes=1, no=2, score=0.333),
            ],
            voted=3,
            members=3,
            complete=True,
        )
        .contains("2 of 3 said yes", "the rule asks for 3")
        .without("{ana}", "{ben}", "{cleo}"),
    ),
    Scenario(
        "a vetoed title comes last and says so",
        given=[
            room("r1", ["ana", "ben", "cleo"], ["jaws", "heat"], secret=False),
            votes(
                "r1",
                ana={"jaws": "super", "heat": "no"},
                ben={"jaws": "super"},
                cleo={"jaws": "veto"},
            ),
        ],
        when=get(_RESULTS, as_="ana"),
        then=results(ranking=[row("heat", no=1), row("jaws", sup=2, veto=1, score=0.0)]).contains(
            "vetoed by one person"
        ),
    ),
    Scenario(
        "a title that was vetoed needs no more votes for the room to be complete",
        given=[
            room("r1", ["ana", "ben"], ["jaws", "heat"]),
            votes("r1", ana={"jaws": "veto", "heat": "yes"}, ben={"heat": "no"}),
        ],
        when=get(_RESULTS, as_="ana"),
        then=results(complete=True),
    ),
    Scenario(
        "one who has not seen all yet keeps the room from being complete",
        given=[
            room("r1", ["ana", "ben"], ["jaws", "heat"]),
            votes("r1", ana={"jaws": "no", "heat": "no"}, ben={"heat": "no"}),
        ],
        when=get(_RESULTS, as_="ana"),
        then=results(complete=False, ranking=[]),
    ),
    Scenario(
        "a latecomer makes a complete room incomplete again",
        given=[
            room("r1", ["ana", "ben"], ["jaws"]),
            votes("r1", ana={"jaws": "no"}, ben={"jaws": "yes"}),
            did(post("/api/rooms/join", as_="cleo", json={"code": "{r1.code}"})),
        ],
        when=get(_RESULTS, as_="cleo"),
        then=results(complete=False, ranking=[], members=3, voted=2).without("jaws"),
    ),
    Scenario(
        "the votes of those who left do not count",
        given=[
            room("r1", ["ana", "ben", "cleo"], ["jaws"], secret=False),
            votes("r1", ana={"jaws": "yes"}, cleo={"jaws": "veto"}),
            did(post("/api/rooms/{r1}/leave", as_="cleo")),
        ],
        when=get(_RESULTS, as_="ana"),
        then=results(ranking=[row("jaws", yes=1, veto=0)], voted=1, members=2),
    ),
    Scenario(
        "a stranger sees no results",
        given=[room("r1", ["ana", "ben"], secret=False), votes("r1", ana={"jaws": "yes"})],
        when=get(_RESULTS, as_="eve"),
        then=refused(403, "not_a_member").without("jaws", "ana"),
    ),
    Scenario(
        "the answer to a vote in a secret room tells nothing of the votes of others",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", ana={"jaws": "super"}, ben={"jaws": "yes"}),
        ],
        when=vote("r1", "cleo", "jaws", "no"),
        then=status(200)
        .json({"accepted": 1, "matches": [], "votes": ABSENT})
        .without("jaws", "super", "{r1.jaws}", '"ana"', '"ben"'),
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_results(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


CHOICES = ("yes", "no", "super", "veto")
VISIBLE = [
    "/api/rooms/{r1}",
    "/api/rooms/{r1}/results",
    "/api/rooms/{r1}/events?limit=500",
    "/api/rooms/{r1}/next",
    "/api/rooms/{r1}/deck",
    "/api/rooms",
    "/api/me",
    "/api/me/matches",
    "/api/rooms/{r1}/report",
    "/api/me/report",
]


def test_a_secret_room_that_is_at_it_looks_the_same_whatever_was_voted(world: World) -> None:
    """Two rooms that differ in nothing but what ana votes look the same to cleo.

    `next` is left out: by design it shows first what others like, and not what they vetoed.
    """
    deck = ["jaws", "heat", "alien", "fargo", "brazil"]
    looks = []
    for name, choices in (
        ("r1", ("no", "no", "no", "no")),
        ("r2", ("yes", "no", "super", "yes")),
        ("r3", ("yes", "yes", "yes", "veto")),
    ):
        world.room(name, ["ana", "ben", "cleo"], deck, {"name": "room"})
        votes(name, ben={"jaws": "no"}).do(world)
        for title, choice in zip(deck, choices, strict=False):
            votes(name, ana={title: choice}).do(world)
        world.settled(name)
        seen = []
        for path in VISIBLE[:3]:
            text = world.send(get(path.replace("{r1}", f"{{{name}}}"), as_="cleo")).text
            seen.append(_without_chance(text, world, name))
        looks.append(seen)
    for one, other in itertools.pairwise(looks):
        assert one == other


def _without_chance(text: str, world: World, name: str) -> object:
    """Return an answer without what differs between any two rooms."""
    text = text.replace(world.kept[name]["id"], "ROOM").replace(world.kept[name]["code"], "CODE")
    answer = json.loads(text)
    timeless = ("at", "joinedAt", "createdAt", "expiresAt", "cursor", "version")

    def strip(value):
        if isinstance(value, dict):
            return {key: strip(one) for key, one in value.items() if key not in timeless}
        return [strip(one) for one in value] if isinstance(value, list) else value

    items = strip(answer)
    if isinstance(items, dict) and "items" in items:
        # How many progress events there are depends on when the votes came.
        told = items["items"]
        last = [event for event in told if event["type"] == "progress"][-1:]
        items["items"] = [event for event in told if event["type"] != "progress"] + last
    return items


@pytest.mark.parametrize("path", VISIBLE)
def test_nothing_that_a_member_can_read_in_a_secret_room_names_a_choice(
    path: str, world: World
) -> None:
    world.room("r1", ["ana", "ben", "cleo", "dan"], ["jaws", "heat", "alien", "fargo"], {})
    for title, choice in zip(("jaws", "heat", "alien", "fargo"), CHOICES, strict=True):
        votes("r1", ana={title: choice}).do(world)
    world.settled("r1")
    text = world.send(get(path, as_="cleo")).text
    for choice in ("super", "veto"):
        assert choice not in text, text
    assert '"yes"' not in text
    assert '"no"' not in text


def test_a_match_tells_who_agreed_and_not_how(world: World) -> None:
    world.room("r1", ["ana", "ben", "cleo"], ["jaws"], {"rule": {"kind": "atLeast", "count": 2}})
    votes("r1", ana={"jaws": "super"}, ben={"jaws": "yes"}).do(world)
    found = [e for e in world.settled("r1") if e["type"] == "matchFound"]
    assert len(found) == 1
    ana, ben = world.people["ana"].id, world.people["ben"].id
    assert found[0]["data"]["userIds"] == sorted([ana, ben])
    assert "super" not in json.dumps(found)
    assert "actorId" not in found[0], "the last voter is not named"
