"""The OpenAPI 3.1 document, made from the topology and the types of the use cases."""

import functools
import importlib
import re
from typing import Any

import msgspec

from trinity import __version__
from trinity.bootstrap import Operation
from trinity.common import problems
from trinity.common.reports import RoomReport
from trinity.common.requests import Reply
from trinity.common.shapes import TitlesPage
from trinity.domain import errors
from trinity.domain.errors import DomainError
from trinity.topology import FUNCTIONS, Function

_REF = "#/components/schemas/{name}"

# What use cases answer that set headers of their own, and so do not name the type of the body.
_BODIES: dict[str, Any] = {
    "get_deck": TitlesPage,
    "room_report": RoomReport,
    "jwks": dict[str, list[dict[str, str]]],
    "discovery": dict[str, Any],
    "openapi": dict[str, Any],
}
_PAGES = frozenset(("confirm_unsubscribe", "unsubscribe"))
_CREATES = frozenset(("create_room", "create_upload"))
_AS_CSV_TOO = frozenset(("room_report",))

_HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "Names this request, in our logs too.",
        "required": True,
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "Tells this version; send it as `If-None-Match` and get 304.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which trying again makes sense.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to sign in.",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    },
}
_HEADERS_OF = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


class _Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document (RFC 9457). `code` is what programs act on."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    errors: list[dict[str, str]] = []


def load(function: Function) -> Any:
    """Return the handler of a function."""
    return importlib.import_module(f"trinity.handlers.{function.module}").handler


@functools.cache
def document() -> dict[str, Any]:
    """Return the whole document. The same code gives the same document, byte for byte."""
    routed = [(function, load(function)) for function in FUNCTIONS if function.route]
    types: list[Any] = [_Problem]
    for function, handler in routed:
        types += [t for t in (handler.request_type, _result(function, handler)) if t is not None]
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    components["Problem"] = components.pop("_Problem")
    paths: dict[str, dict[str, Any]] = {}
    for function, handler in routed:
        method, path = str(function.route).split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(function, handler, components)
    for _, handler in routed:  # requests are told field by field above
        if handler.request_type is not None:
            components.pop(handler.request_type.__name__, None)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Trinity",
            "version": __version__,
            "description": "Groups decide together by swiping through a shared deck until they"
            " agree. Errors are problem documents with a stable `code`: "
            + ", ".join(f"`{code}`" for code in sorted({e.code for e in problems.STATUS}))
            + ".",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "headers": _HEADERS,
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "user": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }
    # Our classes are called RoomShape where the API's word is Room.
    named = msgspec.json.encode(whole).replace(b'Shape"', b'"')
    return msgspec.json.decode(named, type=dict[str, Any])


def _operation(
    function: Function, handler: Operation, components: dict[str, Any]
) -> dict[str, Any]:
    method, path = str(function.route).split(" ")
    lines = (handler.use_case.__doc__ or "").strip().split("\n\n")
    operation: dict[str, Any] = {
        "operationId": function.name,
        "tags": [function.module.split(".")[0]],
        "summary": lines[0],
    }
    fields = _fields(handler, components)
    in_path = {name for name in fields if f"{{{name}}}" in path}
    with_body = method in ("POST", "PATCH", "PUT")
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, (schema, _) in fields.items()
        if name in in_path
    ]
    rest = {name: field for name, field in fields.items() if name not in in_path}
    if with_body and rest:
        body: dict[str, Any] = {
            "type": "object",
            "properties": {name: schema for name, (schema, _) in rest.items()},
        }
        required = [name for name, (_, needed) in rest.items() if needed]
        if required:
            body["required"] = required
        operation["requestBody"] = {
            "required": bool(required),
            "content": {"application/json": {"schema": body}},
        }
    elif rest:
        parameters += [
            {"name": name, "in": "query", "required": needed, "schema": _textual(schema)}
            for name, (schema, needed) in rest.items()
        ]
    if function.name in _CREATES:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 255},
                "description": "The same key from the same caller gives the same answer.",
            }
        )
    if handler.tagged:
        parameters.append(
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "schema": {"type": "string"},
                "description": "Entity tags of what the client has already.",
            }
        )
    if parameters:
        operation["parameters"] = parameters
    operation["responses"] = _responses(function, handler, fields=bool(fields), body=with_body)
    operation["security"] = [{"user": []}] if function.auth == "user" else []
    if function.name == "register":
        operation["security"] = [{}, {"user": []}]
    return operation


def _responses(
    function: Function, handler: Operation, *, fields: bool, body: bool
) -> dict[str, Any]:
    result = _result(function, handler)
    tag = ["ETag"] if handler.tagged else []
    good: dict[str, Any] = {"description": "Done.", "headers": _headers(*tag)}
    if function.name in _PAGES:
        good["content"] = {"text/html": {"schema": {"type": "string"}}}
    elif result is not None:
        (schema,), _ = msgspec.json.schema_components([result], ref_template=_REF)
        good["content"] = {"application/json": {"schema": schema}}
        if function.name in _AS_CSV_TOO:
            good["content"]["text/csv"] = {"schema": {"type": "string"}}
    responses = {str(handler.status): good}
    if handler.tagged:
        responses["304"] = {
            "description": "The client has this already.",
            "headers": _headers(*tag),
        }
    codes: dict[int, list[str]] = {}
    for error in _errors(function, handler, fields=fields, body=body):
        codes.setdefault(problems.STATUS[error][0], []).append(f"`{error.code}`")
    content = {problems.CONTENT_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
    if function.name in _PAGES:
        content |= good["content"]
    for status in sorted(codes):
        responses[str(status)] = {
            "description": ", ".join(sorted(set(codes[status]))),
            "headers": _headers(*_HEADERS_OF.get(status, ())),
            "content": content,
        }
    return responses


def _headers(*names: str) -> dict[str, Any]:
    """Return the headers of a response: these, and what every response has."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def _errors(
    function: Function, handler: Operation, *, fields: bool, body: bool
) -> set[type[DomainError]]:
    """Return what an operation may refuse with: what its docstring says, and what all share."""
    found: set[type[DomainError]] = {errors.InternalError, errors.ServiceUnavailable}
    if fields:
        found.add(errors.InvalidRequest)
    if body:
        found |= {errors.MalformedRequest, errors.PayloadTooLarge}
    if function.auth == "user":
        found.add(errors.Unauthenticated)
    _, _, raises = (handler.use_case.__doc__ or "").partition("Raises:")
    for names in re.findall(r"^ +([A-Z]\w+(?:, [A-Z]\w+)*): ", raises, re.MULTILINE):
        for name in names.split(", "):
            if name != "Unavailable":  # a port's word; clients see ServiceUnavailable
                found.add(getattr(errors, name))
    return found


def _fields(handler: Operation, components: dict[str, Any]) -> dict[str, tuple[Any, bool]]:
    """Return for each field of the request its schema and whether it is required."""
    if handler.request_type is None:
        return {}
    schema = components[handler.request_type.__name__]
    required = schema.get("required", [])
    return {name: (value, name in required) for name, value in schema["properties"].items()}


def _textual(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a query parameter: it can be left out, but it cannot be null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return dict(choices[0]) if len(choices) == 1 else schema


def _result(function: Function, handler: Operation) -> Any:
    """Return the type of the JSON that an operation answers, None if it answers none."""
    return _BODIES.get(function.name) if handler.result_type is Reply else handler.result_type
