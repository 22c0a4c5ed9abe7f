"""Voting: what counts, what is refused, and what stays as it was."""

import pytest

from tests.acceptance.scenarios import (
    ABSENT,
    ANY,
    Host,
    Scenario,
    delete,
    did,
    get,
    none,
    patch,
    play,
    post,
    refused,
    room,
    status,
    vote,
    votes,
)

_VOTES = "/api/rooms/{r1}/votes"
_NEXT = "/api/rooms/{r1}/next"
_ROOM = "/api/rooms/{r1}"


def batch(*pairs: tuple[str, str]) -> dict:
    return {"votes": [{"titleId": title, "choice": choice} for title, choice in pairs]}


def progress(**by_person: int) -> dict:
    """A progress event that says how many titles each has voted on."""
    counts = {f"{{{name}}}": count for name, count in by_person.items()}
    return {"type": "progress", "data": {"progress": counts}, "actorId": ABSENT}


def unseen(count: int) -> tuple:
    return get(_NEXT, as_="ana"), status(200).json({"remaining": count})


SCENARIOS = [
    Scenario(
        "a yes is accepted, makes no match alone, and shows as progress",
        given=[room("r1", ["ana", "ben"])],
        when=vote("r1", "ana", "jaws", "yes"),
        then=status(200)
        .json({"accepted": 1, "matches": []})
        .without("jaws", "{r1.jaws}", '"yes"')
        .header("cache-control", "no-store")
        .events({"type": "progress", "data": {"progress": ANY, "deckSize": 3}}),
        after=[unseen(2)],
    ),
    Scenario(
        "a no is accepted",
        given=[room("r1", ["ana", "ben"])],
        when=vote("r1", "ana", "jaws", "no"),
        then=status(200).json({"accepted": 1, "matches": []}).events(progress(ana=1)),
    ),
    Scenario(
        "a super counts as a yes",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "super"})],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": [{"titleId": "{r1.jaws}"}]}),
    ),
    Scenario(
        "a veto of one excludes a title that all others want",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule={"kind": "atLeast", "count": 2}),
            votes("r1", cleo={"jaws": "veto"}, ana={"jaws": "yes"}),
        ],
        when=vote("r1", "ben", "jaws", "super"),
        then=status(200).json({"matches": []}).events("progress"),
    ),
    Scenario(
        "a batch is accepted as a whole",
        given=[room("r1", ["ana", "ben"])],
        when=post(_VOTES, as_="ana", json=batch(("{r1.jaws}", "yes"), ("{r1.heat}", "no"))),
        then=status(200).json({"accepted": 2, "matches": []}),
        after=[unseen(1)],
    ),
    Scenario(
        "of two votes on one title in a batch the later counts",
        given=[room("r1", ["ana", "ben"]), votes("r1", ben={"jaws": "yes"})],
        when=post(_VOTES, as_="ana", json=batch(("{r1.jaws}", "yes"), ("{r1.jaws}", "no"))),
        then=status(200).json({"accepted": 1, "matches": []}),
    ),
    Scenario(
        "a batch with one title that is not in the deck stores nothing",
        given=[room("r1", ["ana", "ben"])],
        when=post(_VOTES, as_="ana", json=batch(("{r1.jaws}", "yes"), ("list:other:x", "yes"))),
        then=refused(422, "title_not_in_deck").events(none),
        after=[unseen(3)],
    ),
    Scenario(
        "a batch with one choice that does not exist stores nothing",
        given=[room("r1", ["ana", "ben"])],
        when=post(_VOTES, as_="ana", json=batch(("{r1.jaws}", "yes"), ("{r1.heat}", "maybe"))),
        then=refused(422, "invalid_request")
        .json({"errors": [{"pointer": "/votes/1/choice"}]})
        .events(none),
        after=[unseen(3)],
    ),
    Scenario(
        "an empty batch is refused",
        given=[room("r1", ["ana", "ben"])],
        when=post(_VOTES, as_="ana", json={"votes": []}),
        then=refused(422, "invalid_request"),
    ),
    Scenario(
        "a batch of 51 is refused",
        given=[room("r1", ["ana"], [f"t{n}" for n in range(51)])],
        when=post(_VOTES, as_="ana", json=batch(*[(f"{{r1.t{n}}}", "yes") for n in range(51)])),
        then=refused(422, "invalid_request"),
    ),
    Scenario(
        "one vote and a batch in one request are refused",
        given=[room("r1", ["ana", "ben"])],
        when=post(
            _VOTES,
            as_="ana",
            json={"titleId": "{r1.jaws}", "choice": "yes", **batch(("{r1.heat}", "no"))},
        ),
        then=refused(422, "invalid_request").events(none),
    ),
    Scenario(
        "a vote without a choice names the field that is missing",
        given=[room("r1", ["ana", "ben"])],
        when=post(_VOTES, as_="ana", json={"titleId": "{r1.jaws}"}),
        then=refused(422, "invalid_request").json({"errors": [{"pointer": "/choice"}]}),
    ),
    Scenario(
        "voting again on a title replaces the vote and adds no progress",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "no"})],
        when=vote("r1", "ana", "jaws", "yes"),
        then=status(200).json({"accepted": 1}).events(none),
        after=[
            unseen(2),
            (vote("r1", "ben", "jaws", "yes"), status(200).json({"matches": [ANY]})),
        ],
    ),
    Scenario(
        "repeating a vote changes nothing",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "yes"})],
        when=vote("r1", "ana", "jaws", "yes"),
        then=status(200).json({"accepted": 1, "matches": []}).events(none),
        after=[unseen(2)],
    ),
    Scenario(
        "one person who says yes twice does not agree with himself",
        given=[
            room("r1", ["ana", "ben"], rule={"kind": "atLeast", "count": 2}),
            votes("r1", ana={"jaws": "yes"}),
        ],
        when=vote("r1", "ana", "jaws", "super"),
        then=status(200).json({"matches": []}).events(none),
    ),
    Scenario(
        "a yes that was replaced by a no does not count",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}),
            votes("r1", ana={"jaws": "no"}),
        ],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"matches": []}).events("progress"),
    ),
    Scenario(
        "a vote that is taken back leaves no trace in progress and next",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "yes", "heat": "no"})],
        when=delete(_VOTES + "/{r1.jaws}", as_="ana"),
        then=status(204).empty().events(progress(ana=1)),
        after=[unseen(2), (vote("r1", "ben", "jaws", "yes"), status(200).json({"matches": []}))],
    ),
    Scenario(
        "taking back a vote that was never cast changes nothing",
        given=[room("r1", ["ana", "ben"])],
        when=delete(_VOTES + "/{r1.jaws}", as_="ana"),
        then=status(204).empty().events(none),
    ),
    Scenario(
        "taking back a vote does not touch the vote of somebody else",
        given=[room("r1", ["ana", "ben", "cleo"]), votes("r1", ana={"jaws": "yes"})],
        when=delete(_VOTES + "/{r1.jaws}", as_="ben"),
        then=status(204).events(none),
        after=[unseen(2)],
    ),
    Scenario(
        "taking back a vote on a title that is not in the deck is refused",
        given=[room("r1", ["ana", "ben"])],
        when=delete(_VOTES + "/list:other:nope", as_="ana"),
        then=refused(422, "title_not_in_deck"),
    ),
    Scenario(
        "a match that was made stays when a vote for it is taken back",
        given=[
            room("r1", ["ana", "ben"], stopAt="never"),
            votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}),
        ],
        when=delete(_VOTES + "/{r1.jaws}", as_="ana"),
        then=status(204),
        after=[(get(_ROOM, as_="ana"), status(200).json({"matches": [{"titleId": "{r1.jaws}"}]}))],
    ),
    Scenario(
        "a title that is not in the deck cannot be voted on",
        given=[room("r1", ["ana", "ben"]), room("r2", ["ana"], ["elsewhere"])],
        when=post(_VOTES, as_="ana", json={"titleId": "{r2.elsewhere}", "choice": "yes"}),
        then=refused(422, "title_not_in_deck").without("{r2.elsewhere}").events(none),
    ),
    Scenario(
        "a stranger cannot vote, and learns nothing of the room",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "yes"})],
        when=vote("r1", "eve", "jaws", "yes"),
        then=refused(403, "not_a_member").without("ana", "ben", "jaws", "{ana}").events(none),
        after=[
            (get(_ROOM, as_="ana"), status(200).json({"matches": []})),
            (vote("r1", "ben", "jaws", "no"), status(200).json({"matches": []})),
        ],
    ),
    Scenario(
        "a stranger cannot take back a vote",
        given=[room("r1", ["ana", "ben"]), votes("r1", ana={"jaws": "yes"})],
        when=delete(_VOTES + "/{r1.jaws}", as_="eve"),
        then=refused(403, "not_a_member").events(none),
    ),
    Scenario(
        "whoever has left cannot vote, from the very next request on",
        one_process=True,
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", ben={"heat": "no"}),
            did(post(_ROOM + "/leave", as_="ben")),
        ],
        when=vote("r1", "ben", "jaws", "yes"),
        then=refused(403, "not_a_member").events(none),
    ),
    Scenario(
        "whoever was removed cannot vote, from the very next request on",
        one_process=True,
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", ben={"heat": "no"}),
            did(delete(_ROOM + "/members/{ben}", as_="ana")),
        ],
        when=vote("r1", "ben", "jaws", "yes"),
        then=refused(403, "not_a_member").events(none),
    ),
    Scenario(
        "a closed room takes no votes, from the very next request on",
        one_process=True,
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"heat": "no"}),
            did(patch(_ROOM, as_="ana", json={"state": "closed"})),
        ],
        when=vote("r1", "ana", "jaws", "yes"),
        then=refused(409, "room_closed").events(none),
    ),
    Scenario(
        "in a closed room no vote can be taken back",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}),
            did(patch(_ROOM, as_="ana", json={"state": "closed"})),
        ],
        when=delete(_VOTES + "/{r1.jaws}", as_="ana"),
        then=refused(409, "room_closed").events(none),
    ),
    Scenario(
        "a decided room takes no further votes",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}),
        ],
        when=vote("r1", "ana", "heat", "yes"),
        then=refused(409, "room_closed").events(none),
    ),
    Scenario(
        "repeating the vote that decided the room gives its match again",
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}),
        ],
        when=vote("r1", "ben", "jaws", "yes"),
        then=status(200).json({"accepted": 1, "matches": [{"titleId": "{r1.jaws}"}]}).events(none),
    ),
    Scenario(
        "a room that does not exist takes no votes",
        when=post(
            "/api/rooms/abcdefghijklmnop/votes",
            as_="ana",
            json={"titleId": "list:other:x", "choice": "yes"},
        ),
        then=refused(404, "room_not_found"),
    ),
    Scenario(
        "a room that was deleted takes no votes, from the very next request on",
        one_process=True,
        given=[
            room("r1", ["ana", "ben"]),
            votes("r1", ana={"jaws": "yes"}),
            did(delete(_ROOM, as_="ana")),
        ],
        when=vote("r1", "ana", "jaws", "yes"),
        then=refused(404, "room_not_found"),
    ),
    Scenario(
        "the same name in two decks is voted on apart",
        given=[
            room("r1", ["ana", "ben"], ["jaws"]),
            room("r2", ["ana", "ben"], ["jaws"]),
            votes("r1", ana={"jaws": "yes"}),
        ],
        when=vote("r2", "ben", "jaws", "yes"),
        then=status(200).json({"matches": []}).events("progress", room="r2"),
        after=[(get(_ROOM, as_="ana"), status(200).json({"matches": [], "state": "open"}))],
    ),
    Scenario(
        "the fields of a vote are not read from the query",
        given=[room("r1", ["ana", "ben"])],
        when=post(_VOTES + "?titleId={r1.jaws}&choice=yes", as_="ana"),
        then=refused(422, "invalid_request").events(none),
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_votes(scenario: Scenario, host: Host) -> None:
    play(scenario, host)
