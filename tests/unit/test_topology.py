"""The table of functions: it tells the truth about each, and grants no more than is used."""

import importlib
import re
from typing import Any, get_args

import pytest

from trinity.bootstrap import Consumer, Operation, Scheduled, Worker
from trinity.common import passwords, sign_in
from trinity.domain.domain_events import FACTS
from trinity.domain.notices import Channel
from trinity.topology import FUNCTIONS, QUEUES, Function, Schedule

GRANTS = {
    "table": {"read", "write"},
    "cache": {"read", "write", "share"},
    "blobs": {"read", "write"},
    "media": {"write"},
    "uploads": {"read", "write", "sign"},
    "catalogue": {"read"},
    "mailer": {"send"},
    "keys": {"read", "sign", "write"},
    "secrets": {"read"},
    "realtime": {"publish"},
    "bus": {"publish"},
    "archive": {"read", "write"},
    "topic": {"publish"},
    "push_keys": {"read"},
    "internet": {"send"},
    "queues": {"send"},
}
# Ports that stand for others, or for nothing that a grant could be about.
STANDS_FOR = {
    "limits": {"cache"},
    "email": {"mailer"},
    "push": {"push_keys", "internet"},
    "webhook": {"internet"},
    "clock": set(),
    "ids": set(),
    "settings": set(),
    "log": set(),
    "pictures": set(),
}
NO_PORTS = {
    *("request", "caller", "origin", "changes"),
    *("event", "events", "notice", "file", "at", "return"),
}


def module(function: Function) -> Any:
    return importlib.import_module(f"trinity.handlers.{function.module}")


def resources(function: Function) -> set[str]:
    """Return what the use case of a function takes, by the names of its parameters."""
    found: set[str] = set()
    for name in module(function).handler.use_case.__annotations__.keys() - NO_PORTS:
        found |= STANDS_FOR.get(name, {name})
    if function.schedules:
        found |= {"table"}  # runs are claimed there
    return found


def test_names_routes_and_modules_are_there_once() -> None:
    for column in ("name", "module", "route"):
        values = [getattr(f, column) for f in FUNCTIONS if getattr(f, column) is not None]
        assert len(set(values)) == len(values), column


def test_routes_that_differ_in_the_name_of_a_parameter_alone_are_there_once() -> None:
    shapes = [re.sub(r"\{\w+\}", "{}", f.route) for f in FUNCTIONS if f.route is not None]
    assert len(set(shapes)) == len(shapes)


def test_graphql_fields_are_there_once_and_named_with_their_type() -> None:
    fields = [field for function in FUNCTIONS for field in function.fields]
    assert len(set(fields)) == len(fields)
    assert all(re.fullmatch(r"(Query|Mutation|Subscription)\.[a-z]\w+", f) for f in fields)


def test_feeds_of_changes_are_there_once() -> None:
    feeds = [(f.name, stream.name) for f in FUNCTIONS for stream in f.streams]
    assert len(set(feeds)) == len(feeds)
    assert feeds


def test_queues_are_there_once_and_named_as_sqs_allows() -> None:
    names = [name for queue in QUEUES for name in (queue.name, queue.dead_letters)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z_-]{0,50}", name) for name in names)


def test_schedules_are_there_once() -> None:
    names = [schedule.name for function in FUNCTIONS for schedule in function.schedules]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("offset_s", [0, 60, 3 * 3600])
def test_slots_of_a_schedule_are_as_far_apart_as_it_says_and_never_in_the_future(
    offset_s: int,
) -> None:
    schedule = Schedule("daily", every_s=24 * 3600, offset_s=offset_s)
    midnight = 20_000 * 24 * 3600
    assert schedule.slot(midnight + offset_s) == midnight + offset_s
    assert schedule.slot(midnight + offset_s - 1) == midnight + offset_s - 24 * 3600
    assert schedule.slot(midnight + offset_s + 24 * 3600 - 1) == midnight + offset_s


def test_every_channel_of_notices_has_one_queue() -> None:
    channels = [queue.channel for queue in QUEUES if queue.channel is not None]
    assert sorted(channels) == sorted(get_args(Channel))


def test_every_event_that_a_queue_waits_for_is_told() -> None:
    assert {kind for queue in QUEUES for kind in queue.events} <= FACTS.keys()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
class TestFunction:
    """Each function."""

    def test_it_is_called_like_its_use_case(self, function: Function) -> None:
        assert module(function).handler.use_case.__name__ == function.name
        assert getattr(module(function), function.name) is module(function).handler.use_case

    def test_it_is_called_in_one_way(self, function: Function) -> None:
        ways = {
            Operation: bool(function.route or function.fields),
            Consumer: bool(function.streams),
            Worker: function.queue is not None,
            Scheduled: bool(function.schedules),
        }
        assert [kind for kind, way in ways.items() if way] == [type(module(function).handler)]

    def test_its_route_is_written_as_api_gateway_does(self, function: Function) -> None:
        if function.route is not None:
            part = r"/(?:[a-z.][a-z0-9.-]*|\{[a-z][A-Za-z]*\})"
            assert re.fullmatch(rf"(GET|POST|PATCH|DELETE) (?:{part})+", function.route)

    def test_it_is_for_everybody_only_if_it_asks_for_no_caller(self, function: Function) -> None:
        takes_caller = "caller" in module(function).handler.use_case.__annotations__
        if function.route or function.fields:
            assert takes_caller == (function.auth == "user")

    def test_its_use_case_takes_nothing_that_is_unknown(self, function: Function) -> None:
        assert resources(function) <= GRANTS.keys()

    def test_what_its_use_case_takes_is_granted_and_nothing_more(self, function: Function) -> None:
        assert {resource for resource, _ in function.grants} == resources(function)

    def test_its_grants_make_sense_and_are_there_once(self, function: Function) -> None:
        assert len(set(function.grants)) == len(function.grants)
        for resource, grant in function.grants:
            assert grant in GRANTS[resource]
        assert ("keys", "sign") not in function.grants or ("keys", "read") in function.grants

    def test_it_may_sign_if_it_gives_out_tokens_and_only_then(self, function: Function) -> None:
        gives_out = sign_in in vars(module(function)).values()
        assert (("keys", "sign") in function.grants) == gives_out

    def test_it_shares_the_cache_if_it_limits_rates_or_looks_after_it_and_only_then(
        self, function: Function
    ) -> None:
        limits = "limits" in module(function).handler.use_case.__annotations__
        assert (("cache", "share") in function.grants) == (limits or function.name == "health")

    def test_it_is_marked_as_blocking_if_it_computes_or_waits_for_long(
        self, function: Function
    ) -> None:
        hashes = passwords in vars(module(function)).values()
        waits = {("keys", "sign"), ("mailer", "send"), ("catalogue", "read")} & set(function.grants)
        assert function.blocking or not (hashes or waits)

    def test_its_time_and_memory_are_what_lambda_and_api_gateway_allow(
        self, function: Function
    ) -> None:
        assert 128 <= function.memory_mb <= 10_240
        assert 1 <= function.timeout_s <= (29 if function.route else 900)

    def test_its_feeds_are_what_an_event_source_mapping_allows(self, function: Function) -> None:
        """https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"""
        for stream in function.streams:
            assert 1 <= stream.batch <= 10_000
            assert 0 <= stream.window_s <= 300
            assert stream.sort_keys
            keys = (*stream.sort_keys, *stream.comings)
            assert all(re.fullmatch(r"[A-Z]+#?", key) for key in keys)
            assert len(set(keys)) == len(keys)

    def test_its_queue_is_what_an_event_source_mapping_allows(self, function: Function) -> None:
        """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html"""
        if (queue := function.queue) is not None:
            assert 1 <= queue.batch <= (10_000 if queue.window_s >= 1 else 10)
            assert 0 <= queue.window_s <= 300
            assert function.timeout_s <= queue.visibility_s <= 12 * 3600
            assert 1 <= queue.receives <= 1000

    def test_its_schedules_are_on_the_minute_and_leave_time_for_another_attempt(
        self, function: Function
    ) -> None:
        """Lambda repeats a failed asynchronous call after one minute, and after two more.

        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        """
        for schedule in function.schedules:
            assert schedule.every_s > 0
            assert schedule.every_s % 60 == schedule.offset_s % 60 == 0
            assert 0 <= schedule.offset_s < schedule.every_s
            assert function.timeout_s <= 120
            assert {("table", "read"), ("table", "write")} <= set(function.grants)
