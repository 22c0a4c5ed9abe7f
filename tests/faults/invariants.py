"""What must be true of a room, whatever happened: checked on its items and its change feed.

The rule itself is asked of `consensus.agreement`, which has property tests of its own; everything
else is worked out anew here, from the raw items.

I1 a vote touches nobody else's; I2 no match is missed; I3 no match twice; I4 a match was true when
it was recorded; I5 seats and hosts; I6 the event log.
"""

from collections import Counter
from typing import Any

from tests.fakes import World
from tests.faults.schedules import Violation
from trinity.domain.consensus import agreement
from trinity.domain.rooms import Room
from trinity.infrastructure.sqlite.store import Change
from trinity.store import rooms

SEATED = ("memberJoined", "memberLeft", "matchFound", "roomClosed")


def votes_of(item: dict[str, Any] | None) -> dict[str, str]:
    return {k[2:]: v for k, v in (item or {}).items() if k.startswith("v:")}


def check_room(
    world: World, room_id: str, since: int, *, drained: bool, settled: bool = True
) -> None:
    """Raise if an invariant of a room does not hold.

    Args:
        world: where the room is.
        room_id: the room.
        since: a point of the change feed before the room was created.
        drained: the feed was handed over up to its end, so the event log must be complete too.
        settled: False where something may be missed until the feed is handed over.
    """
    items = {
        item["SK"]: item for item in world.table.query(f"ROOM#{room_id}", consistent=True).items
    }
    changes = [
        change
        for change in world.store.changes_after(since, 1_000_000)
        if change.pk == f"ROOM#{room_id}"
    ]
    deleted = "ROOM" not in items
    if deleted:
        if drained and any(c.sk == "ROOM" for c in changes[-1:] if c.new is not None):
            raise Violation("I5: a removed room came back")
        return
    room = rooms.from_item(items["ROOM"])
    _votes(changes)
    _matches(room, items)
    _true_when_recorded(changes)
    _seats(changes)
    if settled:
        _nothing_missed(world, room, items)
    if drained:
        _log(items, changes)


def _votes(changes: list[Change]) -> None:
    for change in changes:
        if not change.sk.startswith("BALLOT#"):
            continue
        old, new = votes_of(change.old), votes_of(change.new)
        touched = [user for user in old.keys() | new.keys() if old.get(user) != new.get(user)]
        if len(touched) > 1:
            raise Violation(f"I1: one write of {change.sk} touched the votes of {touched}")


def _matches(room: Room, items: dict[str, Any]) -> None:
    recorded = [sk for sk in items if sk.startswith("MATCH#")]
    if room.match_count != len(recorded):
        raise Violation(f"I3: {len(recorded)} matches, but matchCount is {room.match_count}")
    enough = room.decide_at is not None and room.match_count >= room.decide_at
    if room.state == "open" and enough:
        raise Violation("I3: enough matches, and still open")
    if room.state == "decided" and not enough:
        raise Violation("I3: decided with too few matches")
    if room.decide_at is not None and room.match_count > room.decide_at:
        raise Violation(f"I3: {room.match_count} matches where {room.decide_at} decide")


def _true_when_recorded(changes: list[Change]) -> None:
    images: dict[str, Any] = {}
    for change in changes:
        if change.sk.startswith("MATCH#"):
            if change.old is not None:
                raise Violation(f"I3: {change.sk} was written again or removed")
            room = rooms.from_item(images["ROOM"])
            ballot = images.get("BALLOT#" + change.sk.removeprefix("MATCH#"))
            agreeing = agreement(room.rule, votes_of(ballot), room.present, room.eased)
            if agreeing is None:
                raise Violation(f"I4: {change.sk} was not true: {votes_of(ballot)}, {room}")
            if room.state != "open":
                raise Violation(f"I4: {change.sk} was recorded while the room was {room.state}")
            if list(agreeing) != change.new["userIds"]:
                raise Violation(f"I4: {change.sk} names {change.new['userIds']}, not {agreeing}")
        images[change.sk] = change.new


def _seats(changes: list[Change]) -> None:
    version = 0
    for change in changes:
        if change.sk != "ROOM" or change.new is None:
            continue
        room = rooms.from_item(change.new)
        if room.version <= version:
            raise Violation(f"I5: version {room.version} after {version}")
        version = room.version
        active = [user for user, member in room.members.items() if member.active]
        if room.active_count != len(active):
            raise Violation(f"I5: activeCount {room.active_count}, but active are {active}")
        if len(active) > room.capacity:
            raise Violation(f"I5: {len(active)} members on {room.capacity} seats")
        if active and room.host_id not in active:
            raise Violation(f"I5: the host {room.host_id} is not active, {active} are")
        if room.state == "open" and not active:
            raise Violation("I5: open and empty")
        if any(member.removed and member.active for member in room.members.values()):
            raise Violation("I5: somebody who was removed is active")


def _nothing_missed(world: World, room: Room, items: dict[str, Any]) -> None:
    if room.state_at(world.clock.now()) != "open":
        return
    for sk, item in items.items():
        if sk.startswith("BALLOT#"):
            title = sk.removeprefix("BALLOT#")
            agreeing = agreement(room.rule, votes_of(item), room.present, room.eased)
            if agreeing is not None and f"MATCH#{title}" not in items:
                raise Violation(f"I2: {title} has {votes_of(item)} and no match; {room}")


def _log(items: dict[str, Any], changes: list[Change]) -> None:
    log = [item for sk, item in sorted(items.items()) if sk.startswith("EVENT#")]
    numbers = [int(event["cursor"]) for event in log]
    if numbers != list(range(1, len(log) + 1)):
        raise Violation(f"I6: the log is numbered {numbers}")
    told = [_brief(event) for event in log if event["type"] in SEATED]
    happened = [brief for change in changes for brief in _happened(change)]
    if told != happened:
        raise Violation(f"I6: it happened {happened}, the log tells {told}")
    counts: Counter[str] = Counter()
    for sk, item in items.items():
        if sk.startswith("BALLOT#"):
            counts.update(votes_of(item).keys())
    progress = [event["data"]["progress"] for event in log if event["type"] == "progress"]
    last = {user: n for user, n in (progress[-1] if progress else {}).items() if n}
    if last != counts:
        raise Violation(f"I6: the ballots have {dict(counts)}, the last progress is {last}")


def _brief(event: dict[str, Any]) -> tuple[Any, ...]:
    data = event["data"]
    match event["type"]:
        case "matchFound":
            return ("matchFound", data["titleId"])
        case "memberLeft":
            return ("memberLeft", data["userId"], data["removed"])
        case "roomClosed":
            return ("roomClosed",)
    return (event["type"], data["userId"])


def _happened(change: Change) -> list[tuple[Any, ...]]:
    """What the log has to tell about a change, by the raw images."""
    if change.new is None:
        return []
    if change.sk.startswith("MATCH#"):
        return [("matchFound", change.new["titleId"])]
    if change.sk != "ROOM":
        return []
    old = change.old["members"] if change.old is not None else {}
    briefs: list[tuple[Any, ...]] = []
    for user, member in change.new["members"].items():
        was = user in old and old[user]["active"]
        if member["active"] and not was:
            briefs.append(("memberJoined", user))
        if was and not member["active"]:
            briefs.append(("memberLeft", user, member.get("removed", False)))
    if change.old is not None and change.old["state"] != change.new["state"] == "closed":
        briefs.append(("roomClosed",))
    return briefs
