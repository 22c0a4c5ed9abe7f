"""What every adapter of the `Table` port does alike.

Where the local AWS and the real DynamoDB differ, the real one is the law.
"""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.contract.conftest import ADAPTERS, Change, SqliteStore, Store
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
    Page,
    Table,
    TransactCheck,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
)

T = TypeVar("T")
KEY = Key("ROOM#1", "ROOM")
OTHER = Key("ROOM#1", "BALLOT#1")
THIRD = Key("ROOM#2", "ROOM")
NEVER = Exists("no such attribute")


def item(key: Key = KEY, **attributes: Any) -> dict[str, Any]:
    return {"PK": key.pk, "SK": key.sk, **attributes}


def assert_same(left: Any, right: Any) -> None:
    """Equal, and a bool is a bool and None is None: in Python `True == 1`."""
    assert left == right
    assert shape(left) == shape(right)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(part) for part in value]
    return "number" if type(value) in (int, float) else type(value)


def at_once(threads: int, work: Callable[[int], T]) -> list[T]:
    """Do the work in so many threads that start together."""
    barrier = threading.Barrier(threads)

    def run(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


# ------------------------------------------------------------------------------ put, get, delete


def test_what_was_put_is_what_is_got(table: Table) -> None:
    table.put(item(name="Film night", open=True))
    assert_same(table.get(KEY), item(name="Film night", open=True))
    assert_same(table.get(KEY, consistent=True), item(name="Film night", open=True))


def test_a_missing_item_is_none(table: Table) -> None:
    table.put(item(OTHER))
    table.put(item(THIRD))
    assert table.get(KEY) is None
    assert table.get(KEY, consistent=True) is None


def test_put_replaces_the_whole_item(table: Table) -> None:
    table.put(item(a=1, b={"c": 2}))
    table.put(item(b={"d": 3}))
    assert table.get(KEY, consistent=True) == item(b={"d": 3})


def test_a_consistent_read_sees_every_write_that_returned_before(table: Table) -> None:
    for n in range(20):
        table.put(item(n=n))
        assert table.get(KEY, consistent=True) == item(n=n)


def test_a_deleted_item_is_gone_and_its_neighbours_are_not(table: Table) -> None:
    table.put(item())
    table.put(item(OTHER))
    table.delete(KEY)
    assert table.get(KEY, consistent=True) is None
    assert table.get(OTHER, consistent=True) == item(OTHER)


def test_deleting_a_missing_item_is_no_error(table: Table) -> None:
    table.delete(KEY)
    assert table.get(KEY, consistent=True) is None


def test_an_item_that_was_read_is_the_callers_own(table: Table) -> None:
    table.put(item(m={"a": 1}))
    mine = table.get(KEY, consistent=True)
    assert mine is not None
    mine["m"]["a"] = 2
    assert table.get(KEY, consistent=True) == item(m={"a": 1})


def test_an_item_that_was_put_can_be_changed_by_the_caller(table: Table) -> None:
    mine = item(m={"a": 1})
    table.put(mine)
    mine["m"]["a"] = 2
    assert table.get(KEY, consistent=True) == item(m={"a": 1})


VALUES = {
    "integers": [0, 1, -1, 2**53 + 1, -(2**63) - 1, int("9" * 38), -int("9" * 38)],
    "floats": [0.1, -2.5, 1e-7, 1 / 3, 1.7976931348623157e100, 5e-100, 2.0**60, 1e23],
    "floats without a fraction": [1.0, -3.0, 1e15],
    "booleans and null": [True, False, None],
    "texts": [
        "",
        "a",
        " ",
        "ü€😀",
        "\u0000",
        "line\nbreak",
        "\"quotes' and \\",
        "\uffff",
        "\u2028",
    ],
    "empty containers": [[], {}, [[]], [{}], {"a": {}}],
    "mixed": [{"a": [1, {"b": None, "c": [True, ""]}], "1": 1, "a.b": 2, "": 3, "ü": 4}],
    "deep": [{"a": {"b": {"c": {"d": {"e": [[[[{"f": "g"}]]]]}}}}}],
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_values_come_back_as_they_went_in(table: Table, values: list[Any]) -> None:
    table.put(item(values=values, single=values[0], map={"in": values[-1]}))
    expected = item(values=values, single=values[0], map={"in": values[-1]})
    assert_same(table.get(KEY, consistent=True), expected)
    assert_same(table.query(KEY.pk).items, [expected])
    assert_same(table.batch_get([KEY]), [expected])


@pytest.mark.parametrize("number", [10**38, -(10**38), float("nan"), float("inf")])
def test_a_number_that_cannot_be_kept_is_refused(table: Table, number: float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the text is the adapter's
        table.put(item(n=number))
    assert table.get(KEY, consistent=True) is None


def test_attributes_may_have_any_name(table: Table) -> None:
    names = ["name", "status", "size", "a.b", "a-b", "#n", ":v", "with space", "ü", "1", "'", '"']
    table.put(item(**{name: n for n, name in enumerate(names)}))
    image = table.update(
        KEY,
        Update(set={name: f"new {name}" for name in names}, add={"count()": 1}, remove=["SELECT"]),
        when=AllOf(tuple(Equals(name, n) for n, name in enumerate(names))),
    )
    assert image == item(**{name: f"new {name}" for name in names}, **{"count()": 1})


def test_an_item_above_400_kb_is_refused(table: Table) -> None:
    table.put(item(text="x" * 390_000))
    with pytest.raises(ValueError):  # noqa: PT011
        table.put(item(text="x" * 410_000))
    with pytest.raises(ValueError):  # noqa: PT011
        table.update(KEY, Update(set={"more": "x" * 20_000}))
    with pytest.raises(ValueError):  # noqa: PT011
        table.transact([TransactPut(item(OTHER, text="x" * 410_000))])
    assert table.get(KEY, consistent=True) == item(text="x" * 390_000)
    assert table.get(OTHER, consistent=True) is None


def test_an_expired_item_is_read_until_it_is_removed(table: Table) -> None:
    table.put(item(expires=1))
    assert table.get(KEY, consistent=True) == item(expires=1)


# ----------------------------------------------------------------------------------------- query

ORDERED = ["", "\u0000", "A", "A#1", "A#10", "A#2", "AA", "B", "a", "ü", "€", "\uffff", "😀"]
"""In the order of their UTF-8 bytes; in UTF-16 the last two would change places."""


def fill(table: Table, *sort_keys: str, pk: str = "P") -> None:
    for sk in reversed(sort_keys):
        table.put({"PK": pk, "SK": sk})


def keys(items: list[dict[str, Any]]) -> list[str]:
    return [found["SK"] for found in items]


@pytest.mark.parametrize("consistent", [False, True])
def test_items_come_in_the_order_of_the_bytes_of_their_sort_keys(
    table: Table, consistent: bool
) -> None:
    sort_keys = [f"K{text}" for text in ORDERED]
    fill(table, *sort_keys)
    fill(table, "K", pk="other")
    page = table.query("P", consistent=consistent)
    assert keys(page.items) == sort_keys
    assert page.cursor is None
    page = table.query("P", descending=True, consistent=consistent)
    assert keys(page.items) == sort_keys[::-1]


def test_an_unknown_partition_has_no_items(table: Table) -> None:
    fill(table, "a")
    assert table.query("Q") == Page([], None)
    assert table.query("Q", prefix="a", limit=3, descending=True) == Page([], None)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("A", ["A", "A#", "A#1", "A#2", "AB", "A_1", "Aü"]),
        ("A#", ["A#", "A#1", "A#2"]),
        ("A#1", ["A#1"]),
        ("a", ["a"]),
        ("A_", ["A_1"]),
        ("A%", []),
        ("Aü", ["Aü"]),
        ("\U0010ffff", ["\U0010ffff", "\U0010ffffx"]),
        ("C", []),
    ],
)
def test_a_prefix_selects_what_begins_so(table: Table, prefix: str, expected: list[str]) -> None:
    fill(table, "A", "A#", "A#1", "A#2", "AB", "A_1", "Aü", "B", "a", "\U0010ffff", "\U0010ffffx")
    assert keys(table.query("P", prefix=prefix).items) == expected
    assert keys(table.query("P", prefix=prefix, descending=True).items) == expected[::-1]


@pytest.mark.parametrize(
    ("after", "ascending", "descending"),
    [
        ("E#1", ["E#3", "E#5"], []),
        ("E#3", ["E#5"], ["E#1"]),
        ("E#4", ["E#5"], ["E#3", "E#1"]),  # no such item
        ("E#5", [], ["E#3", "E#1"]),
        ("E#", ["E#1", "E#3", "E#5"], []),
        ("D", ["E#1", "E#3", "E#5"], []),  # before all that have the prefix
        ("D#9", ["E#1", "E#3", "E#5"], []),
        ("F", [], ["E#5", "E#3", "E#1"]),  # behind them
        ("Eü", [], ["E#5", "E#3", "E#1"]),
        ("", ["E#1", "E#3", "E#5"], []),
    ],
)
def test_a_query_goes_on_behind_a_sort_key(
    table: Table, after: str, ascending: list[str], descending: list[str]
) -> None:
    fill(table, "D", "E#1", "E#3", "E#5", "F")
    assert keys(table.query("P", prefix="E#", after=after).items) == ascending
    assert keys(table.query("P", prefix="E#", after=after, descending=True).items) == descending


def test_a_query_without_a_prefix_goes_on_behind_a_sort_key(table: Table) -> None:
    fill(table, "a", "c", "e")
    assert keys(table.query("P", after="a").items) == ["c", "e"]
    assert keys(table.query("P", after="d").items) == ["e"]
    assert keys(table.query("P", after="z").items) == []
    assert keys(table.query("P", after="d", descending=True).items) == ["c", "a"]
    assert keys(table.query("P", after="z", descending=True).items) == ["e", "c", "a"]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_put_together_are_the_whole(table: Table, limit: int, descending: bool) -> None:
    sort_keys = [f"E#{n}" for n in range(7)]
    fill(table, "D", *sort_keys, "F")
    found: list[str] = []
    cursor = None
    for _ in range(8):
        page = table.query(
            "P", prefix="E#", after=cursor, limit=limit, descending=descending, consistent=True
        )
        assert len(page.items) <= limit
        found += keys(page.items)
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.items) == limit
        assert cursor == found[-1]
    assert cursor is None
    assert found == sort_keys[:: -1 if descending else 1]


@pytest.mark.parametrize("limit", [None, 25])
def test_a_query_returns_more_than_one_megabyte(table: Table, limit: int | None) -> None:
    large = [{"PK": "P", "SK": f"{n:02}", "text": "x" * 60_000} for n in range(30)]
    for each in large:
        table.put(each)
    page = table.query("P", limit=limit)
    assert page.items == large[:limit]
    assert page.cursor == (None if limit is None else "24")


# ------------------------------------------------------------------------------------- batch_get


def test_a_batch_has_the_order_of_its_keys_and_none_for_what_is_missing(table: Table) -> None:
    table.put(item(KEY, n=1))
    table.put(item(THIRD, n=3))
    assert table.batch_get([THIRD, OTHER, KEY]) == [item(THIRD, n=3), None, item(KEY, n=1)]
    assert table.batch_get([OTHER]) == [None]
    assert table.batch_get([]) == []


def test_a_batch_may_have_more_than_a_hundred_keys(table: Table) -> None:
    many = [Key(f"P{n % 7}", f"S{n}") for n in range(150)]
    for key in many[::2]:
        table.put(item(key))
    expected = [item(key) if n % 2 == 0 else None for n, key in enumerate(many)]
    assert table.batch_get(many) == expected


# ------------------------------------------------------------------------------------ conditions

CONDITIONED = item(
    n=5,
    half=0.5,
    big=int("9" * 38),
    one=1,
    s="b",
    high="\uffff",
    empty="",
    t=True,
    z=None,
    m={"a": {"b": 1}, "a.b": 2, "t": True},
    l=[1, {"x": None}],
    nothing={},
)
CONDITIONS = [
    (Exists("n"), True),
    (Exists("z"), True),  # null is a value
    (Exists("empty"), True),
    (Exists("nothing"), True),
    (Exists("PK"), True),
    (Exists("missing"), False),
    (Exists(("m",)), True),
    (Exists(("m", "a", "b")), True),
    (Exists(("m", "a.b")), True),
    (Exists("m.a"), False),
    (Exists(("m", "a", "c")), False),
    (Exists(("m", "c", "b")), False),
    (Exists(("missing", "a")), False),
    (Exists(("s", "a")), False),  # not a map
    (Exists(("l", "0")), False),
    (Exists(("z", "a")), False),
    (Absent("n"), False),
    (Absent("z"), False),
    (Absent("missing"), True),
    (Absent("PK"), False),
    (Absent(("m", "a", "b")), False),
    (Absent(("m", "a", "c")), True),
    (Absent(("missing", "a")), True),
    (Absent(("s", "a")), True),
    (Equals("n", 5), True),
    (Equals("n", 5.0), True),
    (Equals("n", 6), False),
    (Equals("n", "5"), False),
    (Equals("half", 0.5), True),
    (Equals("big", int("9" * 38)), True),
    (Equals("big", int("9" * 38) - 1), False),
    (Equals("one", True), False),  # numbers are not booleans
    (Equals("t", 1), False),
    (Equals("t", True), True),
    (Equals("t", False), False),
    (Equals("s", "b"), True),
    (Equals("s", "B"), False),
    (Equals("empty", ""), True),
    (Equals("empty", None), False),
    (Equals("z", None), True),
    (Equals("z", False), False),
    (Equals("missing", None), False),
    (Equals("missing", ""), False),
    (Equals("m", {"a": {"b": 1}, "a.b": 2, "t": True}), True),
    (Equals("m", {"t": True, "a.b": 2.0, "a": {"b": 1.0}}), True),
    (Equals("m", {"a": {"b": 1}, "a.b": 2, "t": 1}), False),
    (Equals("m", {"a": {"b": 1}}), False),
    (Equals("m", {}), False),
    (Equals("nothing", {}), True),
    (Equals("nothing", []), False),
    (Equals("l", [1, {"x": None}]), True),
    (Equals("l", [{"x": None}, 1]), False),
    (Equals("l", [1]), False),
    (Equals(("m", "a", "b"), 1), True),
    (Equals(("m", "a", "b"), True), False),
    (Equals(("m", "a"), {"b": 1}), True),
    (Equals(("m", "c"), 1), False),
    (Less("n", 6), True),
    (Less("n", 5.5), True),
    (Less("n", 5), False),
    (Less("n", -6), False),
    (Less("n", "6"), False),  # another type
    (Less("n", "a"), False),
    (Less("big", int("9" * 38)), False),
    (Less("half", 1), True),
    (Less("half", 0), False),
    (Less("s", "c"), True),
    (Less("s", "b"), False),
    (Less("s", "a"), False),
    (Less("s", 9), False),
    (Less("empty", "a"), True),
    (Less("high", "😀"), True),  # by UTF-8 bytes
    (Less("t", 2), False),
    (Less("z", 1), False),
    (Less("z", "a"), False),
    (Less("m", 1), False),
    (Less("missing", 1), False),
    (Less(("m", "a", "b"), 2), True),
    (Less(("m", "a", "b"), 1), False),
    (AllOf((Exists("n"), Equals("s", "b"))), True),
    (AllOf((Exists("n"), Equals("s", "c"))), False),
    (AllOf((Exists("n"),)), True),
    (AllOf((NEVER,)), False),
    (AllOf(()), True),
    (AnyOf((NEVER, Equals("s", "b"))), True),
    (AnyOf((NEVER, Equals("s", "c"))), False),
    (AnyOf((Exists("n"),)), True),
    (AnyOf(()), False),
    (AllOf((AnyOf((NEVER, Exists("n"))), AnyOf((Exists("s"), NEVER)))), True),
    (AllOf((AnyOf((NEVER, Exists("n"))), AnyOf((NEVER, NEVER)))), False),
    (AllOf((AnyOf((Exists("n"), Exists("s"))), NEVER)), False),
    (AnyOf((Exists("n"), AllOf((Exists("s"), NEVER)))), True),
    (AnyOf((AllOf((NEVER, Exists("n"))), AllOf((Exists("n"), Exists("s"))))), True),
    (AnyOf((AllOf((AnyOf((Exists("n"),)),)),)), True),
    (AnyOf((NEVER, AllOf(()))), True),
    (AllOf((Exists("n"), AnyOf(()))), False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS, ids=[str(c) for c, _ in CONDITIONS])
def test_a_condition_means_the_same_everywhere(table: Table, condition: Any, holds: bool) -> None:
    outcomes = {}
    for name, write in {
        "put": lambda: table.put(item(written=1), when=condition),
        "update": lambda: table.update(KEY, Update(set={"written": 1}), when=condition),
        "delete": lambda: table.delete(KEY, when=condition),
        "transact": lambda: table.transact([TransactCheck(KEY, condition)]),
    }.items():
        table.put(CONDITIONED)
        try:
            write()
        except (ConditionFailed, TransactionCancelled):
            outcomes[name] = False
            assert_same(table.get(KEY, consistent=True), CONDITIONED)
        else:
            outcomes[name] = True
    assert outcomes == {"put": holds, "update": holds, "delete": holds, "transact": holds}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Absent("PK"), True),
        (Absent("n"), True),
        (Absent(("m", "a")), True),
        (Exists("PK"), False),
        (Exists("n"), False),
        (Equals("n", 5), False),
        (Equals("n", None), False),
        (Less("n", 5), False),
        (AnyOf((Absent("PK"), Equals("n", 5))), True),
        (AllOf(()), True),
    ],
    ids=str,
)
def test_a_missing_item_has_nothing_at_any_path(table: Table, condition: Any, holds: bool) -> None:
    for write in (
        lambda: table.transact([TransactCheck(KEY, condition)]),
        lambda: table.delete(KEY, when=condition),
        lambda: table.put(item(new=True), when=condition),
    ):
        if holds:
            write()
        else:
            with pytest.raises((ConditionFailed, TransactionCancelled)):
                write()
    assert table.get(KEY, consistent=True) == (item(new=True) if holds else None)


@pytest.mark.parametrize("value", [True, None, [], {}, [1]])
def test_only_strings_and_numbers_have_an_order(table: Table, value: Any) -> None:
    table.put(item(n=1))
    with pytest.raises(ValueError):  # noqa: PT011
        table.put(item(n=2), when=Less("n", value))
    assert table.get(KEY, consistent=True) == item(n=1)


def test_a_failed_condition_brings_the_item_as_it_was(table: Table) -> None:
    table.put(item(n=1, m={"a": [True, None, 0.5]}))
    for write in (
        lambda: table.put(item(n=2), when=NEVER),
        lambda: table.update(KEY, Update(set={"n": 2}), when=NEVER),
        lambda: table.delete(KEY, when=NEVER),
    ):
        with pytest.raises(ConditionFailed) as failure:
            write()
        assert_same(failure.value.item, item(n=1, m={"a": [True, None, 0.5]}))
    assert table.get(KEY, consistent=True) == item(n=1, m={"a": [True, None, 0.5]})


def test_a_failed_condition_on_a_missing_item_brings_none(table: Table) -> None:
    for write in (
        lambda: table.put(item(n=2), when=NEVER),
        lambda: table.update(KEY, Update(set={"n": 2}), when=NEVER),
        lambda: table.delete(KEY, when=NEVER),
    ):
        with pytest.raises(ConditionFailed) as failure:
            write()
        assert failure.value.item is None
    assert table.get(KEY, consistent=True) is None


def test_an_item_is_created_only_once(table: Table) -> None:
    table.put(item(by="first"), when=Absent("PK"))
    with pytest.raises(ConditionFailed) as failure:
        table.put(item(by="second"), when=Absent("PK"))
    assert failure.value.item == item(by="first")
    assert table.get(KEY, consistent=True) == item(by="first")


# ---------------------------------------------------------------------------------------- update


def test_an_update_creates_a_missing_item(table: Table) -> None:
    image = table.update(KEY, Update(set={"name": "x"}, add={"count": 2}, remove=["gone"]))
    assert_same(image, item(name="x", count=2))
    assert_same(table.get(KEY, consistent=True), item(name="x", count=2))


def test_an_update_returns_the_whole_item_as_it_is_right_after(table: Table) -> None:
    table.put(item(kept={"deep": [None, True]}, n=1))
    image = table.update(KEY, Update(set={"n": 2.5}))
    assert_same(image, item(kept={"deep": [None, True]}, n=2.5))
    assert_same(table.get(KEY, consistent=True), image)


def test_an_update_of_nothing_creates_the_bare_item(table: Table) -> None:
    assert table.update(KEY, Update()) == item()
    assert table.get(KEY, consistent=True) == item()


def test_a_nested_value_is_set_and_its_neighbours_stay(table: Table) -> None:
    table.put(item(m={"a": {"x": 1}, "b": 2}))
    image = table.update(KEY, Update(set={("m", "a", "y"): {"new": []}, ("m", "c.d"): None}))
    assert_same(image, item(m={"a": {"x": 1, "y": {"new": []}}, "b": 2, "c.d": None}))
    image = table.update(KEY, Update(set={("m", "a"): 7}))
    assert_same(image, item(m={"a": 7, "b": 2, "c.d": None}))


# DynamoDB refuses a path through something else than a map, as it does one through nothing. The
# local AWS (MiniStack 1.5.33) spoils the item instead, so only the other adapters can be asked.
THROUGH_NO_MAP = [("sqlite", ("s", "a")), ("sqlite", ("l", "a")), ("sqlite", ("z", "a"))]


@pytest.mark.parametrize(
    ("store", "path"),
    [
        (store, path)
        for store in ADAPTERS
        for path in [("missing", "a"), ("m", "missing", "a"), ("missing", "a", "b")]
    ]
    + THROUGH_NO_MAP,
    indirect=["store"],
)
def test_a_nested_value_without_a_parent_map_is_refused(
    table: Table, path: tuple[str, ...]
) -> None:
    before = item(m={}, s="text", l=[], z=None)
    table.put(before)
    with pytest.raises(ValueError):  # noqa: PT011
        table.update(KEY, Update(set={path: 1, "also": 1}))
    with pytest.raises(ValueError):  # noqa: PT011
        table.transact([TransactPut(item(OTHER)), TransactUpdate(KEY, Update(set={path: 1}))])
    with pytest.raises(ValueError):  # noqa: PT011
        table.update(THIRD, Update(set={path: 1}))
    assert table.get(KEY, consistent=True) == before
    assert table.batch_get([OTHER, THIRD]) == [None, None]


def test_a_map_made_by_an_update_is_no_parent_in_the_same_update(table: Table) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        table.update(KEY, Update(set={"m": {}, ("m", "a"): 1}))
    assert table.get(KEY, consistent=True) is None


OVERLAPS_IN_SET = [
    Update(set={"m": 1, ("m", "a"): 2}),
    Update(set={("m", "a"): 1, ("m", "a", "b"): 2}),
]
# DynamoDB refuses these as well; MiniStack 1.5.33 looks for overlaps in SET only.
OTHER_OVERLAPS = [
    Update(set={("m", "a"): 1}, remove=["m"]),
    Update(set={"n": 1}, add={"n": 1}),
    Update(set={"n": 1}, remove=["n"]),
    Update(add={"n": 1}, remove=["n"]),
    Update(remove=["m", ("m", "a")]),
]


@pytest.mark.parametrize(
    ("store", "update"),
    [(store, update) for store in ADAPTERS for update in OVERLAPS_IN_SET]
    + [("sqlite", update) for update in OTHER_OVERLAPS],
    indirect=["store"],
    ids=str,
)
def test_an_update_of_overlapping_paths_is_refused(table: Table, update: Update) -> None:
    table.put(item(m={"a": 0}, n=0))
    with pytest.raises(ValueError):  # noqa: PT011
        table.update(KEY, update)
    assert table.get(KEY, consistent=True) == item(m={"a": 0}, n=0)


@pytest.mark.parametrize(
    "update",
    [Update(set={"PK": "x"}), Update(set={"SK": "x"}), Update(remove=["SK"])],
    ids=str,
)
def test_an_update_of_the_key_is_refused(table: Table, update: Update) -> None:
    table.put(item(n=0))
    with pytest.raises(ValueError):  # noqa: PT011
        table.update(KEY, update)
    assert table.query(KEY.pk, consistent=True).items == [item(n=0)]


def test_old_is_what_the_path_held_or_else_the_default(table: Table) -> None:
    table.put(item(a=1, m={"x": {"y": [2]}}, z=None))
    image = table.update(
        KEY,
        Update(
            set={
                "a": Old("a", "unused"),
                "b": Old("missing", {"default": [True]}),
                "c": Old(("m", "x"), "unused"),
                "d": Old(("m", "missing", "deep"), "default"),
                "e": Old("z", "unused"),
                ("m", "first"): Old(("m", "first"), 1),
            }
        ),
    )
    assert_same(
        image,
        item(
            a=1,
            m={"x": {"y": [2]}, "first": 1},
            z=None,
            b={"default": [True]},
            c={"y": [2]},
            d="default",
            e=None,
        ),
    )
    assert table.update(KEY, Update(set={("m", "first"): Old(("m", "first"), 2)})) == image


def test_all_right_hand_sides_are_read_before_anything_is_written(table: Table) -> None:
    table.put(item(a="A", b="B", c="C", n=1, gone="G"))
    image = table.update(
        KEY,
        Update(
            set={
                "a": Old("b", 0),
                "b": Old("a", 0),
                "before": Old("n", 0),
                "kept": Old("gone", 0),
                "c": "new",
                "old_c": Old("c", 0),
            },
            add={"n": 1},
            remove=["gone"],
        ),
    )
    assert_same(image, item(a="B", b="A", before=1, kept="G", c="new", old_c="C", n=2))


def test_add_counts_a_missing_number_as_zero(table: Table) -> None:
    assert table.update(KEY, Update(add={"a": 3, "b": -4})) == item(a=3, b=-4)
    assert table.update(KEY, Update(add={"a": -5, "c": 0})) == item(a=-2, b=-4, c=0)


def test_add_is_exact_for_large_numbers_and_right_for_floats(table: Table) -> None:
    table.put(item(big=2**60, half=0.5))
    assert_same(table.update(KEY, Update(add={"big": 1, "half": 1})), item(big=2**60 + 1, half=1.5))


@pytest.mark.parametrize("value", ["1", True, None, [], {}])
def test_adding_to_what_is_no_number_is_refused(table: Table, value: Any) -> None:
    table.put(item(n=value))
    with pytest.raises(ValueError):  # noqa: PT011
        table.update(KEY, Update(set={"x": 1}, add={"n": 1}))
    assert_same(table.get(KEY, consistent=True), item(n=value))


def test_remove_takes_away_what_is_there(table: Table) -> None:
    table.put(item(a=1, b=None, m={"x": {"y": 1, "z": 2}, "w": 3}))
    image = table.update(KEY, Update(remove=["a", "b", ("m", "x", "y"), "missing", ("m", "none")]))
    assert_same(image, item(m={"x": {"z": 2}, "w": 3}))
    assert table.update(KEY, Update(remove=[("m", "x", "z")])) == item(m={"x": {}, "w": 3})


def test_an_update_whose_condition_is_false_changes_nothing(table: Table) -> None:
    with pytest.raises(ConditionFailed):
        table.update(KEY, Update(set={"a": 1}), when=Exists("PK"))
    assert table.get(KEY, consistent=True) is None


def test_a_false_condition_comes_before_a_missing_parent(table: Table) -> None:
    table.put(item(n=1))
    with pytest.raises(ConditionFailed) as failure:
        table.update(KEY, Update(set={("m", "a"): 1}), when=Exists("m"))
    assert failure.value.item == item(n=1)


# ---------------------------------------------------------------------------------- transactions


def test_a_transaction_does_all_of_it(table: Table) -> None:
    fourth = Key("ROOM#2", "LOCK")
    table.put(item(OTHER, n=1, m={}))
    table.put(item(THIRD))
    table.put(item(fourth, free=True))
    table.transact(
        [
            TransactPut(item(KEY, a=1), when=Absent("PK")),
            TransactUpdate(
                OTHER,
                Update(set={("m", "x"): Old("n", 0)}, add={"n": 1}, remove=["none"]),
                when=Less("n", 2),
            ),
            TransactDelete(THIRD, when=Exists("PK")),
            TransactCheck(fourth, Equals("free", True)),
        ]
    )
    assert table.batch_get([KEY, OTHER, THIRD, fourth]) == [
        item(KEY, a=1),
        item(OTHER, n=2, m={"x": 1}),
        None,
        item(fourth, free=True),
    ]


def test_a_transaction_needs_no_conditions_and_creates_and_removes_what_is_missing(
    table: Table,
) -> None:
    table.transact(
        [TransactPut(item()), TransactUpdate(OTHER, Update(add={"n": 1})), TransactDelete(THIRD)]
    )
    assert table.batch_get([KEY, OTHER, THIRD]) == [item(), item(OTHER, n=1), None]


@pytest.mark.parametrize(
    "failing",
    [
        TransactPut(item(THIRD, new=1), when=NEVER),
        TransactUpdate(THIRD, Update(set={"new": 1}), when=NEVER),
        TransactDelete(THIRD, when=NEVER),
        TransactCheck(THIRD, NEVER),
    ],
    ids=["put", "update", "delete", "check"],
)
def test_nothing_changes_when_one_condition_is_false(table: Table, failing: Any) -> None:
    before = [item(KEY, n=1), item(OTHER, n=2), item(THIRD, n=3)]
    for each in before:
        table.put(each)
    with pytest.raises(TransactionCancelled) as cancelled:
        table.transact(
            [
                TransactPut(item(KEY, n=9), when=Equals("n", 1)),
                failing,
                TransactDelete(OTHER, when=Exists("PK")),
            ]
        )
    first, second, third = cancelled.value.reasons
    assert first is None
    assert isinstance(second, ConditionFailed)
    assert second.item == item(THIRD, n=3)
    assert third is None
    assert table.batch_get([KEY, OTHER, THIRD]) == before


def test_every_false_condition_of_a_transaction_is_told(table: Table) -> None:
    table.put(item(KEY, z=None, t=True))
    with pytest.raises(TransactionCancelled) as cancelled:
        table.transact(
            [
                TransactCheck(KEY, NEVER),
                TransactCheck(OTHER, Exists("PK")),
                TransactPut(item(THIRD)),
            ]
        )
    first, second, third = cancelled.value.reasons
    assert isinstance(first, ConditionFailed)
    assert_same(first.item, item(KEY, z=None, t=True))
    assert isinstance(second, ConditionFailed)
    assert second.item is None
    assert third is None
    assert table.get(THIRD, consistent=True) is None


def test_conditions_of_a_transaction_see_the_items_as_they_were_before(table: Table) -> None:
    with pytest.raises(TransactionCancelled):
        table.transact([TransactPut(item(KEY)), TransactPut(item(OTHER), when=Exists("PK"))])
    assert table.batch_get([KEY, OTHER]) == [None, None]


def test_a_false_condition_comes_before_a_mistake_in_another_action(table: Table) -> None:
    mistake = TransactUpdate(KEY, Update(set={("no", "parent"): 1}))
    with pytest.raises(TransactionCancelled) as cancelled:
        table.transact([mistake, TransactCheck(OTHER, NEVER)])
    first, second = cancelled.value.reasons
    assert first is None
    assert isinstance(second, ConditionFailed)


@pytest.mark.parametrize(
    "second",
    [
        TransactPut(item(n=2)),
        TransactUpdate(KEY, Update(set={"n": 2})),
        TransactDelete(KEY),
        TransactCheck(KEY, Absent("PK")),
    ],
    ids=["put", "update", "delete", "check"],
)
def test_two_actions_on_one_item_are_refused(table: Table, second: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        table.transact([TransactPut(item(n=1)), TransactPut(item(OTHER)), second])
    assert table.batch_get([KEY, OTHER]) == [None, None]


def test_a_transaction_has_at_most_a_hundred_actions(table: Table) -> None:
    actions = [TransactPut(item(Key("P", f"{n:03}"))) for n in range(101)]
    with pytest.raises(ValueError):  # noqa: PT011
        table.transact(actions)
    assert table.query("P", consistent=True).items == []
    table.transact(actions[:100])
    assert len(table.query("P", consistent=True).items) == 100


# ----------------------------------------------------------------------------------- concurrency


def test_no_increment_is_lost(table: Table) -> None:
    images = at_once(8, lambda _: [table.update(KEY, Update(add={"n": 1}))["n"] for _ in range(10)])
    assert sorted(n for image in images for n in image) == list(range(1, 81))
    assert table.get(KEY, consistent=True) == item(n=80)


def test_two_writers_never_take_one_seat(table: Table) -> None:
    seats, people = 5, 16
    table.put(item(taken=0, members={}))

    def sit_down(person: int) -> dict[str, Any] | None:
        """Return the item as a refused person sees it."""
        change = Update(set={("members", f"p{person}"): True}, add={"taken": 1})
        try:
            table.update(KEY, change, when=Less("taken", seats))
        except ConditionFailed as failure:
            return failure.item
        return None

    refusals = at_once(people, sit_down)
    assert refusals.count(None) == seats
    members = {f"p{person}": True for person, seen in enumerate(refusals) if seen is None}
    full = item(taken=seats, members=members)
    assert table.get(KEY, consistent=True) == full
    assert all(seen == full for seen in refusals if seen is not None)


def test_every_voter_sees_the_own_vote_and_all_earlier_ones(table: Table) -> None:
    voters = 16
    table.put(item(votes={}))
    images = at_once(
        voters, lambda n: table.update(KEY, Update(set={("votes", f"u{n}"): n}))["votes"]
    )
    for voter, votes in enumerate(images):
        assert votes[f"u{voter}"] == voter
    # There is an order in which each image adds exactly one vote to the one before it.
    images.sort(key=len)
    assert [len(votes) for votes in images] == list(range(1, voters + 1))
    for earlier, later in itertools.pairwise(images):
        assert earlier.items() < later.items()
    assert table.get(KEY, consistent=True) == item(votes=images[-1])


def test_one_of_many_creates_an_item(table: Table) -> None:
    def create(number: int) -> bool:
        try:
            table.put(item(by=number), when=Absent("PK"))
        except ConditionFailed:
            return False
        return True

    created = at_once(8, create)
    assert sum(created) == 1
    assert table.get(KEY, consistent=True) == item(by=created.index(True))


def test_one_of_many_transactions_wins(table: Table) -> None:
    def claim(number: int) -> bool:
        mine = Key("CLAIM", str(number))
        try:
            table.transact(
                [TransactPut(item(by=number), when=Absent("PK")), TransactPut(item(mine))]
            )
        except TransactionCancelled:
            return False
        return True

    won = at_once(8, claim)
    assert sum(won) == 1
    winner = won.index(True)
    assert table.get(KEY, consistent=True) == item(by=winner)
    assert keys(table.query("CLAIM", consistent=True).items) == [str(winner)]


def test_whoever_writes_and_then_reads_the_other_sees_at_least_one_of_two_writes(
    store: Store,
) -> None:
    table = store.table
    for turn in range(20):
        mine = [Key(f"TURN#{turn}", "a"), Key(f"TURN#{turn}", "b")]

        def write_then_read(me: int, mine: list[Key] = mine) -> bool:
            table.put(item(mine[me]))
            return table.get(mine[1 - me], consistent=True) is not None

        assert any(at_once(2, write_then_read))


# ----------------------------------------------------------------------------------- change feed


def test_every_write_that_changes_something_is_one_record_in_order(store: Store) -> None:
    table = store.table
    table.put(item(n=1, m={"a": None}))
    table.put(item(n=2, m={"a": None}))
    table.update(KEY, Update(add={"n": 1}, set={("m", "b"): True}))
    table.delete(KEY)
    table.update(KEY, Update(set={"again": 0.5}))
    first, second = item(n=1, m={"a": None}), item(n=2, m={"a": None})
    third, last = item(n=3, m={"a": None, "b": True}), item(again=0.5)
    expected = [
        Change("INSERT", KEY, None, first),
        Change("MODIFY", KEY, first, second),
        Change("MODIFY", KEY, second, third),
        Change("REMOVE", KEY, third, None),
        Change("INSERT", KEY, None, last),
    ]
    changes = store.changes()
    assert changes == expected
    assert_same([c.new for c in changes], [c.new for c in expected])
    assert_same([c.old for c in changes], [c.old for c in expected])


def test_a_write_that_fails_is_no_record(store: Store) -> None:
    table = store.table
    table.put(item(n=1))
    for write in (
        lambda: table.put(item(n=2), when=NEVER),
        lambda: table.update(KEY, Update(set={"n": 2}), when=NEVER),
        lambda: table.update(KEY, Update(set={("no", "parent"): 2})),
        lambda: table.delete(KEY, when=NEVER),
        lambda: table.transact([TransactPut(item(n=2)), TransactCheck(OTHER, NEVER)]),
    ):
        with pytest.raises((ConditionFailed, TransactionCancelled, ValueError)):
            write()
    assert store.changes() == [Change("INSERT", KEY, None, item(n=1))]


def test_a_write_that_changes_nothing_is_no_record(store: Store) -> None:
    table = store.table
    table.put(item(n=1, m={"a": 1, "b": 2}))
    table.put(item(m={"b": 2, "a": 1}, n=1))
    table.update(KEY, Update(set={("m", "a"): 1}, remove=["none"]))
    table.update(KEY, Update(set={"n": Old("n", 0)}))
    table.update(KEY, Update())
    table.delete(OTHER)
    table.transact(
        [
            TransactUpdate(KEY, Update(set={"n": 1})),
            TransactDelete(OTHER),
            TransactCheck(THIRD, Absent("PK")),
        ]
    )
    assert store.changes() == [Change("INSERT", KEY, None, item(n=1, m={"a": 1, "b": 2}))]


def test_true_in_place_of_one_is_a_change(store: Store) -> None:
    store.table.put(item(v=1))
    store.table.put(item(v=True))
    store.table.update(KEY, Update(set={"v": 1}))
    assert [c.kind for c in store.changes()] == ["INSERT", "MODIFY", "MODIFY"]


def test_a_transaction_is_one_record_for_each_item_that_it_changes(store: Store) -> None:
    table = store.table
    table.put(item(OTHER, n=1))
    table.put(item(THIRD))
    before = len(store.changes())
    fourth = Key("ROOM#9", "ROOM")
    table.transact(
        [
            TransactPut(item(KEY)),
            TransactUpdate(OTHER, Update(add={"n": 1})),
            TransactDelete(THIRD),
            TransactCheck(fourth, Absent("PK")),
        ]
    )
    records = store.changes()[before:]
    assert sorted(records, key=lambda record: record.key) == [  # order holds for each item alone
        Change("MODIFY", OTHER, item(OTHER, n=1), item(OTHER, n=2)),
        Change("INSERT", KEY, None, item(KEY)),
        Change("REMOVE", THIRD, item(THIRD), None),
    ]


def test_records_of_racing_writes_form_one_history_of_the_item(store: Store) -> None:
    at_once(8, lambda _: [store.table.update(KEY, Update(add={"n": 1})) for _ in range(5)])
    changes = store.changes()
    assert [c.kind for c in changes] == ["INSERT"] + ["MODIFY"] * 39
    assert changes[0].old is None
    for earlier, later in itertools.pairwise(changes):
        assert later.old == earlier.new
    assert [c.new for c in changes] == [item(n=n) for n in range(1, 41)]


# The sweep of expired items is DynamoDB's own affair (within days, each removal a record in the
# stream), and the local AWS does it once a minute without a record. So it is only here that a
# test can see it: on the adapters that are swept by our code.
@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_sweep_removes_what_has_expired_and_records_it(store: SqliteStore) -> None:
    table = store.table
    table.put(item(KEY, expires=99))
    table.put(item(OTHER, expires=1, n=1))
    table.put(item(THIRD, expires=101))
    table.put(item(Key("P", "forever")))
    table.put(item(Key("P", "null"), expires=None))
    before = len(store.changes())
    assert store.sweep_expired(100) == 2
    assert table.batch_get([KEY, OTHER]) == [None, None]
    assert table.get(THIRD) == item(THIRD, expires=101)
    assert len(table.query("P").items) == 2
    assert sorted(store.changes()[before:], key=lambda record: record.key) == [
        Change("REMOVE", OTHER, item(OTHER, expires=1, n=1), None),
        Change("REMOVE", KEY, item(KEY, expires=99), None),
    ]
    assert store.sweep_expired(100) == 0
    assert len(store.changes()) == before + 2


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_sweep_spares_what_was_extended(store: SqliteStore) -> None:
    table = store.table
    table.put(item(expires=50))
    table.update(KEY, Update(set={"expires": 200}))
    assert store.sweep_expired(100) == 0
    table.update(KEY, Update(remove=["expires"]))
    assert store.sweep_expired(300) == 0
    assert table.get(KEY, consistent=True) == item()
