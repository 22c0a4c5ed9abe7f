"""The request that led to something, read from its event and from an item."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.common import requests, resolvers
from trinity.store import causes
from trinity.store.causes import Cause

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_request_of_api_gateway_is_a_cause() -> None:
    event = {"requestContext": {"requestId": "JKJaXmPLvHcESHA="}, "headers": {"traceparent": TRACE}}
    assert requests.cause(event) == Cause("JKJaXmPLvHcESHA=", TRACE)


def test_a_request_of_appsync_is_a_cause() -> None:
    headers = {"x-amzn-requestid": "5f9d8a3e", "traceparent": TRACE}
    assert resolvers.cause({"request": {"headers": headers}}) == Cause("5f9d8a3e", TRACE)
    assert resolvers.cause({"request": {"headers": {}}}) is None


@pytest.mark.parametrize(
    "sent",
    [
        "",
        TRACE.upper(),
        TRACE + "-00",
        TRACE + "\n",
        TRACE.replace("00-", "01-", 1),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        "x" * 10_000,
    ],
)
def test_a_trace_context_that_is_none_is_left_out(sent: str) -> None:
    assert causes.of_request("r", {"traceparent": sent}) == Cause("r")


@given(st.text(st.characters(codec="ascii", exclude_characters=" "), min_size=1), st.booleans())
def test_what_an_item_bears_is_read_as_it_was_written(request_id: str, traced: bool) -> None:
    class Written:
        def put(self, item: dict[str, str], *, when: object = None) -> None:
            self.item = item

    cause, table = Cause(request_id, TRACE if traced else None), Written()
    causes.caused_by(table, cause).put({"PK": "P", "SK": "S"})  # type: ignore[arg-type]
    assert causes.parse(table.item["cause"]) == cause


@pytest.mark.parametrize("text", [None, ""])
def test_an_item_that_bears_none_has_none(text: str | None) -> None:
    assert causes.parse(text) is None
