"""The contract of the `Cache` port, for every adapter, and what each promises beyond it."""

import threading
from collections.abc import Callable

import pytest

from tests.fakes import FakeClock
from trinity.infrastructure.memory.cache import MemoryCache
from trinity.ports import Cache

BOUND_S = 20.0
ADAPTERS: dict[str, Callable[[FakeClock], Cache]] = {
    "memory": lambda clock: MemoryCache(monotonic=clock.monotonic),
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=ADAPTERS)
def cache(request: pytest.FixtureRequest, clock: FakeClock) -> Cache:
    """An empty cache of each adapter, with a clock that stands still."""
    return ADAPTERS[request.param](clock)


def test_what_was_never_set_is_none(cache: Cache) -> None:
    assert cache.get("a") is None


@pytest.mark.parametrize(
    "value", ["text", "", 0, 7, -1.5, True, False, [], [1, "two"], {"a": {"b": [None]}}]
)
def test_a_value_comes_back_as_it_was_set(cache: Cache, value: object) -> None:
    cache.set("a", value, ttl=10)
    assert cache.get("a") == value
    assert type(cache.get("a")) is type(value)


def test_a_value_takes_the_place_of_an_older_one_and_no_other(cache: Cache) -> None:
    cache.set("a", 1, ttl=10)
    cache.set("b", 2, ttl=10)
    cache.set("a", 3, ttl=10)
    assert (cache.get("a"), cache.get("b")) == (3, 2)


def test_a_value_is_kept_for_its_time_and_no_longer(cache: Cache, clock: FakeClock) -> None:
    cache.set("a", 1, ttl=10)
    clock.advance(9_999)
    assert cache.get("a") == 1
    clock.advance(1)
    assert cache.get("a") is None


def test_setting_a_value_again_begins_its_time_anew(cache: Cache, clock: FakeClock) -> None:
    cache.set("a", 1, ttl=10)
    clock.advance(8_000)
    cache.set("a", 2, ttl=10)
    clock.advance(8_000)
    assert cache.get("a") == 2


def test_a_fraction_of_a_second_is_a_time_too(cache: Cache, clock: FakeClock) -> None:
    cache.set("a", 1, ttl=0.25)
    clock.advance(249)
    assert cache.get("a") == 1
    clock.advance(2)
    assert cache.get("a") is None


def test_a_deleted_value_is_gone_and_the_others_are_not(cache: Cache) -> None:
    cache.set("a", 1, ttl=10)
    cache.set("b", 2, ttl=10)
    cache.delete("a")
    assert (cache.get("a"), cache.get("b")) == (None, 2)


def test_deleting_what_is_not_there_is_no_error(cache: Cache) -> None:
    cache.delete("a")
    cache.delete("a")
    assert cache.get("a") is None


def test_counting_begins_with_one_and_goes_on(cache: Cache) -> None:
    assert [cache.increment("a", ttl=60)[0] for _ in range(4)] == [1, 2, 3, 4]


def test_each_key_is_counted_by_itself(cache: Cache) -> None:
    counts = [cache.increment(key, ttl=60)[0] for key in ("a", "b", "a", "c", "b", "a")]
    assert counts == [1, 1, 2, 1, 2, 3]


def test_a_window_begins_with_its_first_count_and_later_ones_do_not_prolong_it(
    cache: Cache, clock: FakeClock
) -> None:
    counted = []
    for wait in (0, 20_000, 20_000, 19_999, 1, 1_000):
        clock.advance(wait)
        count, remaining = cache.increment("a", ttl=60)
        counted.append((count, round(remaining, 3)))
    assert counted == [(1, 60.0), (2, 40.0), (3, 20.0), (4, 0.001), (1, 60.0), (2, 59.0)]


def test_deleting_a_count_begins_a_new_window(cache: Cache, clock: FakeClock) -> None:
    cache.increment("a", ttl=60)
    clock.advance(30_000)
    cache.delete("a")
    assert cache.increment("a", ttl=60) == (1, pytest.approx(60.0))


def test_threads_that_count_at_once_count_exactly(cache: Cache) -> None:
    threads, each = 8, 500
    start = threading.Barrier(threads)
    counts: list[list[int]] = [[] for _ in range(threads)]

    def count(mine: list[int]) -> None:
        start.wait(BOUND_S)
        mine += [cache.increment("a", ttl=60)[0] for _ in range(each)]

    workers = [threading.Thread(target=count, args=(mine,), daemon=True) for mine in counts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(BOUND_S)
    total = threads * each
    assert sorted(n for mine in counts for n in mine) == list(range(1, total + 1))
    assert all(mine == sorted(mine) for mine in counts)


# ------------------------------------------------------------------------------ in the memory alone


def test_however_many_entries_come_memory_stays_bounded_and_the_newest_are_kept(
    clock: FakeClock,
) -> None:
    cache = MemoryCache(most=100, monotonic=clock.monotonic)
    for number in range(1_000):
        cache.set(str(number), number, ttl=60)
        assert cache.get(str(number)) == number
    kept = [number for number in range(1_000) if cache.get(str(number)) is not None]
    assert 80 <= len(kept) <= 100
    assert kept == list(range(1_000 - len(kept), 1_000))


def test_when_memory_is_short_expired_entries_go_first(clock: FakeClock) -> None:
    cache = MemoryCache(most=100, monotonic=clock.monotonic)
    for number in range(50):
        cache.set(f"lasting {number}", number, ttl=600)
    for number in range(50):
        cache.set(f"short {number}", number, ttl=1)
    clock.advance(2_000)
    cache.set("one more", 1, ttl=600)
    assert all(cache.get(f"lasting {number}") == number for number in range(50))


def test_counting_keys_without_end_stays_bounded_too(clock: FakeClock) -> None:
    cache = MemoryCache(most=100, monotonic=clock.monotonic)
    for number in range(1_000):
        assert cache.increment(str(number), ttl=60)[0] == 1
    assert sum(cache.get(str(number)) is not None for number in range(1_000)) <= 100
