"""The functions of an evening, called with genuine events, on services of AWS from end to end."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from deploy import ministack
from tests.contract.conftest import DynamoStore, boto, new_bucket, new_secret
from trinity import bootstrap
from trinity.bootstrap import Services
from trinity.common.settings import Settings
from trinity.embedded.schedules import schedule_event
from trinity.openapi import load
from trinity.topology import FUNCTIONS, Stream

EVENTS = Path(__file__).parents[1] / "unit" / "events"
RECORDED = json.loads((EVENTS / "json_body.json").read_text())["event"]
BY_NAME = {function.name: function for function in FUNCTIONS}

Event = dict[str, Any]
Call = Callable[..., Any]


def request(name: str, body: Any = None, *, by: str | None = None, **path: str) -> Event:
    """Return the event of API Gateway for a function's route: a recorded one, filled anew."""
    event = copy.deepcopy(RECORDED)
    method, _, route = (BY_NAME[name].route or "").partition(" ")
    target = route.format(**path)
    context = event["requestContext"]
    context["http"] |= {"method": method, "path": target}
    context |= {"requestId": f"{name}-1", "routeKey": f"{method} {route}"}
    if by is not None:
        context["authorizer"] = {"jwt": {"claims": {"sub": by, "sid": "family"}, "scopes": None}}
    event |= {"routeKey": f"{method} {route}", "rawPath": target, "rawQueryString": ""}
    del event["queryStringParameters"], event["body"]
    if path:
        event["pathParameters"] = path
    if body is not None:
        event["body"] = json.dumps(body)
    return event


def fits(stream: Stream, sort_key: str) -> bool:
    return any(
        sort_key.startswith(key) if key.endswith("#") else sort_key == key
        for key in stream.sort_keys
    )


class Cloud:
    """Table, bucket and secrets of their own, and functions that know nothing else."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint = endpoint
        self.store = DynamoStore(endpoint)
        self.bucket = new_bucket(endpoint)
        settings = Settings(
            data=str(folder),
            public_url="https://trinity.example",
            table_name=self.store.name,
            bucket_name=self.bucket,
            signing_secret=new_secret(endpoint),
            cursor_secret=new_secret(endpoint, "a long text that nobody can guess"),
        )
        self.services = Services(settings, ministack.environment(endpoint))

    def invoke(self, name: str, event: Event) -> Any:
        """Call a function as in a fresh environment."""
        return copy.copy(load(BY_NAME[name]))(event, None)

    def strike(self, name: str) -> None:
        """Call a function as its clock does."""
        function = BY_NAME[name]
        [schedule] = function.schedules
        slot = schedule.slot(int(time.time()))
        self.invoke(name, schedule_event(schedule, slot))

    def ask(self, name: str, body: Any = None, *, status: int = 200, **who: str) -> Any:
        """Call a function of the API and return what it answers."""
        response = self.invoke(name, request(name, body, **who))
        assert response["statusCode"] == status, response
        return json.loads(response.get("body", "null"))

    def feed(self, stream: Stream) -> Event:
        """Return all changes of a feed as its event source mapping would hand them over."""
        records = [
            r for r in self.store.records() if fits(stream, r["dynamodb"]["Keys"]["SK"]["S"])
        ]
        for record in records:  # AWS's numbers are longer than 64 bits
            number = int(record["dynamodb"]["SequenceNumber"])
            record["dynamodb"]["SequenceNumber"] = f"{44_215_845 * 10**20 + number}"
        return {"Records": records}

    def guest(self, name: str) -> str:
        user: str = self.ask("guest", {"name": name}, status=201)["user"]["id"]
        return user


@pytest.fixture
def cloud(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud = Cloud(aws, tmp_path / "data")
    monkeypatch.setattr(bootstrap, "_services", cloud.services)
    cloud.strike("rotate_keys")  # as a deployment does
    return cloud


def test_an_evening_on_aws_ends_with_a_match_and_its_whole_story(cloud: Cloud) -> None:
    ana, ben = cloud.guest("Ana"), cloud.guest("Ben")
    deck = {"source": "list", "items": [{"title": "Pizza"}, {"title": "Sushi"}]}
    room = cloud.ask("create_room", {"deck": deck}, status=201, by=ana)
    assert cloud.ask("join_room", {"code": room["code"]}, by=ben)["id"] == room["id"]
    here = {"roomId": room["id"]}
    pizza, sushi = [t["id"] for t in cloud.ask("get_deck", by=ben, **here)["items"]]

    cloud.ask("cast_votes", {"titleId": sushi, "choice": "no"}, by=ben, **here)
    for user in (ana, ben):
        cast = cloud.ask("cast_votes", {"titleId": pizza, "choice": "yes"}, by=user, **here)
    assert [match["titleId"] for match in cast["matches"]] == [pizza]
    results = cloud.ask("get_results", by=ana, **here)
    assert [match["title"]["title"] for match in results["matches"]] == ["Pizza"]

    for stream in BY_NAME["publish"].streams * 2:  # at least once
        cloud.invoke("publish", cloud.feed(stream))
    events = cloud.ask("room_events", by=ana, **here)["items"]
    assert [event["cursor"] for event in events] == [str(n + 1) for n in range(len(events))]
    told = [event["type"] for event in events]
    assert sorted(told) == sorted(
        ["memberJoined", "memberJoined", "roomUpdated", "matchFound", "progress"]
    )
    [progress] = [event["data"] for event in events if event["type"] == "progress"]
    assert progress["progress"] == {ana: 1, ben: 2}


def test_nothing_of_an_evening_on_aws_lies_on_the_disk_of_the_function(
    cloud: Cloud, tmp_path: Path
) -> None:
    ana = cloud.guest("Ana")
    deck = {"source": "list", "items": [{"title": "Pizza"}]}
    cloud.ask("create_room", {"deck": deck}, status=201, by=ana)
    cloud.ask("list_rooms", by=ana)
    assert list(tmp_path.iterdir()) == []
    [stored] = boto("s3", cloud.endpoint).list_objects_v2(Bucket=cloud.bucket)["Contents"]
    assert stored["Key"].startswith("blobs/")


def test_a_token_that_was_given_out_on_aws_is_one_of_the_key_set(cloud: Cloud) -> None:
    issuer = cloud.ask("discovery")["issuer"]
    keys = jwt.PyJWKSet.from_dict(cloud.ask("jwks"))
    session = cloud.ask("guest", {"name": "Ana"}, status=201)
    token = session["accessToken"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="trinity", issuer=issuer)
    assert claims["sub"] == session["user"]["id"]
