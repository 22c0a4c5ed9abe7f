"""What was committed is told on the bus: each kind of change, again and again, after any death."""

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes import World, title_id
from tests.faults.evening import account, spend
from tests.faults.groups import Group
from tests.faults.people import Person
from tests.server import Server, eventually
from trinity.common import messages, streams
from trinity.domain.consensus import Share
from trinity.domain.domain_events import FACTS, DomainEvent, VoteCast
from trinity.domain.ids import DAY
from trinity.domain.rooms import OPEN_FOR
from trinity.handlers.rooms.delete import DeleteRoom, delete_room
from trinity.handlers.streams.emit import MOST_VOTES, emit, told_by
from trinity.handlers.users.delete_me import delete_me
from trinity.handlers.users.update_me import UpdateMe, update_me
from trinity.ports import Unavailable
from trinity.store import ballots, keys, rooms, users
from trinity.store.causes import Cause, caused_by


class Heard:
    """A bus that keeps what it was given."""

    def __init__(self) -> None:
        self.events: list[DomainEvent] = []

    def publish(self, events: Any) -> None:
        self.events += events


def since(world: World, act: Any) -> list[DomainEvent]:
    """Return what is told of what is done in `act`."""
    seq = world.store.last_seq
    act()
    return world.events(seq)


def words(events: list[DomainEvent]) -> list[tuple[str, dict[str, Any]]]:
    return [(event.type, event.data) for event in events]


# ----------------------------------------------------------------------------- kinds of changes


def test_a_room_is_opened_and_its_host_joins(world):
    host = world.guest()
    events = since(world, lambda: world.create(host))
    opened, joined = words(events)
    room = opened[1]["roomId"]
    stored = world.table.get(keys.room(room))
    assert opened == (
        "RoomOpened",
        {
            "roomId": room,
            "hostId": host,
            "rule": "unanimous",
            "deck": stored["deck"],
            "deckSize": 3,
            "secret": True,
            "at": world.clock.now(),
        },
    )
    assert joined == ("MemberJoined", {"roomId": room, "userId": host, "roomVersion": 1})


def test_members_come_go_and_are_put_out(world):
    g = Group(world, members=2, others=1)

    def act() -> None:
        world.join(g.users[2], g.code)
        world.leave(g.users[1], g.room)
        world.join(g.users[1], g.code)
        world.kick(g.users[0], g.room, g.users[2])

    assert words(since(world, act)) == [
        ("MemberJoined", {"roomId": g.room, "userId": g.users[2], "roomVersion": 3}),
        (
            "MemberLeft",
            {"roomId": g.room, "userId": g.users[1], "removed": False, "roomVersion": 4},
        ),
        ("MemberJoined", {"roomId": g.room, "userId": g.users[1], "roomVersion": 5}),
        ("MemberLeft", {"roomId": g.room, "userId": g.users[2], "removed": True, "roomVersion": 6}),
    ]


def test_votes_of_a_room_are_gathered(world):
    g = Group(world, members=3, stop_at="never")
    other = Group(world, members=2)

    def act() -> None:
        world.vote(g.users[0], g.room, 0, "yes")
        world.vote(other.users[0], other.room, 0, "no")
        world.vote(g.users[1], g.room, 0, "veto")
        world.vote(g.users[0], g.room, 0, "yes")  # the same again: nothing has happened
        world.vote(g.users[0], g.room, 0, "super")
        world.undo(g.users[1], g.room, 0)

    mine, theirs = since(world, act)
    assert [mine.type, theirs.type] == ["VoteCast", "VoteCast"]
    assert mine.data["roomId"] == g.room
    votes = [(v["userId"], v["choice"], v["rev"]) for v in mine.data["votes"]]
    assert votes == [
        (g.users[0], "yes", 1),
        (g.users[1], "veto", 2),
        (g.users[0], "super", 4),
        (g.users[1], None, 5),
    ]
    assert {v["titleId"] for v in mine.data["votes"]} == {title_id(0)}
    assert [v["choice"] for v in theirs.data["votes"]] == ["no"]
    assert isinstance(mine.fact, VoteCast)


def test_more_votes_than_a_message_holds_are_told_in_several(world):
    g = Group(world, members=2, titles=60, stop_at="never")
    for choice in ("no", "veto") * 6:
        world.vote_many(g.users[0], g.room, dict.fromkeys(range(50), choice))
    first, second = [event for event in world.events(g.since) if event.type == "VoteCast"]
    assert [len(event.data["votes"]) for event in (first, second)] == [MOST_VOTES, 100]
    assert first.id != second.id
    assert len(msgspec.json.encode(first)) < 200_000


def test_a_match_decides_a_room_and_the_room_is_opened_again_and_closed(world):
    g = Group(world, members=2, votes={0: {1: "yes"}})

    def act() -> None:
        world.vote(g.users[1], g.room, 1)
        world.update(g.users[0], g.room, state="open")
        world.update(g.users[0], g.room, state="closed")

    votes = {"titleId": title_id(1), "userId": g.users[1], "choice": "yes", "rev": 2}
    found = {"titleId": title_id(1), "title": "Film 1", "rule": "unanimous"}
    found |= {"userIds": tuple(sorted(g.users)), "at": world.clock.now()}
    events = since(world, act)
    told = events[-1].data["votes"][0]
    assert {name: told[name] for name in votes} == votes
    assert words(events)[:-1] == [
        ("MatchFound", {"roomId": g.room, **found}),
        ("RoomDecided", {"roomId": g.room, "matchCount": 1, "roomVersion": 3}),
        ("RoomReopened", {"roomId": g.room, "roomVersion": 4}),
        ("RoomClosed", {"roomId": g.room, "roomVersion": 5}),
    ]


def test_a_room_whose_time_was_over_is_opened_again(world):
    g = Group(world, members=2)
    world.clock.advance(OPEN_FOR)
    events = since(world, lambda: world.update(g.users[0], g.room, state="open"))
    assert [event.type for event in events] == ["RoomReopened"]


def test_the_last_who_leaves_closes_the_room(world):
    g = Group(world, members=1)
    events = since(world, lambda: world.leave(g.users[0], g.room))
    assert [event.type for event in events] == ["MemberLeft", "RoomClosed"]


def test_another_name_or_rule_of_a_room_is_no_event(world):
    g = Group(world, members=2)
    change = {"name": "Friday", "rule": Share(50)}
    assert since(world, lambda: world.update(g.users[0], g.room, **change)) == []


def test_a_room_that_is_removed_is_one_event_whatever_was_in_it(world):
    g = Group(world, members=3, votes={0: {0: "yes"}, 1: {0: "yes"}, 2: {0: "yes"}})
    events = since(world, lambda: world.call(delete_room, DeleteRoom(room_id=g.room), g.users[0]))
    assert words(events) == [("RoomDeleted", {"roomId": g.room, "expired": False})]


def test_a_room_whose_end_has_come_is_removed_by_nobody(world):
    world.clock.time = 1_000_000  # long ago: the feed goes by the real time
    g = Group(world, members=2, votes={0: {0: "yes"}, 1: {0: "yes"}})
    later_s = (world.clock.time + 61 * DAY) // 1000
    [event] = since(world, lambda: world.store.sweep_expired(later_s))
    assert (event.type, event.data) == ("RoomDeleted", {"roomId": g.room, "expired": True})
    assert event.correlation_id is None


def test_an_account_comes_and_goes_and_a_guest_is_none(world):
    assert since(world, world.guest) == []
    [event] = since(world, lambda: account(world, "ana@x.example"))
    user = event.data["userId"]
    assert (event.type, event.data) == ("UserRegistered", {"userId": user, "wasGuest": False})
    assert since(world, lambda: world.call(update_me, UpdateMe(name="Eve"), user)) == []
    [event] = since(world, lambda: world.call(delete_me, None, user))
    assert (event.type, event.data) == ("UserDeleted", {"userId": user})


def test_a_guest_who_registers_was_one(world):
    guest = world.guest()
    [event] = since(world, lambda: account(world, "ana@x.example", guest))
    assert (event.type, event.data) == ("UserRegistered", {"userId": guest, "wasGuest": True})


def test_who_removes_the_account_leaves_the_rooms_and_takes_the_votes_back(world):
    g = Group(world, members=3, votes={2: {0: "no", 1: "yes"}})
    events = since(world, lambda: world.call(delete_me, None, g.users[2]))
    assert [e.type for e in events] == ["UserDeleted", "MemberLeft", "VoteCast"]
    votes = [(v["userId"], v["choice"]) for v in events[-1].data["votes"]]
    assert votes == [(g.users[2], None)] * 2
    assert len({event.correlation_id for event in events}) == 1


@pytest.mark.parametrize(
    ("kind", "content", "last"),
    [
        ("avatar", b"picture", ("UploadReady", {"entries": None})),
        ("list", b"Heat\nAlien", ("UploadReady", {"entries": 2})),
        ("list", b"\0", ("UploadRejected", {})),
    ],
)
def test_a_file_comes_and_is_processed(world, kind, content, last):
    ana = world.guest()
    assert since(world, lambda: world.ask(ana, kind)) == []

    def act() -> None:
        world.send(ana, kind, content, notices=2)
        world.work_off()

    received, processed = since(world, act)
    told = {"userId": ana, "uploadId": received.data["uploadId"], "kind": kind}
    assert (received.type, received.data) == ("UploadReceived", told)
    name, more = last
    assert processed.type == name
    assert {"entries": None} | processed.data == {"entries": None} | told | more
    assert received.correlation_id == processed.correlation_id is not None
    assert since(world, lambda: world.store.sweep_expired(2**40)) == []


def test_a_file_that_never_comes_is_rejected(world):
    ana = world.guest()
    upload = world.ask(ana, "avatar")
    world.clock.advance(DAY)
    [event] = since(world, world.sweep)
    assert (event.type, event.data["uploadId"]) == ("UploadRejected", upload)


# --------------------------------------------------------------------------- what led to them


def test_an_event_names_its_request_and_its_trace(world):
    g = Group(world, members=2)
    cause = Cause("the-request", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

    def act() -> None:
        table = caused_by(world.table, cause)
        rooms.change(table, world.cache, g.room, lambda _: {"state": "closed"})

    [event] = since(world, act)
    assert (event.correlation_id, event.traceparent) == (cause.request_id, cause.traceparent)


def test_votes_of_several_requests_name_each_its_own(world):
    g = Group(world, members=2)
    [one] = since(world, lambda: world.vote(g.users[0], g.room, 0, "no"))
    assert one.correlation_id == one.data["votes"][0]["correlationId"] is not None

    def act() -> None:
        world.vote(g.users[0], g.room, 1, "no")
        world.vote(g.users[1], g.room, 1, "no")

    [both] = since(world, act)
    assert both.correlation_id is None
    assert len({vote["correlationId"] for vote in both.data["votes"]} - {None}) == 2


def test_a_match_that_the_feed_records_names_the_vote_that_made_it(world):
    g = Group(world, members=2, votes={0: {0: "yes"}})

    def act() -> None:
        seq = world.store.last_seq
        table = caused_by(world.table, Cause("the-vote"))
        ballots.cast(table, g.room, title_id(0), g.users[1], "yes", expires=2**40)
        # Here the process died: nobody but the feed looks for a match.
        world.drain(world.feeds_at(seq))

    told = {event.type: event.correlation_id for event in since(world, act)}
    assert told == dict.fromkeys(["VoteCast", "MatchFound", "RoomDecided"], "the-vote")


def test_what_an_account_that_is_gone_leaves_behind_names_the_request_that_removed_it(world):
    g = Group(world, members=3)

    def act() -> None:
        seq = world.store.last_seq
        table = caused_by(world.table, Cause("the-end"))
        users.delete(table, users.get(table, g.users[1]))  # and there the process died
        world.drain(world.feeds_at(seq))

    told = {event.type: event.correlation_id for event in since(world, act)}
    assert told == dict.fromkeys(["UserDeleted", "MemberLeft"], "the-end")


# -------------------------------------------------------------------------- again and again


def evening(world: World) -> list[streams.Change]:
    """Return the changes of an evening with a bit of everything."""
    spend(world)
    return world.emitted()


def entries(events: list[DomainEvent]) -> list[Any]:
    """Return what the events say, votes one by one."""
    said: list[Any] = []
    for event in events:
        if event.type == "VoteCast":
            room = event.data["roomId"]
            said += [(room, v["titleId"], v["userId"], v["rev"]) for v in event.data["votes"]]
        else:
            said.append(event)
    return said


def test_the_same_changes_are_the_same_events(world):
    changes = evening(world)
    once = list(told_by(changes))
    assert once == list(told_by(changes))
    assert len({event.id for event in once}) == len(once)


@pytest.mark.parametrize("seed", range(5))
def test_changes_that_come_in_other_batches_say_the_same(world, seed):
    changes = evening(world)
    chance = random.Random(seed)
    told: list[DomainEvent] = []
    rest = changes
    while rest:
        size = chance.randint(1, 30)
        told += told_by(rest[:size])
        rest = rest[size:]
    whole = entries(list(told_by(changes)))
    assert len(entries(told)) == len(whole)
    assert all(entry in whole for entry in entries(told))


def test_new_changes_after_a_restored_backup_have_new_ids_though_they_have_old_numbers(world):
    changes = evening(world)
    later = [msgspec.structs.replace(change, at=change.at + 60_000) for change in changes]
    ids = [event.id for event in (*told_by(changes), *told_by(later))]
    assert len(set(ids)) == len(ids)


def test_a_bus_that_is_away_gets_the_same_events_later(world):
    changes = evening(world)

    class Away:
        def publish(self, events: Any) -> None:
            raise Unavailable("the bus is away")

    with pytest.raises(Unavailable):
        emit(changes, bus=Away())
    bus = Heard()
    emit(changes, bus=bus)
    assert bus.events == list(told_by(changes))


def test_what_tells_nothing_troubles_no_bus(world):
    class Silent:
        def publish(self, events: Any) -> None:
            raise AssertionError("there is nothing to tell")

    world.guest()
    emit(world.emitted(), bus=Silent())


def test_no_event_holds_a_name_or_an_address_of_a_person(world):
    changes = evening(world)
    known = msgspec.json.encode([change.new for change in changes]).decode()
    told = msgspec.json.encode(list(told_by(changes))).decode()
    for hidden in ("User 0", "Ana of the house", "ana@x.example", "passwordHash"):
        assert hidden in known
        assert hidden not in told


def test_an_evening_has_an_event_of_every_type(world):
    assert {event.type for event in told_by(evening(world))} == FACTS.keys()


# ---------------------------------------------------------------------------- real processes


def run(folder: Path, what: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.emitting", str(folder), what],
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    return done.returncode


def told(folder: Path) -> list[DomainEvent]:
    path = folder / "bus"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=DomainEvent) for line in lines]


def test_what_was_committed_is_told_though_the_process_was_killed_right_after(tmp_path):
    assert run(tmp_path, "commit") == -signal.SIGKILL
    assert told(tmp_path) == []
    assert run(tmp_path, "finish") == 0
    types = sorted(event.type for event in told(tmp_path))
    assert types == [
        *["MatchFound", "MemberJoined", "MemberJoined", "MemberJoined"],
        *["RoomDecided", "RoomOpened", "VoteCast"],
    ]


def test_a_process_that_is_killed_before_it_remembers_tells_the_same_again(tmp_path):
    assert run(tmp_path, "commit") == -signal.SIGKILL
    assert run(tmp_path, "emit") == -signal.SIGKILL
    once = told(tmp_path)
    assert len(once) == 7
    assert run(tmp_path, "finish") == 0
    assert told(tmp_path) == [*once, *once]
    assert run(tmp_path, "finish") == 0
    assert told(tmp_path) == [*once, *once]


def in_queue(server: Server) -> dict[str, DomainEvent]:
    """Return what waits for the archive in the file of a server, by type."""
    with contextlib.closing(sqlite3.connect(server.data / "trinity.sqlite")) as file:
        rows = file.execute("SELECT body FROM messages WHERE queue = 'archive'").fetchall()
    events = [messages.domain_event(body) for (body,) in rows]
    return {event.type: event for event in events}


def test_a_server_that_is_killed_right_after_an_answer_tells_of_it_by_the_id_of_the_answer(
    tmp_path,
):
    server = Server(tmp_path, {"RATE_LIMITS": "off", "PUBLIC_URL": "http://trinity.example"})
    server.start()
    try:
        ana, ben = (Person(server.client, name) for name in ("Ana", "Ben"))
        room = ana.create(titles=1)
        ben.join(room["code"])
        [title] = ana.deck(room["id"])
        ana.vote(room["id"], title)
        answer = ben.vote(room["id"], title)
        server.stop(signal.SIGKILL)
        assert answer.json["matches"]
        assert "MatchFound" not in in_queue(server)
        server.start()
        eventually(lambda: "VoteCast" in in_queue(server), "the votes are told")
        told = in_queue(server)
    finally:
        if server.is_running:
            server.stop(signal.SIGKILL)
    request_id = answer.headers["x-request-id"]
    assert told["MatchFound"].correlation_id == told["RoomDecided"].correlation_id == request_id
    cast = {v["userId"]: v["correlationId"] for v in told["VoteCast"].data["votes"]}
    assert cast[ben.id] == request_id
