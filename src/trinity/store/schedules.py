"""Which runs of a schedule are done, and who is at one.

A run belongs to a slot, the time it was due. Invariant: no two are at work on one schedule at a
time, and no slot is run that is done or older than one that is. Clocks deliver at least once, and
hosts may die: so a run is claimed by a conditional write with a lease, and marked as done by one
that holds only for the claim. Whoever dies in between leaves a claim that runs out, and the slot is
run again. Leases go by the clocks of the hosts. A run that outlives its own may meet another one,
so what it does must bear that.
"""

from typing import Any

import msgspec

from trinity.domain.errors import Conflict
from trinity.domain.ids import MINUTE, Millis
from trinity.ports import Absent, Condition, ConditionFailed, Equals, Table, Update
from trinity.store import keys

LONGEST_LEASE = 20 * MINUTE
"""A little more than the longest run of a Lambda function."""
_SKEW = 10 * MINUTE
"""By which clocks of hosts may differ. What is later than that was written by a wrong clock."""


class Claim(msgspec.Struct, frozen=True):
    """The right to run a schedule for a while.

    Attributes:
        schedule: its name.
        slot: what is to be run.
        turn: grows with each claim of the schedule.
    """

    schedule: str
    slot: Millis
    turn: int


def begin(table: Table, schedule: str, slot: Millis) -> None:
    """Let a schedule that never ran begin after `slot`; others are left as they are."""
    key = keys.schedule(schedule)
    item = {"PK": key.pk, "SK": key.sk, "turn": 0, "until": 0, "done": slot}
    try:
        table.put(item, when=Absent("PK"))
    except ConditionFailed:
        return


def claim(table: Table, schedule: str, slot: Millis, *, now: Millis, lease: int) -> Claim | None:
    """Claim the run of a slot; None if there is nothing left to do for it.

    Args:
        table: where claims are.
        schedule: its name.
        slot: when the run was due.
        now: the present time.
        lease: how long the run may take at most, in milliseconds.

    Raises:
        Conflict: somebody is at a run. Who is told so has to come again: the other one may die.
    """
    if not 0 < lease <= LONGEST_LEASE:
        raise ValueError(f"a lease lasts up to {LONGEST_LEASE} ms")
    item = table.get(keys.schedule(schedule), consistent=True)
    unchanged: Condition = Absent("PK")
    if item is not None:
        if slot <= item.get("done", 0) <= now + _SKEW:
            return None
        if now < item["until"] <= now + LONGEST_LEASE + _SKEW:
            raise Conflict
        unchanged = Equals("turn", item["turn"])
    update = Update(set={"slot": slot, "until": now + lease}, add={"turn": 1})
    try:
        claimed = table.update(keys.schedule(schedule), update, when=unchanged)
    except ConditionFailed:
        raise Conflict from None
    return Claim(schedule, slot, claimed["turn"])


def finish(table: Table, claim: Claim) -> bool:
    """Mark a run as done; False if its claim had run out and somebody else has the next one."""
    return _close(table, claim, {"done": claim.slot})


def give_up(table: Table, claim: Claim) -> bool:
    """Let somebody else try, before the claim runs out; False as in `finish`."""
    return _close(table, claim, {})


def _close(table: Table, claim: Claim, more: dict[Any, Any]) -> bool:
    try:
        table.update(
            keys.schedule(claim.schedule),
            Update(set={"until": 0, **more}),
            when=Equals("turn", claim.turn),
        )
    except ConditionFailed:
        return False
    return True
