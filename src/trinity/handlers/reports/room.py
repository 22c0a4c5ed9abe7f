"""How it went in a room."""

from trinity.bootstrap import operation
from trinity.common import reports
from trinity.common.requests import Caller, Origin, Reply, Request, prefers
from trinity.domain.ids import RoomId
from trinity.ports import Blobs, Clock, Table
from trinity.store import rooms


class AskRoomReport(Request, frozen=True, kw_only=True):
    """Of which room."""

    room_id: RoomId


def room_report(
    request: AskRoomReport,
    caller: Caller,
    origin: Origin,
    *,
    table: Table,
    blobs: Blobs,
    clock: Clock,
) -> Reply:
    """Return participation, agreement, votes over time, and the way to the first match.

    As JSON, or with `Accept: text/csv` as CSV. While a secret room is at it, what single votes
    could be made out from is left out, and `hidden` is true. It is some seconds behind.

    Raises:
        RoomNotFound: there is no such room.
        NotAMember: the caller is not in it.
    """
    room = rooms.get(table, request.room_id)
    room.require_member(caller.user_id)
    report = reports.of_room(table, blobs, room, clock.now())
    vary = {"vary": "accept, authorization"}
    if not prefers(origin.accept, "text/csv", over="application/json"):
        return Reply(report, vary)
    name = f'attachment; filename="trinity-{room.id}.csv"'
    kind = "text/csv; charset=utf-8; header=present"
    return Reply(
        reports.as_csv(report), {**vary, "content-type": kind, "content-disposition": name}
    )


handler = operation(room_report)
