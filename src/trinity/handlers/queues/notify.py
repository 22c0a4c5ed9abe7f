"""From what happened to whom to tell of it, where."""

from collections.abc import Iterator
from typing import Any

from trinity.bootstrap import worker
from trinity.domain.domain_events import (
    DomainEvent,
    MatchFound,
    MemberInvited,
    PasswordForgotten,
)
from trinity.domain.ids import Millis, UserId
from trinity.domain.notices import About, Kind, Notice
from trinity.ports import Clock, Table, Topic
from trinity.store import keys, notices, presence, rooms


def notify(event: DomainEvent, *, table: Table, topic: Topic, clock: Clock) -> None:
    """Make a notice for each person, channel and endpoint.

    Each of them is a message of its own from here on, so no endpoint waits for another, or is told
    again because another failed. Should this break off, the event comes again; notices that were
    made already have the same ids, and are sent once (`store/deliveries.py`).
    """
    match event.fact:
        case MatchFound() as match:
            topic.publish(list(_of_match(event, match, table, clock.now())))
        case PasswordForgotten() as forgotten:
            notice = _about(event, "passwordReset", event.occurred)
            topic.publish([notice.to(forgotten.user_id, "email")])
        case MemberInvited() as invited:
            topic.publish(list(_of_invitation(event, invited, table)))
            key = keys.invitation(invited.room_id, invited.user_id, invited.invitee)
            notices.forget_names(table, key, "by")


def _of_match(event: DomainEvent, match: MatchFound, table: Table, now: Millis) -> Iterator[Notice]:
    """Whoever is in the room just now sees it there; the others are away."""
    room = rooms.find(table, match.room_id, consistent=True)
    if room is None:
        return
    notice = _about(
        event,
        "matchFound",
        match.at,
        room_id=match.room_id,
        title_id=match.title_id,
        title=match.title,
        rule=match.rule,
    )
    for user in sorted(room.present - presence.online(table, room, now, consistent=True)):
        yield from _everywhere(table, user, notice, "matchFound")


def _of_invitation(event: DomainEvent, invited: MemberInvited, table: Table) -> Iterator[Notice]:
    notice = _about(
        event,
        "invited",
        event.occurred,
        room_id=invited.room_id,
        by=invited.by,
        invitee=invited.invitee,
    )
    if invited.user_id is None:
        yield notice
    else:
        yield from _everywhere(table, invited.user_id, notice, "invited")


def _about(event: DomainEvent, kind: About, at: Millis, **more: Any) -> Notice:
    """Return a notice for nobody in particular yet."""
    return Notice(
        event_id=event.id,
        kind=kind,
        channel="email",
        at=at,
        correlation_id=event.correlation_id,
        traceparent=event.traceparent,
        **more,
    )


def _everywhere(table: Table, user: UserId, notice: Notice, kind: Kind) -> Iterator[Notice]:
    """Yield a notice for each endpoint at which a user wants it."""
    reach = notices.reach(table, user)
    wanted = reach.preferences.of(kind)
    if wanted.email:
        yield notice.to(user, "email")
    if wanted.push:
        for browser in reach.browsers:
            yield notice.to(user, "push", browser.id)
    if wanted.webhook:
        for webhook in reach.webhooks:
            if not webhook.disabled:
                yield notice.to(user, "webhook", webhook.id)


handler = worker(notify)
