"""From one vote to everybody in the room: deliveries per second and their latency."""

from __future__ import annotations

import random
import statistics
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from bench import audience
from bench.audience import AppSyncSubscriber, Audience, Heard, Room, SseSubscriber, Subscriber
from bench.machine import Snapshot, tree_rss_mib
from bench.pocketbase import MEMBER_VOTES_AS_HIMSELF, PocketBase
from bench.server import BenchError, Client, Server
from bench.targets import DECK, MEMBERS, Seat, Seed, Seeds, Target
from bench.trinity import Trinity

PUBLISHERS = 8
OFFERED_PER_SECOND = 20
WARM_UP_SECONDS = 0.3
DRAIN_SECONDS = 5.0
WATCHED = 100
LARGEST_ROOM = 100
BUSY_PERCENT = 15.0
Say = Callable[[str], None]


class Shape(NamedTuple):
    """How many rooms, and how many connections follow each."""

    rooms: int
    each: int

    @property
    def members(self) -> int:
        """A room has at most 100 members; from there on they have several devices each."""
        return max(MEMBERS, min(self.each, LARGEST_ROOM))

    def __str__(self) -> str:
        return f"{self.rooms} x {self.each}"


SHAPES = (Shape(1, 200), Shape(1, 1000), Shape(200, 5))
LOADS = ("closed", "offered")


class Followed(Target):
    """A target whose rooms can be followed."""

    def sized(self, members: int) -> Followed:
        self.members = members
        return self

    def connect(self, server: Server, seed: Seed, shape: Shape) -> list[Subscriber]:
        """Everybody follows his room: member by member, and again from the first."""
        poster = Client(server.port)
        by_room: dict[str, list[Seat]] = {}
        for seat in seed.seats:
            by_room.setdefault(seat.room, []).append(seat)
        followers = []
        for id in seed.rooms:
            room, seats = Room(id), by_room[id]
            for number in range(shape.each):
                seat = seats[number % len(seats)]
                followers.append(self.follow(room, server.port, seat, poster))
        return followers

    @abstractmethod
    def follow(self, room: Room, port: int, seat: Seat, poster: Client) -> Subscriber: ...


class FollowedTrinity(Trinity, Followed):
    """One yes is a match, and a match is an event that is never coalesced."""

    room: ClassVar[dict[str, Any]] = {
        "stopAt": "never",
        "rule": {"kind": "atLeast", "count": 1},
        "capacity": LARGEST_ROOM,
    }

    def follow(self, room: Room, port: int, seat: Seat, poster: Client) -> Subscriber:
        return AppSyncSubscriber(room, port, seat)


class FollowedPocketBase(PocketBase, Followed):
    """`pocketbase`: filtered record subscriptions. `pocketbase_topic`: a hook's own topic."""

    who_reads_votes = MEMBER_VOTES_AS_HIMSELF.replace(" && user = @request.auth.id", "")

    def __init__(self, tally: str, *, topic: bool) -> None:
        super().__init__(tally)
        self.topic = topic
        if topic:
            self.name = "pocketbase_topic"

    def env(self, data: Path, port: int) -> dict[str, str]:
        return {**super().env(data, port), "BENCH_TOPIC": "on" if self.topic else "off"}

    def follow(self, room: Room, port: int, seat: Seat, poster: Client) -> Subscriber:
        name = audience.custom_topic(room.id) if self.topic else audience.record_topic(room.id)
        return SseSubscriber(room, port, seat, name, poster)


def targets(names: list[str], tally: str, members: int) -> list[Followed]:
    """Those that the names of the other sections stand for."""
    chosen: list[Followed] = []
    if "trinity" in names:
        chosen.append(FollowedTrinity())
    if "pocketbase" in names:
        chosen += [FollowedPocketBase(tally, topic=topic) for topic in (False, True)]
    return [target.sized(members) for target in chosen]


def measure(
    names: list[str],
    work: Path,
    *,
    tally: str,
    rounds: int,
    seconds: float,
    shuffle: random.Random,
    say: Say,
) -> list[dict[str, Any]]:
    """Every target once per round, shape and load, neighbours in time, in random order."""
    audience.allow_many_files()
    followed = {shape: targets(names, tally, shape.members) for shape in SHAPES}
    seeds = {}
    for shape in SHAPES:
        folder = work / f"fanout-{shape.rooms}x{shape.each}"
        folder.mkdir()
        seeds[shape] = Seeds(folder, shape.rooms)
    runs = []
    for number in range(1, rounds + 1):
        for shape in shuffle.sample(SHAPES, len(SHAPES)):
            for load in shuffle.sample(LOADS, len(LOADS)):
                for target in shuffle.sample(followed[shape], len(followed[shape])):
                    run: dict[str, Any] = {
                        "target": target.name,
                        "rooms": str(shape),
                        "load": load,
                        "round": number,
                        "error": None,
                    }
                    try:
                        run |= one_run(target, seeds[shape], shape, load, seconds)
                    except (BenchError, OSError) as error:
                        run["error"] = f"{type(error).__name__}: {error}"
                    runs.append(run)
                    say(told(run))
    return runs


def one_run(
    target: Followed, seeds: Seeds, shape: Shape, load: str, seconds: float
) -> dict[str, Any]:
    """Fresh server, fresh data; connect everybody, warm up, then the load.

    Raises:
        BenchError: a subscriber missed an event, read one twice, out of order, or something else.
    """
    with seeds.fresh(target, 60 + seconds) as (seed, data), target.running(data) as server:
        target.check(Client(server.port), data)
        subscribers = target.connect(server, seed, shape)
        events = votes(target, seed, subscribers, shape)
        with closing(
            Audience(server.port, subscribers, events, WATCHED * shape.rooms)
        ) as listening:
            listening.closed_loop(PUBLISHERS, WARM_UP_SECONDS)
            before, own = Snapshot.take(server.pid), time.process_time()
            if load == "closed":
                heard = listening.closed_loop(PUBLISHERS, seconds)
            else:
                heard = listening.offered(OFFERED_PER_SECOND, seconds, DRAIN_SECONDS)
            own = time.process_time() - own
            usage = before.until(Snapshot.take(server.pid))
            rss = tree_rss_mib(server.pid)
            if heard.missing and isinstance(target, FollowedTrinity):
                raise BenchError(f"{heard.missing} deliveries had not come in time")
            return {
                **as_row(heard),
                "cpu_us_per_delivery": round(1e6 * usage.server_cpu_seconds / heard.deliveries, 2),
                "rss_mib": rss,
                "client_core_percent": round(100 * own / usage.wall_seconds, 1),
                "others_cpu_percent": usage.others_cpu_percent,
                "steal_percent": usage.steal_percent,
                "server_cpu_seconds": usage.server_cpu_seconds,
                "out_of_order": sum(each.out_of_order for each in subscribers),
            }


def votes(
    target: Target, seed: Seed, subscribers: list[Subscriber], shape: Shape
) -> list[audience.Event]:
    """A yes for every title of every room, each by one member; room by room in turn."""
    rooms = list({id(each.room): each.room for each in subscribers}.values())
    seats: dict[str, list[Seat]] = {}
    for seat in seed.seats:
        seats.setdefault(seat.room, []).append(seat)
    made = []
    for number in range(DECK):
        for place, room in enumerate(rooms):
            seat = seats[room.id][number % len(seats[room.id])]
            title = seed.titles[room.id][number]
            made.append((place, title, *target.vote(seat, title, "yes"), seat.token))
    return audience.numbered(rooms, made, shape.each)


def as_row(heard: Heard) -> dict[str, Any]:
    """One flat JSON object of a run."""
    if not heard.latencies:
        raise BenchError("nothing was delivered")

    def ms(values: list[float], share: float) -> float | None:
        place = min(len(values) - 1, int(share * len(values)))
        return round(1000 * values[place], 3) if values else None

    return {
        "seconds": round(heard.seconds, 3),
        "events": heard.events,
        "deliveries": heard.deliveries,
        "missing": heard.missing,
        "delivered_percent": round(100 * heard.deliveries / (heard.deliveries + heard.missing), 1),
        "per_second": round(heard.deliveries / heard.seconds, 1),
        "p50_ms": ms(heard.latencies, 0.5),
        "p99_ms": ms(heard.latencies, 0.99),
        "max_ms": ms(heard.latencies, 1.0),
        "last_p50_ms": ms(heard.last_latencies, 0.5),
        "stamps": len(heard.latencies),
    }


def told(run: dict[str, Any]) -> str:
    """One line of progress."""
    head = f"round {run['round']}  {run['rooms']:<8} {run['load']:<7} {run['target']:<16}"
    if run["error"]:
        return f"{head} FAILED: {run['error']}"
    noise = "  NOISY" if run["others_cpu_percent"] > BUSY_PERCENT else ""
    late = f"  only {run['delivered_percent']} % came in time" if run["missing"] else ""
    return (
        f"{head} {run['per_second']:>9,.0f}/s  p50 {run['p50_ms']:.1f}  p99 {run['p99_ms']:.1f} ms"
        f"  cpu {run['cpu_us_per_delivery']:.1f} us  client {run['client_core_percent']:.0f} %"
        f"  others {run['others_cpu_percent']:.0f} %{noise}{late}"
    )


SUMMARISED = (
    "per_second",
    "p50_ms",
    "p99_ms",
    "last_p50_ms",
    "cpu_us_per_delivery",
    "rss_mib",
    "delivered_percent",
    "client_core_percent",
    "others_cpu_percent",
)


def grouped(runs: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """By shape and load, in the order of SHAPES and LOADS."""
    groups = {(str(shape), load): [] for shape in SHAPES for load in LOADS}
    for run in runs:
        groups[run["rooms"], run["load"]].append(run)
    return groups


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians per shape, load and target."""
    rows = []
    for (rooms, load), group in grouped(runs).items():
        for target in sorted({run["target"] for run in group}):
            ours = [run for run in group if run["target"] == target]
            good = [run for run in ours if not run["error"]]
            row: dict[str, Any] = {
                "rooms": rooms,
                "load": load,
                "target": target,
                "runs": len(good),
                "failed": len(ours) - len(good),
                "noisy": sum(run["others_cpu_percent"] > BUSY_PERCENT for run in good),
            }
            for name in SUMMARISED:
                values = [run[name] for run in good if run[name] is not None]
                row[name] = round(statistics.median(values), 3) if values else None
            rows.append(row)
    return rows


def ratios(runs: list[dict[str, Any]], ours: str = "trinity") -> list[dict[str, Any]]:
    """Ours divided by each other's, within a round; the median over the rounds, and all of them."""
    rows = []
    for (rooms, load), group in grouped(runs).items():
        good = {(run["round"], run["target"]): run for run in group if not run["error"]}
        for other in sorted({run["target"] for run in group} - {ours}):
            pairs = [
                (mine, good[number, other])
                for (number, target), mine in sorted(good.items())
                if target == ours and (number, other) in good
            ]
            if not pairs:
                continue
            row: dict[str, Any] = {
                "rooms": rooms,
                "load": load,
                "of": ours,
                "to": other,
                "rounds": len(pairs),
            }
            for name in ("per_second", "p50_ms", "p99_ms", "cpu_us_per_delivery", "rss_mib"):
                values = [mine[name] / theirs[name] for mine, theirs in pairs]
                row[name] = round(statistics.median(values), 3)
                row[f"{name}_rounds"] = [round(value, 3) for value in values]
            rows.append(row)
    return rows
