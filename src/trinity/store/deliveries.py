"""Notices that are sent once, however often their message comes.

Before a notice is sent it is claimed by a mark in the table; afterwards the mark says that it was.
Both are conditional writes, so of two who have the same message only one sends. A claim ends by
itself, for who made it may have died: then it is not known whether the notice was sent, and it is
sent again.

The invariant: a notice is sent once, and once more for each process that dies, and each answer of
the other side that is lost, between the sending and the mark. A repetition has the id of the first.
The mark stays longer than any message can, dead-letter queues included.

The mark of a user's notice lies in his partition, and is written on condition that there still is
an account: nothing comes back to one that was removed.
"""

from collections.abc import Callable
from contextlib import suppress

from trinity.domain.ids import DAY, MINUTE, Millis, UserId
from trinity.domain.notices import MAIL_EVERY, Content, Notice
from trinity.domain.notices import content as notice_content
from trinity.ports import (
    Absent,
    AllOf,
    AnyOf,
    Clock,
    ConditionFailed,
    Equals,
    Exists,
    Ids,
    Key,
    Less,
    Path,
    Refused,
    Table,
    TransactCheck,
    TransactionCancelled,
    TransactUpdate,
    Unavailable,
    Update,
    Value,
)
from trinity.store import keys, rooms

CLAIMED_FOR = Millis(MINUTE)
"""Longer than a function that sends may run."""
KEPT_FOR = Millis(30 * DAY)
"""Twice as long as SQS keeps a message: one that lay in a dead-letter queue may be sent again."""


class Spared(Exception):
    """Raised by who was to send: it need not be, now or later."""


def content(
    table: Table, notice: Notice, issuer: str, *, unsubscribe_url: str = ""
) -> Content | None:
    """Return what a notice says by now, None if there is nothing to be told any more.

    Room and names are as they are when it is sent. Of a match only members hear; and who is in the
    room already, or was removed from it, need not be invited.
    """
    room = rooms.find(table, notice.room_id)
    if room is None:
        return None
    member = room.members.get(notice.user_id) if notice.user_id else None
    if notice.kind == "matchFound":
        told = member is not None and member.active
    else:
        told = member is None or not (member.active or member.removed)
    if not told:
        return None
    inviter = room.members.get(notice.by) if notice.by else None
    return notice_content(
        notice,
        room_name=room.name,
        inviter=inviter.name if inviter is not None else "Somebody",
        link=f"{issuer}/r/{room.code}",
        unsubscribe_url=unsubscribe_url,
    )


def deliver(table: Table, ids: Ids, clock: Clock, notice: Notice, send: Callable[[], None]) -> None:
    """Send a notice, unless it was sent, or whom it was for is gone.

    Args:
        table: where the marks are.
        ids: tell claims apart.
        clock: what claims go by.
        notice: what is to be sent.
        send: does it. `Refused` and `Spared` settle the notice, too; whatever else it raises means
            that it is to be sent later.

    Raises:
        Unavailable: somebody else is sending it just now; or `send` raised this.
    """
    claim = ids.new()
    mark = _claim(table, notice, claim, clock.now())
    if mark is None:
        return
    try:
        send()
        outcome = "sent"
    except Refused:
        outcome = "refused"
    except Spared:
        outcome = "spared"
    except Exception:
        # Nothing was sent as far as we know. Should this break off, the claim ends by itself.
        with suppress(ConditionFailed):
            table.delete(mark, when=Equals("claim", claim))
        raise
    # Where the claim is not ours any more, whoever has taken it over has sent the same again.
    with suppress(ConditionFailed):
        table.update(
            mark,
            Update(set={"outcome": outcome}, remove=["claim", "until"]),
            when=Equals("claim", claim),
        )


def _claim(table: Table, notice: Notice, claim: str, now: Millis) -> Key | None:
    """Return the mark that is ours now, None if there is nothing to be sent any more."""
    user, room = notice.user_id, notice.room_id
    mark = keys.sent(keys.user_pk(user) if user else keys.room_pk(room), notice.id)
    owner = keys.profile(user) if user else keys.room(room)
    unsent = AllOf((Absent("outcome"), AnyOf((Absent("PK"), Less("until", now)))))
    values: dict[Path, Value] = {
        "claim": claim,
        "until": now + CLAIMED_FOR,
        "expires": (now + KEPT_FOR) // 1000,
    }
    try:
        table.transact(
            [
                TransactCheck(owner, Exists("PK")),
                TransactUpdate(mark, Update(set=values), unsent),
            ]
        )
    except TransactionCancelled as cancelled:
        gone, taken = cancelled.reasons
        if gone is None and taken is not None and taken.item and "outcome" not in taken.item:
            after_s = (taken.item["until"] - now) / 1000
            raise Unavailable("this notice is being sent", after_s=after_s) from None
        return None
    return mark


def spare_mails(table: Table, user: UserId, notice: Notice, now: Millis) -> None:
    """Let a mail about the matches of a room pass, unless there was one lately.

    The hour belongs to one notice by condition: that one may come again, all others are spared.

    Raises:
        Spared: this one need not be sent.
    """
    key = keys.mailed(user, notice.room_id)
    free = AnyOf((Absent("PK"), Less("until", now), Equals("notice", notice.id)))
    until = now + MAIL_EVERY
    values: dict[Path, Value] = {"notice": notice.id, "until": until, "expires": until // 1000}
    try:
        table.transact(
            [
                TransactCheck(keys.profile(user), Exists("PK")),
                TransactUpdate(key, Update(set=values), free),
            ]
        )
    except TransactionCancelled:
        raise Spared from None
