"""The schema as AppSync sees it: schema/schema.graphql, and what AppSync adds of its own.

The format of the scalars: https://docs.aws.amazon.com/appsync/latest/devguide/scalars.html
"""

import re
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from graphql import (
    FieldDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    ObjectTypeDefinitionNode,
    build_schema,
)

_HERE = Path(__file__).parent
_PRELUDE = _HERE / "appsync.graphql"
_INSTALLED = _HERE / "schema.graphql"
_IN_A_CHECKOUT = _HERE.parents[3] / "schema" / "schema.graphql"

USER = "aws_oidc"
"""How users come, the default: what bears no mark is for them."""

_DATE_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d(:\d\d)?)"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_WITH_HOST = ("http", "https", "ftp")


def sdl() -> str:
    """Return the text of schema/schema.graphql; a wheel carries it beside this module."""
    source = _INSTALLED if _INSTALLED.exists() else _IN_A_CHECKOUT
    return source.read_text("utf-8")


def prelude() -> str:
    """Return the definitions that AppSync adds to every schema."""
    return _PRELUDE.read_text("utf-8")


def load() -> GraphQLSchema:
    """Return the schema, its scalars behaving as AppSync's do."""
    schema = build_schema(f"{prelude()}\n{sdl()}")
    for name, is_one in (
        ("AWSDateTime", _is_date_time),
        ("AWSEmail", _is_email),
        ("AWSURL", _is_url),
    ):
        parse = partial(_checked, name, is_one)
        vars(schema.type_map[name]).update(parse_value=parse, serialize=parse)
    vars(schema.type_map["AWSJSON"]).update(parse_value=_parse_json, serialize=_print_json)
    return schema


def modes(field: FieldDefinitionNode, parent: ObjectTypeDefinitionNode) -> set[str]:
    """Return who may ask for a field: its own marks, else those of its type, else the default.

    https://docs.aws.amazon.com/appsync/latest/devguide/security-authz.html#using-additional-authorization-modes
    """
    return _marks(field) or _marks(parent) or {USER}


def _marks(node: FieldDefinitionNode | ObjectTypeDefinitionNode) -> set[str]:
    names = {directive.name.value for directive in node.directives}
    return {name for name in names if name.startswith("aws_") and name != "aws_subscribe"}


def _checked(name: str, is_one: Callable[[str], bool], value: Any) -> str:
    if isinstance(value, str) and is_one(value):
        return value
    raise GraphQLError(f"Unable to read `{str(value)[:200]}` as a valid {name}.")


def _is_date_time(text: str) -> bool:
    if _DATE_TIME.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:  # the thirtieth of February
        return False
    return True


def _is_email(text: str) -> bool:
    return _EMAIL.fullmatch(text) is not None


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme == "mailto" or (url.scheme in _WITH_HOST and bool(url.netloc))


def _parse_json(value: Any) -> Any:
    try:
        return msgspec.json.decode(value)
    except (TypeError, msgspec.DecodeError, RecursionError):
        raise GraphQLError("Unable to read a text that is no JSON as a valid AWSJSON.") from None


def _print_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
