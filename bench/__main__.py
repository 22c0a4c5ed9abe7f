"""Measure Trinity beside PocketBase: `python -m bench`. See bench/README.md."""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import durability, fanout, layers, machine, reads, startup, votes
from bench.pocketbase import PocketBase
from bench.report import goals, print_report
from bench.server import BenchError
from bench.targets import VOTES_PER_ROOM, Seeds, Target
from bench.trinity import BusyTrinity, Trinity

TARGETS = ("trinity", "trinity_busy", "pocketbase", "pocketbase_full")
SECTIONS = ("durability", "startup", "votes", "reads", "layers", "fanout")
VOTES_PER_SECOND_AT_MOST = 15_000


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Trinity's embedded host beside PocketBase. JSON on stdout, tables on "
        "stderr. Exits with 1 if a run failed; a missed goal is no failure.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all runs (default 5)")
    parser.add_argument("--duration", type=int, default=8, help="seconds per run (default 8)")
    parser.add_argument(
        "--connections", type=numbers, default=[1, 16, 64], help="default 1,16,64", metavar="N,N"
    )
    parser.add_argument(
        "--targets",
        type=names,
        default=["trinity", "pocketbase", "pocketbase_full"],
        help="default trinity,pocketbase,pocketbase_full",
        metavar="NAME,NAME",
    )
    parser.add_argument(
        "--only", type=names, default=list(SECTIONS), help=f"of {','.join(SECTIONS)}"
    )
    parser.add_argument(
        "--rooms",
        type=int,
        help=f"rooms to seed, {VOTES_PER_ROOM} votes each (default: enough for "
        f"{VOTES_PER_SECOND_AT_MOST} votes/s)",
    )
    parser.add_argument(
        "--pocketbase-tally",
        choices=("hook", "none"),
        default="hook",
        help="none: spare PocketBase the counting that Trinity does (default hook)",
    )
    parser.add_argument("--random-seed", type=int, default=1, help="of order and votes (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON here instead")
    options = parser.parse_args()
    for name, chosen, known in (
        ("--only", options.only, SECTIONS),
        ("--targets", options.targets, TARGETS),
    ):
        if unknown := set(chosen) - set(known):
            parser.error(f"{name}: {', '.join(sorted(unknown))} is none of {', '.join(known)}")
    if options.rooms is None:
        total = (options.duration + votes.WARM_UP_SECONDS) * VOTES_PER_SECOND_AT_MOST
        options.rooms = math.ceil(total / VOTES_PER_ROOM)
    return options


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    return text.split(",")


def main() -> int:
    options = parse()
    # so that `finally` ends the servers when the benchmark itself is told to end
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = 130  # a log file has no width of its own
    work = Path(tempfile.mkdtemp(prefix="trinity-bench-"))
    try:
        results = run(options, work, console)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print_report(results, console)
    text = json.dumps(results, indent=1)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")
    else:
        print(text)
    return 1 if results["failures"] else 0


def run(options: argparse.Namespace, work: Path, console: Console) -> dict[str, Any]:
    known: list[Target] = [
        Trinity(),
        BusyTrinity(),
        PocketBase(options.pocketbase_tally),
        PocketBase(options.pocketbase_tally, full=True),
    ]
    targets = [target for target in known if target.name in options.targets]
    shuffle = random.Random(options.random_seed)
    seeds = Seeds(work, options.rooms)
    failures: list[str] = []
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "options": {name: value for name, value in vars(options).items() if name not in ("json",)},
    }

    def say(line: str) -> None:
        console.print(line, highlight=False)

    if "durability" in options.only:
        results["durability"] = []
        for target in targets:
            try:
                row = durability.measure(target, seeds, work, shuffle)
            except BenchError as error:
                row = {"target": target.name, "claims": target.durability, "error": str(error)}
            if row.get("syncs_per_vote", 1.0) < 1.0 and "FULL" in target.durability:
                failures.append(f"{target.name} claims {target.durability} and does not sync")
            results["durability"].append(row)
            say(f"durability {target.name}: {row.get('syncs_per_vote', row.get('error'))}")
    if "startup" in options.only:
        results["startup"] = startup.measure(targets, seeds)
    if "votes" in options.only:
        runs = votes.measure(
            targets,
            seeds,
            work,
            connections=options.connections,
            rounds=options.rounds,
            seconds=options.duration,
            shuffle=shuffle,
            say=say,
        )
        failures += [votes.told(run) for run in runs if run["error"]]
        results["votes"] = {
            "runs": runs,
            "summary": votes.summarise(runs),
            "ratios": votes.ratios(runs),
        }
    if "reads" in options.only and "trinity" in options.targets:
        runs = reads.measure(
            targets[0],
            seeds,
            work,
            connections=options.connections,
            rounds=min(options.rounds, 3),
            seconds=min(options.duration, 4),
            shuffle=shuffle,
            say=say,
        )
        failures += [votes.told(run) for run in runs if run["error"]]
        results["reads"] = {"runs": runs, "summary": votes.summarise(runs)}
    if "layers" in options.only and "trinity" in options.targets:
        try:
            results["layers"] = layers.measure(targets[0], seeds, work, shuffle)
        except BenchError as error:
            results["layers"] = {"error": str(error)}
            failures.append(f"layers: {error}")
    if "fanout" in options.only:
        runs = fanout.measure(
            options.targets,
            work,
            tally=options.pocketbase_tally,
            rounds=min(options.rounds, 3),
            seconds=min(options.duration, 4),
            shuffle=shuffle,
            say=say,
        )
        failures += [fanout.told(run) for run in runs if run["error"]]
        results["fanout"] = {
            "runs": runs,
            "summary": fanout.summarise(runs),
            "ratios": fanout.ratios(runs),
        }
    results["goals"] = goals(results)
    results["failures"] = failures
    return results


if __name__ == "__main__":
    sys.exit(main())
