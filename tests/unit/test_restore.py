"""What a process does after Lambda took it from a snapshot that others were taken from, too."""

import random
import ssl
from typing import Any

import pytest

from trinity.bootstrap import Services
from trinity.common.settings import Settings
from trinity.infrastructure.aws.account import Account
from trinity.infrastructure.aws.client import DYNAMODB
from trinity.infrastructure.system import stream
from trinity.ports import Table


def test_two_that_were_one_draw_different_numbers() -> None:
    state = random.getstate()
    drawn = []
    for _ in range(2):
        random.setstate(state)
        Services(Settings()).restored()
        drawn.append(random.random())
    assert drawn[0] != drawn[1]


def test_openssl_is_given_chance_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []
    monkeypatch.setattr(ssl, "RAND_add", lambda chance, entropy: given.append(chance))
    for _ in range(2):
        Services(Settings()).restored()
    assert [len(chance) for chance in given] == [48, 48]
    assert given[0] != given[1]


def test_a_service_that_does_not_answer_is_left_to_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Any] = []

    def refuse(address: Any, timeout: float) -> None:
        tried.append(address)
        raise OSError("not now")

    monkeypatch.setattr("socket.create_connection", refuse)
    endpoint = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    services = Services(Settings(table_name="trinity"), {**endpoint, **keys})
    table: Table = services.table
    assert table is not None
    assert not tried  # an adapter connects to nothing
    services.restored()
    assert tried == [(b"127.0.0.1", 1)]


def test_a_connection_made_ahead_is_the_one_that_is_used() -> None:
    class Fake:
        made = 0
        reusable = False

        def __init__(self) -> None:
            Fake.made += 1

        def answered(self) -> None:
            self.reusable = True

        def alive(self) -> bool:
            return True

    pool: stream.StreamPool[Any] = stream.StreamPool(lambda seconds: Fake())
    pool.prepare(seconds=1)
    assert pool.take(seconds=1).reusable
    assert Fake.made == 1


def test_an_account_that_nobody_asked_for_is_not_made() -> None:
    services = Services(Settings(), {})  # no region: an account would not come to be
    services.restored()
    with pytest.raises(RuntimeError):
        Account({}).client(DYNAMODB)
