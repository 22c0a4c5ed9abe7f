"""npm's aws-appsync-subscription-link, as it is, cannot tell this server from AppSync."""

from tests.clients.conftest import Installed, Person, Relay
from tests.clients.programs import program


def test_apollo_spends_an_evening_and_receives_a_match_made_over_http(
    installed: Installed, url: str, ben: Person
) -> None:
    with program("node", "evening.mjs", url, folder=installed("apollo")) as apollo:
        room = apollo.event("created")["room"]
        assert [(member["name"], member["role"]) for member in room["members"]] == [("Ana", "host")]
        ben.join(room["code"])
        voted = apollo.event("voted")
        assert voted["castVote"]["accepted"] == 1
        made = ben.say_yes(room["id"], voted["titleId"])
        assert [match["titleId"] for match in made["matches"]] == [voted["titleId"]]
        apollo.ends()
        heard = [event for event in apollo.events if event["event"] == "data"]
    assert [event["type"] for event in heard].count("matchFound") == 1
    assert heard[-1]["type"] == "matchFound"
    assert heard[-1]["data"]["titleId"] == voted["titleId"]


def test_apollo_is_told_of_a_lost_connection(installed: Installed, relay: Relay) -> None:
    with program("node", "evening.mjs", relay.url, folder=installed("apollo")) as apollo:
        apollo.event("voted")
        relay.cut()
        [error] = apollo.event("lost")["errors"]
        assert error["message"] == "Connection closed"
        apollo.ends()


def test_apollo_says_unauthorized_when_the_token_is_refused(installed: Installed, url: str) -> None:
    with program("node", "evening.mjs", url, "refused", folder=installed("apollo")) as apollo:
        apollo.ends()
        events = apollo.events
    assert {"event": "queryRefused", "status": 401} in events
    [refused] = [event for event in events if event["event"] == "subscriptionRefused"]
    [error] = refused["errors"]
    assert error["message"] == "Connection failed: UnauthorizedException"


def test_apollo_says_why_a_stranger_may_not_follow_a_room(
    installed: Installed, url: str, ben: Person
) -> None:
    room = ben.open_room("Pizza")["id"]
    folder = installed("apollo")
    with program("node", "evening.mjs", url, "stranger", room, folder=folder) as apollo:
        apollo.ends()
        [refused] = [e for e in apollo.events if e["event"] == "subscriptionRefused"]
    [error] = refused["errors"]
    assert '"errorType":"NotAMember"' in error["message"]
