"""Conditions and updates of the `Table` port as DynamoDB's expressions.

Names and values never stand in an expression themselves: a name may be one of DynamoDB's hundreds
of reserved words, or hold a point. Source: "Using expressions in DynamoDB", developer guide.
"""

from collections.abc import Mapping
from typing import Any

from trinity.common import attributes
from trinity.ports import (
    Absent,
    AllOf,
    AnyOf,
    Condition,
    Equals,
    Exists,
    Less,
    Old,
    Path,
    Update,
    Value,
)


class Expressions:
    """The expressions of one request, which share their placeholders.

    A name has one placeholder however often it stands, a value one each time.
    """

    __slots__ = ("_names", "_request", "_values")

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, attributes.Attribute] = {}
        self._request: dict[str, Any] = {}

    def when(self, condition: Condition | None) -> "Expressions":
        """Make the write depend on a condition; a failure is to bring the item as it was.

        Raises:
            ValueError: the condition compares what has no order.
        """
        if condition is not None:
            self._request["ConditionExpression"] = self._condition(condition)
            self._request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return self

    def update(self, update: Update) -> "Expressions":
        """Change the item."""
        clauses = []
        if update.set:
            parts = [
                f"{self._path(path)} = {self._operand(value)}" for path, value in update.set.items()
            ]
            clauses.append(f"SET {', '.join(parts)}")
        if update.remove:
            clauses.append(f"REMOVE {', '.join(map(self._path, update.remove))}")
        if update.add:
            parts = [f"{self._path(name)} {self._value(n)}" for name, n in update.add.items()]
            clauses.append(f"ADD {', '.join(parts)}")
        if clauses:
            self._request["UpdateExpression"] = " ".join(clauses)
        return self

    def keys(self, pk: str, prefix: str) -> "Expressions":
        """Select the items of a partition whose sort key begins so."""
        expression = f"{self._path('PK')} = {self._value(pk)}"
        if prefix:  # an empty string is no value of a key
            expression += f" AND begins_with({self._path('SK')}, {self._value(prefix)})"
        self._request["KeyConditionExpression"] = expression
        return self

    def request(self) -> Mapping[str, Any]:
        """Return the members of the request that say all this."""
        request = self._request
        if self._names:
            request["ExpressionAttributeNames"] = {p: name for name, p in self._names.items()}
        if self._values:
            request["ExpressionAttributeValues"] = self._values
        return request

    def _condition(self, condition: Condition) -> str:
        match condition:
            case Exists(path):
                return f"attribute_exists({self._path(path)})"
            case Absent(path):
                return f"attribute_not_exists({self._path(path)})"
            case Equals(path, value):
                return f"{self._path(path)} = {self._value(value)}"
            case Less(path, value):
                if isinstance(value, bool) or not isinstance(value, str | int | float):
                    raise ValueError("only strings and numbers have an order")
                return f"{self._path(path)} < {self._value(value)}"
            case AllOf(parts):
                return self._joined(" AND ", parts)
            case AnyOf(parts):
                return self._joined(" OR ", parts)

    def _joined(self, operator: str, parts: tuple[Condition, ...]) -> str:
        """Join conditions, each in parentheses; a pair around a pair would be an error."""
        if not parts:  # all of none is true, any of none is false; there is no literal for either
            other = " OR " if operator == " AND " else " AND "
            return self._joined(other, (Exists("PK"), Absent("PK")))
        if len(parts) == 1:
            return self._condition(parts[0])
        return operator.join(f"({self._condition(part)})" for part in parts)

    def _operand(self, value: Value | Old) -> str:
        if isinstance(value, Old):
            return f"if_not_exists({self._path(value.path)}, {self._value(value.default)})"
        return self._value(value)

    def _path(self, path: Path) -> str:
        parts = (path,) if isinstance(path, str) else path
        return ".".join(self._names.setdefault(part, f"#{len(self._names)}") for part in parts)

    def _value(self, value: Value) -> str:
        placeholder = f":{len(self._values)}"
        self._values[placeholder] = attributes.encode(value)
        return placeholder
