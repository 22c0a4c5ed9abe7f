"""API Gateway on one machine: from an HTTP request to the event that a function gets, and back.

Events are HTTP API payloads, version 2.0. What is not in AWS's page on the format was taken from
recorded events: paths arrive decoded, cookies leave the headers, claims are strings, and members
without content are absent.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import itertools
import os
import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from trinity.common.requests import Event
from trinity.embedded.authorizer import Authorizer
from trinity.topology import Function

_Shape = tuple[int, ...]
_NOTHING: dict[_Shape, dict[tuple[str, ...], dict[str, "Route"]]] = {}
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")


class Route(NamedTuple):
    """Where a request goes.

    Attributes:
        key: the route as the topology writes it, `GET /api/rooms/{roomId}`.
    """

    function: Function
    key: str


class Match(NamedTuple):
    """What the router found: a route and its path parameters."""

    route: Route
    parameters: dict[str, str]


class Router:
    """Finds the function of a request, by two look-ups at the most for nearly all of them.

    Args:
        functions: those with a route.
    """

    def __init__(self, functions: Iterable[Function]) -> None:
        # A shape is where in a path the parameters stand. Paths are told apart by their number of
        # segments, then by shape, then by the segments that are no parameters.
        self._shapes: dict[int, dict[_Shape, dict[tuple[str, ...], dict[str, Route]]]] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        for function in functions:
            if function.route is None:
                continue
            method, path = function.route.split(" ")
            segments = path.split("/")
            shape = tuple(n for n, segment in enumerate(segments) if segment.startswith("{"))
            fixed = tuple(segment for n, segment in enumerate(segments) if n not in shape)
            self._names[function.route] = tuple(segments[n][1:-1] for n in shape)
            by_shape = self._shapes.setdefault(len(segments), {})
            routes = by_shape.setdefault(shape, {}).setdefault(fixed, {})
            routes[method] = Route(function, function.route)
        for number, by_shape in self._shapes.items():
            # Fixed paths first: `/api/rooms/join` is no room.
            self._shapes[number] = dict(sorted(by_shape.items(), key=lambda pair: len(pair[0])))

    def find(self, method: str, raw_path: str) -> Match | frozenset[str] | None:
        """Return the match; the methods that the path takes, if not this one; None if unknown."""
        segments = raw_path.split("/")
        for shape, by_fixed in self._shapes.get(len(segments), _NOTHING).items():
            values = [segments[n] for n in shape]
            if not all(values):
                continue
            fixed = segments if not shape else [s for n, s in enumerate(segments) if n not in shape]
            routes = by_fixed.get(tuple(fixed))
            if routes is None:
                continue
            route = routes.get(method)
            if route is None:
                return frozenset(routes)
            names = self._names[route.key]
            return Match(route, dict(zip(names, map(unquote, values), strict=True)))
        return None


class Events:
    """Makes events of requests.

    Args:
        authorizer: verifies access tokens.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._prefix = os.urandom(6).hex()
        self._counter = itertools.count()

    def make(self, scope: dict[str, Any], match: Match, body: bytes) -> Event | None:
        """Return the event of a request, None if its route needs a token and it has no valid one.

        Args:
            scope: of the request, as ASGI has it.
            match: what the router found.
            body: all of it.
        """
        headers, cookies = _headers(scope["headers"])
        key = match.route.key
        authorizer: dict[str, Any] | None = None
        if match.route.function.auth == "user":
            claims = self._authorizer.claims(headers.get("authorization"))
            if claims is None:
                return None
            authorizer = {"jwt": {"claims": claims, "scopes": None}}
        now = time.time()
        host = headers.get("host", "localhost")
        client = scope["client"] or ("127.0.0.1", 0)
        forwarded = headers.get("x-forwarded-for")
        headers["x-forwarded-for"] = f"{forwarded}, {client[0]}" if forwarded else client[0]
        headers["x-forwarded-port"] = str(scope["server"][1]) if scope["server"] else "443"
        headers["x-forwarded-proto"] = scope["scheme"]
        headers.setdefault("content-length", str(len(body)))
        domain, _, port = host.rpartition(":")
        if not port.isdigit():
            domain = host
        path: str = scope["path"]
        context: dict[str, Any] = {
            "accountId": "anonymous",
            "apiId": "embedded",
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": scope["method"],
                "path": path,
                "protocol": f"HTTP/{scope['http_version']}",
                "sourceIp": client[0],
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": self.request_id(),
            "routeKey": key,
            "stage": "$default",
            "time": _common_log_time(int(now)),
            "timeEpoch": int(now * 1000),
        }
        if authorizer is not None:
            context["authorizer"] = authorizer
        raw_query = scope["query_string"].decode("latin-1")
        event: Event = {
            "version": "2.0",
            "routeKey": key,
            "rawPath": path,
            "rawQueryString": raw_query,
            "headers": headers,
            "requestContext": context,
            "isBase64Encoded": False,
        }
        if cookies:
            event["cookies"] = cookies
        if raw_query:
            event["queryStringParameters"] = _query(raw_query)
        if match.parameters:
            event["pathParameters"] = match.parameters
        if body:
            event["body"], event["isBase64Encoded"] = _body(headers.get("content-type"), body)
        return event

    def request_id(self) -> str:
        """Return an id that no other request has."""
        return f"{self._prefix}{next(self._counter):010x}"


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in pairs:
        name, value = str(raw_name, "latin-1"), str(raw_value, "latin-1")
        if name == "cookie":
            cookies += [part.strip() for part in value.split(";") if part.strip()]
        elif name in headers:
            headers[name] += f",{value}"
        else:
            headers[name] = value
    return headers, cookies


def _query(raw: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True, errors="replace"):
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _body(content_type: str | None, body: bytes) -> tuple[str, bool]:
    if content_type is None or content_type.lower().startswith(_TEXT_TYPES):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


_times: dict[int, str] = {}


def _common_log_time(second: int) -> str:
    text = _times.get(second)
    if text is None:
        _times.clear()
        text = _times[second] = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))
    return text
