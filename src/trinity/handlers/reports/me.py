"""What I vote for, and whom I agree with."""

from trinity.bootstrap import operation
from trinity.common import reports
from trinity.common.reports import MyReport
from trinity.common.requests import Caller
from trinity.ports import Blobs, Clock, Table


def my_report(caller: Caller, *, table: Table, blobs: Blobs, clock: Clock) -> MyReport:
    """Return the caller's taste by genre and decade, and whom he agrees with.

    It is some seconds behind. Of secret rooms that are at it nothing is told about others.
    """
    return reports.of_user(table, blobs, caller.user_id, clock.now())


handler = operation(my_report)
