"""Real threads and connections against a real server."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from tests.faults.people import Person, all_at_once
from tests.server import Server, eventually, running

RACES = 50


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("threads")
    with running(folder, RATE_LIMITS="off", LOG_LEVEL="warning") as server:
        yield server


@pytest.fixture(scope="module")
def people(server) -> list[Person]:
    client = server.client
    return [Person(client, f"Person {n}") for n in range(41)]


def test_forty_who_race_for_ten_seats_fill_exactly_ten(people):
    host, *guests = people
    room = host.create(capacity=11)
    answers = all_at_once([partial(person.join, room["code"]) for person in guests])
    assert Counter(answer.status for answer in answers) == {200: 10, 409: 30}
    assert {answer.code for answer in answers if answer.status == 409} == {"room_full"}
    members = host.get(f"/api/rooms/{room['id']}").json["members"]
    seated = [
        guest.id for guest, answer in zip(guests, answers, strict=True) if answer.status == 200
    ]
    assert sorted(m["userId"] for m in members if m["active"]) == sorted([host.id, *seated])


def test_forty_who_leave_at_once_are_all_let_go(people):
    host, *guests = people
    room = host.create(capacity=41)
    for guest in guests:
        assert guest.join(room["code"]).status == 200
    path = f"/api/rooms/{room['id']}/leave"
    answers = all_at_once([partial(person.post, path) for person in guests])
    assert Counter(answer.status for answer in answers) == {204: 40}


def test_of_eight_who_race_on_the_last_yes_all_hear_of_exactly_one_match(people):
    members = people[:8]
    for _ in range(RACES):
        room = members[0].create(titles=2)["id"]
        code = members[0].get(f"/api/rooms/{room}").json["code"]
        for member in members[1:]:
            assert member.join(code).status == 200
        title, _ = members[0].deck(room)
        for member in members[:5]:
            assert member.vote(room, title).json["matches"] == []
        answers = all_at_once([partial(p.vote, room, title) for p in members[5:]])
        assert [answer.status for answer in answers] == [200] * 3
        assert any(answer.json["matches"] for answer in answers)
        results = members[0].get(f"/api/rooms/{room}/results").json
        assert [match["titleId"] for match in results["matches"]] == [title]
        assert sorted(results["matches"][0]["userIds"]) == sorted(m.id for m in members)
        assert members[0].get(f"/api/rooms/{room}").json["state"] == "decided"

        def told(room: str = room) -> list[dict] | None:
            found = [e for e in members[7].events(room) if e["type"] == "matchFound"]
            return found or None

        assert len(eventually(told, "the match is told")) == 1


def test_voters_on_many_titles_at_once_get_a_match_on_each(people):
    members, titles = people[:3], 12
    room = members[0].create(titles=titles, stopAt="never")
    for member in members[1:]:
        assert member.join(room["code"]).status == 200
    deck = members[0].deck(room["id"])
    for title in deck:
        assert members[0].vote(room["id"], title).status == 200
        assert members[1].vote(room["id"], title).status == 200
    answers = all_at_once([partial(members[2].vote, room["id"], title) for title in deck])
    assert Counter(answer.status for answer in answers) == {200: titles}
    found = members[0].get(f"/api/rooms/{room['id']}/results").json["matches"]
    assert sorted(match["titleId"] for match in found) == sorted(deck)
    told = eventually(
        lambda: (
            (e := members[0].events(room["id"]))
            and len([x for x in e if x["type"] == "matchFound"]) == titles
            and e
        ),
        "all matches are told",
    )
    assert [int(event["cursor"]) for event in told] == list(range(1, len(told) + 1))
