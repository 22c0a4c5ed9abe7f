"""From an API Gateway event to a validated request, and from a result to a response.

The event is a genuine HTTP API payload, version 2.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import binascii
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from trinity.common import problems
from trinity.domain import errors
from trinity.domain.errors import DomainError
from trinity.domain.ids import UserId
from trinity.store import causes
from trinity.store.causes import Cause

LARGEST_BODY = 256 * 1024
"""Bytes."""

Event = dict[str, Any]
Response = dict[str, Any]
R = TypeVar("R", bound=msgspec.Struct)

_WITH_BODY = frozenset(("POST", "PATCH", "PUT"))

_encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an operation is asked for: the fields of path, query and body in one."""


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as the gateway has verified it.

    Attributes:
        session: the family of refresh tokens that the access token came with.
    """

    user_id: UserId
    session: str


class Origin(msgspec.Struct, frozen=True):
    """Where a request comes from.

    Attributes:
        address: of the client, as far as it can be known.
        base_url: scheme and host that the client used to reach us.
        bearer: the access token that was sent along, not verified; only for routes that work
            with and without one.
        idempotency_key: tells repeated requests from new ones.
        accept: media types that the client would like, as it says it.
    """

    address: str
    base_url: str
    bearer: str | None
    idempotency_key: str | None
    accept: str = ""


class Reply(msgspec.Struct, frozen=True):
    """A result with headers of its own."""

    body: Any
    headers: dict[str, str]


def read(event: Event, kind: type[R]) -> R:
    """Return the request that an event holds.

    Raises:
        MalformedRequest: the body is no JSON object.
        PayloadTooLarge: the body is too large.
        InvalidRequest: a field is missing or not allowed.
    """
    path = event.get("pathParameters") or {}
    # A body is not even looked at where the path says all there is to say.
    in_body = event["requestContext"]["http"]["method"] in _WITH_BODY and len(
        kind.__struct_fields__
    ) > len(path)
    # Never both: what belongs into a body, a password say, must not be taken from an address.
    fields = _body(event) if in_body else dict(event.get("queryStringParameters") or {})
    fields.update(path)
    try:
        # Text is all there is in a query, so "10" is a number where one is expected.
        request = msgspec.convert(fields, kind, strict=in_body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    if not in_body and any(text.lower() == "null" for text in fields.values()):
        # To msgspec the word is null where a field may be; in a query there is no such thing.
        for field in msgspec.structs.fields(kind):
            if field.encode_name in fields and getattr(request, field.name) is None:
                pointer = f"/{field.encode_name}"
                raise errors.InvalidRequest(errors=[(pointer, "cannot be null")])
    return request


def caller(event: Event) -> Caller:
    """Return who asks.

    Raises:
        Unauthenticated: the route is not behind the authorizer, or it let nobody through.
    """
    authorizer = event["requestContext"].get("authorizer")
    if not authorizer:
        raise errors.Unauthenticated
    claims = authorizer["jwt"]["claims"]
    return Caller(UserId(claims["sub"]), claims["sid"])


def origin(event: Event, public_url: str, proxies: int, word: str) -> Origin:
    """Return where a request comes from.

    Args:
        event: what API Gateway tells.
        public_url: see `Settings`.
        proxies: see `Settings`.
        word: see `Settings.proxies_word`.
    """
    context, headers = event["requestContext"], event["headers"]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    address = context["http"]["sourceIp"]
    if proxies and came_by_them(headers, word):
        address = forwarded_for(headers, own=1 + proxies) or address
    return Origin(
        address=address,
        base_url=public_url.rstrip("/")
        or f"{headers.get('x-forwarded-proto', 'https')}://{headers.get('host', 'localhost')}",
        bearer=token.strip() if scheme.lower() == "bearer" else None,
        idempotency_key=headers.get("idempotency-key"),
        accept=headers.get("accept", ""),
    )


def cause(event: Event) -> Cause | None:
    """Return the request as what it may lead to should name it."""
    return causes.of_request(event["requestContext"]["requestId"], event["headers"])


def came_by_them(headers: Mapping[str, str], word: str) -> bool:
    """Tell whether a request came by our proxies: past them a client may say anything of itself.

    Args:
        headers: of the request.
        word: that the proxies alone know.
    """
    return headers.get("x-trinity-proxies", "") == word


def forwarded_for(headers: Mapping[str, str], *, own: int) -> str | None:
    """Return the client as the first of our own hops saw it; None if no hop says.

    Each hop appends whom it got the request from. What a client sends along comes first and can be
    anything; the last ones are ours.

    Args:
        headers: of the request.
        own: how many hops, from the end, were noted by our own.
    """
    hops = [hop.strip() for hop in headers.get("x-forwarded-for", "").split(",")]
    return hops[max(0, len(hops) - own)] or None


def respond(event: Event, result: Any, status: int, *, tagged: bool) -> Response:
    """Return the response that carries a result.

    Args:
        event: the request, for its conditions.
        result: None, something that can be encoded, or a `Reply`.
        status: of the response.
        tagged: give the body an entity tag, and answer 304 if the client has it already.
    """
    headers = {"x-request-id": event["requestContext"]["requestId"]}
    if isinstance(result, Reply):
        headers.update(result.headers)
        result = result.body
    if result is None:
        return {"statusCode": status, "headers": headers}
    if "content-type" not in headers:
        headers["content-type"] = "application/json"
    headers.setdefault("cache-control", "no-store" if not tagged else "private, no-cache")
    if tagged:
        headers["vary"] = "authorization"
    body = result if isinstance(result, bytes) else _encode(result)
    if tagged:
        import hashlib

        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers["etag"] = tag
        if has_tag(event, tag):
            return {"statusCode": 304, "headers": headers}
    return {"statusCode": status, "headers": headers, "body": body.decode()}


def refuse(event: Event, error: DomainError) -> Response:
    """Return the response that tells a client about an error."""
    request_id = event["requestContext"]["requestId"]
    status, document = problems.problem(error, request_id)
    headers = {
        "content-type": problems.CONTENT_TYPE,
        "x-request-id": request_id,
        "cache-control": "no-store",
    }
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return {"statusCode": status, "headers": headers, "body": _encode(document).decode()}


def prefers(accept: str, kind: str, *, over: str) -> bool:
    """Tell whether a client would rather have one media type than another (RFC 9110, 12.5.1)."""
    return _quality(accept, kind) > _quality(accept, over)


def _quality(accept: str, kind: str) -> float:
    """Return what the most specific range that a media type is in says about it, 0 for none."""
    best = (-1, 0.0)
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        ranges = ("*/*", kind.split("/")[0] + "/*", kind)
        if name in ranges:
            best = max(best, (ranges.index(name), quality))
    return best[1]


def has_tag(event: Event, tag: str) -> bool:
    """Tell whether the client says that it has this version already (RFC 9110, 13.1.2)."""
    sent = event["headers"].get("if-none-match")
    if sent is None:
        return False
    return sent.strip() == "*" or tag in (
        part.strip().removeprefix("W/") for part in sent.split(",")
    )


def _body(event: Event) -> dict[str, Any]:
    raw: str | None = event.get("body")
    if not raw:
        return {}
    if len(raw) > LARGEST_BODY * 4 // 3 + 4:
        raise errors.PayloadTooLarge
    try:
        content = binascii.a2b_base64(raw) if event.get("isBase64Encoded") else raw.encode()
        if len(content) > LARGEST_BODY:
            raise errors.PayloadTooLarge
        fields = msgspec.json.decode(content)
    except (msgspec.DecodeError, binascii.Error, UnicodeError):
        raise errors.MalformedRequest("The body is not JSON.") from None
    except RecursionError:
        raise errors.MalformedRequest("The body is nested too deeply.") from None
    if not isinstance(fields, dict):
        raise errors.MalformedRequest("The body is not a JSON object.")
    return fields


# What msgspec says of a field that cannot be, and how people say it.
_SENTENCES = (
    (r"Object missing required field `(.+)`", r"is missing"),
    (r"Expected `str` of length >= 1", r"must not be empty"),
    (r"Expected `str` of length >= (\d+)", r"must have at least \1 characters"),
    (r"Expected `str` of length <= (\d+)", r"must have at most \1 characters"),
    (r"Expected `array` of length >= 1", r"must not be empty"),
    (r"Expected `array` of length <= (\d+)", r"must have at most \1 entries"),
    (r"Expected `(?:int|float)` >= (.+)", r"must be at least \1"),
    (r"Expected `(?:int|float)` <= (.+)", r"must be at most \1"),
    (r"Expected `str` matching regex .+", r"does not have the right form"),
    (r"Invalid enum value (.+)", r"cannot be \1"),
    (r"Invalid value (.+)", r"cannot be \1"),
    (r"Expected `(.+)`, got `(.+)`", r"must be \1, not \2"),
)
_LONGEST_MESSAGE = 200
_WORDS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false"}
_WORDS |= {"array": "a list", "object": "an object", "null": "null"}


def invalid(error: msgspec.ValidationError) -> errors.InvalidRequest:
    """Return what people should read where msgspec has refused a field."""
    # "Expected `int`, got `str` - at `$.deck.size`"
    message, _, place = str(error).partition(" - at `")
    pointer = place.rstrip("`").lstrip("$").replace("[", ".").replace("]", "").replace(".", "/")
    for pattern, sentence in _SENTENCES:
        found = re.fullmatch(pattern, message)
        if found is None:
            continue
        if "missing" in sentence:
            pointer += f"/{found[1]}"
        message = re.sub(pattern, sentence, message)
        break
    message = re.sub(r"\b[a-z]+\b(?=[ |,]|$)", lambda word: _WORDS.get(word[0], word[0]), message)
    if len(message) > _LONGEST_MESSAGE:  # it may repeat what was sent
        message = message[:_LONGEST_MESSAGE] + "…"
    field = pointer.rpartition("/")[2] or "request"
    return errors.InvalidRequest(f"The field {field} {message}.", errors=[(pointer, message)])
