"""Whatever happens to two adapters of the `Table` port, they answer and end alike.

The suite in test_table.py says what is right; this one looks for differences that nobody thought
of, with random histories.
"""

from collections import defaultdict
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import DynamoStore, SqliteStore, Store
from tests.contract.test_table import assert_same
from trinity.ports import (
    Absent,
    AllOf,
    AnyOf,
    ConditionFailed,
    Equals,
    Exists,
    Key,
    Less,
    Old,
    TransactCheck,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
)

FILES = count(1)

KEYS = st.builds(Key, st.sampled_from(["P", "Q"]), st.sampled_from(["A#1", "A#2", "B", "ü"]))
NUMBERS = st.sampled_from([0, 1, -1, 2, 1.0, 0.5, 2**60])
SCALARS = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "a", "b", "1"])
MAPS = st.dictionaries(st.sampled_from(["x", "y", "a.b"]), SCALARS | st.just({"z": [1, True]}))
VALUES = SCALARS | MAPS | st.lists(SCALARS, max_size=2)
NAMES = ["a", "b", "n"]
"""Attributes of any value; `m` is missing or a map, so that there is a way into it."""
READ_PATHS = st.sampled_from([*NAMES, "m", ("m", "x"), ("m", "x", "z"), ("a", "x"), ("n",)])
TESTED_PATHS = READ_PATHS | st.sampled_from(["PK", "SK"])
"""Not for `Old`: whether an update that creates an item reads its key is said nowhere."""

ATTRIBUTES = st.fixed_dictionaries({}, optional={**dict.fromkeys(NAMES, VALUES), "m": MAPS})
ITEMS = st.builds(lambda key, rest: {"PK": key.pk, "SK": key.sk, **rest}, KEYS, ATTRIBUTES)

LEAVES = (
    st.builds(Exists, TESTED_PATHS)
    | st.builds(Absent, TESTED_PATHS)
    | st.builds(Equals, TESTED_PATHS, VALUES)
    | st.builds(Less, TESTED_PATHS, NUMBERS | st.sampled_from(["", "a", "b"]))
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda kind, parts: kind(tuple(parts)),
        st.sampled_from([AllOf, AnyOf]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=4,
)
WHEN = st.none() | st.none() | CONDITIONS


@st.composite
def updates(draw: st.DrawFn) -> Update:
    """Updates that change each attribute in one way only, as DynamoDB demands."""
    changes: dict[str, Any] = {"set": {}, "add": {}, "remove": []}
    for name in NAMES:
        match draw(st.sampled_from(["set", "old", "add", "remove", None, None])):
            case "set":
                changes["set"][name] = draw(VALUES)
            case "old":
                changes["set"][name] = Old(draw(READ_PATHS), draw(VALUES))
            case "add":
                changes["add"][name] = draw(st.integers(-2, 2))
            case "remove":
                changes["remove"].append(name)
    match draw(st.sampled_from(["set", "inside", "remove", None])):
        case "set":
            changes["set"]["m"] = draw(MAPS)
        case "inside":
            changes["set"]["m", "x"] = draw(VALUES | st.builds(Old, READ_PATHS, VALUES))
        case "remove":
            changes["remove"].append("m")
    return Update(**changes)


ACTIONS = (
    st.builds(TransactPut, ITEMS, when=WHEN)
    # A transaction's update changes something: DynamoDB wants an expression there.
    | st.builds(TransactUpdate, KEYS, updates().filter(lambda u: u != Update()), when=WHEN)
    | st.builds(TransactDelete, KEYS, when=WHEN)
    | st.builds(TransactCheck, KEYS, CONDITIONS)
)
QUERY = st.fixed_dictionaries(
    {"pk": st.sampled_from(["P", "Q"])},
    optional={
        "prefix": st.sampled_from(["", "A", "A#", "B", "ü", "z"]),
        "after": st.sampled_from(["", "A", "A#1", "A#11", "B", "a", "ü", "z"]),
        "descending": st.booleans(),
    },
)
OPERATIONS = (
    st.tuples(st.just("put"), st.tuples(ITEMS), st.fixed_dictionaries({"when": WHEN}))
    | st.tuples(
        st.just("update"), st.tuples(KEYS, updates()), st.fixed_dictionaries({"when": WHEN})
    )
    | st.tuples(st.just("delete"), st.tuples(KEYS), st.fixed_dictionaries({"when": WHEN}))
    | st.tuples(
        st.just("transact"),
        st.tuples(st.lists(ACTIONS, min_size=1, max_size=3)),
        st.just({}),
    )
    | st.tuples(st.just("query"), st.just(()), QUERY)
)


def outcome(store: Store, operation: tuple[str, Any, Any]) -> Any:
    name, arguments, options = operation
    try:
        result = getattr(store.table, name)(*arguments, **options)
    except ConditionFailed as failure:
        return ["condition failed", failure.item]
    except TransactionCancelled as cancelled:
        return ["cancelled", [r and ["condition failed", r.item] for r in cancelled.reasons]]
    except ValueError:
        return ["refused"]
    return ["done", list(result) if isinstance(result, tuple) else result]


def histories(store: Store) -> dict[Any, Any]:
    """Return the changes of each item: between items DynamoDB promises no order."""
    found = defaultdict(list)
    for change in store.changes():
        found[change.key].append([change.kind, change.old, change.new])
    return dict(found)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(operations=st.lists(OPERATIONS, max_size=12))
def test_two_adapters_answer_and_end_alike(
    aws: str, tmp_path_factory: pytest.TempPathFactory, operations: list[Any]
) -> None:
    dynamo = DynamoStore(aws)
    sqlite = SqliteStore(tmp_path_factory.getbasetemp() / f"agree-{next(FILES)}.db")
    try:
        for operation in operations:
            assert_same(outcome(sqlite, operation), outcome(dynamo, operation))
        for pk in ("P", "Q"):
            assert_same(sqlite.table.query(pk).items, dynamo.table.query(pk).items)
        assert_same(histories(sqlite), histories(dynamo))
    finally:
        sqlite.adapter.close()
