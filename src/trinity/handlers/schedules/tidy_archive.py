"""Once a day: make one file of each day's many in the archive, and forget who is gone.

Who removed his account is told by his `UserDeleted`. The first run after it goes through all days
there are. As long as events may still come late, the days of the last weeks are gone through again;
then the `UserDeleted` itself loses the id.
"""

from trinity.bootstrap import scheduled
from trinity.domain.ids import DAY, Millis, UserId, utc_day
from trinity.ports import Archive
from trinity.store import archive as files

LATE_FOR = 20 * DAY
"""By how much events may come late: four days in a queue and fourteen among dead letters."""
_MISSED = 3 * DAY
"""For so long runs may have failed, and the next one makes up for them."""


def tidy_archive(*, archive: Archive, at: Millis) -> None:
    """Compact the days that are over.

    Args:
        archive: the archive.
        at: when this run was due.
    """
    today, missed, late, settled = (
        utc_day(Millis(at - ago)) for ago in (0, _MISSED, LATE_FOR, LATE_FOR + _MISSED)
    )
    past = [date for date in files.days(archive) if date < today]
    gone: set[UserId] = set()
    anew = False
    for date in past:
        if date >= settled:
            found = files.deleted(archive, date)
            anew |= bool(found) and date >= missed
            gone |= found
    for date in past:
        if anew or date >= settled:
            files.compact(archive, date, without=gone, settled=date < late)


handler = scheduled(tidy_archive)
