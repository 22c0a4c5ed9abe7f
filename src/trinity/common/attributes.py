"""Plain values and DynamoDB's typed attribute values, both ways.

`{"S": "text"}`, `{"N": "1"}`, `{"BOOL": true}`, `{"NULL": true}`, `{"L": [...]}`, `{"M": {...}}`,
as they stand in the JSON of DynamoDB and in the events of its streams. Source: "AttributeValue" in
the Amazon DynamoDB API reference; for the bounds of numbers, "Supported data types and naming
rules" in its developer guide.

Numbers: DynamoDB has one type, a decimal of 38 digits, and normalises what it is given, so that
`1.0` comes back as `1`. The rule here: a number written with a point or an exponent is a float, and
so is one of more than 38 digits; any other is an int. A float without a fraction is written as the
integer that it is exactly, and comes back as an int that equals it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Attribute = dict[str, Any]
"""A typed value: a dict of one entry, whose key is the type."""

_DIGITS = 38
_INTEGER_BOUND = 10**_DIGITS
_GREATEST = 9.9e125
_SMALLEST = 1e-130


def encode_item(item: Mapping[str, Any]) -> dict[str, Attribute]:
    """Give every attribute of an item its type.

    Raises:
        TypeError: a value is of no type that a table holds.
        ValueError: a number is out of bounds.
    """
    return {name: encode(value) for name, value in item.items()}


def decode_item(image: Mapping[str, Attribute]) -> dict[str, Any]:
    """Take the types away again."""
    if isinstance(image, TypedItem):
        return image.item
    return {name: decode(attribute) for name, attribute in image.items()}


class TypedItem(Mapping[str, Attribute]):
    """An item as `encode_item` returns it, but an attribute gets its type when it is looked at.

    Who takes the types away again gets what was there before. So a change feed in the process
    can hand over what DynamoDB's would, and nobody pays for types that nobody looks at.
    """

    __slots__ = ("item",)

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item

    def __getitem__(self, name: str) -> Attribute:
        return encode(self.item[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.item)

    def __len__(self) -> int:
        return len(self.item)

    def __contains__(self, name: object) -> bool:
        return name in self.item


def encode(value: Any) -> Attribute:
    """Give a value its type.

    Raises:
        TypeError: it is of no type that a table holds.
        ValueError: a number is out of bounds.
    """
    if isinstance(value, str):
        return {"S": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):  # before int, of which bool is a kind
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": _integer(value)}
    if isinstance(value, float):
        return {"N": _float(value)}
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"a key of a map must be a str, not {type(name).__name__}")
        return {"M": {name: encode(part) for name, part in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [encode(part) for part in value]}
    raise TypeError(f"a table cannot hold a {type(value).__name__}")


def decode(attribute: Attribute) -> Any:
    """Take the type of a value away.

    Raises:
        ValueError: it is of a type that we do not use.
    """
    [(kind, value)] = attribute.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return _number(value)
        case "M":
            return {name: decode(part) for name, part in value.items()}
        case "L":
            return [decode(part) for part in value]
        case "NULL":
            return None
        case _:
            raise ValueError(f"unknown type of attribute: {kind}")


def _integer(value: int) -> str:
    if not -_INTEGER_BOUND < value < _INTEGER_BOUND:
        raise ValueError("an integer has more than 38 digits")
    return str(value)


def _float(value: float) -> str:
    if value.is_integer() and abs(value) < _INTEGER_BOUND:
        return str(int(value))
    if not _SMALLEST <= abs(value) <= _GREATEST:  # NaN is not either
        raise ValueError(f"a float is out of bounds: {value}")
    return repr(value)


def _number(text: str) -> int | float:
    digits = len(text) - text.startswith("-")
    if digits > _DIGITS or "." in text or "e" in text or "E" in text:
        return float(text)
    return int(text)
