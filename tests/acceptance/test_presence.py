"""Who is in a room just now: what clients do to be seen, and what they see of each other."""

from typing import Any

import pytest

from tests.acceptance.scenarios import (
    Host,
    Scenario,
    World,
    did,
    each,
    get,
    length,
    none,
    play,
    post,
    refused,
    room,
    status,
    vote,
    votes,
)

_ROOM = "/api/rooms/{r1}"
_EVENTS = _ROOM + "/events"
_AWAY = _ROOM + "/away"


def looks(who: str) -> did:
    """Somebody reads the events of the room."""
    return did(get(_EVENTS, as_=who))


def members(**online: bool) -> dict[str, Any]:
    return {"members": [{"name": name, "online": here} for name, here in online.items()]}


SCENARIOS = [
    Scenario(
        "nobody is here before he has looked into the room",
        given=[room("r1", ["ana", "ben"])],
        when=get(_ROOM, as_="ana"),
        then=status(200).json(members(ana=False, ben=False)),
    ),
    Scenario(
        "who reads the events is here",
        given=[room("r1", ["ana", "ben"]), looks("ben")],
        when=get(_ROOM, as_="ana"),
        then=status(200).json(members(ana=False, ben=True)),
    ),
    Scenario(
        "who reads the events sees who is here, himself included",
        given=[room("r1", ["ana", "ben", "cleo"]), looks("ben")],
        when=get(_EVENTS, as_="ana"),
        then=status(200).json({"online": length(2)}).contains("{ana}", "{ben}"),
    ),
    Scenario(
        "who is here is not told as an event",
        given=[room("r1", ["ana", "ben"]), looks("ana"), looks("ben"), did(post(_AWAY, as_="ben"))],
        when=get(_EVENTS, as_="ben"),
        then=status(200).json({"items": each({"type": "memberJoined"})}).events(none),
    ),
    Scenario(
        "who steps away is not here, and still a member",
        given=[room("r1", ["ana", "ben"]), looks("ana"), looks("ben")],
        when=post(_AWAY, as_="ben"),
        then=status(204).empty(),
        after=[
            (get(_ROOM, as_="ana"), status(200).json(members(ana=True, ben=False))),
            (vote("r1", "ben", "jaws", "no"), status(200)),
        ],
    ),
    Scenario(
        "who steps away and looks again is here again",
        given=[room("r1", ["ana"]), looks("ana"), did(post(_AWAY, as_="ana")), looks("ana")],
        when=get(_ROOM, as_="ana"),
        then=status(200).json(members(ana=True)),
    ),
    Scenario(
        "stepping away without having been there is nothing special",
        given=[room("r1", ["ana"])],
        when=post(_AWAY, as_="ana"),
        then=status(204).empty(),
    ),
    Scenario(
        "who has left is not here",
        given=[room("r1", ["ana", "ben"]), looks("ben"), did(post(_ROOM + "/leave", as_="ben"))],
        when=get(_EVENTS, as_="ana"),
        then=status(200).json({"online": ["{ana}"]}),
    ),
    Scenario(
        "who comes back into the group is here when he looks",
        given=[
            room("r1", ["ana", "ben"]),
            looks("ben"),
            did(post(_ROOM + "/leave", as_="ben")),
            did(post("/api/rooms/join", as_="ben", json={"code": "{r1.code}"})),
        ],
        when=get(_ROOM, as_="ana"),
        then=status(200).json(members(ana=False, ben=False)),
    ),
    Scenario(
        "a stranger cannot step away",
        given=[room("r1", ["ana"])],
        when=post(_AWAY, as_="eve"),
        then=refused(403, "not_a_member").without("ana"),
    ),
    Scenario(
        "nobody steps away from a room that is none",
        when=post("/api/rooms/nothing/away", as_="ana"),
        then=refused(404, "room_not_found"),
    ),
    Scenario(
        "looking at rooms and voting are no signs of life",
        given=[room("r1", ["ana", "ben"]), votes("r1", ben={"jaws": "no"})],
        when=get(_ROOM, as_="ben"),
        then=status(200).json(members(ana=False, ben=False)),
    ),
]


@pytest.mark.on_aws
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_presence(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


def test_coming_and_going_makes_no_version_and_no_event(world: World) -> None:
    world.room("r1", ["ana", "ben"], ["jaws"], {})
    before = world.send(get(_ROOM, as_="ana")).json["version"]
    for _ in range(3):
        world.send(get(_EVENTS, as_="ben"))
        world.send(post(_AWAY, as_="ben"))
    assert world.send(get(_ROOM, as_="ana")).json["version"] == before
    assert {event["type"] for event in world.settled("r1")} == {"memberJoined"}


def test_a_room_that_has_not_changed_is_known_by_its_tag_and_who_comes_changes_it(
    world: World,
) -> None:
    world.room("r1", ["ana", "ben"], ["jaws"], {})
    world.send(get(_EVENTS, as_="ana"))
    tag = world.send(get(_ROOM, as_="ana")).headers["etag"]
    same = {"if-none-match": tag}
    world.send(get(_EVENTS, as_="ana"))
    assert world.send(get(_ROOM, as_="ana", headers=same)).status == 304
    world.send(get(_EVENTS, as_="ben"))
    assert world.send(get(_ROOM, as_="ana", headers=same)).status == 200
