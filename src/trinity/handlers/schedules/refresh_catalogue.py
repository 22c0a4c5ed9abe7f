"""Twice a day: fill the shelves of what people have wished for lately (`store/shelves.py`)."""

from contextlib import suppress

from trinity.bootstrap import scheduled
from trinity.common.telemetry import Log
from trinity.domain.ids import DAY, Millis
from trinity.ports import Blobs, Catalogue, ConditionFailed, Table
from trinity.store import shelves

MOST_SHELVES = 5
"""Filled in a run: each takes 20 seconds at the most, and some 250 questions."""
TITLES = 200


def refresh_catalogue(
    *, table: Table, blobs: Blobs, catalogue: Catalogue, log: Log, at: Millis
) -> None:
    """Gather titles for the newest wishes. A run that is made again goes on where it ended.

    Args:
        table: the table.
        blobs: take the titles.
        catalogue: is asked.
        log: is told when there is nothing to do.
        at: when this run was due.

    Raises:
        Unavailable: the catalogue does not answer; what was gathered before stays.
    """
    if not catalogue.remote:
        log("info", "nothing to refresh: TMDB is not asked, the films are those that are shipped")
        return
    for shelf in shelves.wanted(table, at)[:MOST_SHELVES]:
        if shelf.filled_at < at:
            titles = catalogue.gather(shelf.where, size=TITLES, seed=at // DAY)
            with suppress(ConditionFailed):  # nobody has wanted it for a week
                shelves.fill(table, blobs, shelf, tuple(titles), at)


handler = scheduled(refresh_catalogue)
