"""Clocks call at least once, hosts die and sleep, clocks are set: each slot has its effect once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import NOON, FakeClock, World
from tests.faults.test_pumps import Lines
from tests.server import eventually
from trinity import bootstrap
from trinity.common.telemetry import Reporter, Units
from trinity.domain.errors import Conflict
from trinity.domain.ids import Millis
from trinity.embedded import schedules as module
from trinity.embedded.schedules import SchedulePump, schedule_event
from trinity.ports import Clock, Key, Unavailable
from trinity.topology import Schedule

BOUND_S = 5.0
HOURLY = Schedule("hourly", every_s=3600)
HOUR_MS = 3_600_000
LEASE_MS = 125_000
assert NOON % HOUR_MS == 0


class Died(BaseException):
    """The process is gone: nothing is caught, nothing is tidied up."""


class Host:
    """A process with a function, its services, and a clock that calls."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = Lines()
        self.runs: list[Millis] = []
        self.work: Callable[[], None] = lambda: None

        def sweep(at: Millis, clock: Clock) -> None:
            self.runs.append(at)
            self.work()

        self.handler = bootstrap.scheduled(sweep)

    def __getattr__(self, port: str) -> Any:
        return getattr(self.world, port)

    def reporter(self, operation: str) -> Reporter:
        return Reporter(self.log, operation, namespace="Trinity", units=Units)

    def call(self, hour: int = 0, context: object = None) -> None:
        """Let the clock call for the slot so many hours after noon."""
        slot_s = (NOON + hour * HOUR_MS) // 1000
        self.handler(schedule_event(HOURLY, slot_s), context)

    def outcomes(self) -> list[str]:
        return [line["message"] for line in self.log.lines]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


@pytest.fixture
def host(world: World, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(world)
    monkeypatch.setattr(bootstrap, "_services", host)
    return host


# ----------------------------------------------------------------------------------- one function


def test_a_function_is_called_with_the_time_that_was_due_and_its_ports(host: Host) -> None:
    host.world.clock.advance(1234)
    host.call()
    assert host.runs == [NOON]
    [line] = host.log.lines
    assert (line["operation"], line["message"]) == ("sweep", "ok")
    assert line["slot"] == "2027-01-15T08:00:00Z"


def test_a_call_that_is_delivered_twice_has_its_effect_once(host: Host) -> None:
    host.call()
    host.call()
    host.call(-1)
    assert host.runs == [NOON]
    assert host.outcomes() == ["ok", "done already", "done already"]


def test_a_call_that_comes_while_another_host_is_at_it_has_to_come_again(host: Host) -> None:
    outcome: list[Any] = []

    def meanwhile() -> None:
        host.work = lambda: None
        with pytest.raises(Conflict) as refused:
            host.call()
        outcome.append(refused.value)

    host.work = meanwhile
    host.call()
    assert len(outcome) == 1
    assert host.runs == [NOON]
    assert host.outcomes() == ["conflict", "ok"]


def test_a_run_that_failed_is_done_by_the_next_call(host: Host) -> None:
    host.work = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        host.call()
    host.work = lambda: None
    host.call()
    host.call()
    assert host.runs == [NOON, NOON]
    assert host.outcomes() == ["failed", "ok", "done already"]


def die() -> None:
    raise Died


def test_a_run_whose_process_died_is_done_again_after_its_lease_and_not_before(
    host: Host,
) -> None:
    host.work = die
    with pytest.raises(Died):
        host.call()
    host.work = lambda: None
    host.world.clock.advance(LEASE_MS - 1)
    with pytest.raises(Conflict):
        host.call()
    host.world.clock.advance(1)
    host.call()
    host.call()
    assert host.runs == [NOON, NOON]


class OnLambda:
    """A context that is left with little time."""

    function_name = "sweep"
    function_version = "1"
    aws_request_id = "r1"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


def test_on_lambda_a_lease_is_as_long_as_the_function_may_run(host: Host) -> None:
    host.work = die
    with pytest.raises(Died):
        host.call(context=OnLambda())
    host.work = lambda: None
    host.world.clock.advance(14_999)
    with pytest.raises(Conflict):
        host.call(context=OnLambda())
    host.world.clock.advance(1)
    host.call(context=OnLambda())
    assert host.runs == [NOON, NOON]


def test_a_process_that_dies_between_its_work_and_the_mark_does_it_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: what a run does has to bear that, since no mark comes with the work."""
    with monkeypatch.context() as crash:
        crash.setattr("trinity.store.schedules.finish", lambda *_: die())
        with pytest.raises(Died):
            host.call()
    host.world.clock.advance(LEASE_MS)
    host.call()
    assert host.runs == [NOON, NOON]
    host.call()
    assert host.runs == [NOON, NOON]


def test_a_run_that_takes_longer_than_it_may_does_not_undo_the_one_that_took_over(
    host: Host,
) -> None:
    def slow() -> None:
        host.work = lambda: None
        host.world.clock.advance(LEASE_MS)
        host.call()

    host.work = slow
    host.call()
    assert host.outcomes() == ["ok", "took too long"]
    host.call()
    assert host.runs == [NOON, NOON]


def test_a_failure_is_the_one_that_is_told_though_the_claim_cannot_be_given_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise Unavailable("the table does not answer")

    monkeypatch.setattr("trinity.store.schedules.give_up", broken)
    host.work = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        host.call()


# -------------------------------------------------------------------------------------- the clock


class Ticking:
    """A pump over a host, with a clock that a test sets."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.clock: FakeClock = host.world.clock
        self._pumps: list[SchedulePump] = []

    def start(self) -> SchedulePump:
        pump = SchedulePump(self.host.table, self.clock, HOURLY, self.host.handler, self.host.log)
        self._pumps.append(pump)
        pump.start()
        return pump

    def end(self, pump: SchedulePump) -> None:
        pump.stop()
        ending = threading.Thread(target=pump.join, daemon=True)
        ending.start()
        ending.join(BOUND_S)
        assert not ending.is_alive(), "the pump does not stop"

    def end_all(self) -> None:
        for pump in self._pumps:
            self.end(pump)

    def set(self, hours: float) -> None:
        """Set the clock to so many hours after noon."""
        self.clock.time = Millis(NOON + round(hours * HOUR_MS))

    def ran(self, *hours: int) -> None:
        expected = [NOON + hour * HOUR_MS for hour in hours]
        eventually(lambda: self.host.runs == expected, f"{hours} are run", within_s=BOUND_S)

    def looked(self, outcomes: int) -> None:
        """Wait until the function has answered so often."""
        eventually(lambda: len(self.host.outcomes()) >= outcomes, "it is called", within_s=BOUND_S)


@pytest.fixture
def ticking(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    monkeypatch.setattr(module, "_LOOK_UP_EVERY_S", 0.005)
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.01)
    ticking = Ticking(host)
    yield ticking
    ticking.end_all()


def test_a_new_schedule_waits_for_its_next_slot_and_then_runs_each(ticking: Ticking) -> None:
    ticking.set(0.5)
    ticking.start()
    ticking.looked(1)
    assert ticking.host.runs == []
    ticking.set(1.0)
    ticking.ran(1)
    ticking.set(2.5)
    ticking.ran(1, 2)


def test_of_a_week_that_was_missed_only_the_last_slot_is_made_up_for(ticking: Ticking) -> None:
    pump = ticking.start()
    ticking.looked(1)
    ticking.set(1)
    ticking.ran(1)
    ticking.end(pump)
    ticking.set(7 * 24 + 0.5)
    ticking.start()
    ticking.ran(1, 7 * 24)


def test_a_restart_runs_nothing_again(ticking: Ticking) -> None:
    ticking.end(ticking.start())
    ticking.set(1)
    pump = ticking.start()
    ticking.ran(1)
    ticking.end(pump)
    calls = len(ticking.host.outcomes())
    ticking.start()
    ticking.looked(calls + 1)
    assert ticking.host.outcomes()[-1] == "done already"
    assert ticking.host.log.lines[-1]["level"] == "debug"  # each start would say so of each clock
    ticking.ran(1)


def test_a_clock_that_is_set_back_runs_nothing_again_and_goes_on_from_there(
    ticking: Ticking,
) -> None:
    ticking.start()
    ticking.looked(1)
    ticking.set(5)
    ticking.ran(5)
    calls = len(ticking.host.outcomes())
    ticking.set(4.95)  # less than clocks may differ by
    ticking.looked(calls + 1)
    assert ticking.host.outcomes()[-1] == "done already"
    ticking.set(6)
    ticking.ran(5, 6)


def test_a_call_that_fails_is_made_again_until_it_goes_well(ticking: Ticking) -> None:
    left = [1, 1, 1]

    def work() -> None:
        if left:
            left.pop()
            raise RuntimeError("not now")

    ticking.host.work = work
    ticking.start()
    ticking.looked(1)
    ticking.set(1)
    eventually(lambda: "ok" in ticking.host.outcomes(), "it goes well", within_s=BOUND_S)
    assert ticking.host.runs == [NOON + HOUR_MS] * 4


def test_a_pump_takes_over_what_a_dead_process_had_claimed(ticking: Ticking) -> None:
    host = ticking.host
    pump = ticking.start()
    ticking.looked(1)
    ticking.end(pump)
    ticking.set(1)
    host.work = die
    with pytest.raises(Died):
        host.call(1)
    host.work = lambda: None
    ticking.start()
    ticking.looked(4)
    assert host.outcomes()[-1] == "conflict"
    ticking.clock.advance(LEASE_MS)
    ticking.ran(1, 1)
    assert host.world.table.get(Key("SCHEDULE#hourly", "SCHEDULE"))["done"] == NOON + HOUR_MS


def test_two_hosts_with_one_table_run_each_slot_once(ticking: Ticking) -> None:
    ticking.start()
    ticking.start()
    ticking.looked(2)
    for hour in range(1, 20):
        ticking.set(hour)
        calls = len(ticking.host.outcomes())
        ticking.looked(calls + 1)
        ticking.ran(*range(1, hour + 1))


def test_a_pump_stops_at_once_though_its_next_call_is_far(host: Host) -> None:
    ticking = Ticking(host)  # with pauses as long as they really are
    ticking.end(ticking.start())


def test_the_event_is_the_input_of_the_schedule_with_the_time_filled_in() -> None:
    assert schedule_event(HOURLY, NOON // 1000) == {
        "schedule": "hourly",
        "time": "2027-01-15T08:00:00Z",
    }
