"""Results for people: tables and goals. Programs read the JSON."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def goals(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What Trinity means to reach, beside what was measured; `met` is None if that is nothing."""

    def ratio(connections: int, name: str) -> float | None:
        return next(
            (
                row[name]
                for row in results.get("votes", {}).get("ratios", [])
                if row["connections"] == connections and row["to"] == "pocketbase"
            ),
            None,
        )

    def cpu(connections: int) -> float | None:
        return next(
            (
                row["cpu_us_per_request"]
                for row in results.get("votes", {}).get("summary", [])
                if row["connections"] == connections and row["target"] == "trinity"
            ),
            None,
        )

    def syncs(target: str) -> float | None:
        return next(
            (
                row.get("syncs_per_vote")
                for row in results.get("durability", [])
                if row["target"] == target
            ),
            None,
        )

    def fanout(part: str, load: str, target: str, name: str) -> float | None:
        return next(
            (
                row[name]
                for row in results.get("fanout", {}).get(part, [])
                if (row["rooms"], row["load"]) == ("1 x 1000", load)
                and target == row.get("to", row.get("target"))
            ),
            None,
        )

    record, topic = "pocketbase", "pocketbase_topic"
    wanted = [
        ("votes/s at 64 connections, of pocketbase's", ratio(64, "per_second"), ">=", 4.0),
        ("votes/s at 16 connections, of pocketbase's", ratio(16, "per_second"), ">=", 3.0),
        ("p99 at 64 connections, of pocketbase's", ratio(64, "p99_ms"), "<=", 0.35),
        ("p99 at 16 connections, of pocketbase's", ratio(16, "p99_ms"), "<=", 0.35),
        ("server CPU per vote at 64 connections, us", cpu(64), "<=", 200.0),
        ("syncs per serial vote, trinity", syncs("trinity"), ">=", 1.0),
        ("syncs per serial vote, pocketbase_full", syncs("pocketbase_full"), ">=", 1.0),
        (
            "deliveries/s to 1,000, of pocketbase's records",
            fanout("ratios", "closed", record, "per_second"),
            ">=",
            15.0,
        ),
        (
            "deliveries/s to 1,000, of pocketbase's topic",
            fanout("ratios", "closed", topic, "per_second"),
            ">=",
            3.0,
        ),
        (
            "p99 to 1,000 at 20 votes/s, of pocketbase's topic",
            fanout("ratios", "offered", topic, "p99_ms"),
            "<=",
            1.0,
        ),
        (
            "server CPU per delivery to 1,000, closed loop, us",
            fanout("summary", "closed", "trinity", "cpu_us_per_delivery"),
            "<=",
            20.0,
        ),
        (
            "server CPU per delivery to 1,000 at 20 votes/s, us",
            fanout("summary", "offered", "trinity", "cpu_us_per_delivery"),
            "<=",
            20.0,
        ),
    ]
    return [
        {
            "goal": goal,
            "bound": f"{sign} {bound:g}",
            "measured": value,
            "met": None if value is None else (value >= bound if sign == ">=" else value <= bound),
        }
        for goal, value, sign, bound in wanted
    ]


TEXT = ("rooms", "load", "target", "layer", "claims", "error", "how")


def table(title: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> Table:
    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in columns.values():
        drawn.add_column(
            heading,
            justify="left" if heading in TEXT else "right",
            no_wrap=heading in ("rooms", "load", "target"),
        )
    for row in rows:
        drawn.add_row(*(cell(row.get(name)) for name in columns))
    return drawn


def cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return str(value)


RATE_COLUMNS = {
    "connections": "conns",
    "target": "target",
    "per_second": "per s",
    "per_second_min": "min",
    "per_second_max": "max",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "cpu_us_per_request": "cpu us",
    "rss_mib": "RSS MiB",
    "others_cpu_percent": "others %",
    "client_core_percent": "wrk core %",
    "runs": "runs",
    "noisy": "noisy",
    "failed": "failed",
}


FANOUT_COLUMNS = {
    "rooms": "rooms",
    "load": "load",
    "target": "target",
    "per_second": "per s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "last_p50_ms": "last p50",
    "delivered_percent": "came %",
    "cpu_us_per_delivery": "cpu us",
    "rss_mib": "RSS MiB",
    "client_core_percent": "client %",
    "others_cpu_percent": "others %",
    "runs": "runs",
    "noisy": "noisy",
    "failed": "failed",
}


def print_report(results: dict[str, Any], console: Console) -> None:
    if "votes" in results:
        console.print(
            table("Votes (medians over rounds)", RATE_COLUMNS, results["votes"]["summary"])
        )
        if results["votes"]["ratios"]:
            console.print(
                table(
                    "Trinity / PocketBase (medians of the ratios within a round)",
                    {
                        "connections": "conns",
                        "to": "target",
                        "per_second": "votes/s",
                        "p50_ms": "p50",
                        "p99_ms": "p99",
                        "cpu_us_per_request": "cpu",
                        "rounds": "rounds",
                    },
                    results["votes"]["ratios"],
                )
            )
    if "reads" in results:
        console.print(table("Trinity: next and join", RATE_COLUMNS, results["reads"]["summary"]))
    if "durability" in results:
        console.print(
            table(
                "Durability (strace, one vote at a time)",
                {
                    "target": "target",
                    "claims": "claims",
                    "serial_votes": "votes",
                    "syncs": "syncs",
                    "syncs_per_vote": "syncs per vote",
                    "error": "error",
                },
                results["durability"],
            )
        )
    if "startup" in results:
        console.print(
            table(
                "Start-up and idle memory (medians)",
                {
                    "target": "target",
                    "first_200_ms": "first 200, ms",
                    "cpu_ms": "cpu ms",
                    "idle_rss_mib": "idle RSS MiB",
                    "starts": "starts",
                },
                results["startup"],
            )
        )
    if "layers" in results:
        layers = results["layers"]
        if "error" in layers:
            console.print(f"Layers: {layers['error']}")
        else:
            console.print(
                table(
                    f"Where the CPU of a vote goes (us, in-process, {layers['votes']} votes)",
                    {"layer": "layer", "cpu_us": "cpu us", "how": "how"},
                    layers["layers"],
                )
            )
    if "fanout" in results:
        console.print(
            table(
                "Fan-out: deliveries (medians over rounds; rooms x subscribers of each)",
                FANOUT_COLUMNS,
                results["fanout"]["summary"],
            )
        )
        if results["fanout"]["ratios"]:
            console.print(
                table(
                    "Fan-out, Trinity / PocketBase (medians of the ratios within a round)",
                    {
                        "rooms": "rooms",
                        "load": "load",
                        "to": "target",
                        "per_second": "deliveries/s",
                        "p50_ms": "p50",
                        "p99_ms": "p99",
                        "cpu_us_per_delivery": "cpu",
                        "rss_mib": "RSS",
                        "rounds": "rounds",
                    },
                    results["fanout"]["ratios"],
                )
            )
    drawn = Table(title="Goals", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("goal", "bound", "measured", ""):
        drawn.add_column(heading)
    for goal in results["goals"]:
        met = {True: "[green]met[/]", False: "[red]missed[/]", None: "not measured"}[goal["met"]]
        drawn.add_row(goal["goal"], goal["bound"], cell(goal["measured"]), met)
    console.print(drawn)
    for failure in results["failures"]:
        console.print(f"[red]FAILED[/] {failure}", highlight=False)
