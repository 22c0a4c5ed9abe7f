"""What a subscription asks for, and what an event looks like to it. Pure functions.

https://docs.aws.amazon.com/appsync/latest/devguide/aws-appsync-real-time-data.html
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from graphql import (
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
)
from graphql.execution.collect_fields import collect_fields, collect_sub_fields
from graphql.execution.values import get_argument_values, get_variable_values

from trinity.embedded.graphql.documents import Document, Documents, Invalid

LARGEST_MESSAGE = 240 * 1024
"""Bytes from which on AppSync does not deliver what was published; it says so to nobody."""

encode = msgspec.json.Encoder().encode
"""Returns a value as JSON."""


class Refused(Exception):
    """A `start` that comes to nothing.

    Attributes:
        errors: as they are shown to the client.
        names_the_start: whether the answer bears the id.
    """

    def __init__(self, *errors: dict[str, Any], names_the_start: bool = True) -> None:
        super().__init__(*errors)
        self.errors = errors
        self.names_the_start = names_the_start


def refused(error_type: str, message: str) -> Refused:
    """Return the refusal of a start."""
    return Refused({"errorType": error_type, "message": message})


def unsupported(what: str) -> Refused:
    """Return the refusal of something that is no subscription; AppSync's bears no id."""
    message = f"{what} not supported through the realtime channel"
    error = {"errorType": "UnsupportedOperation", "message": message}
    return Refused(error, names_the_start=False)


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


_decode = msgspec.json.Decoder(_Request).decode


class View(NamedTuple):
    """What a subscriber sees of which events. Subscribers with equal views see the same text.

    Attributes:
        name: the response name of the field.
        fields: response name and field, in the order selected.
        arguments: the filter: a member for each argument that was given.
    """

    name: str
    fields: tuple[tuple[str, str], ...]
    arguments: tuple[tuple[str, Any], ...]

    def lets_through(self, event: Mapping[str, Any]) -> bool:
        """Tell whether an event passes: each argument given must equal the field of its name.

        An argument that is null wants a field that is null; one that was left out wants nothing.
        """
        return all(event.get(name) == value for name, value in self.arguments)

    def message_end(self, event: Mapping[str, Any]) -> bytes:
        """Return what follows the id in the message that shows an event."""
        shown = {name: event.get(field) for name, field in self.fields}
        return b',"payload":' + encode({"data": {self.name: shown}}) + b"}"


class Started(NamedTuple):
    """A subscription, as read from a `start`.

    Attributes:
        field: which field of the subscription type.
        info: what the resolver's event says of it.
    """

    field: str
    view: View
    info: dict[str, Any]


def text(value: Any) -> str:
    """Return a value as a text of JSON."""
    return encode(value).decode()


def published_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as the mutation `publishRoomEvent` with all its fields would publish it.

    AWSJSON travels as a text that holds JSON; what an event does not have is null.
    """
    return {**event, "data": text(event["data"]), "__typename": "RoomEvent"}


def published_presence(presence: Mapping[str, Any]) -> dict[str, Any]:
    """Return who is in a room as the mutation `publishPresence` would publish it."""
    return {**presence, "__typename": "Presence"}


def read(payload: Any, documents: Documents, schema: GraphQLSchema) -> Started:
    """Read the payload of a `start`.

    Args:
        payload: its `data` is a text that holds query and variables.
        documents: reads queries.
        schema: that of the documents.

    Raises:
        Refused: it is not exactly one subscription to exactly one field.
    """
    request = _request(payload)
    try:
        document = documents.read(request.query)
    except Invalid as invalid:
        raise Refused(*invalid.problems) from None
    operation = _operation(document, request.operation_name)
    if operation.operation is not OperationType.SUBSCRIPTION:
        raise unsupported(operation.operation.value)
    given = request.variables or {}
    variables = get_variable_values(schema, operation.variable_definitions, given, max_errors=1)
    if isinstance(variables, list):
        raise refused("BadRequestException", variables[0].message)
    return _started(schema, document, operation, variables)


def _request(payload: Any) -> _Request:
    try:
        return _decode(payload["data"])
    except (KeyError, TypeError, msgspec.DecodeError, RecursionError):
        raise refused("BadRequestException", "Unable to parse GraphQL query.") from None


def _operation(document: Document, name: str | None) -> OperationDefinitionNode:
    if name:
        if name not in document.operations:
            raise refused("BadRequestException", f"Unknown operation named '{name}'.")
        return document.operations[name]
    if len(document.operations) != 1:
        raise refused("BadRequestException", "Missing operation name.")
    return next(iter(document.operations.values()))


def _started(
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    variables: dict[str, Any],
) -> Started:
    root = schema.subscription_type
    assert root is not None  # or the document would not be valid
    fragments = document.fragments
    found = collect_fields(schema, fragments, variables, root, operation.selection_set)
    if len(found) != 1:  # one may be there under a condition only
        raise refused("BadRequestException", "A subscription has exactly one field.")
    [(response_name, nodes)] = found.items()
    name = nodes[0].name.value
    field = root.fields.get(name)
    if field is None:
        raise refused("BadRequestException", f"{name} cannot be subscribed to.")
    try:
        arguments = get_argument_values(field, nodes[0], variables)
    except GraphQLError as error:
        raise refused("BadRequestException", error.message) from None
    kind = get_named_type(field.type)
    assert isinstance(kind, GraphQLObjectType)  # what mutations publish
    selected = collect_sub_fields(schema, fragments, variables, kind, nodes)
    view = View(
        response_name,
        tuple((name, nodes[0].name.value) for name, nodes in selected.items()),
        tuple(sorted(arguments.items())),
    )
    info = {
        "fieldName": name,
        "parentTypeName": root.name,
        "variables": variables,
        "selectionSetList": list(selected),
        "selectionSetGraphQL": "\n".join(map(document.printed, nodes)),
    }
    return Started(name, view, info)
