"""Keep all events for good, for whatever somebody may want to know later."""

from trinity.bootstrap import worker
from trinity.domain.domain_events import DomainEvent
from trinity.ports import Archive
from trinity.store import archive as files


def archive_events(events: list[DomainEvent], *, archive: Archive) -> None:
    """Write some events into the archive; once more does no harm."""
    files.write(archive, events)


handler = worker(archive_events)
