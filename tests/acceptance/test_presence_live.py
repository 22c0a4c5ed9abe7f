"""Who is in a room just now, shown live: a WebSocket, which the local AWS has none of."""

import json
from collections.abc import Callable

import pytest

from tests.acceptance.scenarios import Call, World, delete, get, post, votes
from tests.live import Live

_ROOM = "/api/rooms/{r1}"
_EVENTS = _ROOM + "/events"
_AWAY = _ROOM + "/away"
WHO = "subscription Who($room: ID!) { onPresence(roomId: $room) { roomId at online } }"


class Crowd:
    """A room with Ana, who looks on, and Ben and Cleo."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.url = world.client.base_url
        self.room: str = world.room("r1", ["ana", "ben", "cleo"], ["jaws"], {})["id"]
        world.host.barrier.wait()

    def live(self, who: str) -> Live:
        return Live(self.url, self.world.token(who))

    def ids(self, *names: str) -> set[str]:
        return {self.world.people[name].id for name in names}

    def shown(self, live: Live, *names: str, within_s: float = 15.0) -> None:
        """Wait until a connection has been shown these people and no others."""
        online: set[str] | None = None
        while online != self.ids(*names):
            presence = live.next(within_s=within_s)["payload"]["data"]["onPresence"]
            assert presence["roomId"] == self.room
            online = set(presence["online"])

    def follow(self, live: Live, query: str = WHO) -> str:
        return live.start(self.room, query=query)


@pytest.fixture
def crowd(world: World) -> Crowd:
    return Crowd(world)


def test_who_comes_is_shown_to_those_who_are_there(crowd: Crowd) -> None:
    with crowd.live("ana") as ana, crowd.live("ben") as ben:
        crowd.follow(ana)
        crowd.shown(ana, "ana")
        ben.start(crowd.room)  # following events is enough to be seen
        crowd.shown(ana, "ana", "ben")
        crowd.world.send(get(_EVENTS, as_="cleo"))  # and so is reading them
        crowd.shown(ana, "ana", "ben", "cleo")


def test_who_is_here_is_told_to_those_alone_who_ask_for_it(crowd: Crowd) -> None:
    with crowd.live("ana") as ana, crowd.live("ben") as ben:
        crowd.follow(ana)
        ben.start(crowd.room)
        crowd.shown(ana, "ana", "ben")
        assert ben.says_nothing()


@pytest.mark.parametrize("how", [Live.close, Live.break_off], ids=["closed", "broken off"])
def test_who_hangs_up_is_gone_a_moment_later(how: Callable[[Live], None], crowd: Crowd) -> None:
    with crowd.live("ana") as ana:
        crowd.follow(ana)
        ben = crowd.live("ben")
        ben.start(crowd.room)
        crowd.shown(ana, "ana", "ben")
        how(ben)
        crowd.shown(ana, "ana")


def test_a_member_with_two_devices_is_here_until_the_last_is_gone(crowd: Crowd) -> None:
    with crowd.live("ana") as ana:
        crowd.follow(ana)
        phone, laptop = crowd.live("ben"), crowd.live("ben")
        for device in (phone, laptop):
            device.start(crowd.room)
        crowd.shown(ana, "ana", "ben")
        phone.close()
        crowd.world.send(get(_EVENTS, as_="cleo"))
        crowd.shown(ana, "ana", "ben", "cleo")
        laptop.close()
        crowd.shown(ana, "ana", "cleo")


def test_who_stops_to_follow_is_gone_though_the_connection_is_there(crowd: Crowd) -> None:
    with crowd.live("ana") as ana, crowd.live("ben") as ben:
        crowd.follow(ana)
        name = ben.start(crowd.room)
        crowd.shown(ana, "ana", "ben")
        ben.send({"type": "stop", "id": name})
        crowd.shown(ana, "ana")


def test_who_steps_away_on_one_device_and_follows_on_another_is_brought_back(
    crowd: Crowd,
) -> None:
    with crowd.live("ana") as ana, crowd.live("ben") as ben:
        crowd.follow(ana)
        ben.start(crowd.room)
        crowd.shown(ana, "ana", "ben")
        crowd.world.send(post(_AWAY, as_="ben"))
        crowd.shown(ana, "ana")
        crowd.shown(ana, "ana", "ben")


@pytest.mark.parametrize(
    "call",
    [
        post(_ROOM + "/leave", as_="ben"),
        delete(_ROOM + "/members/{ben}", as_="ana"),
        delete("/api/me", as_="ben"),
        post(_AWAY, as_="ben"),
    ],
    ids=str,
)
def test_who_leaves_is_shown_as_gone_at_once(call: Call, crowd: Crowd) -> None:
    with crowd.live("ana") as ana:
        crowd.follow(ana)
        crowd.world.send(get(_EVENTS, as_="ben"))
        crowd.shown(ana, "ana", "ben")
        assert crowd.world.send(call).status == 204
        crowd.shown(ana, "ana")


def test_a_stranger_does_not_see_who_is_here(crowd: Crowd) -> None:
    with crowd.live("eve") as eve:
        eve.send(eve.start_message(crowd.room, query=WHO, name="x"))
        answer = eve.next()
        assert answer["type"] == "error"
        assert answer["payload"]["errors"][0]["errorType"] == "NotAMember"
        crowd.world.send(get(_EVENTS, as_="ana"))
        crowd.world.host.barrier.wait()
        assert eve.says_nothing()


def test_who_is_removed_sees_no_more_who_is_here(crowd: Crowd) -> None:
    with crowd.live("ben") as ben:
        name = crowd.follow(ben)
        crowd.shown(ben, "ben")
        assert crowd.world.send(delete(_ROOM + "/members/{ben}", as_="ana")).status == 204
        while (frame := ben.next())["type"] == "data":
            pass
        assert frame == {"type": "complete", "id": name}
        crowd.world.send(get(_EVENTS, as_="ana"))
        crowd.world.host.barrier.wait()
        assert ben.says_nothing()


def test_what_is_shown_says_nothing_of_votes(crowd: Crowd) -> None:
    with crowd.live("cleo") as cleo:
        crowd.follow(cleo)
        votes("r1", ana={"jaws": "veto"}, ben={"jaws": "no"}).do(crowd.world)
        crowd.world.send(get(_EVENTS, as_="ana"))
        seen = []
        while not seen or crowd.ids("ana") - set(seen[-1]["online"]):
            seen.append(cleo.next()["payload"]["data"]["onPresence"])
    assert {name for one in seen for name in one} == {"roomId", "at", "online"}
    assert "veto" not in json.dumps(seen)


def test_however_many_come_and_go_a_few_messages_tell_it(world: World) -> None:
    people = [f"guest{n}" for n in range(30)]
    made = world.room("r1", people, ["jaws"], {"capacity": 30})
    with Live(world.client.base_url, world.token("guest0")) as live:
        live.start(made["id"], query=WHO)
        for name in people[1:]:
            world.send(get(_EVENTS, as_=name))
        shown = [live.next()["payload"]["data"]["onPresence"]]
        while len(shown[-1]["online"]) < len(people):
            shown.append(live.next()["payload"]["data"]["onPresence"])
    times = [one["at"] for one in shown]
    assert times == sorted(times)
    assert len(shown) <= 10, f"thirty who came were told in {len(shown)} messages"


def test_who_gives_no_sign_any_more_is_gone_within_a_minute_and_who_follows_is_not(
    crowd: Crowd,
) -> None:
    """The one test that waits for a lease to end; it has to do with real time."""
    with crowd.live("ana") as ana, crowd.live("ben") as ben:
        crowd.follow(ana)
        ben.start(crowd.room)
        crowd.world.send(get(_EVENTS, as_="cleo"))
        crowd.shown(ana, "ana", "ben", "cleo")
        crowd.shown(ana, "ana", "ben", within_s=75)
        page = crowd.world.send(get(_ROOM, as_="cleo")).json
        assert [one["online"] for one in page["members"]] == [True, True, False]
