"""Where generated messages go: to files, to Kafka, or straight to bronze.

Each function sends what a job asks for and counts it. When the job is stopped they end after the
block at hand: what was sent is whole, and what was not is not there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import polars as pl

from contracts import registry
from ingestion.check import refuse_if_disabled
from ingestion.compact import encode_compact
from ingestion.decode import decode_json
from ingestion.generate.files import FORMATS, Format, remove, whole_file, write_file
from ingestion.generate.plan import Plan
from ingestion.generate.stream import Block, blocks, module_of, truth
from ingestion.land import land
from ingestion.produce import Sender
from ingestion.sources.generator import GeneratorSource, Unit, digest
from lake.bronze import BronzeWriter, Commit
from lake.layout import layout
from lake.locks import held
from lake.settings import Settings

if TYPE_CHECKING:
    from ingestion.generate.arrivals import Messages

TRUTH, SCENARIO = "truth.parquet", "scenario.parquet"


class Stopped(Exception):
    """The job was asked to stop; raised where ending early takes undoing something."""


@dataclass
class Tally:
    """What went out of one dataset. `bytes` is None where none were made."""

    dataset: str
    where: str
    messages: int = 0
    bytes: int | None = None
    seconds: float = 0.0

    def count(self, messages: int, size: int) -> None:
        """Add some messages."""
        self.messages += messages
        self.bytes = (self.bytes or 0) + size

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time that the block takes."""
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - began


def _told_nobody(dataset: str, messages: int) -> None:
    """No one watches."""


@dataclass(frozen=True)
class Job:
    """What to generate, who is told of each step, and whether to go on.

    `wrote(dataset, messages)` is called after every block; once `stop` is set no other is begun.
    `wire` is the form of what is sent to Kafka.
    """

    settings: Settings
    plan: Plan
    datasets: tuple[str, ...]
    wrote: Callable[[str, int], None] = _told_nobody
    stop: Event = field(default_factory=Event)
    tallies: dict[str, Tally] = field(default_factory=dict)
    wire: Literal["json", "compact"] = "json"

    def tally(self, dataset: str, where: str) -> Tally:
        """The count of a dataset."""
        return self.tallies.setdefault(dataset, Tally(dataset, where))

    @property
    def beside(self) -> Path:
        """Where the truth lies when the messages themselves go elsewhere."""
        return self.settings.local / "generated" / digest(self.plan)


def to_files(job: Job, out: Path, format: Format) -> None:
    """Write <out>/<dataset>/<day>.<format>, each file under its name when it is whole.

    What an earlier run wrote of these datasets and days is removed first, so that the truth never
    stands beside another plan's data. Raises Busy when another process writes there.
    """
    with held(out / ".lock"):
        remove_data(job, out)
        write_truth(job, out)
        for dataset in job.datasets:
            for day in job.plan.days:
                path = out / dataset / f"{day}.{format}"
                if not file_of(job, dataset, path, blocks(job.plan, dataset, day)):
                    return


def remove_data(job: Job, out: Path) -> None:
    """Remove the files that an earlier run wrote of these days, and the truth about them."""
    days = "|".join(map(str, job.plan.days))
    for dataset in job.datasets:
        remove(out / dataset, rf"({days})(\.C\d+)?\.({'|'.join(FORMATS)})")
    remove(out, rf"{TRUTH}|{SCENARIO}")


def file_of(job: Job, dataset: str, path: Path, stream: Iterator[Block]) -> bool:
    """Write one file; False if the job was stopped before it was whole, and so is not there."""
    tally, written = job.tally(dataset, str(path.parent)), 0

    def wrote(messages: int) -> None:
        nonlocal written
        written += messages
        job.wrote(dataset, messages)
        if job.stop.is_set():
            raise Stopped

    try:
        with tally.timed():
            size = write_file(path, module_of(dataset).FORM, stream, wrote)
    except Stopped:
        return False
    tally.count(written, size)
    return True


def to_kafka(job: Job) -> None:
    """Send the datasets of each day to their topics, one after the other.

    Raises BrokerUnreachable and ProduceFailed as Sender does.
    """
    with Sender(job.settings) as sender:
        write_truth(job, job.beside)
        for day in job.plan.days:
            for dataset in job.datasets:
                with job.tally(dataset, topic_of(dataset)).timed():
                    for block in blocks(job.plan, dataset, day):
                        if job.stop.is_set():
                            return
                        send(job, sender, dataset, block, block.recv_ms.tolist())


def topic_of(dataset: str) -> str:
    """The topic a dataset is sent to."""
    return registry.get(dataset).topic


def send(
    job: Job, sender: Sender, dataset: str, messages: "Messages | Block", sent_ms: list[int]
) -> None:
    """Hand messages to the broker, waiting while it is slow, and count them."""
    values = messages.values.to_list()
    if job.wire == "compact":
        values = compacted(job, dataset, values)
    sender.send(topic_of(dataset), messages.keys.to_list(), values, sent_ms)
    tally = job.tally(dataset, topic_of(dataset))
    tally.count(len(values), sum(map(len, values)))
    job.wrote(dataset, len(values))


def compacted(job: Job, dataset: str, values: list[bytes]) -> list[bytes]:
    """The same messages in the compact form; those that JSON cannot read stay as they are."""
    contract = registry.get(dataset)
    read = decode_json(contract, values, job.settings.max_record_bytes).frame
    made = dict(zip(read["i"].to_list(), encode_compact(contract, read), strict=True))
    return [made.get(place, value) for place, value in enumerate(values)]


def to_bronze(job: Job) -> None:
    """Land the datasets of each day, each once however often it is asked for."""
    write_truth(job, job.beside)
    for day in job.plan.days:
        for dataset in job.datasets:
            if not landed(job, dataset, day):
                return


def landed(job: Job, dataset: str, day: date, unit: Unit | None = None) -> bool:
    """Land a day of a dataset; False if the job was stopped, after the batch at hand."""
    refuse_if_disabled()
    contract, lake = registry.get(dataset), layout(job.settings)
    tally = job.tally(dataset, str(lake.bronze(dataset)))

    def committed(commit: Commit) -> None:
        tally.messages += commit.ok + commit.rejected
        job.wrote(dataset, commit.ok + commit.rejected)
        if job.stop.is_set():
            raise Stopped

    with tally.timed(), held(lake.lock(f"generated.{dataset}"), wait_s=600):
        source = GeneratorSource(contract, job.settings, job.plan, day, unit)
        try:
            land(source, BronzeWriter(contract, lake), committed)
        except Stopped:
            return False
    return True


def write_truth(job: Job, folder: Path) -> None:
    """Write what must become of the messages, before there are any; remove what does not hold.

    `truth.parquet` where there are faults, `scenario.parquet` where a scenario is on.
    """
    remove(folder, rf"{TRUTH}|{SCENARIO}")
    if job.plan.fault_share and "trades" in job.datasets:
        save(folder / TRUTH, truth(job.plan))
    if job.plan.scenario:
        from ingestion.generate import scenarios

        save(folder / SCENARIO, scenarios.truth(job.plan))


def save(path: Path, frame: pl.DataFrame) -> None:
    """Write a small table, whole or not at all."""
    with whole_file(path) as part:
        frame.write_parquet(part)
