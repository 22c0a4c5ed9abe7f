"""Making classes ready before threads meet at them.

msgspec looks into a class when something is decoded into it for the first time. What it finds it
puts at the class before that is complete, since a class may hold others of its kind, and it runs
Python code in between. A thread that comes to the same class just then reads where nothing is yet,
and the process is gone: seen with msgspec 0.22.0, within seconds where four threads try it. So each
class is looked into while nobody else knows it.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

_ready: set[type[msgspec.Struct]] = set()


def prepare() -> None:
    """Make those of our classes ready that were loaded since the last time."""
    for kind in _kinds(msgspec.Struct):
        if kind not in _ready and kind.__module__.startswith("trinity."):
            # Nothing is decoded into classes that name what only type checkers know, or that hold
            # one of several classes and cannot tell which.
            with suppress(NameError, TypeError):
                msgspec.json.Decoder(kind)
            _ready.add(kind)


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)
