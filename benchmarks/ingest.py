"""How fast ingestion is, beside the bare client, beside others, and beside its targets.

Run: python -m benchmarks.ingest [--parts kafka,peers,files,follow,commits] [--profile] [--full]

kafka    (a) confluent-kafka consuming and discarding; (b) Ticklake to durable bronze: checked,
         committed with its positions, synced. The same trades of 141 bytes, without and with
         faults; with --full also the generator's own of 191 bytes.
peers    (c) dlt to Delta and quixstreams to Parquet, from the same topic, in an environment of
         their own; what each does and leaves undone stands in benchmarks/peers/.
files    (d) Parquet and CSV to bronze, a share of the full preset (12.2 M rows with --full).
follow   (e) from the producer to durable bronze, with `ingest --follow` at a steady pace.
commits  (f) cost per record over many small commits (10,000 with --full).

CPU is of the measured process with all its threads, librdkafka's too, and without the broker's.
Every pass has a process of its own, warmed by a few records; rounds are interleaved and medians
taken, with the range beside them. On a machine that does other things the clock suffers first, then
the kernel's share of the CPU: both stand in the tables, so that a figure can be doubted.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks import report
from benchmarks.follow import latency
from benchmarks.peers.environment import PeersMissing, peers_python
from benchmarks.topic import SHAPES, TOPIC, Filled, filled
from benchmarks.worker import Job, Worker, WorkFailed

PARTS = ("kafka", "peers", "files", "follow", "commits")
PEERS = {
    "dlt, objects": ("benchmarks.peers.dlt_to_delta", "objects"),
    "dlt, judged Arrow": ("benchmarks.peers.dlt_to_delta", "judged_arrow"),
    "dlt, unjudged Arrow": ("benchmarks.peers.dlt_to_delta", "arrow"),
    "quixstreams, filter": ("benchmarks.peers.quix_to_parquet", "filter"),
    "quixstreams, schema": ("benchmarks.peers.quix_to_parquet", "schema"),
}

Say = Callable[[str], None]


def from_kafka(asked: argparse.Namespace, folder: Path, say: Say) -> list[Job]:
    """Each shape of trades on its own broker: bare client, Ticklake, peers, profile."""
    shapes = ["faulty"] if asked.bootstrap else ["clean", "faulty"]
    shapes += ["generated"] if asked.full and not asked.bootstrap else []
    found = []
    with ExitStack() as stack:
        topics = [
            stack.enter_context(filled(SHAPES[n], asked.records, asked.bootstrap, folder / n))
            for n in shapes
        ]
        for topic in topics:
            passes: dict[str, Job] = {}
            if "kafka" in asked.parts:
                passes |= _ours(topic, asked.rounds, say)
            if "peers" in asked.parts and topic.shape.lean:
                passes |= _theirs(topic, asked.peer_rounds, say)
            profile = None
            if asked.profile:
                say(f"{topic.title}: stages")
                profile = _fresh("benchmarks.stages", do="profile", bootstrap=topic.bootstrap)
            found.append(
                {
                    "shape": topic.shape.name,
                    "title": topic.title,
                    "value_bytes": topic.value_bytes,
                    "passes": passes,
                    "profile": profile,
                }
            )
    return found


def _ours(topic: Filled, rounds: int, say: Say) -> dict[str, Job]:
    """(a) and (b) in turns."""
    runs: dict[str, list[Job]] = {report.BARE: [], report.OURS: []}
    for number in range(rounds):
        say(f"{topic.title}: round {number + 1} of {rounds}")
        runs[report.BARE].append(_discarded(topic))
        runs[report.OURS].append(_fresh("benchmarks.kafka", do="land", bootstrap=topic.bootstrap))
    for name, of in runs.items():
        for run in of:
            _complete(topic, name, run, rejected=name == report.OURS)
    return {name: medians(of) for name, of in runs.items()}


def _discarded(topic: Filled) -> Job:
    with Worker("benchmarks.kafka") as worker:
        return worker.ask(do="discard", bootstrap=topic.bootstrap)


def _theirs(topic: Filled, rounds: int, say: Say) -> dict[str, Job]:
    """(c): each way of each peer; one that fails says why instead of its figures."""
    try:
        python = peers_python()
    except PeersMissing as missing:
        return {"the peers": {"failed": str(missing)}}
    found: dict[str, list[Job]] = {}
    for _ in range(rounds):
        for name, (module, way) in PEERS.items():
            if name in found and "failed" in found[name][0]:
                continue
            say(f"{topic.title}: {name}")
            place = {"way": way, "bootstrap": topic.bootstrap, "topic": TOPIC}
            try:
                with Worker(module, python) as worker:
                    worker.ask(do="warm", **place)
                    run = worker.ask(do="load", records=topic.records, **place)
                _complete(topic, name, run, rejected=False)
            except WorkFailed as failed:
                run = {"failed": str(failed)}
            found.setdefault(name, []).append(run)
    return {name: of[0] if "failed" in of[0] else medians(of) for name, of in found.items()}


def _complete(topic: Filled, name: str, run: Job, *, rejected: bool) -> None:
    """A pass that lost records, or let through what it should not, was not that fast."""
    expected = topic.records, topic.rejected
    if run["records"] != expected[0] or (rejected and run["rejected"] != expected[1]):
        raise WorkFailed(
            f"{name}: {expected[0]} records were sent, {expected[1]} of them against the contract; "
            f"it read {run['records']} and rejected {run.get('rejected')}"
        )


def from_files(asked: argparse.Namespace, folder: Path, say: Say) -> Job:
    """(d): every dataset in both formats; one process per format."""
    from benchmarks.files import FORMATS

    say(f"files: writing {asked.scale:g} of the full preset")
    with Worker("benchmarks.files") as writer:
        written = writer.ask(do="write", folder=str(folder), scale=asked.scale)
    landed: dict[str, dict[str, Job]] = {}
    for suffix in FORMATS:
        with Worker("benchmarks.files") as worker:
            worker.ask(do="warm")
            for dataset in written["datasets"]:
                say(f"files: {dataset}.{suffix}")
                path = folder / f"{dataset}.{suffix}"
                landed.setdefault(suffix, {})[dataset] = worker.ask(do="land", path=str(path))
                path.unlink()
    return {"scale": asked.scale, "rows": written["records"], "landed": landed}


def followed(asked: argparse.Namespace, folder: Path, say: Say) -> Job:
    """(e)."""
    say(f"follow: {asked.rate:,} records/s for {asked.seconds:g} s")
    return {
        "asked_rate": asked.rate,
        "asked_seconds": asked.seconds,
        **latency(asked.bootstrap, folder, asked.rate, asked.seconds),
    }


def small_commits(asked: argparse.Namespace, say: Say) -> Job:
    """(f)."""
    say(f"commits: {asked.commits:,} of {asked.commit_rows} records")
    with Worker("benchmarks.commits") as worker:
        return worker.ask(do="commits", count=asked.commits, rows=asked.commit_rows)


def _fresh(module: str, **job: Any) -> Job:
    """A job in a process of its own that has landed a few records before."""
    with Worker(module) as worker:
        worker.ask(do="warm")
        return worker.ask(**job)


def medians(runs: list[Job]) -> Job:
    """The median of each figure over the rounds; of peak memory the highest.

    `cpu_range` are the least and most CPU seconds: far apart, they say that the median says little.
    """
    figures = {name: median(run[name] for run in runs) for name in runs[0]}
    spent = [run["cpu_seconds"] for run in runs]
    peak = max(run["peak_mb"] for run in runs)
    return {**figures, "peak_mb": peak, "cpu_range": [min(spent), max(spent)]}


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="which of them, with commas")
    parser.add_argument("--bootstrap", default="", help="a broker instead of the embedded one")
    parser.add_argument("--full", action="store_true", help="the sizes that the targets speak of")
    parser.add_argument("--profile", action="store_true", help="CPU by stage of (b), too")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--records", type=int, help="trades on the topic (200,000; full 1 M)")
    parser.add_argument("--rounds", type=int, help="of (a) and (b) (3; full 5)")
    parser.add_argument("--peer-rounds", type=int, help="of (c) (1; full 3)")
    parser.add_argument("--scale", type=float, help="share of the full preset (0.05; full 1)")
    parser.add_argument("--rate", type=int, default=50_000, help="records a second while following")
    parser.add_argument("--seconds", type=float, help="of following (10; full 60)")
    parser.add_argument("--commits", type=int, help="small commits (500; full 10,000)")
    parser.add_argument("--commit-rows", type=int, default=100, help="records of a small commit")
    asked = parser.parse_args()
    asked.parts = tuple(asked.parts.split(","))
    if wrong := set(asked.parts) - {*PARTS, ""}:
        parser.error(f"no part {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    usual = {"records": 200_000, "rounds": 3, "peer_rounds": 1, "scale": 0.05, "seconds": 10}
    full = {"records": 1_000_000, "rounds": 5, "peer_rounds": 3, "scale": 1.0, "seconds": 60}
    for name, size in (
        {**full, "commits": 10_000} if asked.full else {**usual, "commits": 500}
    ).items():
        if getattr(asked, name) is None:
            setattr(asked, name, size)
    return asked


def measure(asked: argparse.Namespace, say: Say) -> Job:
    """All parts asked for, by name."""
    found: Job = {}
    with tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as name:
        folder = Path(name)
        if asked.profile or {"kafka", "peers"} & set(asked.parts):
            found["kafka"] = from_kafka(asked, folder, say)
        if "files" in asked.parts:
            found["files"] = from_files(asked, folder, say)
        if "follow" in asked.parts:
            found["follow"] = followed(asked, folder / "follow", say)
        if "commits" in asked.parts:
            found["commits"] = small_commits(asked, say)
    return found


def main() -> None:
    """Print the tables, the targets last."""
    asked = arguments()
    console = Console(width=None if sys.stdout.isatty() else 110)
    found = measure(asked, lambda what: print(what, file=sys.stderr, flush=True))
    if asked.json:
        print(json.dumps({**found, "targets": report.targets(found)}, indent=1))
        return
    for table in report.tables(found):
        console.print(table)


if __name__ == "__main__":
    main()
