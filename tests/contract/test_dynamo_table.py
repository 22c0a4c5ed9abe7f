"""What the DynamoDB adapter alone does: what it may send twice, and what it counts."""

from typing import Any

import pytest

from tests.contract.conftest import DynamoStore
from trinity.common import attributes
from trinity.infrastructure.aws.client import AwsError
from trinity.infrastructure.aws.retry import Budget, Limits
from trinity.infrastructure.dynamodb.create import create_table
from trinity.infrastructure.dynamodb.table import DynamoTable
from trinity.ports import (
    Absent,
    Exists,
    Key,
    Old,
    TransactCheck,
    TransactionCancelled,
    TransactPut,
    Unavailable,
    Update,
)

KEY = Key("P", "S")
ITEM = {"PK": "P", "SK": "S"}
CAPACITY = {"ConsumedCapacity": {"CapacityUnits": 1.0}}


class FakeClient:
    """Gives the outputs of a script, or raises its errors, and remembers the calls."""

    def __init__(self, *script: dict[str, Any] | Exception, attempts: int = 4) -> None:
        self.script = list(script)
        self.calls: list[tuple[str, dict[str, Any], bool]] = []
        self.waits: list[float] = []
        self.limits = Limits(attempts=attempts, total=1000)

    def budget(self) -> Budget:
        return Budget(self.limits, sleep=self.waits.append)

    def call(self, operation, request, *, idempotent, budget=None):
        self.calls.append((operation, request, idempotent))
        output = self.script.pop(0)
        if isinstance(output, Exception):
            raise output
        return output


def table(client: FakeClient) -> DynamoTable:
    return DynamoTable(client, "t")  # type: ignore[arg-type]


def cancelled(*codes: str) -> AwsError:
    reasons = [{"Code": code, "Message": "because"} for code in codes]
    body = {"CancellationReasons": reasons}
    return AwsError("TransactionCanceledException", "Transaction cancelled", 400, body)


# ------------------------------------------------------------------------------ sending it twice

REPEATABLE = [
    Update(),
    Update(set={"a": 1, ("m", "b"): None}, remove=["c"]),
    Update(set={"since": Old("since", 1), ("m", "x"): Old(("m", "x"), 2)}),
]
NOT_REPEATABLE = [
    Update(add={"n": 1}),
    Update(set={"a": 1}, add={"n": 0}),
    Update(set={"a": Old("b", 1), "b": 2}),
    Update(set={"a": 1, "previous": Old("a", None)}),
]


@pytest.mark.parametrize(
    ("update", "idempotent"),
    [(update, True) for update in REPEATABLE] + [(update, False) for update in NOT_REPEATABLE],
    ids=str,
)
def test_only_an_update_that_may_be_repeated_is_called_idempotent(update, idempotent):
    client = FakeClient({"Attributes": {}, **CAPACITY}, {"Attributes": {}, **CAPACITY})
    table(client).update(KEY, update)
    table(client).update(KEY, update, when=Exists("PK"))
    assert [call[2] for call in client.calls] == [idempotent, False]


def test_a_conditional_write_is_not_idempotent_and_an_unconditional_one_is():
    client = FakeClient(*[CAPACITY] * 4)
    table(client).put(ITEM)
    table(client).put(ITEM, when=Absent("PK"))
    table(client).delete(KEY)
    table(client).delete(KEY, when=Exists("PK"))
    assert [(name, idempotent) for name, _, idempotent in client.calls] == [
        ("PutItem", True),
        ("PutItem", False),
        ("DeleteItem", True),
        ("DeleteItem", False),
    ]


def test_a_transaction_sent_again_has_the_same_token():
    client = FakeClient(cancelled("None", "TransactionConflict"), cancelled("ThrottlingError"), {})
    table(client).transact([TransactPut(ITEM)])
    tokens = [request["ClientRequestToken"] for _, request, _ in client.calls]
    assert len(tokens) == 3
    assert len(set(tokens)) == 1
    assert 1 <= len(tokens[0]) <= 36
    assert all(idempotent for _, _, idempotent in client.calls)
    assert len(client.waits) == 2


def test_each_transaction_has_a_token_of_its_own():
    client = FakeClient({}, {})
    for _ in range(2):
        table(client).transact([TransactPut(ITEM)])
    assert len({request["ClientRequestToken"] for _, request, _ in client.calls}) == 2


def test_a_transaction_that_meets_others_too_often_gives_up():
    client = FakeClient(*[cancelled("TransactionConflict")] * 3, attempts=3)
    with pytest.raises(Unavailable):
        table(client).transact([TransactPut(ITEM)])
    assert len(client.calls) == 3


def test_a_false_condition_comes_before_a_conflict_and_a_mistake():
    client = FakeClient(
        cancelled("TransactionConflict", "ConditionalCheckFailed", "ValidationError")
    )
    with pytest.raises(TransactionCancelled) as failure:
        table(client).transact([TransactPut(ITEM), TransactCheck(KEY, Exists("a"))])
    assert [reason is None for reason in failure.value.reasons] == [True, False, True]


@pytest.mark.parametrize("code", ["ItemCollectionSizeLimitExceeded", "AccessDenied"])
def test_a_transaction_cancelled_for_another_reason_is_an_error(code):
    client = FakeClient(cancelled("None", code))
    with pytest.raises(AwsError):
        table(client).transact([TransactPut(ITEM)])


# --------------------------------------------------------------------------- keys left for later


def batch(items: list[Key], left: list[Key]) -> dict[str, Any]:
    images = [attributes.encode_item(key._asdict()) for key in items]
    found = [{"PK": image["pk"], "SK": image["sk"]} for image in images]
    keys = [{"PK": {"S": key.pk}, "SK": {"S": key.sk}} for key in left]
    return {
        "Responses": {"t": found} if found else {},
        "UnprocessedKeys": {"t": {"Keys": keys}} if keys else {},
        "ConsumedCapacity": [{"CapacityUnits": 0.5 * len(items)}],
    }


def test_keys_that_were_left_for_later_are_asked_for_again():
    a, b, c = (Key("P", name) for name in "abc")
    client = FakeClient(batch([b], [a, c]), batch([c], [a]), batch([], [a]), batch([a], []))
    store = table(client)
    found = store.batch_get([a, b, c])
    assert [item["SK"] for item in found if item] == ["a", "b", "c"]
    asked = [len(request["RequestItems"]["t"]["Keys"]) for _, request, _ in client.calls]
    assert asked == [3, 2, 1, 1]
    assert len(client.waits) == 1  # only after an answer without an item
    assert store.consumed_read == 1.5


def test_keys_that_are_never_processed_are_given_up():
    client = FakeClient(*[batch([], [KEY])] * 4)
    with pytest.raises(Unavailable):
        table(client).batch_get([KEY])
    assert len(client.waits) == 3


# -------------------------------------------------------------------------------------- capacity


@pytest.fixture
def dynamo(aws: str) -> DynamoStore:
    return DynamoStore(aws)


def test_consumed_capacity_is_added_up(dynamo: DynamoStore):
    counted = dynamo.table

    def used(action) -> tuple[float, float]:
        before = counted.consumed_read, counted.consumed_write
        action()
        return counted.consumed_read - before[0], counted.consumed_write - before[1]

    other = {**ITEM, "SK": "T"}
    assert used(lambda: counted.put(ITEM)) == (0, 1)
    assert used(lambda: counted.put({**ITEM, "text": "x" * 2000})) == (0, 2)
    assert used(lambda: counted.update(KEY, Update(set={"text": ""}))) == (0, 2)
    assert used(lambda: counted.get(KEY)) == (0.5, 0)
    assert used(lambda: counted.get(KEY, consistent=True)) == (1, 0)
    assert used(lambda: counted.query("P")) == (0.5, 0)
    # The local AWS tells nothing of BatchGetItem; see the test with the fake client above.
    assert used(lambda: counted.transact([TransactPut(ITEM), TransactPut(other)])) == (0, 4)
    assert used(lambda: counted.delete(KEY)) == (0, 1)


def test_a_table_can_be_created_again_and_keeps_what_it_holds(dynamo: DynamoStore):
    dynamo.table.put(ITEM)
    create_table(dynamo.dynamodb, dynamo.name)
    assert dynamo.table.get(KEY) == ITEM
    name = {"TableName": dynamo.name}
    described = dynamo.dynamodb.call("DescribeTable", name, idempotent=True)["Table"]
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert described["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    ttl = dynamo.dynamodb.call("DescribeTimeToLive", name, idempotent=True)
    assert ttl["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
    assert ttl["TimeToLiveDescription"]["AttributeName"] == "expires"
