"""Reports tell what the ballots say, hide what is secret, and can be made anew from the archive."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes import NOON, MemoryArchive, World
from tests.faults.evening import Evening, spend, told
from tests.faults.groups import Group
from tests.faults.invariants import votes_of
from trinity.common import reports
from trinity.common.requests import Origin
from trinity.domain.domain_events import DomainEvent
from trinity.domain.errors import NotAMember, RoomNotFound
from trinity.domain.ids import DAY, MINUTE, utc_day
from trinity.domain.reports import likes
from trinity.handlers.queues.analyse import NotOpenedYet, analyse
from trinity.handlers.reports.me import my_report
from trinity.handlers.reports.room import AskRoomReport, room_report
from trinity.handlers.rooms.delete import DeleteRoom, delete_room
from trinity.handlers.users.delete_me import delete_me
from trinity.store import archive as files
from trinity.store import keys
from trinity.store import reports as kept
from trinity.topology import FUNCTIONS

WANTED = next(f.queue.events for f in FUNCTIONS if f.queue and f.name == "analyse")
YES_NO: dict[int, dict[int, str]] = {
    0: {0: "yes", 1: "yes", 2: "no"},
    1: {0: "no", 1: "super", 2: "veto"},
}


def learn(world: World, events: list[DomainEvent] | None = None) -> None:
    """Let the consumer take in what happened."""
    some = [e for e in (told(world) if events is None else events) if e.type in WANTED]
    analyse(some, table=world.table, **ports(world))


def ports(world: World) -> dict[str, Any]:
    return {"blobs": world.blobs, "clock": world.clock}


def ask(world: World, room: str, user: str, accept: str = "") -> Any:
    origin = Origin("192.0.2.1", "https://trinity.example", None, None, accept)
    return world.call(room_report, AskRoomReport(room_id=room), user, origin)


def report(world: World, group: Group, user: int = 0) -> Any:
    return ask(world, group.room, group.users[user]).body


# ------------------------------------------------------------------------------- of a room


def test_a_report_says_what_the_ballots_say(world):
    g = Group(world, members=3, titles=4, votes=YES_NO, secret=False)
    learn(world)
    shown = report(world, g)
    assert [m.user_id for m in shown.members] == g.users[:3]
    assert [m.votes for m in shown.members] == [3, 3, 0]
    assert [m.participation for m in shown.members] == [0.75, 0.75, 0]
    assert [m.yes_rate for m in shown.members] == [0.6667, 0.3333, None]
    assert (shown.votes, shown.yes_rate, shown.hidden) == (6, 0.5, False)
    pairs = {pair.user_ids: (pair.titles, pair.same, pair.rate) for pair in shown.agreement}
    ana, ben, eve = g.users
    assert pairs == {
        (ana, ben): (3, 2, 0.6667),
        (ana, eve): (0, 0, None),
        (ben, eve): (0, 0, None),
    }
    assert sum(part.votes for part in shown.over_time) == 6
    assert shown.slice_minutes == 1


def test_a_report_of_an_evening_agrees_with_its_ballots(world):
    evening = spend(world)
    learn(world)
    g = evening.friends
    room = g.state(world)
    shown = report(world, g)
    ballots = world.table.query(keys.room_pk(g.room), prefix=keys.BALLOT).items
    votes = [vote for item in ballots for vote in votes_of(item).items() if vote[0] in room.present]
    assert shown.votes == len(votes) > 10
    for member in shown.members:
        mine = [choice for user, choice in votes if user == member.user_id]
        assert member.votes == len(mine)
        assert member.yes_rate in (None, round(sum(map(likes, mine)) / max(1, len(mine)), 4))
    assert shown.matches == room.match_count


def test_the_way_to_the_first_match_is_told(world):
    g = Group(world, members=2, stop_at="never")
    opened = world.clock.now()
    world.vote(g.users[0], g.room, 0, "no")
    world.clock.advance(5 * MINUTE)
    world.vote(g.users[0], g.room, 1)
    world.vote(g.users[1], g.room, 1)
    learn(world, [shifted(event, opened) for event in told(world)])
    shown = report(world, g)
    assert (shown.matches, shown.ms_to_first_match) == (1, 5 * MINUTE)
    assert shown.votes_to_first_match == 3


def shifted(event: DomainEvent, at: int) -> DomainEvent:
    """Return an event whose votes were cast by the clock of the test, not that of the feed."""
    votes = [{**vote, "at": at} for vote in event.data.get("votes", ())]
    data = {**event.data, "votes": votes} if votes else event.data
    return msgspec.structs.replace(event, data=data)


def test_a_room_in_which_nothing_happened_yet_has_a_report(world):
    g = Group(world, members=1)
    shown = report(world, g)
    assert (shown.votes, shown.matches, shown.over_time, shown.agreement) == (0, 0, [], [])
    assert shown.first_match_at is shown.ms_to_first_match is None
    assert ask(world, g.room, g.users[0], "text/csv").body.startswith(b"measure,")


def test_who_is_not_in_the_room_gets_no_report(world):
    g = Group(world, members=2, others=1)
    with pytest.raises(NotAMember):
        report(world, g, 2)
    with pytest.raises(RoomNotFound):
        ask(world, "nowhere", g.users[0])


# ------------------------------------------------------------------------------- what is secret


def hidden(shown: Any) -> bool:
    """Tell whether nothing is told that a vote could be made out from."""
    told = [shown.yes_rate, shown.slice_minutes, *shown.agreement, *shown.over_time]
    told += [member.yes_rate for member in shown.members]
    return shown.hidden and not any(value is not None for value in told)


def test_while_a_secret_room_is_at_it_a_report_tells_of_no_vote(world):
    g = Group(world, members=2, titles=4, votes=YES_NO, stop_at="never")
    learn(world)
    shown = report(world, g)
    assert hidden(shown)
    assert [m.votes for m in shown.members] == [3, 3]  # members see that anyway
    content = ask(world, g.room, g.users[0], "text/csv").body.decode()
    assert "yes" not in content
    assert "agreement" not in content


@pytest.mark.parametrize("end", ["decided", "closed", "complete", "expired"])
def test_when_a_secret_room_has_come_to_an_end_all_of_it_is_told(world, end):
    stop_at = "first" if end == "decided" else "never"
    g = Group(world, members=2, titles=4, votes=YES_NO if end != "decided" else {}, stop_at=stop_at)
    if end == "decided":
        world.vote(g.users[0], g.room, 1)
        world.vote(g.users[1], g.room, 1)
    if end == "closed":
        world.update(g.users[0], g.room, state="closed")
    if end == "complete":
        for user in g.users:
            world.vote(user, g.room, 3, "no")
    if end == "expired":
        world.clock.advance(8 * DAY)
    learn(world)
    shown = report(world, g)
    assert not shown.hidden
    assert shown.agreement
    assert shown.over_time
    assert shown.yes_rate is not None


def test_a_secret_room_that_is_opened_again_hides_again(world):
    g = Group(world, members=2, titles=4, votes={0: {1: "yes"}, 1: {1: "yes"}})
    learn(world)
    assert not report(world, g).hidden
    world.update(g.users[0], g.room, state="open")
    assert hidden(report(world, g))


# -------------------------------------------------------------------------------- of a person


def mine(world: World, user: str) -> Any:
    return world.call(my_report, None, user)


def test_my_taste_counts_what_i_say_by_now_in_all_rooms(world):
    g = Group(world, members=2, titles=4, votes=YES_NO, secret=False, stop_at="never")
    other = Group(world, members=1)
    world.join(g.users[0], other.code)
    world.vote(g.users[0], other.room, 0, "no")
    world.vote(g.users[0], g.room, 0, "no")
    world.undo(g.users[0], g.room, 1)
    learn(world)
    shown = mine(world, g.users[0])
    assert (shown.rooms, shown.votes, shown.yes_rate) == (2, 3, 0.0)
    assert [(t.name, t.votes, t.yes) for t in shown.genres] == [("Drama", 3, 0)]


def test_my_taste_outlives_the_room(world):
    g = Group(world, members=2, titles=4, votes=YES_NO, secret=False, stop_at="never")
    learn(world)
    before = mine(world, g.users[0])
    world.call(delete_room, DeleteRoom(room_id=g.room), g.users[0])
    world.blobs.content.clear()  # its deck is removed with it
    learn(world)
    after = mine(world, g.users[0])
    assert before.agreement
    assert not after.agreement  # whoever that was, one does not meet here any more
    assert msgspec.structs.replace(after, agreement=before.agreement) == before


def test_whom_i_agree_with_comes_first_and_a_secret_room_tells_nothing(world):
    votes = {0: {0: "yes", 1: "no"}, 1: {0: "no", 1: "no"}, 2: {0: "super", 1: "veto"}}
    g = Group(world, members=3, titles=4, votes=votes, stop_at="never")
    learn(world)
    assert mine(world, g.users[0]).agreement == []
    world.update(g.users[0], g.room, state="closed")
    peers = mine(world, g.users[0]).agreement
    assert [(p.user_id, p.name, p.titles, p.same, p.rate) for p in peers] == [
        (g.users[2], "User 2", 2, 2, 1.0),
        (g.users[1], "User 1", 2, 1, 0.5),
    ]


def test_who_never_voted_has_an_empty_report(world):
    shown = mine(world, world.guest())
    assert (shown.rooms, shown.votes, shown.genres, shown.agreement) == (0, 0, [], [])
    assert shown.yes_rate is None


# ----------------------------------------------------------------------------------- of a day


def test_days_count_their_rooms(world):
    spend(world)
    learn(world)
    events = told(world)
    rooms = {room.opened_at: room for room in kept.of_day(world.table, utc_day(NOON))}
    opened = {e.data["roomId"]: e.data["at"] for e in events if e.type == "RoomOpened"}
    assert sorted(rooms) == sorted(opened.values())
    for room, at in opened.items():
        ours = [event for event in events if event.data.get("roomId") == room]
        joined = {e.data["userId"] for e in ours if e.type == "MemberJoined"}
        matched = [e.data["at"] for e in ours if e.type == "MatchFound"]
        assert rooms[at].members == len(joined)
        assert rooms[at].matched_at == min(matched, default=None)


# ---------------------------------------------------------------------- from the archive, again


def kept_items(world: World) -> dict[Any, Any]:
    """Return all that the consumer keeps."""
    ours = ("REPORT#", "DAY#")
    found = {}
    for key in world.every_key():
        if key.pk.startswith(ours) or key.sk.startswith(keys.TASTE):
            item = world.table.get(key)
            found[key] = {n: v for n, v in item.items() if n not in ("rev", "cause")}
    return found


@pytest.mark.parametrize("seed", range(3))
def test_what_is_made_anew_from_the_archive_equals_what_was_kept_live(
    world: World, tmp_path: Path, seed: int
) -> None:
    archive, chance = MemoryArchive(), random.Random(seed)
    evening: Evening = spend(world)
    events = told(world)
    # Live: as things happened, some of them twice, in small batches that may come early.
    waiting = list(events)
    while waiting:
        some = [*waiting[:9], *chance.sample(events, 2)]
        del waiting[:9]
        files.write(archive, some)
        try:
            learn(world, some)
        except NotOpenedYet:
            waiting += some
    live = kept_items(world)
    assert {key.pk.partition("#")[0] for key in live} == {"REPORT", "DAY", "USER"}
    for key in live:
        world.table.delete(key)
    assert kept_items(world) == {}
    for date in files.days(archive):
        files.compact(archive, date)
        learn(world, files.read(archive, date))
    assert kept_items(world) == live
    assert evening.gone not in msgspec.json.encode(list(live.values())).decode()


# ------------------------------------------------------------------------------ who is forgotten


def test_of_who_removed_his_account_nothing_is_left_in_what_is_kept(world):
    g = Group(world, members=3, titles=4, votes={**YES_NO, 2: {0: "yes"}}, secret=False)
    early = told(world)
    learn(world, early)
    gone = g.users[0]
    assert [k for k in kept_items(world) if gone in k.pk]
    world.call(delete_me, None, gone)
    learn(world)
    learn(world, early)  # and what was told before comes once more
    assert [k for k, item in kept_items(world).items() if gone in f"{k} {item}"] == []
    assert [m.user_id for m in report(world, g, 1).members] == g.users[1:]


def test_votes_that_come_before_their_room_come_again(world):
    g = Group(world, members=2, titles=4, votes=YES_NO, stop_at="never")
    world.call(delete_room, DeleteRoom(room_id=g.room), g.users[0])
    events = told(world)
    votes = [event for event in events if event.type == "VoteCast"]
    with pytest.raises(NotOpenedYet):
        learn(world, votes)
    learn(world, events)
    assert mine(world, g.users[0]).votes == 3


def test_a_report_of_a_room_costs_one_query_and_two_more_where_there_is_more_to_see(world):
    plain = Group(world, members=3, titles=4, votes=YES_NO, secret=False)
    secret = Group(world, members=2, titles=4, votes={0: {1: "yes"}, 1: {1: "yes"}}, stop_at=3)
    learn(world)
    for g, expected in ((plain, ["query"]), (secret, ["query", "query", "query"])):
        calls: list[str] = []

        class Counted:
            def __getattr__(self, name: str, calls: list[str] = calls) -> Any:
                calls.append(name)
                return getattr(world.table, name)

        reports.of_room(Counted(), world.blobs, g.state(world), world.clock.now())
        assert calls == expected


@pytest.mark.parametrize("step", range(1, 4))
def test_two_who_write_the_same_room_at_once_lose_nothing(world, step):
    room = spend(world).friends.room
    events = [event for event in told(world) if event.data.get("roomId") == room]
    half = len(events) // 2

    class Interrupted:
        """A table before whose nth write somebody else takes in the other half."""

        left = step

        def __getattr__(self, name: str) -> Any:
            return getattr(world.table, name)

        def transact(self, actions: Any) -> None:
            self.left -= 1
            if self.left == 0:
                learn(world, events[half:])
            world.table.transact(actions)

    table = Interrupted()
    for event in events[:half]:
        if event.type in WANTED:
            analyse([event], table=table, **ports(world))
    assert table.left < 0
    at_once = kept_items(world)
    for key in at_once:
        world.table.delete(key)
    learn(world, events)
    assert kept_items(world) == at_once


def test_more_voters_than_one_write_takes_are_all_counted(world):
    g = Group(world, members=kept.MOST_VOTERS * 2 + 1, capacity=100, secret=False)
    for user in g.users:
        world.vote(user, g.room, 0, "no")
    events = told(world, batch=1000)
    assert max(len(event.data.get("votes", ())) for event in events) == len(g.users)
    learn(world, events)
    shown = report(world, g)
    assert (shown.votes, len(shown.members)) == (len(g.users), len(g.users))


def test_what_is_known_already_writes_nothing(world):
    spend(world)
    events = told(world)
    learn(world, events)
    seq = world.store.last_seq
    learn(world, events)
    assert world.store.last_seq == seq
