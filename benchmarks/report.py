"""What was measured, as tables, and beside it what was to be reached."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from benchmarks.worker import Job

BARE, OURS = "consume and discard", "Ticklake, durable bronze"
UNJUDGED = "dlt, unjudged Arrow"

RATIO_TARGET, COST_TARGET, PEER_TARGET = 0.40, 2.5, 5.0
FILE_TARGET, P95_TARGET_MS = 1_500_000, 1_500.0
FLAT_TARGET = 1.2  # a last tenth that costs so much more than the first is flat, give or take noise


def cost(run: Job) -> float:
    """CPU us per record."""
    return float(run["cpu_seconds"] / run["records"] * 1e6)


def targets(found: Job) -> list[Job]:
    """Every target that can be judged: `target`, `measured`, `met`, and `on` what."""
    judged: list[Job] = []
    for topic in found.get("kafka", ()):
        judged += _of_topic(topic)
    if "files" in found:
        runs = found["files"]["landed"]["parquet"].values()
        rate = sum(run["records"] for run in runs) / sum(run["cpu_seconds"] for run in runs)
        on = f"{found['files']['rows']:,} rows"
        judged.append(_at_least("Parquet rows per CPU-second", FILE_TARGET, rate, on, ",.0f"))
    if "follow" in found:
        run = found["follow"]
        on = f"{run['rate']:,.0f} records/s"
        judged.append(at_most("p95 to durable bronze, ms", P95_TARGET_MS, run["p95_ms"], on))
    if "commits" in found:
        buckets = found["commits"]["buckets"]
        growth = buckets[-1]["us_per_record"] / buckets[0]["us_per_record"]
        on = f"{sum(bucket['commits'] for bucket in buckets):,} commits"
        judged.append(at_most("last tenth of commits : first", FLAT_TARGET, growth, on, ".2f"))
    return judged


def _of_topic(topic: Job) -> Iterator[Job]:
    passes, on = topic["passes"], topic["title"]
    if BARE in passes:
        bare, ours = passes[BARE], passes[OURS]
        clock = bare["seconds"] / ours["seconds"]
        yield _at_least("(b) of (a), by CPU", RATIO_TARGET, cost(bare) / cost(ours), on, ".2f")
        yield _at_least("(b) of (a), by the clock", RATIO_TARGET, clock, on, ".2f")
        yield at_most("CPU µs per trade", COST_TARGET, cost(ours), on, ".2f")
    peers = {n: run for n, run in passes.items() if n not in (BARE, OURS) and "failed" not in run}
    if not peers or OURS not in passes:
        return
    judging = {name: run for name, run in peers.items() if name != UNJUDGED}
    for among, told in ((judging, "that judges records"), (peers, "of all, judging or not")):
        best = min(among, key=lambda name: cost(among[name]))
        times = cost(among[best]) / cost(passes[OURS])
        yield _at_least(f"times the best peer {told} ({best})", PEER_TARGET, times, on, ".1f")


def _at_least(name: str, target: float, measured: float, on: str, form: str = ",.0f") -> Job:
    met = measured >= target
    return {
        "name": name,
        "target": f">= {target:{form}}",
        "measured": f"{measured:{form}}",
        "met": met,
        "on": on,
    }


def at_most(name: str, target: float, measured: float, on: str, form: str = ",.0f") -> Job:
    met = measured <= target
    return {
        "name": name,
        "target": f"<= {target:{form}}",
        "measured": f"{measured:{form}}",
        "met": met,
        "on": on,
    }


def tables(found: Job) -> Iterator[Table]:
    """A table for each part, and one for the targets."""
    for topic in found.get("kafka", ()):
        if topic["passes"]:
            yield passes_table(topic)
        if topic["profile"]:
            yield stages_table(topic)
    if "files" in found:
        yield files_table(found["files"])
    if "follow" in found:
        yield follow_table(found["follow"])
    if "commits" in found:
        yield commits_table(found["commits"])
    yield targets_table(targets(found))


def passes_table(topic: Job) -> Table:
    """Everybody who read the topic."""
    table = _table(
        topic["title"],
        "",
        "records/s",
        "CPU µs",
        "from",
        "to",
        "system",
        "x (a)",
        "x Ticklake",
        "rejected",
        "peak MB",
    )
    passes = topic["passes"]
    for name, run in passes.items():
        if "failed" in run:
            table.add_row(name, "", "failed")
            table.caption = "\n".join(filter(None, [str(table.caption or ""), _why(name, run)]))
            continue
        table.add_row(
            name,
            f"{run['records'] / run['seconds']:,.0f}",
            f"{cost(run):.2f}",
            *(f"{seconds / run['records'] * 1e6:.2f}" for seconds in _doubts(run)),
            *(
                f"{cost(run) / cost(passes[base]):.1f}" if base in passes else ""
                for base in (BARE, OURS)
            ),
            f"{run['rejected']:,.0f}" if "rejected" in run else "",
            f"{run['peak_mb']:,.0f}",
        )
    return table


def _doubts(run: Job) -> list[float]:
    """CPU seconds of the cheapest and the dearest round, and the kernel's part."""
    return [*run["cpu_range"], run["system_seconds"]]


def _why(name: str, run: Job) -> str:
    return f"{name}: {' '.join(run['failed'].split())[-300:]}"


def stages_table(topic: Job) -> Table:
    """CPU by stage of landing."""
    profile = topic["profile"]
    table = _table(
        f"stages of landing, {topic['title']}", "", "CPU µs/record", "clock µs/record", "%"
    )
    whole = sum(cpu for name, cpu in profile["cpu"].items() if not name.startswith("("))
    for name, cpu in sorted(profile["cpu"].items(), key=lambda item: -item[1]):
        each = [seconds / profile["records"] * 1e6 for seconds in (cpu, profile["clock"][name])]
        table.add_row(name, *(f"{value:.2f}" for value in each), f"{cpu / whole:.0%}")
    table.add_row("all", f"{whole / profile['records'] * 1e6:.2f}", "", "", style="bold")
    table.caption = (
        "poll: the client and what the source does beside; files: choosing, Arrow, totals; "
        "assemble: origin and rejects; in brackets: not a part of it, for comparison"
    )
    return table


def files_table(files: Job) -> Table:
    """Rows per CPU-second by format and dataset."""
    table = _table(
        f"{files['rows']:,} rows of files to bronze ({files['scale']:g} of the full preset)",
        "", "rows", "MB", "rows/s", "rows per CPU-s", "CPU µs/row", "peak MB",
    )  # fmt: skip
    for suffix, landed in files["landed"].items():
        for dataset, run in landed.items():
            table.add_row(f"{suffix}: {dataset}", *_file_figures(run), f"{run['peak_mb']:,}")
        sums = {
            name: sum(run[name] for run in landed.values())
            for name in ("records", "mb", "seconds", "cpu_seconds")
        }
        table.add_row(f"{suffix}: all", *_file_figures(sums), "", style="bold")
    return table


def _file_figures(run: dict[str, Any]) -> list[str]:
    rates = [run["records"] / run["seconds"], run["records"] / run["cpu_seconds"]]
    return [
        f"{run['records']:,}",
        f"{run['mb']:,.1f}",
        *(f"{rate:,.0f}" for rate in rates),
        f"{cost(run):.2f}",
    ]


def follow_table(run: Job) -> Table:
    """Latency while following."""
    names = (
        "records/s",
        "commits",
        "p50",
        "p95",
        "p99",
        "max",
        "newest",
        "CPU µs/record",
        "peak MB",
    )
    title = f"ms from producer to durable bronze, {run['records']:,} trades, ingest --follow"
    table = _table(title, *names)
    table.add_row(
        f"{run['rate']:,.0f}",
        f"{run['commits']}",
        *(f"{run[name]:,.0f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms", "newest_ms")),
        f"{run['us_per_record']:.2f}",
        f"{run['peak_mb']:,}",
    )
    table.caption = (
        "newest: the median over commits of their newest record, so what landing itself takes; the "
        f"rest waits for the batch. The producer fell {run['behind_ms']:,.0f} ms behind at most"
    )
    return table


def commits_table(run: Job) -> Table:
    """Cost per record, tenth by tenth."""
    table = _table(
        f"{run['records']:,} trades in commits of {run['rows']}",
        "commits", "CPU µs/record", "CPU ms/commit", "system ms/commit", "clock ms/commit",
    )  # fmt: skip
    done = 0
    for bucket in run["buckets"]:
        figures = [bucket[name] for name in ("us_per_record", "cpu_ms", "system_ms", "clock_ms")]
        first, done = done + 1, done + bucket["commits"]
        table.add_row(f"{first:,} to {done:,}", *(f"{figure:.2f}" for figure in figures))
    table.caption = f"peak memory {run['peak_mb']:,} MB"
    return table


def targets_table(judged: list[Job]) -> Table:
    """What was to be reached."""
    table = _table("targets", "", "target", "measured", "", "on")
    for target in judged:
        met = "met" if target["met"] else "NOT MET"
        table.add_row(target["name"], target["target"], target["measured"], met, target["on"])
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    return table
