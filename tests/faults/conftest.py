"""What the fault tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.fakes import World
from trinity.common import passwords


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty world."""
    world = World(tmp_path)
    yield world
    world.store.close()


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash without effort: these tests register people hundreds of times."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
