"""Rooms in the table.

Every write of a room item raises its version. A write that depends on who is a member or on the
rule carries the version that it was decided on as its condition, so it never acts on a stale view.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from trinity.domain import errors
from trinity.domain.ids import Millis, RoomId, UserId
from trinity.domain.rooms import KEPT_FOR, Member, Room
from trinity.ports import (
    Absent,
    AllOf,
    AnyOf,
    Cache,
    ConditionFailed,
    Equals,
    Exists,
    Item,
    Key,
    Less,
    Path,
    Table,
    TransactAction,
    TransactCheck,
    TransactDelete,
    TransactionCancelled,
    TransactPut,
    TransactUpdate,
    Update,
    Value,
)
from trinity.store import causes, keys

ATTEMPTS = 20
"""How often a change is tried again when others change the room at the same time."""

ADMISSION_FOR_S = 5.0
"""How long a vote may rely on a remembered look at the room.

Whoever was removed in these seconds may still store a vote. It never counts: only the votes of
members present do, and every decision reads the room anew.
"""

CODE_FOR_S = 300.0
"""How long it is remembered which room has a code."""

_MOST_MEMBERS_EVER = 200
"""People who came and went stay in the item; this keeps it small."""


def expires(room: Room) -> int:
    """Return when the items of a room may be removed, in seconds since 1970."""
    return (room.created_at + KEPT_FOR) // 1000


def to_item(room: Room) -> Item:
    """Return the room as it lies in the table."""
    key = keys.room(room.id)
    return {
        "PK": key.pk,
        "SK": key.sk,
        **msgspec.to_builtins(room),
        "expires": expires(room),
    }


def from_item(item: Item) -> Room:
    """Return the room that lies in an item."""
    return msgspec.convert(item, Room)


def find(table: Table, room_id: RoomId, *, consistent: bool = False) -> Room | None:
    """Return a room, None if there is none."""
    item = table.get(keys.room(room_id), consistent=consistent)
    return from_item(item) if item is not None else None


def get(table: Table, room_id: RoomId, *, consistent: bool = False) -> Room:
    """Return a room.

    Raises:
        RoomNotFound: there is none.
    """
    room = find(table, room_id, consistent=consistent)
    if room is None:
        raise errors.RoomNotFound
    return room


def id_of_code(table: Table, cache: Cache, code: str) -> RoomId:
    """Return which room has this code, or had it a moment ago: the room itself tells.

    A whole group comes in by one code, and a code stays with its room. That there is no such code
    is never remembered.

    Raises:
        RoomNotFound: none has.
    """
    known = cache.get(_code_key(code))
    if known is not None:
        return RoomId(known)
    item = table.get(keys.code(code), consistent=True)
    if item is None:
        raise errors.RoomNotFound
    cache.set(_code_key(code), item["room"], ttl=CODE_FOR_S)
    return RoomId(item["room"])


def create(table: Table, room: Room, also: Iterable[TransactAction] = ()) -> None:
    """Store a new room, its code, and the host's pointer to it, together with `also`.

    Raises:
        TransactionCancelled: reason 0: the code is taken; 1: the host has no account any more;
            others: those of `also`, from 4.
    """
    code = keys.code(room.code)
    table.transact(
        [
            TransactPut(
                {"PK": code.pk, "SK": code.sk, "room": room.id, "expires": expires(room)},
                Absent("PK"),
            ),
            # An account that is being removed does not look for rooms that come later.
            TransactCheck(keys.profile(room.host_id), Exists("PK")),
            TransactPut(to_item(room), Absent("PK")),
            _pointer(room, room.host_id),
            *also,
        ]
    )


def join(
    table: Table, cache: Cache, room_id: RoomId, user: UserId, member: Member, now: Millis
) -> Room:
    """Make somebody an active member; joining again changes nothing.

    The capacity check is part of the write, so two people cannot take one seat.

    Raises:
        RoomNotFound: there is no such room.
        RoomClosed: it takes nobody any more.
        RoomFull: every seat is taken.
        RemovedFromRoom: the host removed this user.
    """
    room = get(table, room_id, consistent=True)
    while not room.is_active(user):
        old = room.members.get(user)
        if old is not None and old.removed:
            raise errors.RemovedFromRoom
        if room.state_at(now) != "open":
            raise errors.RoomClosed
        if room.active_count >= room.capacity or (
            old is None and len(room.members) >= _MOST_MEMBERS_EVER
        ):
            raise errors.RoomFull
        # Cancelled: somebody was faster. Look again; one of the reasons above will name it.
        with suppress(TransactionCancelled):
            table.transact(
                [
                    TransactUpdate(
                        keys.room(room_id),
                        Update(
                            set={("members", user): msgspec.to_builtins(member)},
                            add={"activeCount": 1, "version": 1},
                        ),
                        AllOf(
                            (
                                Equals("state", "open"),
                                Less("activeCount", room.capacity),
                                AnyOf(
                                    (
                                        Absent(("members", user)),
                                        Equals(("members", user, "active"), False),
                                    )
                                ),
                                Absent(("members", user, "removed")),
                            )
                        ),
                    ),
                    _pointer(room, user),
                ]
            )
        cache.delete(_admission_key(room_id))
        room = get(table, room_id, consistent=True)
    return room


def change(
    table: Table,
    cache: Cache,
    room_id: RoomId,
    decide: Callable[[Room], Mapping[Path, Value] | None],
    also: Callable[[Room], Iterable[TransactAction]] = lambda _: (),
) -> Room:
    """Change a room by what it is right now.

    Args:
        table: the table.
        cache: forgets what it knew about the room.
        room_id: which room.
        decide: looks at the room and returns what to set, None to leave it as it is. It is called
            again with the newer room when somebody else was faster, so it must not act.
        also: what else to write in the same transaction.

    Returns:
        The room as it is after the change.

    Raises:
        RoomNotFound: there is no such room.
        Conflict: others were faster again and again.
    """
    for _ in range(ATTEMPTS):
        room = get(table, room_id, consistent=True)
        changes = decide(room)
        if changes is None:
            return room
        update = TransactUpdate(
            keys.room(room_id),
            Update(set=changes, add={"version": 1}),
            Equals("version", room.version),
        )
        try:
            table.transact([update, *also(room)])
        except TransactionCancelled:
            continue
        cache.delete(_admission_key(room_id))
        return get(table, room_id, consistent=True)
    raise errors.Conflict


def remove_member(
    table: Table, cache: Cache, room_id: RoomId, user: UserId, *, kicked_by: UserId | None = None
) -> Room:
    """Make a member inactive: somebody who leaves, or whom the host puts out.

    A host who leaves hands over to the longest-standing member; the last one closes the room.

    Raises:
        RoomNotFound, NotAMember: there is no such room, or the caller is not in it.
        NotTheHost: `kicked_by` is not the host.
        NotFound: the one to put out is not a member.
        Conflict: others changed the room again and again.
    """

    def decide(room: Room) -> Mapping[Path, Value]:
        if kicked_by is None:
            room.require_member(user)
        else:
            room.require_host(kicked_by)
            if not room.is_active(user):
                raise errors.NotFound("There is no such member in this room.")
        changes: dict[Path, Value] = {
            ("members", user, "active"): False,
            "activeCount": room.active_count - 1,
        }
        if kicked_by is not None:
            changes["members", user, "removed"] = True
        if user == room.host_id:
            heir = room.heir()
            if heir is not None:
                changes["hostId"] = heir
            elif room.state == "open":
                changes["state"] = "closed"
        return changes

    return change(
        table,
        cache,
        room_id,
        decide,
        also=lambda room: [
            _pointer(room, user, left=True),
            TransactDelete(keys.here(room_id, user)),
        ],
    )


def erase_member(table: Table, cache: Cache, room_id: RoomId, user: UserId) -> None:
    """Take somebody who has left already out of the memory of a room."""
    with suppress(ConditionFailed):
        table.update(
            keys.room(room_id),
            Update(remove=[("members", user)], add={"version": 1}),
            when=Equals(("members", user, "active"), False),
        )
    forget(cache, room_id)


def show_member(
    table: Table, cache: Cache, room_id: RoomId, user: UserId, changes: Mapping[str, Value]
) -> None:
    """Change what a room shows of a member, if he is still known there."""
    with suppress(ConditionFailed):
        table.update(
            keys.room(room_id),
            Update(
                set={("members", user, name): value for name, value in changes.items()},
                add={"version": 1},
            ),
            when=Exists(("members", user)),
        )
    forget(cache, room_id)


class Pointer(msgspec.Struct, frozen=True):
    """A user's way to a room.

    Attributes:
        left: the user is not in the room any more.
    """

    room_id: RoomId
    left: bool


def of_user(
    table: Table, user: UserId, *, after: str | None = None, limit: int | None = None
) -> tuple[list[Pointer], str | None]:
    """Return a user's pointers to rooms, the newest room first, and where to go on."""
    page = table.query(
        keys.user_pk(user),
        prefix=keys.MY_ROOM,
        after=after,
        limit=limit,
        descending=True,
        consistent=True,
    )
    pointers = [Pointer(RoomId(i["room"]), i["left"]) for i in page.items]
    return pointers, page.cursor


def all_of(table: Table, ids: Iterable[RoomId]) -> list[Room]:
    """Return those of the rooms that still exist, in the order of the ids."""
    items = table.batch_get([keys.room(room_id) for room_id in ids])
    return [from_item(item) for item in items if item is not None]


def delete(table: Table, cache: Cache, room: Room) -> None:
    """Remove a room and everything that belongs to it.

    The room goes first, so nobody can use it from then on. Should this break off, the rest goes by
    its own expiry, and lists leave out pointers that lead nowhere.
    """
    causes.mark(table, keys.room(room.id), Update(add={"version": 1}))
    table.transact([TransactDelete(keys.room(room.id)), TransactDelete(keys.code(room.code))])
    forget(cache, room.id)
    cache.delete(_code_key(room.code))
    for user in room.members:
        table.delete(keys.my_room(user, room.created_at, room.id))
    for item in table.query(keys.room_pk(room.id), consistent=True).items:
        table.delete(Key(item["PK"], item["SK"]))


class Admission(msgspec.Struct, frozen=True, rename="camel"):
    """What a vote has to know of a room before it is written."""

    active: frozenset[UserId]
    open_until: Millis
    deck: str
    expires: int


def admission(table: Table, cache: Cache, room_id: RoomId, user: UserId, now: Millis) -> Admission:
    """Tell whether somebody may vote in a room, from memory if it says yes.

    A refusal never comes from memory: somebody may have joined a moment ago.

    Raises:
        RoomNotFound, NotAMember, RoomClosed: why not.
    """
    remembered = cache.get(_admission_key(room_id))
    if remembered is not None:
        known: Admission = msgspec.convert(remembered, Admission)
        if user in known.active and now < known.open_until:
            return known
    room = get(table, room_id, consistent=True)
    room.require_member(user)
    if room.state_at(now) != "open":
        raise errors.RoomClosed
    fresh = Admission(room.present, room.expires_at, room.deck, expires(room))
    cache.set(_admission_key(room_id), msgspec.to_builtins(fresh), ttl=ADMISSION_FOR_S)
    return fresh


def forget(cache: Cache, room_id: RoomId) -> None:
    """Let the next vote look at the room itself."""
    cache.delete(_admission_key(room_id))


def _code_key(code: str) -> str:
    return f"code:{code}"


def _admission_key(room_id: RoomId) -> str:
    return f"admission:{room_id}"


def _pointer(room: Room, user: UserId, *, left: bool = False) -> TransactPut:
    key = keys.my_room(user, room.created_at, room.id)
    return TransactPut(
        {"PK": key.pk, "SK": key.sk, "room": room.id, "left": left, "expires": expires(room)}
    )
