"""schema/schema.graphql is what AppSync accepts, describes itself, and is all resolved."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLScalarType,
    build_schema,
    get_introspection_query,
    get_named_type,
    parse,
    validate_schema,
)

from trinity.embedded.graphql import schema as schemas
from trinity.embedded.graphql.documents import Documents
from trinity.topology import FUNCTIONS

SCHEMA = schemas.load()
OWN = {
    definition.name.value: SCHEMA.type_map[definition.name.value]
    for definition in parse(schemas.sdl()).definitions
    if hasattr(definition, "name")
}
ROOTS = {"Query", "Mutation", "Subscription"}
CONFIGURED = {"aws_oidc", "aws_iam"}
BUILT_IN = {"Int", "Float", "String", "Boolean", "ID"}
SERVICE_ALONE = {
    "Mutation.publishRoomEvent",
    "Mutation.publishPresence",
    "Mutation.endSubscriptions",
}

FIELDS = [
    (f"{kind.name}.{name}", kind, field)
    for kind in OWN.values()
    if isinstance(kind, GraphQLObjectType)
    for name, field in kind.fields.items()
]


def marks(node: Any) -> dict[str, Any]:
    return {directive.name.value: directive for directive in node.directives}


def test_the_schema_is_valid() -> None:
    assert validate_schema(SCHEMA) == []


def test_the_schema_defines_no_scalar_and_no_directive_of_its_own() -> None:
    kinds = {definition.kind for definition in parse(schemas.sdl()).definitions}
    assert kinds <= {
        "schema_definition",
        "object_type_definition",
        "input_object_type_definition",
        "enum_type_definition",
    }


def test_every_scalar_is_one_of_appsync() -> None:
    known = BUILT_IN | {
        "AWSDate",
        "AWSTime",
        "AWSDateTime",
        "AWSTimestamp",
        "AWSEmail",
        "AWSJSON",
        "AWSURL",
        "AWSPhone",
        "AWSIPAddress",
    }
    scalars = {n for n, kind in SCHEMA.type_map.items() if isinstance(kind, GraphQLScalarType)}
    assert scalars <= known


@pytest.mark.parametrize("name", OWN)
def test_every_type_is_described(name: str) -> None:
    assert OWN[name].description


def parts() -> Iterator[tuple[str, Any]]:
    for kind in OWN.values():
        if isinstance(kind, GraphQLObjectType | GraphQLInputObjectType):
            for name, field in kind.fields.items():
                yield f"{kind.name}.{name}", field
        elif isinstance(kind, GraphQLEnumType):
            for name, value in kind.values.items():
                yield f"{kind.name}.{name}", value


def test_every_field_and_every_value_is_described() -> None:
    assert [name for name, part in parts() if not part.description] == []


def test_marks_name_only_configured_modes() -> None:
    nodes = [kind.ast_node for kind in OWN.values()] + [field.ast_node for _, _, field in FIELDS]
    auth = {name for node in nodes for name in marks(node) if name.startswith("aws_")}
    assert auth - {"aws_subscribe"} == CONFIGURED


def test_what_a_field_returns_can_be_read_by_whoever_may_ask_for_it() -> None:
    closed = []
    for place, parent, field in FIELDS:
        returned = get_named_type(field.type)
        if isinstance(returned, GraphQLObjectType):
            for name, inner in returned.fields.items():
                missing = schemas.modes(field.ast_node, parent.ast_node) - schemas.modes(
                    inner.ast_node, returned.ast_node
                )
                closed += [f"{place} -> {name}: {mode}" for mode in missing]
    assert closed == []


def test_a_type_that_users_and_the_service_reach_bears_both_marks() -> None:
    reached: dict[str, set[str]] = {}

    def reach(kind: Any, modes: set[str]) -> None:
        if isinstance(kind, GraphQLObjectType) and not modes <= reached.get(kind.name, set()):
            reached.setdefault(kind.name, set()).update(modes)
            for field in kind.fields.values():
                reach(get_named_type(field.type), modes)

    for name in ROOTS:
        for field in SCHEMA.type_map[name].fields.values():
            modes = schemas.modes(field.ast_node, SCHEMA.type_map[name].ast_node)
            reach(get_named_type(field.type), modes)
    both = {name for name, modes in reached.items() if modes == CONFIGURED}
    assert both == {"RoomEvent", "Presence"}
    assert {name for name in both if set(marks(OWN[name].ast_node)) == CONFIGURED} == both


def test_a_subscription_returns_what_its_mutations_return() -> None:
    subscriptions = SCHEMA.subscription_type.fields
    assert subscriptions
    for name, field in subscriptions.items():
        (argument,) = marks(field.ast_node)["aws_subscribe"].arguments
        mutations = [value.value for value in argument.value.values]
        assert mutations, name
        for mutation in mutations:
            assert str(SCHEMA.mutation_type.fields[mutation].type) == str(field.type)


def test_an_argument_of_a_subscription_is_a_field_of_what_it_returns() -> None:
    for field in SCHEMA.subscription_type.fields.values():
        returned = get_named_type(field.type).fields
        assert {name for name in field.args if name not in returned} == set()


def test_every_root_field_is_resolved_by_one_function_and_no_other_field_is() -> None:
    resolved = [name for function in FUNCTIONS for name in function.fields]
    roots = {place for place, parent, _ in FIELDS if parent.name in ROOTS}
    assert sorted(resolved) == sorted(roots - SERVICE_ALONE)


def test_the_document_fits_into_one_megabyte() -> None:
    assert len(schemas.sdl().encode()) < 1_000_000


def test_appsync_s_own_definitions_alone_are_no_mistake() -> None:
    assert build_schema(schemas.prelude() + "type Query { a: AWSJSON }")


def test_the_usual_query_for_the_schema_is_within_the_limits() -> None:
    Documents(SCHEMA, introspection=True).read(get_introspection_query())


@pytest.mark.parametrize(
    ("scalar", "good", "bad"),
    [
        ("AWSDateTime", "2024-02-29T23:59:59.999Z", "2023-02-29T00:00:00Z"),
        ("AWSDateTime", "2024-01-01T00:00:00+05:30", "2024-01-01T00:00:00"),
        ("AWSDateTime", "2024-01-01T00:00:00-01:00:30", "2024-01-01"),
        ("AWSEmail", "ana@example.org", "ana"),
        ("AWSURL", "https://example.org/a?b", "javascript:alert(1)"),
        ("AWSURL", "mailto:ana@example.org", "http://"),
        ("AWSURL", "http://[::1]/", "http://[::1/"),
    ],
)
def test_a_scalar_takes_what_it_is_for(scalar: str, good: str, bad: str) -> None:
    kind = SCHEMA.type_map[scalar]
    assert kind.parse_value(good) == kind.serialize(good) == good
    for value in (bad, 1, None, {}, ""):
        for take in (kind.parse_value, kind.serialize):
            with pytest.raises(Exception, match=re.escape(f"as a valid {scalar}")):
                take(value)


def test_json_is_read_on_the_way_in_and_printed_on_the_way_out() -> None:
    kind = SCHEMA.type_map["AWSJSON"]
    assert kind.parse_value('{"a": [1, null]}') == {"a": [1, None]}
    assert kind.serialize({"a": [1, None]}) == '{"a":[1,null]}'
    for value in ("{", 1, None, {}, "[" * 100_000):
        with pytest.raises(Exception, match="as a valid AWSJSON"):
            kind.parse_value(value)
