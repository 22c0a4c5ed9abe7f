"""From committed changes to domain events on the bus.

Nobody else puts events there, and nothing is put there before it is committed: the change feed
shows every change until it is worked on, so an event is told even if the process that made the
change dies right after it, and twice rather than not at all.

What is told depends on the changes alone, not on what the table holds by now. So the same change
is the same event whenever it comes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from trinity.bootstrap import consumer
from trinity.common.streams import Change
from trinity.domain.consensus import kind
from trinity.domain.domain_events import (
    DomainEvent,
    Fact,
    MatchFound,
    MemberInvited,
    MemberJoined,
    MemberLeft,
    PasswordForgotten,
    RoomClosed,
    RoomDecided,
    RoomDeleted,
    RoomOpened,
    RoomReopened,
    UploadReady,
    UploadReceived,
    UploadRejected,
    UserDeleted,
    UserRegistered,
    Vote,
    VoteCast,
)
from trinity.domain.ids import RoomId, UserId
from trinity.domain.rooms import Room
from trinity.ports import Bus
from trinity.store import ballots, keys, matches, rooms, uploads
from trinity.store.causes import Cause

MOST_VOTES = 500
"""Of one event. A queue of SQS takes 256 KiB, and an entry of a vote is some 200 bytes."""


def emit(changes: list[Change], *, bus: Bus) -> None:
    """Put the events that some changes tell of on the bus.

    Raises:
        Unavailable: not all were taken; the same changes will be handed over again.
    """
    events = list(told_by(changes))
    if events:
        bus.publish(events)


def told_by(changes: Iterable[Change]) -> Iterator[DomainEvent]:
    """Return the events of some changes, those of votes gathered by room at the end."""
    cast: dict[RoomId, list[tuple[Vote, Change]]] = {}
    for change in changes:
        if change.sk.startswith(keys.BALLOT):
            votes = cast.setdefault(keys.room_id(change.pk), [])
            votes += [(vote, change) for vote in _votes(change)]
        else:
            for fact in _facts(change):
                yield _event(fact, [change])
    for room, votes in cast.items():
        for first in range(0, len(votes), MOST_VOTES):
            some = votes[first : first + MOST_VOTES]
            fact = VoteCast(room_id=room, votes=tuple(vote for vote, _ in some))
            yield _event(fact, [change for _, change in some])


def _event(fact: Fact, changes: Sequence[Change]) -> DomainEvent:
    name = type(fact).__name__
    data = msgspec.to_builtins(fact)
    # Numbers of changes begin again where a backup was restored; their times do not.
    identity = [name, *(f"{change.id} {change.at}" for change in changes)]
    if len(changes) == 1:
        identity.append(data.get("userId", ""))  # several may join or leave in one change
    causes = {change.cause for change in changes}
    cause: Cause | None = causes.pop() if len(causes) == 1 else None
    return DomainEvent(
        id=hashlib.blake2b("\n".join(identity).encode(), digest_size=16).hexdigest(),
        type=name,
        version=fact.version,
        occurred=changes[-1].at,
        correlation_id=cause.request_id if cause is not None else None,
        traceparent=cause.traceparent if cause is not None else None,
        data=data,
    )


def _facts(change: Change) -> Iterator[Fact]:
    if change.sk == keys.PROFILE:
        yield from _of_account(change)
    elif change.sk == keys.ROOM:
        yield from _of_room(change)
    elif change.sk.startswith(keys.FORGOTTEN):
        if change.new_image is not None:
            yield PasswordForgotten(user_id=keys.user_id(change.pk))
    elif change.sk.startswith(keys.INVITE):
        yield from _of_invitation(change)
    elif change.sk.startswith(keys.UPLOAD):
        yield from _of_upload(change)
    elif change.old_image is None and change.new is not None:
        match = matches.from_item(change.new)
        yield MatchFound(
            room_id=keys.room_id(change.pk),
            title_id=match.title_id,
            title=match.title.title,
            user_ids=match.user_ids,
            rule=match.kind,
            at=match.at,
        )


def _of_invitation(change: Change) -> Iterator[Fact]:
    """An invitation is written once, and later only loses what it needs no more."""
    if change.old_image is not None or change.new is None:
        return
    room, user, invitee = keys.invited(change.pk, change.sk)
    by = UserId(change.new["by"])
    yield MemberInvited(room_id=room, by=by, user_id=user, invitee=invitee)


def _of_account(change: Change) -> Iterator[Fact]:
    user = keys.user_id(change.pk)
    if change.new_image is None:
        yield UserDeleted(user_id=user)
    elif "email" in change.new_image and "email" not in (change.old_image or {}):
        yield UserRegistered(user_id=user, was_guest=change.old_image is not None)


def _of_upload(change: Change) -> Iterator[Fact]:
    if change.old is None or change.new is None:
        return  # asked for, or forgotten
    old, new = uploads.from_item(change.old), uploads.from_item(change.new)
    if new.state == old.state:
        return
    user, upload, kind = new.user_id, new.id, new.kind
    match new.state:
        case "processing":
            yield UploadReceived(user_id=user, upload_id=upload, kind=kind)
        case "ready":
            yield UploadReady(user_id=user, upload_id=upload, kind=kind, entries=new.entries)
        case "rejected":
            yield UploadRejected(user_id=user, upload_id=upload, kind=kind)


def _of_room(change: Change) -> Iterator[Fact]:
    if change.new is None:
        yield RoomDeleted(room_id=keys.room_id(change.pk), expired=change.expired)
        return
    if change.old is not None and matches.only_counted(change.old, change.new):
        return
    old = rooms.from_item(change.old) if change.old is not None else None
    new = rooms.from_item(change.new)
    if old is None:
        yield RoomOpened(
            room_id=new.id,
            host_id=new.host_id,
            rule=kind(new.rule),
            deck=new.deck,
            deck_size=new.deck_size,
            secret=new.secret,
            at=new.created_at,
        )
    yield from _of_members(old, new)
    if old is None or (old.state, old.expires_at) == (new.state, new.expires_at):
        return
    match new.state:
        case "decided":
            yield RoomDecided(room_id=new.id, match_count=new.match_count, room_version=new.version)
        case "closed":
            yield RoomClosed(room_id=new.id, room_version=new.version)
        case "open":
            yield RoomReopened(room_id=new.id, room_version=new.version)


def _of_members(old: Room | None, new: Room) -> Iterator[Fact]:
    before = old.present if old is not None else frozenset()
    for user in sorted(new.present - before):
        yield MemberJoined(room_id=new.id, user_id=user, room_version=new.version)
    for user in sorted(before - new.present):
        member = new.members.get(user)
        yield MemberLeft(
            room_id=new.id,
            user_id=user,
            removed=member is not None and member.removed,
            room_version=new.version,
        )


def _votes(change: Change) -> Iterator[Vote]:
    new = change.new
    if new is None:
        return  # the room is removed, and its ballots with it
    cause = change.cause
    for user, choice in ballots.changed(new, change.old):
        yield Vote(
            title_id=keys.title_id(change.sk),
            user_id=user,
            choice=choice,
            rev=ballots.rev(new),
            at=change.at,
            correlation_id=cause.request_id if cause is not None else None,
        )


handler = consumer(emit)
