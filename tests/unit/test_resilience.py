import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.common.resilience import (
    Budget,
    CircuitBreaker,
    CircuitOpen,
    OutOfTime,
    Retryable,
    chance,
    full_jitter,
    retry,
)


class Clock:
    def __init__(self):
        self.time = 1000.0
        self.slept = []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


class Service:
    """Answers with these in turn; an error is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock():
    return Clock()


def patiently(clock, service, *, seconds=60.0, **options):
    budget = Budget(seconds, now=clock.now)
    options = {"chance": lambda: 0.5, "base": 1.0, "cap": 4.0, **options}
    return retry(service, budget=budget, sleep=clock.sleep, **options)


def test_a_success_is_not_repeated(clock):
    service = Service("yes", "again")
    assert patiently(clock, service) == "yes"
    assert service.asked == 1
    assert clock.slept == []


def test_waits_double_up_to_the_cap_times_chance(clock):
    service = Service(*[Retryable("no")] * 5, "yes")
    assert patiently(clock, service, attempts=6) == "yes"
    assert clock.slept == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_the_last_failure_is_the_one_that_is_raised(clock):
    service = Service(Retryable("first"), Retryable("second"), Retryable("third"), "yes")
    with pytest.raises(Retryable, match="third"):
        patiently(clock, service, attempts=3)
    assert service.asked == 3


def test_other_errors_are_final(clock):
    service = Service(ValueError("broken"), "yes")
    with pytest.raises(ValueError, match="broken"):
        patiently(clock, service)
    assert service.asked == 1


def test_what_the_other_side_asks_for_is_waited_and_jitter_on_top(clock):
    assert patiently(clock, Service(Retryable("busy", after=7.0), "yes")) == "yes"
    assert clock.slept == [7.5]


def test_no_wait_is_begun_that_exceeds_the_budget(clock):
    service = Service(Retryable("busy", after=7.0), "yes")
    with pytest.raises(Retryable, match="busy"):
        patiently(clock, service, seconds=7.4)
    assert service.asked == 1
    assert clock.slept == []


def test_without_time_nothing_is_attempted(clock):
    service = Service("yes")
    with pytest.raises(OutOfTime):
        patiently(clock, service, seconds=0)
    assert service.asked == 0


def test_a_budget_runs_down_to_nothing_and_not_below(clock):
    budget = Budget(3, now=clock.now)
    clock.time += 1
    assert budget.left() == 2
    clock.time += 5
    assert budget.left() == 0


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_is_never_negative_and_never_above_the_cap(attempt, drawn):
    wait = full_jitter(attempt, base=0.1, cap=2.0, chance=lambda: drawn)
    assert 0 <= wait <= min(2.0, 0.1 * 2.0 ** min(attempt, 60))


def test_chance_is_spread_over_the_whole_range():
    drawn = [chance() for _ in range(2000)]
    assert all(0 <= each < 1 for each in drawn)
    # All of 2,000 missing one of ten equal parts has a probability below 1e-90.
    assert {int(each * 10) for each in drawn} == set(range(10))


def breaker_with(clock, *, failed):
    breaker = CircuitBreaker(failures=3, rest_s=30, now=clock.now)
    for _ in range(failed):
        with pytest.raises(OSError, match="down"):
            ask(breaker, OSError("down"))
    return breaker


def ask(breaker, *answers):
    return breaker.call(Service(*answers), failure=(OSError,))


def test_after_failures_in_a_row_nobody_is_asked(clock):
    breaker = breaker_with(clock, failed=3)
    service = Service("yes")
    with pytest.raises(CircuitOpen):
        breaker.call(service, failure=(OSError,))
    assert service.asked == 0


def test_a_success_in_between_forgives(clock):
    breaker = breaker_with(clock, failed=2)
    assert ask(breaker, "yes") == "yes"
    with pytest.raises(OSError, match="down"):
        ask(breaker, OSError("down"))
    assert ask(breaker, "yes") == "yes"


def test_an_error_that_is_an_answer_does_not_count(clock):
    breaker = breaker_with(clock, failed=2)
    with pytest.raises(KeyError):
        ask(breaker, KeyError("no such title"))
    with pytest.raises(OSError, match="down"):
        ask(breaker, OSError("down"))
    assert ask(breaker, "yes") == "yes"


def test_after_the_rest_a_success_closes_the_breaker(clock):
    breaker = breaker_with(clock, failed=3)
    clock.time += 30
    assert ask(breaker, "yes") == "yes"
    assert ask(breaker, "yes") == "yes"


def test_after_the_rest_one_failure_begins_another(clock):
    breaker = breaker_with(clock, failed=3)
    clock.time += 30
    with pytest.raises(OSError, match="down"):
        ask(breaker, OSError("down"))
    clock.time += 29
    with pytest.raises(CircuitOpen):
        ask(breaker, "yes")
    clock.time += 1
    assert ask(breaker, "yes") == "yes"


def test_only_one_call_probes_while_its_answer_is_awaited(clock):
    breaker = breaker_with(clock, failed=3)
    clock.time += 30

    def probe():
        with pytest.raises(CircuitOpen):
            ask(breaker, "yes")
        return "answered"

    assert breaker.call(probe, failure=(OSError,)) == "answered"
    assert ask(breaker, "yes") == "yes"


def test_failures_in_many_threads_are_all_counted():
    breaker = CircuitBreaker(failures=400, rest_s=30, now=lambda: 0.0)

    def fail_often():
        for _ in range(50):
            with pytest.raises(OSError, match="down"):
                ask(breaker, OSError("down"))

    threads = [threading.Thread(target=fail_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(CircuitOpen):
        ask(breaker, "yes")
