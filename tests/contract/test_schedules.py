"""Runs of schedules are claimed by one host at a time, in every kind of table."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.contract.conftest import Store
from tests.fakes import NOON
from trinity.domain.errors import Conflict
from trinity.domain.ids import DAY, HOUR, MINUTE, Millis
from trinity.ports import Table
from trinity.store import schedules
from trinity.store.schedules import Claim

LEASE = MINUTE
EARLIER, LATER = Millis(NOON - HOUR), Millis(NOON + HOUR)


def claim(table: Table, slot: Millis = NOON, *, now: int = NOON) -> Claim | None:
    return schedules.claim(table, "sweep", slot, now=Millis(now), lease=LEASE)


def claimed(table: Table, slot: Millis = NOON, *, now: int = NOON) -> Claim:
    found = claim(table, slot, now=now)
    assert found is not None
    return found


def test_of_many_hosts_that_are_called_for_one_slot_one_runs_it(table: Table) -> None:
    hosts = 8
    for round_ in range(5):
        slot = Millis(NOON + round_ * HOUR)
        start = Barrier(hosts)

        def host(slot: Millis = slot, start: Barrier = start) -> Claim | None:
            start.wait()
            try:
                return claim(table, slot, now=slot)
            except Conflict:
                return None

        with ThreadPoolExecutor(hosts) as pool:
            calls = [pool.submit(host) for _ in range(hosts)]
        [winner] = [found for call in calls if (found := call.result()) is not None]
        assert schedules.finish(table, winner)
        assert claim(table, slot, now=slot) is None


def test_whoever_comes_while_somebody_is_at_it_has_to_come_again(table: Table) -> None:
    first = claimed(table)
    with pytest.raises(Conflict):
        claim(table, now=NOON + LEASE - 1)
    with pytest.raises(Conflict):
        claim(table, LATER, now=NOON + LEASE - 1)
    assert schedules.finish(table, first)
    assert claim(table) is None


def test_a_slot_whose_host_died_is_run_again_when_its_claim_has_run_out(table: Table) -> None:
    dead = claimed(table)
    heir = claimed(table, now=NOON + LEASE)
    assert heir.turn == dead.turn + 1
    assert not schedules.finish(table, dead), "it was not dead, but too slow"
    assert not schedules.give_up(table, dead)
    with pytest.raises(Conflict):
        claim(table, now=NOON + LEASE)
    assert schedules.finish(table, heir)
    assert claim(table, now=NOON + DAY) is None


def test_a_run_that_failed_may_be_tried_again_at_once(table: Table) -> None:
    assert schedules.give_up(table, claimed(table))
    assert schedules.finish(table, claimed(table))
    assert claim(table) is None


def test_what_is_older_than_what_is_done_is_not_run(table: Table) -> None:
    schedules.finish(table, claimed(table))
    assert claim(table, EARLIER) is None
    assert claim(table, LATER, now=LATER) is not None


def test_a_new_schedule_begins_with_its_next_slot_and_a_known_one_goes_on(table: Table) -> None:
    schedules.begin(table, "sweep", NOON)
    assert claim(table) is None
    schedules.finish(table, claimed(table, LATER, now=LATER))
    schedules.begin(table, "sweep", Millis(LATER + HOUR))
    assert claim(table, Millis(LATER + HOUR), now=LATER + HOUR) is not None


def test_schedules_do_not_disturb_each_other(table: Table) -> None:
    claimed(table)
    assert schedules.claim(table, "refresh", NOON, now=NOON, lease=LEASE) is not None


def test_a_clock_that_was_years_ahead_stops_nothing_for_years(table: Table) -> None:
    future = Millis(NOON + 50 * 365 * DAY)
    schedules.finish(table, claimed(table, future, now=future))
    right = claimed(table)
    assert schedules.finish(table, right)
    assert claim(table) is None
    claimed(table, future, now=future)  # and then it dies
    assert claim(table, LATER, now=LATER) is not None


def test_a_clock_that_goes_back_a_little_runs_nothing_twice(table: Table) -> None:
    schedules.finish(table, claimed(table))
    assert claim(table, now=NOON - 5 * MINUTE) is None
    running = claimed(table, LATER, now=LATER)
    with pytest.raises(Conflict):
        claim(table, LATER, now=LATER - 5 * MINUTE)
    assert schedules.finish(table, running)


def test_a_claim_costs_a_read_and_a_write_and_its_end_one_write(store: Store) -> None:
    schedules.finish(store.table, claimed(store.table))
    schedules.finish(store.table, claimed(store.table, LATER, now=LATER))
    changes = [change for change in store.changes() if change.key[0] == "SCHEDULE#sweep"]
    assert [change.kind for change in changes] == ["INSERT", "MODIFY", "MODIFY", "MODIFY"]


@pytest.mark.parametrize("lease", [0, 21 * MINUTE])
def test_a_lease_that_makes_no_sense_is_a_mistake(table: Table, lease: int) -> None:
    with pytest.raises(ValueError, match="lease"):
        schedules.claim(table, "sweep", NOON, now=NOON, lease=lease)
