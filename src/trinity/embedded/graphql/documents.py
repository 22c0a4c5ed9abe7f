"""From the text of a request to a document that may be executed.

What is wrong with a document is said in the words of graphql-java, on which AppSync is built.
https://github.com/graphql-java/graphql-java/blob/master/src/main/resources/i18n/Validation.properties
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationRule,
    parse,
    print_ast,
    specified_rules,
    validate,
)

DEEPEST = 15
"""Levels of fields: what the usual query for the whole schema needs."""

MOST_FIELDS = 250
"""With the fields of fragments wherever they are spread; the usual query for the schema has 220."""

MOST_ROOT_FIELDS = 20
"""Functions that one request can call."""

MOST_TOKENS = 5_000
"""Enough for a room with a deck of 500 titles written into the document."""

_REMEMBERED_CHARACTERS = 256 * 1024

Problem = dict[str, Any]
"""An error as AppSync writes it."""


class Invalid(Exception):
    """A document that cannot be executed.

    Attributes:
        problems: what is wrong with it, as it goes into `errors`.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


class Document:
    """A valid document.

    Attributes:
        node: what graphql-core executes.
        operations: by name, None for the one without.
        fragments: by name.
    """

    def __init__(self, node: DocumentNode) -> None:
        self.node = node
        self.operations: dict[str | None, OperationDefinitionNode] = {}
        self.fragments: dict[str, FragmentDefinitionNode] = {}
        for definition in node.definitions:
            if isinstance(definition, OperationDefinitionNode):
                name = definition.name.value if definition.name else None
                self.operations[name] = definition
            elif isinstance(definition, FragmentDefinitionNode):
                self.fragments[definition.name.value] = definition
        self._printed: dict[int, str] = {}

    def printed(self, field: FieldNode) -> str:
        """Return the selection set of one of its fields as a text; made once."""
        text = self._printed.get(id(field))
        if text is None:
            text = print_ast(field.selection_set) if field.selection_set else ""
            self._printed[id(field)] = text
        return text


class Documents:
    """Reads documents, and remembers the valid ones: the only cache on the way of a request.

    Args:
        schema: what they have to fit.
        introspection: whether they may ask for the schema itself.
    """

    def __init__(self, schema: GraphQLSchema, *, introspection: bool) -> None:
        self._schema = schema
        self._rules = [*specified_rules, *([] if introspection else [_NoIntrospection])]
        self._known: OrderedDict[str, Document] = OrderedDict()
        self._characters = 0

    def read(self, text: str) -> Document:
        """Return the document of a text.

        Raises:
            Invalid: it is none, does not fit the schema, or asks for too much.
        """
        document = self._known.get(text)
        if document is not None:
            self._known.move_to_end(text)
            return document
        try:
            document = self._read(text)
        except RecursionError:
            raise Invalid([problem("The document is nested too deeply.", LIMIT)]) from None
        self._remember(text, document)
        return document

    def _read(self, text: str) -> Document:
        try:
            document = Document(parse(text, max_tokens=MOST_TOKENS))
        except GraphQLError as error:
            message = error.message.removeprefix("Syntax Error: ")
            if message.startswith("Document contains more than"):
                raise Invalid([problem(message, LIMIT)]) from None
            message = f"Validation error of type InvalidSyntax: {message}"
            raise Invalid([problem(message, nodes_of=error)]) from None
        # First, for validating a document takes the square of its size.
        _limit(document)
        if validate(self._schema, document.node, self._rules):
            raise Invalid(list(self._problems(document)))
        return document

    def _problems(self, document: Document) -> Iterator[Problem]:
        # Once more, rule by rule: errors do not tell which rule has found them.
        for rule in self._rules:
            for error in validate(self._schema, document.node, [rule]):
                text = _in_java(rule.__name__.removesuffix("Rule").lstrip("_"), error.message)
                node = error.nodes[0] if error.nodes else None
                place = "/".join(_path(document.node, node)) if node else ""
                where = f" @ '{place}'" if place else ""
                yield problem(f"Validation error of type {text}{where}", nodes_of=error)

    def _remember(self, text: str, document: Document) -> None:
        self._known[text] = document
        self._characters += len(text)
        while self._characters > _REMEMBERED_CHARACTERS:
            oldest, _ = self._known.popitem(last=False)
            self._characters -= len(oldest)


LIMIT = "LimitExceededError"
"""The `errorType` of a document that asks for too much."""


def problem(
    message: str, error_type: str | None = None, *, nodes_of: GraphQLError | None = None
) -> Problem:
    """Return an error that belongs to no field of the answer.

    Args:
        message: for people.
        error_type: left out of errors in documents, as AppSync does.
        nodes_of: the error that knows where in the document it is.
    """
    found: Problem = {"path": None, "locations": locations(nodes_of), "message": message}
    if error_type is not None:
        found |= {"data": None, "errorType": error_type, "errorInfo": None}
    return found


def locations(error: GraphQLError | None) -> list[dict[str, Any]] | None:
    """Return where in the document an error is, as AppSync writes it."""
    if error is None or not error.locations:
        return None
    return [
        {"line": place.line, "column": place.column, "sourceName": None}
        for place in error.locations
    ]


class _NoIntrospection(ValidationRule):
    """As graphql-java does it: the fields that lead into the schema are not there."""

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        name = node.name.value
        if name in ("__schema", "__type"):
            self.report_error(GraphQLError(f"Cannot query field '{name}' on type 'Query'.", node))


# ---------------------------------------------------------------------------------------- limits


def _limit(document: Document) -> None:
    measured: dict[str, tuple[int, int]] = {}
    for operation in document.operations.values():
        roots = _root_fields(document, operation.selection_set, set())
        if roots > MOST_ROOT_FIELDS:
            message = f"An operation can have {MOST_ROOT_FIELDS} root fields, not {roots}."
            raise Invalid([problem(message, LIMIT)])
    sets = [*document.operations.values(), *document.fragments.values()]
    sizes = [_measure(document, one.selection_set, measured) for one in sets]
    if max((depth for _, depth in sizes), default=0) > DEEPEST:
        raise Invalid([problem(f"A query can be {DEEPEST} levels deep.", LIMIT)])
    if sum(fields for fields, _ in sizes[: len(document.operations)]) > MOST_FIELDS:
        raise Invalid([problem(f"A document can select {MOST_FIELDS} fields.", LIMIT)])


def _root_fields(document: Document, selected: SelectionSetNode, seen: set[str]) -> int:
    count = 0
    for node in selected.selections:
        if isinstance(node, FieldNode):
            count += 1
        elif isinstance(node, InlineFragmentNode):
            count += _root_fields(document, node.selection_set, seen)
        elif (spread := _spread(document, node)) is not None and spread.name.value not in seen:
            seen.add(spread.name.value)
            count += _root_fields(document, spread.selection_set, seen)
    return count


def _measure(
    document: Document, selected: SelectionSetNode | None, measured: dict[str, tuple[int, int]]
) -> tuple[int, int]:
    """Return the number of fields and of levels, with fragments in their places."""
    fields = depth = 0
    for node in selected.selections if selected else ():
        if isinstance(node, FieldNode):
            more, below = _measure(document, node.selection_set, measured)
            fields, depth = fields + more + 1, max(depth, below + 1)
            continue
        if isinstance(node, InlineFragmentNode):
            more, below = _measure(document, node.selection_set, measured)
        else:
            spread = _spread(document, node)
            if spread is None:
                continue
            name = spread.name.value
            if name not in measured:
                measured[name] = (0, 0)  # should it spread itself: validation refuses that
                measured[name] = _measure(document, spread.selection_set, measured)
            more, below = measured[name]
        fields, depth = fields + more, max(depth, below)
    return fields, depth


def _spread(document: Document, node: Any) -> FragmentDefinitionNode | None:
    return document.fragments.get(node.name.value)


# ---------------------------------------------------------------------- the words of graphql-java

# By rule: what graphql-core says, and what graphql-java does.
_SENTENCES = {
    "FieldsOnCorrectType": (
        r"Cannot query field '(\w+)' on type '(\w+)'.*",
        r"FieldUndefined: Field '\1' in type '\2' is undefined",
    ),
    "NoIntrospection": (
        r"Cannot query field '(\w+)' on type '(\w+)'.*",
        r"FieldUndefined: Field '\1' in type '\2' is undefined",
    ),
    "KnownArgumentNames": (
        r"Unknown argument '(\w+)' on field .*",
        r"UnknownArgument: Unknown field argument \1",
    ),
    "ProvidedRequiredArguments": (
        r"Field '\w+' argument '(\w+)' of type .*",
        r"MissingFieldArgument: Missing field argument \1",
    ),
    "KnownTypeNames": (r"Unknown type '(\w+)'.*", r"UnknownType: Unknown type \1"),
    "KnownFragmentNames": (
        r"Unknown fragment '(\w+)'.*",
        r"UndefinedFragment: Undefined fragment \1",
    ),
    "NoUnusedFragments": (r"Fragment '(\w+)' .*", r"UnusedFragment: Unused fragment \1"),
    "NoUndefinedVariables": (r"Variable '\$(\w+)' .*", r"UndefinedVariable: Undefined variable \1"),
    "NoUnusedVariables": (r"Variable '\$(\w+)' .*", r"UnusedVariable: Unused variable \1"),
    "NoFragmentCycles": (r".*", "FragmentCycle: Fragment cycles not allowed"),
    "KnownDirectives": (
        r"Unknown directive '@(\w+)'.*",
        r"UnknownDirective: Unknown directive \1",
    ),
    "LoneAnonymousOperation": (
        r".*",
        "LoneAnonymousOperationViolation: Anonymous operation with other operations",
    ),
}
_NAMES = {
    "ValuesOfCorrectType": "WrongType",
    "VariablesInAllowedPosition": "VariableTypeMismatch",
    "OverlappingFieldsCanBeMerged": "FieldsConflict",
    "UniqueOperationNames": "DuplicateOperationName",
    "UniqueFragmentNames": "DuplicateFragmentName",
    "UniqueVariableNames": "DuplicateVariableName",
    "UniqueArgumentNames": "DuplicateArgumentNames",
    "UniqueDirectivesPerLocation": "DuplicateDirectiveName",
}


def _in_java(rule: str, message: str) -> str:
    if rule == "ScalarLeafs":
        kind = "SubSelectionNotAllowed" if "must not have" in message else "SubSelectionRequired"
        return f"{kind}: {message}"
    found, said = _SENTENCES.get(rule, ("", ""))
    if said and re.fullmatch(found, message, re.DOTALL):
        return re.sub(found, said, message, count=1, flags=re.DOTALL)
    return f"{_NAMES.get(rule, rule)}: {message}"


def _path(parent: Node, node: Node) -> list[str]:
    """Return the names of the fields and fragments that lead to a node."""
    if node.loc is None:
        return []
    for key in parent.keys:
        below = getattr(parent, key)
        for child in below if isinstance(below, tuple) else (below,):
            if not isinstance(child, Node) or child.loc is None:
                continue
            if child.loc.start <= node.loc.start and node.loc.end <= child.loc.end:
                if isinstance(child, FieldNode | FragmentDefinitionNode):
                    return [child.name.value, *_path(child, node)]
                return _path(child, node)
    return []
