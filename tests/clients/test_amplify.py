"""npm's aws-amplify, as it is, cannot tell this server from AppSync."""

import json

import pytest

from tests.clients.conftest import HERE, Installed, Person, Relay
from tests.clients.programs import program
from tests.server import Client


@pytest.mark.parametrize("name", ["amplify", "apollo"])
def test_packages_are_pinned_and_come_from_wherever_npm_looks(name: str) -> None:
    wanted = json.loads((HERE / name / "package.json").read_text())["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values()), wanted
    packages = json.loads((HERE / name / "package-lock.json").read_text())["packages"]
    del packages[""]
    assert {path for path, package in packages.items() if "resolved" in package} == set()
    assert {path for path, package in packages.items() if "integrity" not in package} == set()


def test_amplify_spends_an_evening_and_receives_a_match_made_over_http(
    installed: Installed, url: str
) -> None:
    folder = installed("amplify")
    with program("node", "evening.mjs", url, folder=folder) as amplify:
        ben = amplify.event("signedIn")["ben"]
        room = amplify.event("created")["room"]
        assert room["members"] == [{"name": "Ana", "role": "host"}]
        joined = amplify.event("joined")["room"]
        assert [member["name"] for member in joined["members"]] == ["Ana", "Ben"]
        voted = amplify.event("voted")
        assert voted["castVote"] == {"accepted": 1, "matches": []}
        made = Client(url).post(
            f"/api/rooms/{room['id']}/votes",
            json={"titleId": voted["titleId"], "choice": "yes"},
            token=ben,
        )
        assert [match["titleId"] for match in made.json["matches"]] == [voted["titleId"]]
        amplify.ends()
        events = amplify.events
    names = [event["event"] for event in events]
    assert names.count("start_ack") == 2
    assert max(n for n, name in enumerate(names) if name == "start_ack") < names.index("data")
    states = [event["state"] for event in events if event["event"] == "connection"]
    assert states[:3] == ["Disconnected", "Connecting", "Connected"], "it connected at once"
    heard = [event for event in events if event["event"] == "data"]
    assert not any("errors" in event for event in heard), heard
    for who in ("Ana", "Ben"):
        matches = [e for e in heard if e["who"] == who and e["type"] == "matchFound"]
        assert [match["data"]["titleId"] for match in matches] == [voted["titleId"]]


def test_amplify_comes_back_by_itself_after_a_lost_connection(
    installed: Installed, url: str, relay: Relay
) -> None:
    with program("node", "evening.mjs", relay.url, folder=installed("amplify")) as amplify:
        ben = amplify.event("signedIn")["ben"]
        room = amplify.event("created")["room"]["id"]
        voted = amplify.event("voted")
        relay.cut()

        def is_back() -> bool:
            names = [event["event"] for event in amplify.events]
            return names.count("start_ack") == 4

        amplify.until(is_back, "Amplify subscribes anew")
        vote = {"titleId": voted["titleId"], "choice": "yes"}
        made = Client(url).post(f"/api/rooms/{room}/votes", json=vote, token=ben)
        assert len(made.json["matches"]) == 1
        amplify.ends()
        events = amplify.events
    matches = [event["who"] for event in events if event.get("type") == "matchFound"]
    assert sorted(matches) == ["Ana", "Ben"]


def test_amplify_says_unauthorized_when_the_token_of_a_query_is_refused(
    installed: Installed, url: str
) -> None:
    with program("node", "evening.mjs", url, "refused", folder=installed("amplify")) as amplify:
        assert amplify.event("queryRefused")["messages"] == ["Unauthorized"]
        assert "answered" not in [event["event"] for event in amplify.events]


def test_amplify_says_unauthorized_when_the_token_of_a_subscription_is_refused(
    installed: Installed, url: str
) -> None:
    with program("node", "evening.mjs", url, "refused", folder=installed("amplify")) as amplify:
        refused = amplify.event("subscriptionRefused")
        assert refused["messages"] == ["Connection failed: UnauthorizedException"]
        amplify.ends()


def test_amplify_says_why_a_stranger_may_not_follow_a_room(
    installed: Installed, url: str, ana: Person
) -> None:
    folder = installed("amplify")
    room = ana.open_room("Pizza")["id"]
    with program("node", "evening.mjs", url, "stranger", room, folder=folder) as amplify:
        amplify.ends()
        [refused] = [e for e in amplify.events if e["event"] == "subscriptionRefused"]
    [message] = refused["messages"]
    assert message.startswith("Connection failed: ")
    assert '"errorType":"NotAMember"' in message
