"""An evening on a local AWS, and the events of functions that have something to do in it.

MiniStack (DynamoDB, S3) runs in a process of its own, so what it costs is nobody's.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import boto3

from deploy import ministack
from trinity import bootstrap
from trinity.bootstrap import Services
from trinity.common.settings import from_environment
from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.client import DYNAMODB
from trinity.infrastructure.dynamodb.create import create_table
from trinity.openapi import load
from trinity.topology import FUNCTIONS

TITLES = 60
MEMBERS = 5
_BY_NAME = {function.name: function for function in FUNCTIONS}
_PASSWORD = "correct horse battery staple"

Event = dict[str, Any]


def http_event(
    name: str,
    body: Any = None,
    *,
    by: str | None = None,
    query: Mapping[str, str] | None = None,
    **path: str,
) -> Event:
    """Return what API Gateway (HTTP API, payload 2.0) hands to the function of a route."""
    method, _, route = (_BY_NAME[name].route or "").partition(" ")
    target = route.format(**path)
    context: Event = {
        "accountId": "123456789012",
        "apiId": "api-id",
        "domainName": "api-id.execute-api.eu-west-1.amazonaws.com",
        "domainPrefix": "api-id",
        "http": {
            "method": method,
            "path": target,
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": "Mozilla/5.0",
        },
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": f"{method} {route}",
        "stage": "$default",
        "time": "12/Mar/2026:19:03:58 +0000",
        "timeEpoch": 1773342238580,
    }
    if by is not None:
        claims = {"sub": by, "sid": "family", "iss": "https://trinity.example", "aud": "trinity"}
        context["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
    event: Event = {
        "version": "2.0",
        "routeKey": f"{method} {route}",
        "rawPath": target,
        "rawQueryString": urlencode(query or {}),
        "headers": {
            "accept": "*/*",
            "content-type": "application/json",
            "host": "api-id.execute-api.eu-west-1.amazonaws.com",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if query:
        event["queryStringParameters"] = dict(query)
    if path:
        event["pathParameters"] = path
    if body is not None:
        event["body"] = json.dumps(body)
    return event


class Evening:
    """A room of five with a deck of sixty, a third of it voted on, and nobody agreed yet.

    Args:
        endpoint: of the local AWS.

    Attributes:
        environment: what functions have to know to take part.
    """

    def __init__(self, endpoint: str) -> None:
        def client(service: str) -> Any:
            return boto3.client(
                service,
                region_name=ministack.REGION,
                endpoint_url=endpoint,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )

        self.environment = {
            **ministack.environment(endpoint),
            "TRINITY_TABLE_NAME": "trinity",
            "TRINITY_BUCKET_NAME": "trinity-decks",
            "TRINITY_SIGNING_SECRET": "signing",
            "TRINITY_CURSOR_SECRET": "cursor",
            "TRINITY_QUEUE_PREFIX": "trinity-",
            "TRINITY_BUS_NAME": "trinity",
            "TRINITY_PUBLIC_URL": "https://trinity.example",
            "TRINITY_RATE_LIMITS": "off",
        }
        create_table(Account(self.environment).client(DYNAMODB), "trinity")
        client("s3").create_bucket(
            Bucket="trinity-decks",
            CreateBucketConfiguration={"LocationConstraint": ministack.REGION},
        )
        client("secretsmanager").create_secret(Name="signing")
        client("secretsmanager").create_secret(Name="cursor", SecretString="nobody can guess it")
        self._numbers = itertools.count()
        # What is done here, in the measuring process, is not told: its output is a document.
        quiet = {**self.environment, "TRINITY_LOG_LEVEL": "warning"}
        self._services = Services(from_environment(quiet), self.environment)
        self._services.keys.renew()
        with self._taking_part():
            self.members = [self._guest(f"Guest {number}") for number in range(MEMBERS)]
            self.room = self._new_room()
            deck = self._ask("get_deck", by=self.members[0], **self.here)
            self.titles = [title["id"] for title in deck["items"]]
            for title in self.titles[: TITLES // 3]:
                for member in self.members:
                    self._ask(
                        "cast_votes", {"titleId": title, "choice": "no"}, by=member, **self.here
                    )

    @property
    def here(self) -> dict[str, str]:
        """The path of the room."""
        return {"roomId": self.room["id"]}

    def events(self, name: str, count: int = 1) -> list[Event]:
        """Return events that a function answers with success, each with the same work to do."""
        with self._taking_part():
            return [copy.deepcopy(event) for event in self._events(name, count)]

    def _events(self, name: str, count: int) -> Iterator[Event]:
        host, guest = self.members[0], self.members[1]
        here = self.here
        if name == "join_room":
            code = self._new_room()["code"]
            for number in range(count):
                yield http_event(name, {"code": code}, by=self._guest(f"Latecomer {number}"))
        elif name == "cast_votes":
            for number in range(count):
                # One yes a title: they never agree.
                title, voter = self.titles[number % TITLES], self.members[number % MEMBERS]
                yield http_event(name, {"titleId": title, "choice": "yes"}, by=voter, **here)
        elif name in ("register", "login", "refresh", "logout", "forgot_password"):
            for _ in range(count):
                yield http_event(name, self._account_request(name))
        else:
            bodies: dict[str, dict[str, Any]] = {
                "guest": {"body": {"name": "Guest"}},
                "update_me": {"body": {"name": "Guest 1"}, "by": guest},
                "create_room": {"body": {"deck": self._deck()}, "by": host},
                "update_room": {"body": {"name": "Our room"}, "by": host, **here},
                "undo_vote": {"by": guest, "titleId": self.titles[0], **here},
                "kick_member": {"by": host, "userId": self.members[4], **here},
                "search_titles": {"query": {"q": "matrix"}},
            }
            with_room = {f.name for f in FUNCTIONS if f.route and "{roomId}" in f.route}
            asked = bodies.get(name) or {"by": guest, **(here if name in with_room else {})}
            for _ in range(count):
                yield http_event(name, **asked)

    def _account_request(self, name: str) -> dict[str, str]:
        email = f"ana+{next(self._numbers)}@example.org"
        account = {"email": email, "password": _PASSWORD, "name": "Ana"}
        if name == "register":
            return account
        session = self._ask("register", account)
        if name == "login":
            return {"email": email, "password": _PASSWORD}
        if name == "forgot_password":
            return {"email": email}
        return {"refreshToken": session["refreshToken"]}

    def _deck(self) -> dict[str, Any]:
        items = [{"title": f"Title {number}", "year": 1980 + number} for number in range(TITLES)]
        return {"source": "list", "items": items}

    def _new_room(self) -> Any:
        body = {"deck": self._deck(), "stopAt": "never", "capacity": 100}
        room = self._ask("create_room", body, by=self.members[0])
        for member in self.members[1:]:
            self._ask("join_room", {"code": room["code"]}, by=member)
        return room

    def _guest(self, name: str) -> str:
        user: str = self._ask("guest", {"name": name})["user"]["id"]
        return user

    def _ask(self, name: str, body: Any = None, **who: str) -> Any:
        response = copy.copy(load(_BY_NAME[name]))(http_event(name, body, **who), None)
        assert response["statusCode"] < 300, response
        return json.loads(response.get("body", "null"))

    @contextmanager
    def _taking_part(self) -> Iterator[None]:
        """Let functions in this process use these services meanwhile."""
        before = bootstrap._services
        bootstrap.use(self._services)
        try:
            yield
        finally:
            bootstrap._services = before
