"""Which request led to a write is told by the item, whatever kind of write it is."""

from typing import Any

import pytest

from tests.contract.conftest import DynamoStore, Store
from trinity.common import streams
from trinity.embedded.pumps import stream_event
from trinity.ports import (
    Absent,
    ConditionFailed,
    Equals,
    Exists,
    Key,
    Old,
    TransactCheck,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
)
from trinity.store import causes
from trinity.store.causes import ATTRIBUTE, Cause, caused_by

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST, OTHER = Cause("request-1", TRACE), Cause("request-2")
KEY, SECOND, THIRD = Key("P", "A"), Key("P", "B"), Key("P", "C")


def item(key: Key = KEY, **rest: Any) -> dict[str, Any]:
    return {"PK": key.pk, "SK": key.sk, **rest}


def told(store: Store) -> list[streams.Change]:
    """Return the changes as a consumer of the feed gets them."""
    if isinstance(store, DynamoStore):
        return streams.changes({"Records": store.records()})
    found = store.adapter.changes_after(0, 1000)  # type: ignore[attr-defined]
    return streams.changes(stream_event(found))


def test_every_kind_of_write_bears_the_cause_and_changes_nothing_else(store: Store) -> None:
    table = caused_by(store.table, REQUEST)
    text = f"request-1 {TRACE}"
    table.put(item(n=1), when=Absent("PK"))
    assert table.get(KEY, consistent=True) == item(n=1, cause=text)
    updated = table.update(
        KEY, Update(set={"m": Old("n", 0)}, add={"n": 1}, remove=["no"]), when=Equals("n", 1)
    )
    assert updated == item(n=2, m=1, cause=text)
    table.transact(
        [
            TransactPut(item(SECOND), Absent("PK")),
            TransactUpdate(KEY, Update(add={"n": 1}), Equals("n", 2)),
            TransactCheck(THIRD, Absent("PK")),
        ]
    )
    assert table.batch_get([KEY, SECOND]) == [
        item(n=3, m=1, cause=text),
        item(SECOND, cause=text),
    ]
    assert [c.cause for c in told(store)] == [REQUEST] * 4
    assert len(table.query("P", prefix="A", consistent=True).items) == 1


def test_a_cause_is_never_that_of_an_earlier_write(store: Store) -> None:
    caused_by(store.table, REQUEST).put(item(n=1))
    caused_by(store.table, OTHER).update(KEY, Update(add={"n": 1}))
    unknown = caused_by(store.table, None)
    unknown.update(KEY, Update(add={"n": 1}))
    unknown.transact([TransactUpdate(KEY, Update(add={"n": 1}))])
    unknown.put(item(n=5))
    assert [c.cause for c in told(store)] == [REQUEST, OTHER, None, None, None]
    assert store.table.get(KEY, consistent=True) == item(n=5)


def test_of_two_causes_the_second_holds(store: Store) -> None:
    caused_by(caused_by(store.table, None), OTHER).update(KEY, Update())
    caused_by(caused_by(store.table, REQUEST), None).update(KEY, Update(add={"n": 1}))
    assert [c.cause for c in told(store)] == [OTHER, None]


def test_a_refused_write_leaves_no_cause(store: Store) -> None:
    store.table.put(item(n=1))
    table = caused_by(store.table, REQUEST)
    with pytest.raises(ConditionFailed):
        table.put(item(), when=Absent("PK"))
    with pytest.raises(ConditionFailed):
        table.update(KEY, Update(add={"n": 1}), when=Equals("n", 2))
    with pytest.raises(ConditionFailed):
        table.delete(KEY, when=Absent("PK"))
    with pytest.raises(TransactionCancelled):
        table.transact([TransactPut(item(SECOND)), TransactDelete(KEY, Absent("PK"))])
    assert store.table.get(KEY, consistent=True) == item(n=1)
    assert len(told(store)) == 1


def test_what_is_marked_tells_who_removed_it(store: Store) -> None:
    caused_by(store.table, OTHER).put(item(n=1))
    table = caused_by(store.table, REQUEST)
    causes.mark(table, KEY)
    table.transact([TransactDelete(KEY, Exists("PK"))])
    assert [c.cause for c in told(store)] == [OTHER, REQUEST, REQUEST]
    assert told(store)[-1].new is None


def test_marking_what_is_gone_makes_nothing(store: Store) -> None:
    causes.mark(caused_by(store.table, REQUEST), KEY)
    assert store.table.get(KEY, consistent=True) is None
    assert told(store) == []


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_what_expires_is_removed_by_nobody(store: Any) -> None:
    table = caused_by(store.table, REQUEST)
    table.put(item(KEY, expires=1))
    table.put(item(SECOND, expires=None))
    store.adapter.sweep_expired(2)
    table.delete(SECOND)
    changes = told(store)
    assert [(c.expired, c.cause) for c in changes] == [
        (False, REQUEST),
        (False, REQUEST),
        (True, None),
        (False, REQUEST),
    ]
    assert all(ATTRIBUTE in (c.new_image or c.old_image or {}) for c in changes)


def test_a_change_has_an_id_of_its_own_that_stays(store: Store) -> None:
    for n in range(5):
        store.table.put(item(n=n))
    once, again = told(store), told(store)
    assert len({c.id for c in once}) == 5
    assert once == again
