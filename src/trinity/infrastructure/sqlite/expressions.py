"""What conditions and updates of the `Table` port mean, on plain items.

The semantics are DynamoDB's: a comparison with something missing or of another type is false, and
`true` is not the number 1.
"""

from typing import Any, assert_never

import msgspec

from trinity.ports import (
    Absent,
    AllOf,
    AnyOf,
    Condition,
    Equals,
    Exists,
    Item,
    Key,
    Less,
    Old,
    Path,
    Update,
    Value,
)

_MISSING: Any = object()


def holds(condition: Condition, item: Item | None) -> bool:
    """Tell whether a condition is true of an item; None stands for a missing one."""
    match condition:
        case Exists(path):
            return _at(item, path) is not _MISSING
        case Absent(path):
            return _at(item, path) is _MISSING
        case Equals(path, value):
            return same(_at(item, path), value)
        case Less(path, value):
            return _less(_at(item, path), value)
        case AllOf(parts):
            return all(holds(part, item) for part in parts)
        case AnyOf(parts):
            return any(holds(part, item) for part in parts)
        case _:
            assert_never(condition)


def apply(update: Update, key: Key, item: Item | None) -> Item:
    """Return the item as it is after an update; the given one is left as it was.

    Raises:
        ValueError: a nested path leads through something that is no map, or an amount is added
            to something that is no number.
    """
    new: Item = dict(item) if item is not None else {"PK": key.pk, "SK": key.sk}
    for path, value in update.set.items():
        if isinstance(value, Old):
            old = _at(item, value.path)
            value = value.default if old is _MISSING else old
        _put(new, path, value)
    for name, amount in update.add.items():
        number = new.get(name, 0)
        if _kind(number) is not float:
            raise ValueError(f"cannot add to {name!r}: it is not a number")
        new[name] = number + amount
    for path in update.remove:
        _remove(new, path)
    return new


def same(left: Value, right: Value) -> bool:
    """Tell whether two values are equal and of one type, at every depth."""
    if left != right or _kind(left) is not _kind(right):
        return False
    if isinstance(left, dict | list):
        # Python says 1 == True; the encoded forms differ.
        encode = msgspec.json.encode
        return encode(left, order="deterministic") == encode(right, order="deterministic")
    return True


def _at(item: Item | None, path: Path) -> Value:
    if isinstance(path, str):
        return item.get(path, _MISSING) if item is not None else _MISSING
    value: Value = item
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _put(new: Item, path: Path, value: Value) -> None:
    if isinstance(path, str):
        new[path] = value
    else:
        _own_parent(new, path)[path[-1]] = value


def _remove(new: Item, path: Path) -> None:
    if isinstance(path, str):
        new.pop(path, None)
    else:
        _own_parent(new, path).pop(path[-1], None)


def _own_parent(new: Item, path: tuple[str, ...]) -> dict[str, Value]:
    """Return the map that holds the last step of the path, copied on the way down."""
    parent = new
    for name in path[:-1]:
        child = parent.get(name)
        if not isinstance(child, dict):
            raise ValueError(f"the path {'.'.join(path)} leads through something that is no map")
        child = dict(child)
        parent[name] = child
        parent = child
    return parent


def _less(left: Value, right: Value) -> bool:
    if _kind(left) is not _kind(right):
        return False
    if isinstance(left, str):
        return bool(left.encode() < right.encode())
    return _kind(left) is float and bool(left < right)


def _kind(value: Value) -> type:
    """Return the type as DynamoDB tells types apart: one for all numbers."""
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else type(value)
