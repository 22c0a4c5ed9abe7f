"""Once an hour: let the logs of rooms forget who has removed his account."""

from trinity.bootstrap import scheduled
from trinity.ports import Table
from trinity.store import gone


def forget_gone(*, table: Table) -> None:
    """Go through the rooms of everybody who is gone; see `store/gone.py`."""
    for note in gone.notes(table):
        gone.forget(table, note)


handler = scheduled(forget_gone)
