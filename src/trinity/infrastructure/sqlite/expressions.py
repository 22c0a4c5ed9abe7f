"""What conditions and updates of the `Table` port mean, on plain items.

The semantics are DynamoDB's: a comparison with something missing or of another type is false, and
`true` is not the number 1.
"""

from itertools import pairwise
from typing import Any, assert_never

from trinity.common.attributes import encode
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
        ValueError: paths overlap, or lead through something that is no map, or into the key; or an
            amount is added to something that is no number.
    """
    _check_paths(update)
    new: Item = dict(item) if item is not None else {"PK": key.pk, "SK": key.sk}
    for path, value in update.set.items():
        if isinstance(value, Old):
            old = _at(item, value.path)
            value = value.default if old is _MISSING else old
        _put(new, item, path, value)
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
    if isinstance(left, dict):
        return all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list):
        return all(map(same, left, right))
    return True


def check_numbers(value: Value) -> None:
    """Refuse numbers that DynamoDB could not keep.

    Raises:
        ValueError: an integer has more than 38 digits, or a float is out of bounds.
    """
    kind = type(value)
    if kind is str or kind is bool:
        return
    if kind is dict:
        for part in value.values():
            check_numbers(part)
    elif kind is list:
        for part in value:
            check_numbers(part)
    elif kind is int or kind is float:
        encode(value)


def _at(item: Item | None, path: Path) -> Value:
    if isinstance(path, str):
        return item.get(path, _MISSING) if item is not None else _MISSING
    value: Value = item
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _check_paths(update: Update) -> None:
    given = (*update.set, *update.add, *update.remove)
    first_steps = {path if isinstance(path, str) else path[0] for path in given}
    if "PK" in first_steps or "SK" in first_steps:
        raise ValueError("an update cannot change the key")
    if len(first_steps) == len(given):
        return
    paths = sorted((path,) if isinstance(path, str) else path for path in given)
    for one, other in pairwise(paths):
        if other[: len(one)] == one:
            raise ValueError(f"two changes of one update overlap at {'.'.join(one)}")


def _put(new: Item, old: Item | None, path: Path, value: Value) -> None:
    if isinstance(path, str):
        new[path] = value
    else:
        if not isinstance(_at(old, path[:-1]), dict):  # not what this very update puts there
            raise ValueError(f"the path {'.'.join(path)} leads through something that is no map")
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
    if _kind(right) not in (str, float):
        raise ValueError(f"a {type(right).__name__} has no order")
    if _kind(left) is not _kind(right):
        return False
    if isinstance(left, str):
        return bool(left.encode() < right.encode())
    return bool(left < right)


def _kind(value: Value) -> type:
    """Return the type as DynamoDB tells types apart: one for all numbers."""
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else type(value)
