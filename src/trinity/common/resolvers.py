"""From an AppSync event to a validated request, and from a result to the value of a field.

The event is a genuine direct Lambda resolver's: the context object itself.
https://docs.aws.amazon.com/appsync/latest/devguide/resolver-mapping-template-reference-lambda.html
"""

from typing import Any, TypeVar

import msgspec

from trinity.common.requests import (
    Caller,
    Event,
    Origin,
    Reply,
    came_by_them,
    forwarded_for,
    invalid,
)
from trinity.domain import errors
from trinity.domain.ids import UserId
from trinity.store import causes
from trinity.store.causes import Cause

R = TypeVar("R", bound=msgspec.Struct)


def read(event: Event, kind: type[R]) -> R:
    """Return the request that the arguments of a field make.

    Raises:
        InvalidRequest: an argument is not allowed.
    """
    arguments = dict(event["arguments"])
    arguments |= arguments.pop("input", None) or {}
    if "id" in arguments:  # the schema says room(id), the route rooms/{roomId}
        arguments["roomId"] = arguments.pop("id")
    try:
        # Enumerations and ids are text in GraphQL; what is null is as good as absent.
        return msgspec.convert(_without_nulls(arguments), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def caller(event: Event) -> Caller:
    """Return who asks.

    Raises:
        Unauthenticated: nobody whom we know: an API key, or a role.
    """
    claims = (event.get("identity") or {}).get("claims")
    if not claims:
        raise errors.Unauthenticated
    return Caller(UserId(claims["sub"]), claims["sid"])


def origin(event: Event, public_url: str, proxies: int, word: str) -> Origin:
    """Return where a request comes from.

    Args:
        event: what AppSync tells.
        public_url: see `Settings`.
        proxies: see `Settings`.
        word: see `Settings.proxies_word`.
    """
    request = event["request"]
    headers = request["headers"]
    scheme = headers.get("x-forwarded-proto", "https")
    ours = proxies if came_by_them(headers, word) else 0
    return Origin(
        # AppSync has a front, too, that notes the address of the one before it.
        address=forwarded_for(headers, own=2 + ours) or "unknown",
        base_url=public_url.rstrip("/") or f"{scheme}://{headers.get('host', 'localhost')}",
        bearer=None,
        idempotency_key=headers.get("idempotency-key"),
    )


def cause(event: Event) -> Cause | None:
    """Return the request as what it may lead to should name it."""
    headers = event["request"]["headers"]
    return causes.of_request(headers.get("x-amzn-requestid", ""), headers)


def value(event: Event, result: Any) -> Any:
    """Return what a use case has answered as the value of a field: plain JSON types.

    Nothing becomes `true`, so that a client can tell done from failed. For a subscription it stays
    null: of a value AppSync would make the first event.
    """
    if isinstance(result, Reply):
        result = result.body
    if result is None:
        return None if event["info"]["parentTypeName"] == "Subscription" else True
    return msgspec.to_builtins(result)


def _without_nulls(given: Any) -> Any:
    if isinstance(given, dict):
        return {name: _without_nulls(part) for name, part in given.items() if part is not None}
    if isinstance(given, list):
        return [_without_nulls(part) for part in given]
    return given
