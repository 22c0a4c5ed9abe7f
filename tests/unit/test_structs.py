"""No two threads look into a class at once: msgspec would take the process down."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from trinity.bootstrap import Services
from trinity.common.settings import Settings
from trinity.embedded import structs
from trinity.openapi import load
from trinity.topology import FUNCTIONS

# Four threads that decode into a class nobody has decoded into, again and again. Without `prepare`
# this dies within a second or two of a segmentation fault.
STRESS = """
import sys, threading, msgspec
from trinity.embedded import structs
sys.setswitchinterval(1e-6)
for n in range(600):
    made = {"__name__": "trinity.made"}
    exec('''
import msgspec
from typing import Annotated, Literal
class Inner(msgspec.Struct):
    a: Annotated[str, msgspec.Meta(max_length=20)]
    b: dict[str, list[int]]
class Outer(msgspec.Struct):
    x: dict[str, Inner]
    y: Annotated[tuple[Annotated[int, msgspec.Meta(ge=1)], ...], msgspec.Meta(min_length=1)]
    z: Literal["a", "b"] | None
''', made)
    structs.prepare()
    kind = made["Outer"]
    data = {"x": {"k": {"a": "b", "b": {"c": [1]}}}, "y": [1, 2], "z": "a"}
    start = threading.Barrier(4)
    def run():
        start.wait()
        assert msgspec.convert(data, kind).y == (1, 2)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("alive")
"""


def test_classes_that_were_made_ready_bear_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STRESS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def unprepared() -> set[str]:
    known = set(structs._kinds(msgspec.Struct))
    return {
        f"{kind.__module__}.{kind.__name__}"
        for kind in known
        if kind.__module__.startswith("trinity.") and kind not in structs._ready
    }


def test_all_classes_of_all_functions_can_be_made_ready() -> None:
    for function in FUNCTIONS:
        load(function)
    structs.prepare()
    assert unprepared() == set()
    assert len(structs._ready) > 100


@pytest.mark.parametrize("port", ["catalogue", "mailer", "media", "realtime", "cache", "push"])
def test_what_a_port_brings_along_is_ready_before_anybody_has_the_port(
    port: str, tmp_path: Path
) -> None:
    services = Services(Settings(data=str(tmp_path), tmdb_token="token"))
    services.before_use = structs.prepare
    getattr(services, port)
    assert unprepared() == set()
