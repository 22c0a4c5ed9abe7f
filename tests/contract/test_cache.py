"""The contract of the `Cache` port, for every adapter, and what each promises beyond it."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock
from tests.redis_server import RedisServer
from trinity.common.telemetry import Log
from trinity.infrastructure.memory.cache import MemoryCache
from trinity.infrastructure.redis.cache import RedisCache
from trinity.infrastructure.redis.client import Address, RedisClient, Refusal, _encode
from trinity.infrastructure.system.stream import TransportError
from trinity.ports import Cache

BOUND_S = 20.0


class PassingTime:
    """Time of a real Redis: what it keeps comes closer to its end, all at once."""

    def __init__(self, server: RedisServer) -> None:
        self._redis = server.client

    def advance(self, millis: int) -> None:
        for key in self._redis.scan_iter():
            self._redis.pexpire(key, self._redis.pttl(key) - millis)


Clock = FakeClock | PassingTime


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    """A Redis that works and is empty."""
    redis_server.wipe()
    redis_server.empty()
    return redis_server


class Lines(Log):
    """A log to read."""

    def __init__(self) -> None:
        super().__init__("debug")
        self.lines: list[tuple[str, str]] = []

    def __call__(self, level: Any, message: str, **fields: Any) -> None:
        self.lines.append((level, message))


def redis_cache(server: RedisServer, namespace: str = "trinity", **options: Any) -> RedisCache:
    return RedisCache(server.url, namespace=namespace, **{"log": Lines(), **options})


@pytest.fixture(params=["memory", "redis"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """The time of each adapter."""
    if request.param == "memory":
        return FakeClock()
    return PassingTime(request.getfixturevalue("server"))


@pytest.fixture
def cache(request: pytest.FixtureRequest, clock: Clock) -> Cache:
    """An empty cache of each adapter."""
    if isinstance(clock, FakeClock):
        return MemoryCache(monotonic=clock.monotonic)
    return redis_cache(request.getfixturevalue("server"))


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


def test_a_value_is_kept_for_its_time_and_no_longer(cache: Cache, clock: Clock) -> None:
    cache.set("a", 1, ttl=1000)
    clock.advance(900_000)
    assert cache.get("a") == 1
    clock.advance(100_000)
    assert cache.get("a") is None


def test_setting_a_value_again_begins_its_time_anew(cache: Cache, clock: Clock) -> None:
    cache.set("a", 1, ttl=1000)
    clock.advance(800_000)
    cache.set("a", 2, ttl=1000)
    clock.advance(800_000)
    assert cache.get("a") == 2


def test_a_fraction_of_a_second_ends_too(cache: Cache, clock: Clock) -> None:
    cache.set("a", 1, ttl=0.25)
    clock.advance(250)
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
    cache: Cache, clock: Clock
) -> None:
    for count, wait, left in [(1, 0, 600), (2, 200_000, 400), (3, 200_000, 200)]:
        clock.advance(wait)
        counted, remaining = cache.increment("a", ttl=600)
        assert counted == count
        assert left - 100 < remaining <= left
    clock.advance(200_000)
    assert cache.increment("a", ttl=600)[0] == 1


def test_deleting_a_count_begins_a_new_window(cache: Cache, clock: Clock) -> None:
    cache.increment("a", ttl=600)
    clock.advance(300_000)
    cache.delete("a")
    count, remaining = cache.increment("a", ttl=600)
    assert count == 1
    assert 500 < remaining <= 600


def test_a_cache_that_keeps_things_says_so(cache: Cache) -> None:
    assert cache.working()


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


@pytest.fixture
def still() -> FakeClock:
    return FakeClock()


def test_in_memory_a_value_ends_to_the_millisecond(still: FakeClock) -> None:
    cache = MemoryCache(monotonic=still.monotonic)
    cache.set("a", 1, ttl=0.25)
    still.advance(249)
    assert cache.get("a") == 1
    still.advance(1)
    assert cache.get("a") is None


def test_in_memory_a_window_ends_to_the_millisecond(still: FakeClock) -> None:
    cache = MemoryCache(monotonic=still.monotonic)
    counted = []
    for wait in (0, 20_000, 20_000, 19_999, 1, 1_000):
        still.advance(wait)
        count, remaining = cache.increment("a", ttl=60)
        counted.append((count, round(remaining, 3)))
    assert counted == [(1, 60.0), (2, 40.0), (3, 20.0), (4, 0.001), (1, 60.0), (2, 59.0)]


def test_however_many_entries_come_memory_stays_bounded_and_the_newest_are_kept(
    still: FakeClock,
) -> None:
    cache = MemoryCache(most=100, monotonic=still.monotonic)
    for number in range(1_000):
        cache.set(str(number), number, ttl=60)
        assert cache.get(str(number)) == number
    kept = [number for number in range(1_000) if cache.get(str(number)) is not None]
    assert 80 <= len(kept) <= 100
    assert kept == list(range(1_000 - len(kept), 1_000))


def test_when_memory_is_short_expired_entries_go_first(still: FakeClock) -> None:
    cache = MemoryCache(most=100, monotonic=still.monotonic)
    for number in range(50):
        cache.set(f"lasting {number}", number, ttl=600)
    for number in range(50):
        cache.set(f"short {number}", number, ttl=1)
    still.advance(2_000)
    cache.set("one more", 1, ttl=600)
    assert all(cache.get(f"lasting {number}") == number for number in range(50))


def test_counting_keys_without_end_stays_bounded_too(still: FakeClock) -> None:
    cache = MemoryCache(most=100, monotonic=still.monotonic)
    for number in range(1_000):
        assert cache.increment(str(number), ttl=60)[0] == 1
    assert sum(cache.get(str(number)) is not None for number in range(1_000)) <= 100


# ---------------------------------------------------------------------------------- in Redis alone


def now_ms(server: RedisServer) -> int:
    seconds, micros = server.client.time()
    return int(seconds * 1000 + micros // 1000)


@pytest.mark.parametrize("how", ["set", "increment"])
@pytest.mark.parametrize("ttl", [0.25, 100, 86_400 * 30])
def test_redis_is_told_the_end_to_the_millisecond(
    how: str, ttl: float, server: RedisServer
) -> None:
    cache = redis_cache(server)
    before = now_ms(server)
    if how == "set":
        cache.set("a", 1, ttl=ttl)
    else:
        cache.increment("a", ttl=ttl)
    end = server.client.pexpiretime("trinity:a")
    if end != -2:  # it may be over already
        assert before + ttl * 1000 <= end <= now_ms(server) + ttl * 1000


def test_every_key_bears_the_name_space_and_others_are_left_alone(server: RedisServer) -> None:
    mine, theirs = redis_cache(server, "mine"), redis_cache(server, "theirs")
    theirs.set("a", 1, ttl=60)
    mine.set("a", 2, ttl=60)
    mine.increment("b", ttl=60)
    mine.delete("a")
    mine.working()
    assert theirs.get("a") == 1
    assert set(server.client.keys()) == {b"theirs:a", b"mine:b", b"mine:working"}


def test_no_count_is_ever_without_an_end(server: RedisServer) -> None:
    cache = redis_cache(server)
    server.client.set("trinity:a", 7)  # somebody left it so
    assert cache.increment("a", ttl=60)[0] == 8
    assert 0 < server.client.pttl("trinity:a") <= 60_000


def test_processes_count_together(server: RedisServer) -> None:
    caches = [redis_cache(server) for _ in range(3)]
    assert [cache.increment("a", ttl=60)[0] for cache in caches * 2] == [1, 2, 3, 4, 5, 6]


def test_what_somebody_else_wrote_there_is_nothing(server: RedisServer) -> None:
    server.client.set("trinity:a", b"\x00 no JSON")
    assert redis_cache(server).get("a") is None


@contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    server.freeze()
    yield
    server.thaw()


@contextmanager
def full(server: RedisServer) -> Iterator[None]:
    server.fill()
    yield
    server.empty()


TROUBLES = {"stopped": stopped, "slow": frozen, "full": full}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_while_redis_is_away_the_cache_is_empty_and_counts_by_itself(
    trouble: str, server: RedisServer
) -> None:
    still, log = FakeClock(), Lines()
    cache = redis_cache(server, log=log, now=still.monotonic)
    cache.set("a", 1, ttl=600)
    assert cache.increment("n", ttl=60)[0] == 1
    with TROUBLES[trouble](server):
        cache.set("b", 1, ttl=600)
        assert cache.get("b") is None
        cache.delete("b")
        assert [cache.increment("n", ttl=60) for _ in range(3)] == [(1, 60), (2, 60), (3, 60)]
        assert not cache.working()
        still.advance(59_000)
        assert cache.increment("n", ttl=60) == (4, 1)
        still.advance(1_000)
        assert cache.increment("n", ttl=60) == (1, 60)
    still.advance(5_000)
    assert cache.working()
    assert cache.increment("m", ttl=60)[0] == 1
    cache.set("b", 2, ttl=600)
    assert redis_cache(server).get("b") == 2
    assert log.lines == [
        ("warning", "the shared cache is away: each process counts for itself"),
        ("info", "the shared cache is back"),
    ]


def test_a_redis_that_was_wiped_begins_to_count_anew(server: RedisServer) -> None:
    cache = redis_cache(server)
    cache.set("a", 1, ttl=600)
    cache.increment("n", ttl=60)
    server.wipe()
    assert cache.get("a") is None
    assert cache.increment("n", ttl=60)[0] == 1
    assert 0 < server.client.pttl("trinity:n") <= 60_000


def test_a_redis_that_does_not_answer_is_left_alone_after_a_few_tries(server: RedisServer) -> None:
    still = FakeClock()
    cache = redis_cache(server, now=still.monotonic)
    cache.get("a")
    asked = []
    ask = cache._redis.call
    cache._redis.call = lambda *words: asked.append(words) or ask(*words)  # type: ignore[method-assign]
    with stopped(server):
        for _ in range(10):
            cache.get("a")
        assert len(asked) == 3
        still.advance(5_000)
        cache.get("a")
        cache.get("a")
        assert len(asked) == 4


def test_a_connection_that_was_cut_meanwhile_costs_nothing(server: RedisServer) -> None:
    """As happens while an environment of Lambda is frozen."""
    log = Lines()
    cache = redis_cache(server, log=log)
    cache.set("a", 1, ttl=60)
    server.client.client_kill_filter(_type="normal", skipme=True)
    assert cache.get("a") == 1
    assert log.lines == []


def test_a_redis_that_comes_and_goes_does_not_fill_the_log(server: RedisServer) -> None:
    still, log = FakeClock(), Lines()
    cache = redis_cache(server, log=log, now=still.monotonic)
    for _ in range(5):
        with full(server):
            cache.set("a", 1, ttl=60)
        cache.set("a", 1, ttl=60)
        still.advance(1_000)
    assert [level for level, _ in log.lines] == ["warning", "info"]
    still.advance(60_000)
    with full(server):
        cache.set("a", 1, ttl=60)
    assert [level for level, _ in log.lines] == ["warning", "info", "warning"]


# ------------------------------------------------------------------------- the client of Redis


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h/",
        "rediss://h:1",
        "redis://h:1/7",
        "redis://:secret@h",
        "rediss://me:p%40ss%2Fword@h:1/7",
        "redis://[::1]",
        "redis://[::1]:1",
    ],
)
def test_an_address_is_read_as_redis_py_reads_it(url: str) -> None:
    theirs = redis.connection.parse_url(url)
    assert Address.parse(url) == Address(
        tls=theirs.get("connection_class") is redis.SSLConnection,
        host=theirs["host"],
        port=theirs.get("port", 6379),
        database=theirs.get("db", 0),
        user=theirs.get("username", ""),
        password=theirs.get("password", ""),
    )


@pytest.mark.parametrize(
    "url", ["", "h:6379", "http://h", "redis://", "redis://:pw@", "redis://h:x"]
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        Address.parse(url)
    assert "pw" not in str(refused.value)


def client(server: RedisServer, url: str = "") -> RedisClient:
    return RedisClient(url or server.url, connect_s=10, answer_s=10)


@given(st.lists(st.binary(max_size=50) | st.text(max_size=20) | st.integers(), max_size=5))
def test_every_command_is_what_redis_py_would_send(words: list[Any]) -> None:
    packer = redis.Redis().connection_pool.make_connection()
    theirs = b"".join(packer.pack_command("DO", *words))
    assert _encode(("DO", *words)) == theirs


def test_every_kind_of_reply_is_read(server: RedisServer) -> None:
    mine = client(server)
    assert mine.call("PING") == b"PONG"
    assert mine.call("SET", "k", b"a\r\n\0b") == b"OK"
    assert mine.call("GET", "k") == b"a\r\n\0b"
    assert mine.call("GET", "none") is None
    assert mine.call("SET", "k", "", "NX") is None
    assert mine.call("INCRBY", "n", -5) == -5
    assert mine.call("ECHO", "") == b""
    nested = "return {1, {2, 'x', false}, redis.error_reply('E no')}"
    [one, two, refusal] = mine.call("EVAL", nested, 0)  # type: ignore[misc]
    assert (one, two, str(refusal)) == (1, [2, b"x", None], "E no")
    with pytest.raises(Refusal, match=r"^WRONGTYPE "):
        mine.call("LPUSH", "k", 1)
    assert mine.call("GET", "k") == b"a\r\n\0b"  # a refusal leaves the connection in step
    big = "x" * 3_000_000
    assert mine.call("ECHO", big) == big.encode()


def test_who_is_not_let_in_is_refused(server: RedisServer) -> None:
    server.client.acl_setuser("me", enabled=True, passwords="+p@ss", keys="*", commands=["+@all"])
    try:
        with pytest.raises(Refusal, match=r"^WRONGPASS "):
            client(server, f"redis://me:wrong@127.0.0.1:{server.port}").call("PING")
        let_in = client(server, f"redis://me:p%40ss@127.0.0.1:{server.port}/3")
        assert let_in.call("ACL", "WHOAMI") == b"me"
        let_in.call("SET", "k", 1)
        assert client(server).call("GET", "k") is None  # it is in another database
    finally:
        server.client.acl_deluser("me")


@pytest.mark.parametrize("reply", [b"?\r\n", b":x\r\n", b"$-\r\n", b"x" * 70_000, b"+OK", b""])
def test_what_is_no_reply_is_an_error_and_ends_the_connection(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = RedisClient(
            f"redis://127.0.0.1:{listener.getsockname()[1]}", connect_s=10, answer_s=10
        )

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(reply)

        for _ in range(2):  # each over a connection of its own
            thread = threading.Thread(target=answer)
            thread.start()
            with pytest.raises(TransportError):
                mine.call("PING")
            thread.join()


def test_the_cache_loads_no_library_for_redis() -> None:
    script = (
        "import sys; from trinity.infrastructure.redis.cache import RedisCache;"
        "RedisCache('redis://127.0.0.1:1', namespace='n', log=lambda *_, **__: None).get('a');"
        "assert not {'redis', 'asyncio', 'ssl', 'urllib'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
