"""A vote as the documentation of boto3, Powertools for AWS Lambda and pydantic teaches it.

It does what `votes.cast` does with one vote: the same look at the room, kept for five seconds, the
same deck, the same write, the same look after a yes, one line of the log, metrics, the same answer.
Everything is built while the module is loaded, as AWS recommends. TRACER=off leaves the Tracer out,
which Trinity has no counterpart of: it hands trace ids on and makes no segments of its own.
"""

import os
import time
from typing import Annotated, Literal

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import (
    BadRequestError,
    NotFoundError,
    ServiceError,
)
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

logger = Logger(service="trinity")
metrics = Metrics(namespace="Trinity", service="trinity")
if os.environ.get("TRACER") == "off":

    def traced(function):
        return function
else:
    from aws_lambda_powertools import Tracer

    traced = Tracer(service="trinity").capture_lambda_handler
app = APIGatewayHttpResolver(enable_validation=True)
table = boto3.resource("dynamodb").Table(os.environ["TRINITY_TABLE_NAME"])
s3 = boto3.client("s3")

Choice = Literal["yes", "no", "super", "veto"]


class Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Vote(Model):
    title_id: str
    choice: Choice


class Member(Model):
    name: str
    joined_at: int
    active: bool
    avatar_url: str | None = None
    removed: bool = False


class Title(Model):
    id: str
    title: str
    media_type: Literal["movie", "series", "other"]
    genres: list[str]
    year: int | None = None
    subtitle: str | None = None
    overview: str | None = None
    poster_url: str | None = None
    runtime_minutes: int | None = None
    rating: float | None = None


class Room(Model):
    id: str
    name: str
    code: str
    state: Literal["open", "decided", "closed"]
    host_id: str
    deck: str
    members: dict[str, Member]
    created_at: int
    expires_at: int
    expires: int
    version: int


class Accepted(Model):
    accepted: int
    matches: list[Title]


titles = TypeAdapter(list[Title])
rooms: dict[str, tuple[float, Room]] = {}
decks: dict[str, dict[str, Title]] = {}


def read_room(room_id: str) -> Room:
    answer = table.get_item(Key={"PK": f"ROOM#{room_id}", "SK": "ROOM"}, ConsistentRead=True)
    if "Item" not in answer:
        raise NotFoundError("There is no such room.")
    return Room.model_validate(answer["Item"])


def admit(room_id: str, user: str) -> Room:
    kept_until, room = rooms.get(room_id, (0.0, None))
    if room is None or time.monotonic() > kept_until:
        room = read_room(room_id)
        rooms[room_id] = (time.monotonic() + 5, room)
    if user not in room.members or not room.members[user].active:
        raise ServiceError(403, "You are not in this room.")
    if room.state != "open" or time.time() * 1000 >= room.expires_at:
        raise ServiceError(409, "The room is closed.")
    return room


def read_deck(deck_id: str) -> dict[str, Title]:
    if deck_id not in decks:
        bucket = os.environ["TRINITY_BUCKET_NAME"]
        content = s3.get_object(Bucket=bucket, Key=f"blobs/{deck_id}")["Body"].read()
        decks[deck_id] = {title.id: title for title in titles.validate_json(content)}
    return decks[deck_id]


@app.post("/api/rooms/<room_id>/votes")
def cast_vote(room_id: Annotated[str, Path()], vote: Vote) -> Accepted:
    user = app.current_event.request_context.authorizer.jwt_claim["sub"]
    room = admit(room_id, user)
    deck = read_deck(room.deck)
    if vote.title_id not in deck:
        raise BadRequestError("This title is not in the deck.")
    ballot = table.update_item(
        Key={"PK": f"ROOM#{room_id}", "SK": f"BALLOT#{vote.title_id}"},
        UpdateExpression="SET #mine = :choice, #replaced = if_not_exists(#mine, :none),"
        " #expires = :expires, #cause = :cause ADD #rev :one",
        ExpressionAttributeNames={
            "#mine": f"v:{user}",
            "#replaced": "replaced",
            "#expires": "expires",
            "#cause": "cause",
            "#rev": "rev",
        },
        ExpressionAttributeValues={
            ":choice": vote.choice,
            ":none": "",
            ":expires": room.expires,
            ":cause": app.current_event.request_context.request_id,
            ":one": 1,
        },
        ReturnValues="ALL_NEW",
    )["Attributes"]
    matches = []
    if vote.choice in ("yes", "super"):
        now = read_room(room_id)
        present = [user for user, member in now.members.items() if member.active]
        if all(ballot.get(f"v:{user}") in ("yes", "super") for user in present):
            matches.append(deck[vote.title_id])
    metrics.add_metric(name="votes", unit=MetricUnit.Count, value=1)
    logger.info("ok", extra={"operation": "cast_votes"})
    return Accepted(accepted=1, matches=matches)


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@traced
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    return app.resolve(event, context)
