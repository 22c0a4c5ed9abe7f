"""The functions of an evening, called with genuine events, on services of AWS from end to end."""

import copy
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from PIL import Image

from deploy import ministack
from tests import forms
from tests.contract.conftest import DynamoStore, boto, new_bucket, new_secret, uploads_bucket
from tests.fakes import FakeClock
from tests.server import eventually
from tests.unit.test_cold_start import FORBIDDEN
from trinity import bootstrap
from trinity.bootstrap import Services
from trinity.common.messages import stored_files
from trinity.common.settings import from_environment
from trinity.domain.ids import HOUR
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
    """Table, buckets, queue and secrets of their own, and functions that know nothing else."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint = endpoint
        self.store = DynamoStore(endpoint)
        self.bucket = new_bucket(endpoint)
        prefix = f"{self.bucket}-"
        self.sqs = boto("sqs", endpoint)
        created = self.sqs.create_queue(QueueName=f"{prefix}process-upload")
        self.files: str = created["QueueUrl"]
        self.uploads_bucket = uploads_bucket(endpoint, self.files)
        self.environment = {
            **ministack.environment(endpoint),
            "TRINITY_DATA": str(folder),
            "TRINITY_PUBLIC_URL": "https://trinity.example",
            "TRINITY_TABLE_NAME": self.store.name,
            "TRINITY_BUCKET_NAME": self.bucket,
            "TRINITY_UPLOADS_BUCKET_NAME": self.uploads_bucket,
            "TRINITY_QUEUE_PREFIX": prefix,
            "TRINITY_SIGNING_SECRET": new_secret(endpoint),
            "TRINITY_CURSOR_SECRET": new_secret(endpoint, "a long text that nobody can guess"),
        }
        self.services = Services(from_environment(self.environment), self.environment)

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

    def media(self) -> list[str]:
        """Return the keys of all files of pictures."""
        listed = boto("s3", self.endpoint).list_objects_v2(Bucket=self.bucket, Prefix="media/")
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def process_files(self) -> None:
        """Hand the notices of S3 over as the event source mapping of the queue would."""

        def records() -> list[Event]:
            taken = self.sqs.receive_message(
                QueueUrl=self.files, MaxNumberOfMessages=10, AttributeNames=["All"]
            ).get("Messages", [])
            return [
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": message["Attributes"],
                    "eventSourceARN": f"arn:aws:sqs:eu-west-1:0:{self.bucket}-process-upload",
                }
                for message in taken
                if stored_files(message["Body"])
            ]

        found = eventually(records, "a notice of a file")
        assert self.invoke("process_upload", {"Records": found}) == {"batchItemFailures": []}

    def send(self, by: str, content: bytes, **fields: str) -> str:
        """Ask for a form, and post a file to S3 as a browser does."""
        body = {"size": len(content), **fields}
        form = self.ask("create_upload", body, status=201, by=by)
        assert forms.post(form["url"], form["fields"], content).status == 204
        upload: str = form["uploadId"]
        return upload

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


def picture(size: tuple[int, int] = (600, 400)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 40)).save(file, "PNG")
    return file.getvalue()


def test_pictures_and_lists_go_all_the_way_on_aws(cloud: Cloud) -> None:
    ana = cloud.guest("Ana")
    avatar = cloud.send(ana, picture(), kind="avatar", contentType="image/png")
    cloud.process_files()
    told = cloud.ask("get_upload", by=ana, uploadId=avatar)
    assert told["state"] == "ready"
    me = cloud.ask("get_me", by=ana)
    assert me["avatarUrl"] == told["url"]
    s3 = boto("s3", cloud.endpoint)
    for url in me["avatar"].values():
        # CloudFront finds a picture under the path of its address.
        stored = s3.get_object(Bucket=cloud.bucket, Key=urlsplit(url).path[1:])
        assert stored["ContentType"] == "image/webp"
        assert stored["CacheControl"] == "max-age=31536000, immutable"
        assert stored["Body"].read()[8:12] == b"WEBP"

    films = cloud.send(ana, b"Title;Year\nHeat;1995\n", kind="list", contentType="text/csv")
    cloud.process_files()
    deck = {"source": "upload", "uploadId": films}
    room = cloud.ask("create_room", {"deck": deck}, status=201, by=ana)
    (title,) = cloud.ask("get_deck", by=ana, roomId=room["id"])["items"]
    assert (title["title"], title["year"]) == ("Heat", 1995)

    broken = cloud.send(ana, b"no picture", kind="avatar", contentType="image/png")
    cloud.process_files()
    assert cloud.ask("get_upload", by=ana, uploadId=broken)["state"] == "rejected"
    assert "Contents" not in s3.list_objects_v2(Bucket=cloud.uploads_bucket)


def test_what_uploads_leave_behind_on_aws_is_swept(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(cloud.services.clock.now())
    monkeypatch.setitem(cloud.services._built, "clock", clock)

    (schedule,) = BY_NAME["sweep_uploads"].schedules

    def sweep() -> None:
        clock.advance(HOUR)
        cloud.invoke("sweep_uploads", schedule_event(schedule, schedule.slot(clock.time // 1000)))

    ana = cloud.guest("Ana")
    upload = cloud.send(ana, picture(), kind="avatar", contentType="image/png")
    eventually(lambda: cloud.sqs.receive_message(QueueUrl=cloud.files).get("Messages"), "a notice")
    cloud.sqs.purge_queue(QueueUrl=cloud.files)  # it is lost
    sweep()
    cloud.process_files()
    assert cloud.ask("get_upload", by=ana, uploadId=upload)["state"] == "ready"
    assert len(cloud.media()) == 3
    cloud.ask("remove_avatar", status=204, by=ana)
    for stream in BY_NAME["publish"].streams:
        cloud.invoke("publish", cloud.feed(stream))
    sweep()
    assert cloud.media() == []


# --------------------------------------------------------------------------------- cold starts

FIRST = """
import json, sys
event, sys.path[:], outcome = json.loads(sys.argv[1])
before = set(sys.modules)
sys.modules["typing_extensions"] = None  # functions are shipped without it
from trinity.handlers.{module} import handler
response = handler(event, None)
import ssl  # as the first connection to AWS does
with open(outcome, "w") as file:
    json.dump([response["statusCode"], list(set(sys.modules) - before)], file)
"""
MOST_MODULES = 140
"""Beside those of the bare interpreter; unlike in the unit tests, with the first connection."""
MOST_MODULES_OF_SIGNING = 180
SIGNING = {"guest", "refresh"}
OF_CRYPTOGRAPHY = {"dataclasses", "inspect"}


def test_the_first_request_of_a_function_loads_no_more_than_its_budget(
    cloud: Cloud, tmp_path: Path
) -> None:
    session = cloud.ask("guest", {"name": "Ana"}, status=201)
    ana, ben = session["user"]["id"], cloud.guest("Ben")
    deck = {"source": "list", "items": [{"title": f"Film {n}"} for n in range(9)]}
    room = cloud.ask("create_room", {"deck": deck}, status=201, by=ana)
    here = {"roomId": room["id"]}
    first = cloud.ask("get_deck", by=ana, **here)["items"][0]["id"]
    vote = {"titleId": first, "choice": "yes"}
    events = {
        "guest": request("guest", {"name": "Cem"}),
        "refresh": request("refresh", {"refreshToken": session["refreshToken"]}),
        "get_me": request("get_me", by=ana),
        "list_rooms": request("list_rooms", by=ana),
        "join_room": request("join_room", {"code": room["code"]}, by=ben),
        "get_room": request("get_room", by=ana, **here),
        "next_cards": request("next_cards", by=ana, **here),
        "cast_votes": request("cast_votes", vote, by=ana, **here),
        "get_results": request("get_results", by=ana, **here),
        "room_events": request("room_events", by=ana, **here),
        "jwks": request("jwks"),
        "health": request("health"),
    }
    loaded: dict[str, set[str]] = {}
    for name, event in events.items():
        outcome = tmp_path / name
        given = json.dumps([event, sys.path, str(outcome)])
        subprocess.run(
            [sys.executable, "-S", "-c", FIRST.format(module=BY_NAME[name].module), given],
            env=cloud.environment,
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )
        status, modules = json.loads(outcome.read_text())
        assert status < 300, name
        loaded[name] = set(modules)
    for name, modules in loaded.items():
        signs = name in SIGNING
        assert modules & FORBIDDEN == {"ssl"} | (OF_CRYPTOGRAPHY if signs else set()), name
        most = MOST_MODULES_OF_SIGNING if signs else MOST_MODULES
        assert len(modules) <= most, (name, len(modules))
