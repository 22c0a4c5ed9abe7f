"""What conditions and updates mean on plain items, by the words of the port."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.infrastructure.sqlite.expressions import apply, holds, same
from trinity.ports import Absent, AllOf, AnyOf, Equals, Exists, Key, Less, Old, Update

KEY = Key("P", "S")
NAMES = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "x", "é"])
ORDERED = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "x", "é"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
ITEMS = st.none() | st.dictionaries(NAMES, VALUES, max_size=4).map(
    lambda fields: {"PK": "P", "SK": "S", **fields}
)
PATHS = NAMES | st.lists(NAMES, min_size=2, max_size=3).map(tuple)
MISSING = object()


def at(item, path):
    """Follow a path in the plainest way."""
    value = item
    for name in (path,) if isinstance(path, str) else path:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def group_of(value):
    """The types that DynamoDB tells apart."""
    if isinstance(value, bool):
        return "BOOL"
    for kind, name in ((int | float, "N"), (str, "S"), (dict, "M"), (list, "L")):
        if isinstance(value, kind):
            return name
    return "NULL"


@given(ITEMS, PATHS)
def test_something_is_there_or_it_is_not(item, path):
    assert holds(Exists(path), item) == (at(item, path) is not MISSING)
    assert holds(Absent(path), item) != holds(Exists(path), item)


@given(ITEMS, PATHS, VALUES)
def test_equal_is_what_is_there_with_the_same_value_and_type(item, path, value):
    there = at(item, path)
    assert holds(Equals(path, value), item) == (there is not MISSING and same(there, value))
    if there is not MISSING:
        assert holds(Equals(path, there), item)


@given(ITEMS, PATHS, ORDERED)
def test_less_compares_only_numbers_with_numbers_and_text_with_text(item, path, value):
    there = at(item, path)
    comparable = there is not MISSING and group_of(there) == group_of(value) in ("N", "S")
    expected = comparable and (
        there.encode() < value.encode() if isinstance(there, str) else there < value
    )
    assert holds(Less(path, value), item) == expected


@given(ITEMS, st.lists(PATHS, max_size=3))
def test_all_of_none_is_true_and_any_of_none_is_false(item, paths):
    truths = [holds(Exists(path), item) for path in paths]
    parts = tuple(Exists(path) for path in paths)
    assert holds(AllOf(parts), item) == all(truths)
    assert holds(AnyOf(parts), item) == any(truths)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("", None, False),
        ([1], [True], False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        ("é", "e\u0301", False),
        (10**30, 10**30, True),
        (10**30, 10**30 + 1, False),
    ],
)
def test_values_are_the_same_if_their_types_are_too(left, right, equal):
    assert same(left, right) == equal
    assert same(right, left) == equal


@given(VALUES)
def test_a_value_is_the_same_as_itself(value):
    assert same(value, copy.deepcopy(value))


@given(ITEMS, st.dictionaries(NAMES, VALUES, max_size=3), st.sets(NAMES, max_size=2))
def test_an_update_changes_what_it_names_and_nothing_else(item, values, removed):
    removed -= values.keys()
    before = copy.deepcopy(item)
    after = apply(Update(set=values, remove=sorted(removed)), KEY, item)
    assert item == before, "the given item was changed"
    expected = {**(item or {}), "PK": "P", "SK": "S", **values}
    assert after == {name: value for name, value in expected.items() if name not in removed}


@given(ITEMS, st.tuples(NAMES, NAMES), VALUES)
def test_a_nested_path_needs_its_parent_and_leaves_its_neighbours(item, path, value):
    parent = at(item, path[0])
    before = copy.deepcopy(item)
    if not isinstance(parent, dict):
        with pytest.raises(ValueError, match="no map"):
            apply(Update(set={path: value}), KEY, item)
    else:
        after = apply(Update(set={path: value}), KEY, item)
        assert after == {**item, path[0]: {**parent, path[1]: value}}
    assert item == before, "the given item was changed"


@given(ITEMS, NAMES, PATHS, VALUES)
def test_old_is_what_was_there_before_the_update(item, name, path, default):
    update = Update(
        set={name: Old(path, default), path: "new"} if path == name else {name: Old(path, default)}
    )
    there = at(item, path)
    after = apply(update, KEY, item)
    if path == name:
        assert after[name] == "new"
    else:
        assert after[name] == (default if there is MISSING else there)


def test_all_right_hand_sides_are_read_before_anything_is_written():
    item = {"PK": "P", "SK": "S", "a": 1, "b": 2}
    swapped = apply(Update(set={"a": Old("b", 0), "b": Old("a", 0)}), KEY, item)
    assert (swapped["a"], swapped["b"]) == (2, 1)


@given(st.none() | st.integers(-9, 9), st.integers(-9, 9))
def test_a_missing_number_counts_as_nothing(number, amount):
    item = {"PK": "P", "SK": "S"} | ({} if number is None else {"n": number})
    assert apply(Update(add={"n": amount}), KEY, item)["n"] == (number or 0) + amount


@pytest.mark.parametrize("value", ["1", True, None, [], {}])
def test_nothing_is_added_to_what_is_no_number(value):
    with pytest.raises(ValueError, match="not a number"):
        apply(Update(add={"n": 1}), KEY, {"PK": "P", "SK": "S", "n": value})
