"""How events lie in the archive: compressed lines of JSON, in a folder for each day.

`events/date=2026-11-25/<hash>.ndjson.gz`, a layout that DuckDB, Athena and Spark know as it is.
A file is named by the ids of the events in it, so what is written twice is there once. An event
that comes again among others is there twice; readers drop it by its id.

Users appear by their ids and nothing else. `compact` makes one file of the many of a day, and on
the way leaves out whoever removed his account.
"""

import gzip
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from trinity.domain.domain_events import DomainEvent, UserDeleted
from trinity.domain.ids import ERASED, UserId, utc_day
from trinity.ports import Archive

FOLDER = "events"

_DELETED = UserDeleted.__name__

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(DomainEvent)


def write(archive: Archive, events: Iterable[DomainEvent]) -> None:
    """Keep some events."""
    by_day: dict[str, dict[str, DomainEvent]] = {}
    for event in events:
        by_day.setdefault(utc_day(event.occurred), {})[event.id] = event
    for date, some in by_day.items():
        archive.put(_name(date, some), _packed(some))


def days(archive: Archive) -> list[str]:
    """Return the days that have events, in order."""
    names = archive.names(f"{FOLDER}/date=")
    return sorted({name.split("/")[1].removeprefix("date=") for name in names})


def read(archive: Archive, date: str) -> list[DomainEvent]:
    """Return the events of a day, each once, by time and id."""
    while True:
        try:
            events = _of_files(archive, archive.names(f"{FOLDER}/date={date}/"))
        except KeyError:
            continue  # compacted while we were reading: what was in it is in another file now
        return sorted(events.values(), key=lambda event: (event.occurred, event.id))


def deleted(archive: Archive, date: str) -> set[UserId]:
    """Return who removed his account on a day, as far as that is still known."""
    told = [event.data["userId"] for event in read(archive, date) if event.type == _DELETED]
    return {user for user in told if user != ERASED}


def compact(
    archive: Archive,
    date: str,
    *,
    without: Collection[UserId] = (),
    settled: bool = False,
) -> None:
    """Make one file of those of a day.

    The new file comes first and the old ones go then, so nothing is ever missing. Whatever is
    written meanwhile stays as it is.

    Args:
        archive: the archive.
        date: the day.
        without: users of whom nothing is to remain but that they removed their accounts.
        settled: who did so is to be forgotten, too.
    """
    names = archive.names(f"{FOLDER}/date={date}/")
    try:
        events = _of_files(archive, names)
    except KeyError:
        return  # somebody else is at it
    kept = {id_: _without(event, without, settled=settled) for id_, event in events.items()}
    left = {id_: event for id_, event in kept.items() if event is not None}
    whole = _name(date, left)
    if left and (names != [whole] or left != events):
        archive.put(whole, _packed(left))
    for name in names:
        if name != whole or not left:
            archive.delete(name)


def _of_files(archive: Archive, names: Iterable[str]) -> dict[str, DomainEvent]:
    lines = (line for name in names for line in gzip.decompress(archive.get(name)).splitlines())
    events = map(_decoder.decode, lines)
    return {event.id: event for event in events}


def _name(date: str, events: Mapping[str, DomainEvent]) -> str:
    ids = "\n".join(sorted(events))
    digest = hashlib.blake2b(ids.encode(), digest_size=16).hexdigest()
    return f"{FOLDER}/date={date}/{digest}.ndjson.gz"


def _packed(events: Mapping[str, DomainEvent]) -> bytes:
    lines = [_encode(events[id_]) + b"\n" for id_ in sorted(events)]
    return gzip.compress(b"".join(lines), mtime=0)


def _without(event: DomainEvent, users: Collection[UserId], *, settled: bool) -> DomainEvent | None:
    """Return what is left of an event when some users were never there; None: nothing."""
    if event.type == _DELETED:
        return msgspec.structs.replace(event, data={"userId": ERASED}) if settled else event
    if not users or not any(user in users for user in _strings(event.data)):
        return event
    if event.data.get("userId") in users:
        return None
    data = _erased(event.data, users)
    return None if data.get("votes") == [] else msgspec.structs.replace(event, data=data)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _erased(value: Any, users: Collection[UserId]) -> Any:
    """Return a value without what is about users, and with another word where one is named."""
    if isinstance(value, dict):
        return {name: _erased(part, users) for name, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [p for p in value if not (isinstance(p, dict) and p.get("userId") in users)]
        return [_erased(part, users) for part in parts]
    return ERASED if isinstance(value, str) and value in users else value
