"""From changes of a room to the events that its members see, in order.

Fed twice from the change feed: with changes of rooms, matches and accounts at once, and with
changes of ballots in batches, so that progress is told a few times a second however fast people
swipe, and a match never waits for it. Who comes and goes is gathered with the ballots.

It also finishes what a process that died had begun: an agreement that is complete, but not yet
recorded, is recorded here, and rooms follow an account that was renamed or removed. What is written
then bears the cause of the change that led to it. Pictures that a change has put out of sight are
noted, to be removed later.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from trinity.bootstrap import consumer
from trinity.common.shapes import EventShape, MatchShape, Shape, media_path, rfc3339
from trinity.common.streams import Change
from trinity.domain.consensus import Easing, easing_due
from trinity.domain.ids import Millis, RoomId, UserId
from trinity.domain.pictures import Picture
from trinity.domain.rooms import Room
from trinity.ports import Blobs, Cache, Clock, Path, Realtime, Table, Value
from trinity.store import (
    ballots,
    causes,
    decks,
    events,
    keys,
    leftovers,
    matches,
    memberships,
    presence,
    rooms,
)
from trinity.store.events import Draft, Head


class PresenceShape(Shape, frozen=True, kw_only=True):
    """Who is looking at a room just now: all of them, each time anybody comes or goes."""

    room_id: RoomId
    at: str
    online: list[UserId]


def publish(
    changes: list[Change],
    *,
    table: Table,
    cache: Cache,
    blobs: Blobs,
    realtime: Realtime,
    clock: Clock,
) -> None:
    """Write the events of some changes to the logs of their rooms, and tell who follows them.

    The same changes may come again, and batches of ballots and of rooms may overtake each other;
    the logs hold each event once all the same.
    """
    for change in changes:
        if change.sk == keys.PROFILE:
            _follow(causes.caused_by(table, change.cause), cache, blobs, change, clock)
            _note_unseen(table, change, "avatar")
        elif change.sk == keys.ROOM:
            _note_unseen(table, change, "cover")
    for pk, ours in _by_room(changes).items():
        room = rooms.find(table, keys.room_id(pk), consistent=True)
        if room is None:
            realtime.end(keys.room_id(pk))  # deleted since, and its log with it
            continue
        votes = [change for change in ours if change.sk.startswith(keys.BALLOT)]
        others = [change for change in ours if not change.sk.startswith((keys.BALLOT, keys.HERE))]
        if others:
            _tell(table, realtime, room, others)
            deciding = [change for change in others if _may_decide(change)]
            if deciding:
                because = causes.caused_by(table, deciding[-1].cause)
                title_of = decks.load(blobs, room.deck).title
                matches.record_all(because, cache, room.id, title_of, clock.now())
                _ease(because, cache, room)
        if votes:
            _count(table, realtime, room, votes)
            _finish(table, cache, blobs, room, votes, clock.now())
            _ease(causes.caused_by(table, votes[-1].cause), cache, room)
        if len(votes) + len(others) < len(ours):
            _show(table, realtime, room, clock.now())


def _by_room(changes: Iterable[Change]) -> dict[str, list[Change]]:
    by_room: dict[str, list[Change]] = {}
    for change in changes:
        if change.sk != keys.PROFILE:
            by_room.setdefault(change.pk, []).append(change)
    return by_room


# -------------------------------------------------------------------------------------- accounts


def _follow(table: Table, cache: Cache, blobs: Blobs, change: Change, clock: Clock) -> None:
    """Let the rooms of a user follow his account, should that not have been done yet."""
    user = keys.user_id(change.pk)
    if change.new is None:
        for room_id in memberships.erase(table, cache, user):
            room = rooms.find(table, room_id, consistent=True)
            if room is not None:
                title_of = decks.load(blobs, room.deck).title
                matches.record_all(table, cache, room_id, title_of, clock.now())
    elif change.old is not None:
        memberships.show_profile(table, cache, user)


def _note_unseen(table: Table, change: Change, kind: Literal["avatar", "cover"]) -> None:
    """Note the picture that a change has put out of sight, if it has."""
    before = (change.old_image or {}).get(kind)
    if before is None or before == (change.new_image or {}).get(kind):
        return
    owner = change.old or {}
    if owner[kind] is None:
        return
    if kind == "avatar":
        user, room = keys.user_id(change.pk), None
    else:
        user, room = UserId(owner["hostId"]), keys.room_id(change.pk)
    picture = msgspec.convert(owner[kind], Picture)
    leftovers.note(table, leftovers.of_picture(picture, kind, user, room, change.at))


# ---------------------------------------------------------------------------- rooms and matches


def _tell(table: Table, realtime: Realtime, room: Room, changes: Sequence[Change]) -> None:
    def extend(head: Head) -> tuple[Head, list[Draft]] | None:
        """Take as many changes as fit into one append."""
        done = head.applied.get("rooms", 0)
        drafts: list[Draft] = []
        for change in changes:
            if change.seq <= head.applied.get("rooms", 0):
                continue
            more = list(_drafts(change))
            if len(drafts) + len(more) > events.MOST_AT_ONCE:
                break
            drafts += more
            done = change.seq
        if done == head.applied.get("rooms", 0):
            return None
        return msgspec.structs.replace(head, applied={**head.applied, "rooms": done}), drafts

    while (told := events.append(table, room.id, extend, expires=rooms.expires(room))) is not None:
        for event in told:
            realtime.publish(room.id, msgspec.to_builtins(EventShape.of(event)))
            if event.type == "memberLeft":
                realtime.end(room.id, event.data["userId"])


def _drafts(change: Change) -> Iterator[Draft]:
    if change.new is None:
        return
    if change.sk.startswith(keys.MATCH):
        match = matches.from_item(change.new)
        if change.old is None:
            data = msgspec.to_builtins(MatchShape.of(match))
            yield Draft(type="matchFound", at=match.at, data=data)
        return
    if change.old is not None and matches.only_counted(change.old, change.new):
        return
    old = rooms.from_item(change.old) if change.old is not None else None
    new = rooms.from_item(change.new)
    yield from _member_drafts(old, new, change.at)
    if old is None:
        return
    updates: dict[str, Value] = {
        "name": new.name if new.name != old.name else None,
        "rule": msgspec.to_builtins(new.rule) if new.rule != old.rule else None,
        "eased": new.eased if new.eased != old.eased else None,
        "state": new.state if (new.state, new.expires_at) != (old.state, old.expires_at) else None,
    }
    data = {name: value for name, value in updates.items() if value is not None}
    if new.cover != old.cover:
        data["coverUrl"] = media_path(new.cover.large) if new.cover is not None else None
    if data.get("state") == "closed":
        yield Draft(type="roomClosed", at=change.at, actor_id=old.host_id, data=data)
    elif data:
        yield Draft(type="roomUpdated", at=change.at, data=data)


def _member_drafts(old: Room | None, new: Room, at: Millis) -> Iterator[Draft]:
    before = old.members if old is not None else {}
    for user, member in new.members.items():
        was = before.get(user)
        data = {
            "userId": user,
            "name": member.name,
            "role": "host" if user == new.host_id else "member",
        }
        if member.avatar is not None:
            data["avatarUrl"] = media_path(member.avatar)
        if member.active and (was is None or not was.active):
            yield Draft(type="memberJoined", at=member.joined_at, actor_id=user, data=data)
        elif was is not None and was.active and not member.active:
            actor = new.host_id if member.removed else user
            left = {"userId": user, "removed": member.removed}
            yield Draft(type="memberLeft", at=at, actor_id=actor, data=left)
        elif was is not None and member.active:
            became_host = old is not None and user == new.host_id != old.host_id
            if member.name != was.name or member.avatar != was.avatar or became_host:
                yield Draft(type="memberUpdated", at=at, actor_id=user, data=data)


def _may_decide(change: Change) -> bool:
    """Tell whether an agreement may be complete that was not: members or rule are others now."""
    if change.sk != keys.ROOM or change.new is None or change.old is None:
        return False
    if matches.only_counted(change.old, change.new):
        return False
    old, new = rooms.from_item(change.old), rooms.from_item(change.new)
    return (
        old.present != new.present
        or old.rule != new.rule
        or old.eased != new.eased
        or (new.state == "open" and (old.state, old.expires_at) != ("open", new.expires_at))
    )


# --------------------------------------------------------------------------------------- ballots


def _count(table: Table, realtime: Realtime, room: Room, changes: Sequence[Change]) -> None:
    def extend(head: Head) -> tuple[Head, list[Draft]] | None:
        done = head.applied.get("ballots", 0)
        fresh = [change for change in changes if change.seq > done]
        if not fresh:
            return None
        counts = dict(head.progress)
        for change in fresh:
            for user in ballots.newcomers(change.new, change.old):
                counts[user] = counts.get(user, 0) + 1
            for user in ballots.newcomers(change.old, change.new):
                counts[user] = counts.get(user, 0) - 1
        counts = {user: count for user, count in counts.items() if count}
        applied = {**head.applied, "ballots": fresh[-1].seq}
        new = msgspec.structs.replace(head, applied=applied, progress=counts)
        if counts == head.progress:
            return new, []
        data = {"progress": counts, "deckSize": room.deck_size}
        return new, [Draft(type="progress", at=fresh[-1].at, data=data)]

    told = events.append(table, room.id, extend, expires=rooms.expires(room))
    for event in told or ():
        realtime.publish(room.id, msgspec.to_builtins(EventShape.of(event)))


def _finish(
    table: Table,
    cache: Cache,
    blobs: Blobs,
    room: Room,
    changes: Iterable[Change],
    now: Millis,
) -> None:
    for change in {change.sk: change for change in changes}.values():  # the newest of each ballot
        item = change.new
        if item is None:
            continue
        ballot = ballots.from_item(item)
        if matches.agreed(room, ballot) is not None:
            because = causes.caused_by(table, change.cause)
            title_of = decks.load(blobs, room.deck).title
            matches.record(because, cache, room.id, [ballot], title_of, now)


def _ease(table: Table, cache: Cache, room: Room) -> None:
    if not isinstance(room.rule, Easing) or room.state != "open":
        return
    counts = events.head(table, room.id).progress
    votes = sum(counts.get(user, 0) for user in room.present)

    def decide(now: Room) -> dict[Path, Value] | None:
        due = easing_due(now.rule, votes, len(now.present))
        return {"eased": due} if due > now.eased and now.state == "open" else None

    # Eased, the room is a change of its own: what it makes possible is recorded when that comes.
    rooms.change(table, cache, room.id, decide)


# -------------------------------------------------------------------------------------- presence


def _show(table: Table, realtime: Realtime, room: Room, now: Millis) -> None:
    """Show who is here: what is so by now, not what these changes were, so the last is right."""
    online = sorted(presence.online(table, room, now, consistent=True))
    shape = PresenceShape(room_id=room.id, at=rfc3339(now), online=online)
    realtime.show(room.id, msgspec.to_builtins(shape))


handler = consumer(publish)
