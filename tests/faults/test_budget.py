"""What each operation costs in billed units of the table, by the budget of docs/architecture.md.

DynamoDB bills a write by the KB of the larger image of each item, twice as much in a transaction,
and a read by 4 KB, half as much where it need not be consistent.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.fakes import NOON, ORIGIN, STREAMS, World, title_id
from tests.faults.groups import Group
from trinity.common import unsubscribing
from trinity.common.requests import Origin
from trinity.domain.domain_events import DomainEvent, MatchFound
from trinity.domain.ids import RoomId
from trinity.domain.notices import Browser, Notice, Webhook
from trinity.handlers.streams.emit import emit
from trinity.openapi import load
from trinity.ports import (
    Condition,
    Item,
    Key,
    Page,
    Table,
    TransactAction,
    TransactionCancelled,
    TransactPut,
    Update,
)
from trinity.store import notices, presence, rooms, sessions, users
from trinity.topology import FUNCTIONS

HANDLERS = {function.name: load(function) for function in FUNCTIONS}


class MeteredTable:
    """A `Table` that counts what would be billed."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.reads = self.writes = 0.0
        self.calls: list[str] = []

    def get(self, key: Key, *, consistent: bool = False) -> Item | None:
        item = self._table.get(key, consistent=consistent)
        self._read("get", [item], consistent)
        return item

    def batch_get(self, keys: Sequence[Key]) -> list[Item | None]:
        items = self._table.batch_get(keys)
        self.calls.append("batch_get")
        self.reads += sum(_blocks(_size(item), 4096) for item in items) / 2
        return items

    def query(self, pk: str, *, consistent: bool = False, **options: Any) -> Page:
        assert pk, "a query has a partition: nothing scans"
        page = self._table.query(pk, consistent=consistent, **options)
        self._read("query", page.items, consistent)
        return page

    def put(self, item: Item, *, when: Condition | None = None) -> None:
        self._write(
            "put", [Key(item["PK"], item["SK"])], 1, lambda: self._table.put(item, when=when)
        )

    def update(self, key: Key, update: Update, *, when: Condition | None = None) -> Item:
        return self._write("update", [key], 1, lambda: self._table.update(key, update, when=when))

    def delete(self, key: Key, *, when: Condition | None = None) -> None:
        self._write("delete", [key], 1, lambda: self._table.delete(key, when=when))

    def transact(self, actions: Sequence[TransactAction]) -> None:
        keys = [
            Key(a.item["PK"], a.item["SK"]) if isinstance(a, TransactPut) else a.key
            for a in actions
        ]
        try:
            self._write("transact", keys, 2, lambda: self._table.transact(actions))
        except TransactionCancelled:
            self.calls.append("cancelled")
            raise

    def _read(self, name: str, items: Sequence[Item | None], consistent: bool) -> None:
        self.calls.append(name)
        self.reads += _blocks(sum(map(_size, items)), 4096) / (1 if consistent else 2)

    def _write(self, name: str, keys: Sequence[Key], times: int, write: Callable[[], Any]) -> Any:
        before = [_size(self._table.get(key)) for key in keys]
        self.calls.append(name)
        try:
            return write()
        finally:
            after = [_size(self._table.get(key)) for key in keys]
            self.writes += times * sum(
                _blocks(max(old, new), 1024) for old, new in zip(before, after, strict=True)
            )


def _size(item: Item | None) -> int:
    return len(msgspec.json.encode(item)) if item is not None else 0


def _blocks(size: int, of: int) -> int:
    return max(1, -(-size // of))


class Case(NamedTuple):
    """An operation in a usual situation.

    Attributes:
        function: of the topology.
        situation: for people.
        request: its fields.
        by: number of the caller in the group.
        writes, reads: units at the most.
        calls: exactly these calls, where the order matters most.
        before: what happened before.
        run: the call, if it is none of the API.
        changes: what a consumer is given.
        message: what a worker is given.
    """

    function: str
    situation: str
    writes: float
    reads: float
    request: Callable[[World, Group], dict[str, Any]] = lambda *_: {}
    by: int = 0
    calls: list[str] | None = None
    before: Callable[[World, Group], Any] = lambda *_: None
    run: Callable[[World, Group], Any] | None = None
    changes: str | None = None
    message: Callable[[World, Group], dict[str, Any]] | None = None


def in_room(**fields: Any) -> Callable[[World, Group], dict[str, Any]]:
    return lambda _, g: {"roomId": g.room, **fields}


def vote(title: int, choice: str) -> Callable[[World, Group], dict[str, Any]]:
    return in_room(titleId=title_id(title), choice=choice)


def account(world: World, g: Group) -> None:
    request = {"email": "ana@x.example", "password": "a password", "name": "Ana"}
    _call(world, "register", request)


def session(world: World, g: Group) -> dict[str, Any]:
    token = sessions.start(world.table, world.ids, g.users[0], world.clock.now())
    return {"refreshToken": token}


def reset(world: World, g: Group) -> dict[str, Any]:
    account(world, g)
    user = world.store.changes_after(0, 1000)[-1].pk.removeprefix("USER#")
    world.clock.advance(1)
    token = sessions.start_reset(world.table, world.ids, user, world.clock.now())
    return {"token": token, "password": "another one"}


def is_here(world: World, g: Group) -> None:
    presence.note(world.table, rooms.get(world.table, g.room), g.users[0], world.clock.now())


def reachable(world: World, g: Group) -> None:
    """Let the first of the group be told things in every way."""
    user = g.users[0]
    changes = {"email": "ana@x.example", "passwordHash": "x"}
    users.update(world.table, users.get(world.table, user), changes)
    notices.prefer(world.table, user, {("matchFound", "email"): True})
    family = sessions.family(sessions.start(world.table, world.ids, user, world.clock.now()))
    notices.add_browser(world.table, user, browser(session=family))
    hook = Webhook(id="hook", url="https://hook.example", secret="x", created_at=NOON)
    notices.add_webhook(world.table, user, hook)


def browser(session: str = "s") -> Browser:
    endpoint = "https://push.example/" + "x" * 180
    keys = {"p256dh": "B" + "x" * 86, "auth": "x" * 22}
    return Browser(id="browser", endpoint=endpoint, session=session, created_at=NOON, **keys)


def matched(world: World, g: Group) -> dict[str, Any]:
    fact = MatchFound(
        room_id=g.room, title_id=title_id(0), title="x", user_ids=(), rule="share", at=NOON
    )
    data = msgspec.to_builtins(fact)
    event = DomainEvent(id="e", type="MatchFound", version=1, occurred=NOON, data=data)
    return {"event": event}


def invited(world: World, g: Group) -> dict[str, Any]:
    _call(world, "invite", {"roomId": g.room, "email": "dora@x.example"}, g.users[0])
    return {"event": [e for e in world.events() if e.type == "MemberInvited"][-1]}


def notice(channel: str, endpoint: str = "") -> Callable[[World, Group], dict[str, Any]]:
    def make(_: World, g: Group) -> dict[str, Any]:
        made = Notice(event_id="e", kind="matchFound", channel=channel, room_id=g.room, at=NOON)
        return {"notice": made.to(g.users[0], channel, endpoint)}

    return make


def invitation(world: World, g: Group) -> dict[str, Any]:
    event = invited(world, g)["event"]
    made = Notice(
        event_id="e",
        kind="invited",
        channel="email",
        room_id=g.room,
        at=NOON,
        invitee=event.data["invitee"],
    )
    return {"notice": made}


def unsubscribing_token(world: World, g: Group) -> dict[str, Any]:
    link = unsubscribing.url(world.secrets.cursor_key(), "", "invited", g.users[0], "")
    return {"token": link.rpartition("/")[2]}


HOOK = {"url": "https://hook.example/1"}
SUBSCRIPTION = {
    "endpoint": "https://push.example/" + "x" * 180,
    "keys": {"p256dh": "B" + "x" * 86, "auth": "x" * 22},
}
NEW = {"email": "new@x.example", "password": "a password", "name": "New"}
DECK = {"source": "titles", "titleIds": [title_id(0)]}

# The rows that the budget names are exact; the others say what is usual, so that it is noticed.
CASES = [
    Case("cast_votes", "a no, remembered", 1, 0, vote(0, "no"), calls=["update"]),
    Case("cast_votes", "a yes, remembered", 1, 1, vote(0, "yes"), calls=["update", "get"]),
    Case(
        "cast_votes",
        "the last yes: one transaction of match, room and ballot, and a look before it",
        1 + 6,
        2,
        vote(1, "yes"),
        calls=["update", "get", "get", "transact"],
        before=lambda w, g: [w.vote(user, g.room, 1) for user in g.users[1:3]],
    ),
    Case(
        "undo_vote",
        "remembered",
        1,
        0,
        in_room(titleId=title_id(2)),
        calls=["update"],
        before=lambda w, g: w.vote(g.users[0], g.room, 2),
    ),
    Case("join_room", "somebody new", 4, 10, lambda _, g: {"code": g.code}, by=3),
    Case(
        "join_room",
        "after somebody else",
        4,
        9,
        lambda _, g: {"code": g.code},
        by=3,
        before=lambda w, g: rooms.id_of_code(w.table, w.cache, g.code),
    ),
    Case("leave_room", "a member", 6, 4, in_room(), by=2),
    Case("kick_member", "a member", 6, 4, lambda _, g: {"roomId": g.room, "userId": g.users[2]}),
    Case("list_rooms", "one query and one batch", 0, 1.5, calls=["query", "batch_get"]),
    Case("my_matches", "no matches", 0, 1.5, calls=["query", "batch_get"]),
    Case("create_room", "a short deck", 8, 1, lambda *_: {"deck": DECK}, calls=["get", "transact"]),
    Case("follow_room", "who was not here", 1, 1.5, in_room(), calls=["get", "query", "put"]),
    Case("follow_room", "who is here", 0, 1.5, in_room(), calls=["get", "query"], before=is_here),
    Case("step_away", "who is here", 1, 1, in_room(), calls=["get", "delete"], before=is_here),
    Case("get_room", "a member", 0, 2, in_room(), calls=["get", "query", "query"]),
    Case("update_room", "a new name", 2, 5, in_room(name="Friday")),
    Case("delete_room", "with two ballots", 10, 2, in_room()),
    Case("get_deck", "a member", 0, 1, in_room(), calls=["get"]),
    Case("next_cards", "a member", 0, 1.5, in_room(), calls=["get", "query"]),
    Case(
        "room_events",
        "who was not here, as every quarter of a minute",
        1,
        2.5,
        in_room(),
        calls=["get", "query", "query", "put"],
    ),
    Case(
        "room_events",
        "who is here",
        0,
        2.5,
        in_room(),
        calls=["get", "query", "query"],
        before=is_here,
    ),
    Case("get_results", "a member", 0, 2, in_room(), calls=["get", "query"]),
    Case("room_report", "secret and at it", 0, 2, in_room(), calls=["get", "query", "query"]),
    Case("my_report", "one room, and at it", 0, 3, calls=["query", "query", "batch_get", "query"]),
    Case("register", "somebody new", 5, 0, lambda *_: NEW, calls=["transact", "put"]),
    Case("guest", "somebody new", 2, 0, lambda *_: {"name": "New"}, calls=["put", "put"]),
    Case(
        "login",
        "an account",
        1,
        2,
        lambda *_: {"email": "ana@x.example", "password": "a password"},
        before=account,
    ),
    Case("refresh", "a session", 1, 1, session, calls=["update", "get"]),
    Case("logout", "a session", 1, 0, session, calls=["delete"]),
    Case(
        "forgot_password",
        "an account",
        4,
        2,
        lambda *_: {"email": "ana@x.example"},
        calls=["get", "get", "transact"],
        before=account,
    ),
    Case("reset_password", "one session", 5, 3, reset),
    Case("get_me", "a guest", 0, 1, calls=["get"]),
    Case("update_me", "a new name in one room", 3, 7, lambda *_: {"name": "Eve"}),
    Case("delete_me", "a member of one room", 12, 13, by=2),
    Case("export_me", "a member of one room", 0, 7, by=2),
    Case(
        "invite",
        "an address without an account",
        4,
        2,
        in_room(email="dora@x.example"),
        calls=["get", "get", "transact"],
    ),
    Case(
        "invite",
        "a user",
        4,
        1,
        lambda _, g: {"roomId": g.room, "userId": g.users[3]},
        calls=["get", "transact"],
    ),
    Case("get_notifications", "anybody", 0, 1, calls=["get"]),
    Case("update_notifications", "one", 4, 1, lambda *_: {"invited": {"email": False}}),
    Case("get_push_key", "no table", 0, 0, calls=[]),
    Case(
        "add_push_subscription",
        "a browser",
        4,
        1,
        lambda *_: SUBSCRIPTION,
        calls=["transact", "query"],
    ),
    Case(
        "remove_push_subscription",
        "a browser",
        1,
        0,
        lambda *_: {"subscriptionId": "browser"},
        before=reachable,
    ),
    Case("add_webhook", "the first", 4, 1, lambda *_: HOOK, calls=["query", "transact"]),
    Case("list_webhooks", "some", 0, 1, calls=["query"], before=reachable),
    Case("remove_webhook", "one", 1, 0, lambda *_: {"webhookId": "hook"}, before=reachable),
    Case("confirm_unsubscribe", "no table", 0, 0, unsubscribing_token, calls=[]),
    Case("unsubscribe", "a user", 4, 0, unsubscribing_token, calls=["transact"]),
    Case(
        "notify",
        "a match of three who are away: who is, and one query for each",
        0,
        5,
        calls=["get", "query", "query", "query", "query"],
        before=reachable,
        message=matched,
    ),
    Case("notify", "an invitation by mail", 1, 0, calls=["update"], message=invited),
    Case("deliver_email", "a match", 9, 2.5, before=reachable, message=notice("email")),
    Case("deliver_email", "an invitation", 6, 2.5, message=invitation),
    Case("deliver_push", "a match", 5, 2.5, before=reachable, message=notice("push", "browser")),
    Case("deliver_webhook", "a match", 5, 1.5, before=reachable, message=notice("webhook", "hook")),
    Case("remove_avatar", "a member of one room", 1, 3),
    Case("remove_cover", "the host", 2, 2, in_room()),
    Case(
        "create_upload",
        "a picture: one transaction of account, upload and leftover",
        6,
        0,
        lambda *_: {"kind": "avatar", "contentType": "image/png", "size": 9},
        calls=["transact"],
    ),
    Case(
        "get_upload",
        "waiting",
        0,
        1,
        lambda w, g: {"uploadId": w.ask(g.users[0], "avatar")},
        calls=["get"],
    ),
    Case(
        "process_upload",
        "an avatar: begun, noted, a claim for each size, and shown by one transaction",
        5 + 4,
        1,
        run=lambda w, g: w.process(g.users[0], g.upload),
        calls=["get", "update", "put", "update", "update", "update", "transact"],
        before=lambda w, g: vars(g).update(upload=w.send(g.users[0], "avatar", b"picture")),
    ),
    Case(
        "process_upload",
        "a list",
        2,
        1,
        run=lambda w, g: w.process(g.users[0], g.upload),
        calls=["get", "update", "update"],
        before=lambda w, g: vars(g).update(upload=w.send(g.users[0], "list", b"Heat")),
    ),
    Case("sweep_uploads", "nothing to do", 0, 1, run=lambda w, _: w.sweep(), calls=["query"]),
    Case("list_genres", "no table", 0, 0, calls=[]),
    Case("search_titles", "no table", 0, 0, lambda *_: {"query": "film"}, calls=[]),
    Case("health", "a look at the table", 0, 0.5),
    Case("openapi", "no table", 0, 0, calls=[]),
    Case("discovery", "no table", 0, 0, calls=[]),
    Case("jwks", "no table", 0, 0, calls=[]),
    Case("publish", "three joins of one room: one append", 8, 5, changes="rooms"),
    Case("publish", "thirty votes of one room: one append", 4, 2, changes="ballots"),
    Case("emit", "no table", 0, 0, calls=[], changes="everything"),
]


def _call(world: World, name: str, fields: dict[str, Any], by: str = "") -> Any:
    handler = HANDLERS[name]
    request = None
    if handler.request_type is not None:
        request = msgspec.convert(fields, handler.request_type)
    origin = Origin(ORIGIN.address, ORIGIN.base_url, None, None)
    return world.call(handler.use_case, request, by, origin)


@pytest.mark.parametrize("case", CASES, ids=[f"{c.function}: {c.situation}" for c in CASES])
def test_no_operation_costs_more_than_its_budget(case, world):
    g = Group(world, members=3, others=1, votes={1: {2: "yes"}}, titles=3, stop_at="never")
    case.before(world, g)
    if case.changes == "ballots":
        for title in (0, 1):
            for _ in range(5):
                for user in g.users[:3]:
                    world.vote(user, g.room, title, "no")
    request = case.request(world, g)
    world.vote(g.users[0], g.room, 0, "no")  # what a vote has to know of the room is remembered
    metered = MeteredTable(world.table)
    if case.changes is not None:
        assert set(STREAMS) == {"rooms", "ballots"}
        consume = {
            "publish": world.over(table=metered).publish,
            "emit": partial(emit, bus=world.bus),
        }
        everything = case.changes == "everything"
        seen = world.emitted(g.since) if everything else world.changes(case.changes, g.since)
        assert seen
        consume[case.function](seen)
    elif case.message is not None:
        given = case.message(world, g)
        world.over(table=metered).call(HANDLERS[case.function].use_case, **given)
    elif case.run is not None:
        case.run(world.over(table=metered), g)
    else:
        _call(world.over(table=metered), case.function, request, g.users[case.by])
    spent = f"{metered.writes} write and {metered.reads} read units: {metered.calls}"
    assert metered.writes <= case.writes, spent
    assert metered.reads <= case.reads, spent
    if case.calls is not None:
        assert metered.calls == case.calls, spent


def test_every_function_that_a_request_or_a_change_waits_for_has_a_budget():
    hurried = {f.name for f in FUNCTIONS if f.queue is None and not f.schedules}
    assert {case.function for case in CASES} >= hurried


def test_a_table_cannot_be_scanned():
    methods = {name for name in vars(Table) if not name.startswith("_")}
    assert methods == {"get", "batch_get", "query", "put", "update", "delete", "transact"}


def test_the_cost_of_a_vote_does_not_grow_with_the_room(world):
    spent = []
    for members in (2, 20):
        g = Group(world, members=members, capacity=30, stop_at="never")
        for user in g.users[1:]:
            world.vote(user, g.room, 0, "no")
        metered = MeteredTable(world.table)
        world.over(table=metered).vote(g.users[0], RoomId(g.room), 0, "no")
        spent.append((metered.writes, metered.reads))
    assert spent == [(1, 0), (1, 0)]
