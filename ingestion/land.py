"""The micro-batch loop: consume, decode, check, commit, acknowledge. In that order, always.

If the process dies between any two steps the next start reads the table's position and repeats
what was not committed; what was committed is never read again.
"""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Self

import polars as pl

from contracts import registry
from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.check import check, refuse_if_disabled
from ingestion.dead_letters import send_new
from ingestion.sources.base import Source
from ingestion.sources.kafka import KafkaSource
from lake.bronze import BronzeWriter, Commit
from lake.durable import fault_point
from lake.kafka_client import Topics
from lake.layout import layout
from lake.locks import Busy, held
from lake.settings import Settings

if TYPE_CHECKING:
    from ingestion.generate.plan import Plan

Progress = Callable[[Commit], None]


@dataclass
class Landing:
    """What one dataset's landing brought, added up over its commits."""

    dataset: str
    ok: int = 0
    rejected: int = 0
    batches: int = 0
    by_code: Counter[str] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)
    held_by: str | None = None

    @property
    def hours(self) -> tuple[str, ...]:
        """The hours of event time that got rows, as YYYY-MM-DDTHH in UTC."""
        return tuple(sorted(self.touched))

    def merge(self, other: "Landing") -> None:
        """Count another landing of the same dataset in."""
        self.ok += other.ok
        self.rejected += other.rejected
        self.batches += other.batches
        self.by_code.update(other.by_code)
        self.touched.update(other.touched)

    def add(self, commit: Commit) -> None:
        """Count a commit in."""
        self.ok += commit.ok
        self.rejected += commit.rejected
        self.batches += 1
        self.by_code.update(commit.by_code)
        self.touched.update(commit.hours)


def land(source: Source, writer: BronzeWriter, progress: Progress | None = None) -> Landing:
    """Land everything a source hands over; returns when the source ends."""
    landing = Landing(writer.contract.dataset)
    for _ in steps(source, writer, landing, progress):
        pass
    return landing


def steps(
    source: Source, writer: BronzeWriter, landing: Landing, progress: Progress | None
) -> Generator[bool, None, None]:
    """Land batch by batch, each while the next is read; gives way whenever the source has nothing.

    Yields whether a batch came. Batches are committed one after the other, in their order, and
    acknowledged when they are durable.
    """

    def settle() -> None:
        for batch, commit in aside.landed():
            source.acknowledge(batch)
            fault_point("land.acknowledged")
            landing.add(commit)
            if progress:
                progress(commit)

    def position(unit: str) -> int:
        settle()  # what is under way may move it, and so may others
        writer.refresh()
        return writer.next_position(unit)

    with _Aside(writer) as aside:
        try:
            for batch in source.batches(position):
                if batch is not None:
                    fault_point("land.consumed")
                    settle()
                    aside.land(batch)
                elif aside.is_done():
                    settle()
                yield batch is not None
        finally:
            settle()


class _Aside:
    """One batch that is landed in a thread of its own."""

    def __init__(self, writer: BronzeWriter) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, f"land-{writer.contract.dataset}")
        self._under_way: tuple[Batch, Future[Commit]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def land(self, batch: Batch) -> None:
        """Begin to land a batch; none may be under way."""
        assert self._under_way is None
        self._under_way = (batch, self._pool.submit(land_batch, self._writer, batch))

    def is_done(self) -> bool:
        """Has the batch that was under way landed, or failed?"""
        return self._under_way is not None and self._under_way[1].done()

    def landed(self) -> Iterator[tuple[Batch, Commit]]:
        """Wait for the batch under way, if there is one. Raises what landing it raised."""
        if self._under_way is not None:
            (batch, commit), self._under_way = self._under_way, None
            yield batch, commit.result()


def land_batch(writer: BronzeWriter, batch: Batch) -> Commit:
    """Decode, check and commit one batch. Every record ends up in exactly one row of bronze."""
    contract = batch.contract
    decoded = batch.decode()
    stamped = decoded.frame.with_columns(_of(batch, decoded.frame)["recv_ts_ns"])
    if contract.time_from_receipt:
        stamped = stamped.with_columns(pl.col("event_ts_ns").fill_null(pl.col("recv_ts_ns")))
    fault_point("land.decoded")
    checked = check(contract, stamped)
    fault_point("land.checked")
    good = _with_origin(checked.good, batch).drop("i")
    rejected = _rejected(pl.concat([decoded.rejects, checked.rejects]), batch)
    if good.height + rejected.height != batch.size:
        raise AssertionError(
            f"{contract.dataset}: {batch.size} records came in, {good.height} passed and "
            f"{rejected.height} were rejected; nothing was committed"
        )
    return writer.commit(good, rejected, batch.spans, batch.source)


def _of(batch: Batch, frame: pl.DataFrame) -> pl.DataFrame:
    """The provenance of the frame's rows."""
    if frame.height == batch.size and frame["i"].is_sorted():
        return batch.provenance  # all of them: nothing to gather
    return batch.provenance[frame["i"]]


def _with_origin(frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
    origin = _of(batch, frame)
    columns = [c for c in origin.get_columns() if c.name not in frame.columns]
    return frame.with_columns(*columns, pl.lit(batch.source).alias("source"))


def _rejected(refused: pl.DataFrame, batch: Batch) -> pl.DataFrame:
    refused = refused.sort("i")
    raw = pl.Series("raw", batch.raw(refused["i"].to_list()), dtype=pl.Binary)
    renamed = refused.rename({"code": "reject_code", "message": "reject_message"})
    return _with_origin(renamed.with_columns(raw), batch).drop("i")


def land_topics(
    settings: Settings,
    datasets: Iterable[str] = (),
    follow: bool = False,
    progress: Progress | None = None,
) -> list[Landing]:
    """Land the Kafka topics of the datasets (all, if none is named), one after the other.

    Aliases of a topic are read like the topic itself; one that does not exist is no error. With
    `follow` it lands until interrupted, and takes up topics and partitions as they appear.

    A dataset that a resident `ingest --follow` holds is left to it, and the landing says so.
    Without a broker in the settings there is nothing to land.
    """
    refuse_if_disabled()
    if not settings.kafka_bootstrap:
        return []
    contracts = [registry.get(name) for name in datasets] or list(registry.all_contracts().values())
    if follow:
        from ingestion.follow import follow_topics

        return follow_topics(settings, contracts, progress)
    landings = []
    topics = Topics(settings)
    for contract in contracts:
        try:
            with held(layout(settings).lock(f"ingest.{contract.dataset}")):
                landings.append(_land_topics(settings, contract, topics, progress))
        except Busy as busy:
            landings.append(Landing(contract.dataset, held_by=str(busy)))
    send_new(settings, [contract.dataset for contract in contracts])
    return landings


def _land_topics(
    settings: Settings, contract: Contract, topics: Topics, progress: Progress | None
) -> Landing:
    with closing(KafkaSource(contract, settings, follow=False, topics=topics)) as source:
        return land(source, BronzeWriter(contract, layout(settings)), progress)


def land_generated(
    settings: Settings, dataset: str, plan: "Plan", day: date, progress: Progress | None = None
) -> Landing:
    """Land one generated day of a dataset, once however often it is asked for."""
    from ingestion.sources.generator import GeneratorSource

    refuse_if_disabled()
    contract = registry.get(dataset)
    with held(layout(settings).lock(f"generated.{dataset}"), wait_s=600):
        source = GeneratorSource(contract, settings, plan, day)
        return land(source, BronzeWriter(contract, layout(settings)), progress)


def land_file(
    settings: Settings, path: Path, feed: str, progress: Progress | None = None, **parameters: str
) -> Landing:
    """Land one file by a feed mapping, once however often it is offered."""
    from ingestion.sources.files import file_source

    refuse_if_disabled()
    contract, source = file_source(settings, path, feed, **parameters)
    with held(layout(settings).lock(f"inbox.{contract.dataset}"), wait_s=600):
        return land(source, BronzeWriter(contract, layout(settings)), progress)


def land_inbox(
    settings: Settings,
    day: date | None = None,
    progress: Progress | None = None,
    datasets: Collection[str] = (),
) -> list[Landing]:
    """Land the files of the inbox (of one day, or all), each once however often it is offered.

    `datasets` empty means all of them.

    A file that its mapping cannot read does not keep the others out: it is named at the end, in
    one FileRefused for all of them, when everything else has landed.
    """
    from ingestion.feeds.mapping import FileRefused
    from ingestion.sources.files import inbox_sources

    refuse_if_disabled()
    landings: dict[str, Landing] = {}
    refused: list[str] = []
    for contract, source in inbox_sources(settings, day):
        if datasets and contract.dataset not in datasets:
            continue
        total = landings.setdefault(contract.dataset, Landing(contract.dataset))
        with held(layout(settings).lock(f"inbox.{contract.dataset}"), wait_s=600):
            writer = BronzeWriter(contract, layout(settings))
            try:
                total.merge(land(source, writer, progress))
            except FileRefused as error:
                refused.append(str(error))
    if refused:
        raise FileRefused("\n".join(refused))
    return list(landings.values())
