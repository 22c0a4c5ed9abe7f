"""Measure functions as Lambda runs them: `python -m bench.cold`. See bench/README.md."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from deploy.artefacts import HERE, build
from deploy.stages import CRITICAL
from rich.console import Console
from rich.table import Table

from bench.cold.environment import Environment, Program
from bench.cold.evening import Evening
from bench.cold.installed import installed
from bench.cold.programs import EMPTY, function, powertools
from bench.machine import describe
from deploy import ministack

_SIGN = ("guest", "login")
_EARLY = 5
"""Requests after the first one that are not counted: the interpreter is still warming up."""


class Run(NamedTuple):
    """One environment, with the empty one that was started right before it."""

    init_s: float
    empty_s: float
    first_s: float
    warm_s: float
    rss_mb: float


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cold",
        description="Measure what functions cost at their start and after it, under awslambdaric, "
        "beside an empty one and one of boto3, Powertools and pydantic. A table on stderr, JSON on "
        "stdout.",
    )
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (default 15)")
    parser.add_argument("--warm", type=int, default=50, help="requests of each start (default 50)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON here instead")
    return parser.parse_args()


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="trinity-cold-") as folder:
        results = measure(Path(folder), options.rounds, options.warm)
    show(results, Console(stderr=True))
    text = json.dumps(results, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print(text)
    return 0


def measure(work: Path, rounds: int, warm: int) -> dict[str, Any]:
    runtime = installed("lambda")
    artefacts = build(HERE, to=work)
    (work / "ministack").mkdir()
    with ministack.running(work / "ministack") as url:
        evening = Evening(url)
        peers = [powertools(evening.environment, traced=traced) for traced in (True, False)]
        programs = [EMPTY, *peers]
        for name in (*CRITICAL, *_SIGN):
            programs.append(function(name, artefacts, work / HERE.name, work, evening.environment))
        modules = {p.name: count_modules(p, evening, runtime, work) for p in programs}
        runs: dict[str, list[Run]] = {program.name: [] for program in programs}
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for program in programs:
                runs[program.name].append(run(program, evening, runtime, warm))
    nothing = statistics.median(one.warm_s for one in runs["empty"])
    return {
        "machine": describe(),
        "rounds": rounds,
        "functions": {
            name: {
                "init_ms": round(1e3 * statistics.median(one.init_s for one in those), 1),
                "init_x_empty": round(
                    statistics.median(one.init_s / one.empty_s for one in those), 2
                ),
                "init_x_empty_of_minima": round(
                    min(one.init_s for one in those) / min(one.empty_s for one in those), 2
                ),
                "first_ms": round(1e3 * statistics.median(one.first_s for one in those), 1),
                "warm_us_over_empty": round(
                    1e6 * (statistics.median(one.warm_s for one in those) - nothing)
                ),
                "modules": modules[name],
                "rss_mb": round(max(one.rss_mb for one in those), 1),
            }
            for name, those in runs.items()
        },
    }


def work_of(program: Program) -> str:
    """The operation whose events a program gets: the empty one and the peers get votes."""
    return program.name if program.name in (*CRITICAL, *_SIGN) else "cast_votes"


def count_modules(program: Program, evening: Evening, runtime: Path, work: Path) -> int:
    """Modules after the first request."""
    names = work / "modules"
    with Environment(program, runtime, modules=names) as environment:
        environment.invoke(evening.events(work_of(program))[0])
    return len(names.read_text().split())


def run(program: Program, evening: Evening, runtime: Path, warm: int) -> Run:
    first, *others = evening.events(work_of(program), 1 + _EARLY + warm)
    with Environment(EMPTY, runtime) as environment:
        empty = environment.cpu_s()
    with Environment(program, runtime) as environment:
        init = environment.cpu_s()
        answer(environment, first)
        started = environment.cpu_s()
        for event in others[:_EARLY]:
            answer(environment, event)
        before = environment.cpu_s()
        for event in others[_EARLY:]:
            answer(environment, event)
        spent = environment.cpu_s() - before
        return Run(init, empty, started - init, spent / warm, environment.rss_mb())


def answer(environment: Environment, event: dict[str, Any]) -> None:
    response = environment.invoke(event)
    if response["statusCode"] >= 300:
        raise RuntimeError(f"a function answered {response}")


def show(results: dict[str, Any], console: Console) -> None:
    if not console.is_terminal:
        console.width = 120
    table = Table(title=f"CPU time, medians of {results['rounds']} starts")
    table.add_column("function")
    for title in ("init ms", "x empty", "of minima", "first ms", "warm µs", "modules", "RSS MB"):
        table.add_column(title, justify="right")
    for name, row in results["functions"].items():
        table.add_row(name, *map(str, row.values()))
    console.print(table)
    console.print("warm: over the empty function. modules: loaded after the first request.")


if __name__ == "__main__":
    sys.exit(main())
