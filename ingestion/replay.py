"""Replay: rejected records are judged again by today's contract; those that pass land, each once.

Bronze is append-only: a rejected row stays where it is. The row that passed lands beside it under
the unit `replay:<its own unit>`, at its own position, with the time at which it was first received.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl
import structlog

from contracts.base import Contract
from ingestion.check import check, refuse_if_disabled
from ingestion.reread import READ_BY_UNIT, Reread, Unreadable, reader_of
from lake import ledger, quarantine
from lake.bronze import BronzeWriter, PositionTaken, Span
from lake.durable import fault_point
from lake.layout import layout
from lake.locks import held
from lake.pins import REPLAY
from lake.quarantine import Wanted
from lake.settings import Settings

log = structlog.get_logger()

WAIT_FOR_OTHERS_S = 600.0
TURNS = 10  # how often a replay starts over because another one was faster
NOTES = 20

Progress = Callable[[str, int, int], None]  # dataset, records looked at, records in all

_NONE_REJECTED = pl.DataFrame(schema={"unit": pl.String, "reject_code": pl.String})


class ReplayBusy(RuntimeError):
    """Other replays of the dataset were faster, again and again."""


@dataclass
class Replayed:
    """What became of one dataset's open records: those that pass, and why the others do not.

    `unreadable` counts records whose bytes alone do not say what they are, `notes` says why.
    """

    dataset: str
    examined: int = 0
    passed: int = 0
    unreadable: int = 0
    still: Counter[str] = field(default_factory=Counter)
    batches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)

    @property
    def hours(self) -> tuple[str, ...]:
        """The hours of event time that got rows, as YYYY-MM-DDTHH in UTC."""
        return tuple(sorted(self.touched))


def replay(
    settings: Settings,
    wanted: Wanted | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Replayed]:
    """Judge the open records of quarantine that are wanted again, and land those that pass.

    With `dry_run` nothing lands and nothing is changed. One entry per dataset with open records.
    Killed at any point, run twice or two at once: each record lands once.
    """
    refuse_if_disabled()
    wanted = _open(wanted or Wanted())
    found = []
    for contract in wanted.contracts():
        if ledger.bronze_version(layout(settings), contract.dataset) is not None:
            run = _Run(settings, contract, wanted, progress)
            found.append(run.look() if dry_run else run.land())
    return [replayed for replayed in found if replayed.examined]


def _open(wanted: Wanted) -> Wanted:
    return Wanted(wanted.datasets, wanted.code, wanted.source, wanted.since, only_open=True)


class _Run:
    """The replay of one dataset."""

    def __init__(
        self, settings: Settings, contract: Contract, wanted: Wanted, progress: Progress | None
    ) -> None:
        self.settings = settings
        self.contract = contract
        self.wanted = wanted
        self.progress = progress
        self.layout = layout(settings)
        self.result = Replayed(contract.dataset)
        self._readers: dict[str, Reread | Unreadable] = {}

    def look(self) -> Replayed:
        """Judge, and land nothing."""
        version = ledger.bronze_version(self.layout, self.contract.dataset)
        assert version is not None
        self._each(version, None)
        return self.result

    def land(self) -> Replayed:
        """Judge and land. Of two replays at once one waits; the loser of a race starts over."""
        lock = self.layout.lock(f"replay.{self.contract.dataset}")
        with held(lock, wait_s=WAIT_FOR_OTHERS_S):
            for _ in range(TURNS):
                try:
                    writer = BronzeWriter(self.contract, self.layout)
                    self._each(writer.table.version(), writer)
                except PositionTaken as taken:
                    log.info("replay starts over", dataset=self.contract.dataset, why=str(taken))
                    landed = self.result
                    self.result = Replayed(
                        landed.dataset,
                        examined=landed.passed,
                        passed=landed.passed,
                        batches=landed.batches,
                        touched=landed.touched,
                    )
                else:
                    return self.result
        raise ReplayBusy(
            f"{self.contract.dataset}: other replays landed first {TURNS} times; what this one "
            "landed stays, run it again"
        )

    def _each(self, version: int, writer: BronzeWriter | None) -> None:
        """Judge what is open at a version of the table, and land it where there is a writer.

        What is open is read at the version of the handle that writes, so that a replay which has
        not seen another's rows cannot land them a second time.
        """
        dataset = self.contract.dataset
        fence = f"{REPLAY}{dataset}"
        turn = writer.next_position(fence) if writer else 0
        with quarantine.opened(self.layout, {dataset: version}) as conn:
            total = quarantine.count(conn, dataset, self.wanted) + self.result.examined
            rows = self.settings.batch_rows
            for records in quarantine.chunks(conn, dataset, self.wanted, rows):
                fault_point("replay.read")
                passing = self._judge(records)
                fault_point("replay.judged")
                if writer is None:
                    self.result.passed += passing.height
                else:
                    turn = self._commit(writer, passing, fence, turn)
                self.result.examined += records.height
                if self.progress:
                    self.progress(dataset, self.result.examined, total)

    def _commit(self, writer: BronzeWriter, rows: pl.DataFrame, fence: str, turn: int) -> int:
        """Land rows that pass, one commit per source; returns the turn of the next commit."""
        for source_rows in rows.partition_by("source", maintain_order=True) if rows.height else ():
            stands = writer.next_position(fence)
            if stands != turn:
                raise PositionTaken(f"another replay is at {stands}, this one read at {turn}")
            commit = writer.commit(
                source_rows,
                _NONE_REJECTED,
                _spans(source_rows),
                source_rows["source"][0],
                fence={fence: turn + 1},
            )
            turn += 1
            self.result.passed += commit.ok
            self.result.batches.append(commit.batch)
            self.result.touched.update(commit.hours)
            fault_point("replay.landed")
        return turn

    def _judge(self, records: pl.DataFrame) -> pl.DataFrame:
        """The rows that pass, as the writer takes them; the others are counted by their reason."""
        by_unit = pl.any_horizontal(pl.col("unit").str.starts_with(x) for x in READ_BY_UNIT)
        reader = pl.when(by_unit).then("unit").otherwise(pl.lit("")).alias("reader")
        parts = records.with_columns(reader).partition_by("reader", maintain_order=True)
        passing = [self._judge_part(part.drop("reader"), part["unit"][0]) for part in parts]
        kept = [rows for rows in passing if rows.height]
        return pl.concat(kept) if kept else pl.DataFrame()

    def _judge_part(self, records: pl.DataFrame, unit: str) -> pl.DataFrame:
        """Records that are read in one way: of any topics, or of one file or vendor's unit."""
        try:
            decoded = self._reader(unit)(records["raw"].to_list())
        except Unreadable as why:
            self.result.unreadable += records.height
            if len(self.result.notes) < NOTES and str(why) not in self.result.notes:
                self.result.notes.append(str(why))
            return pl.DataFrame()
        received = records["recv_ts_ns"].gather(decoded.frame["i"])
        frame = decoded.frame.with_columns(received)
        if self.contract.time_from_receipt:
            frame = frame.with_columns(pl.col("event_ts_ns").fill_null(pl.col("recv_ts_ns")))
        checked = check(self.contract, frame)
        for refused in (decoded.rejects, checked.rejects):
            self.result.still.update(refused["code"])
        origin = records.select(
            pl.lit(REPLAY).add(pl.col("unit")).alias("unit"), "position", "delivery_unit", "source"
        )[checked.good["i"]]
        return checked.good.drop("i").with_columns(origin.get_columns())

    def _reader(self, unit: str) -> Reread:
        key = unit if unit.startswith(READ_BY_UNIT) else ""
        if key not in self._readers:
            try:
                self._readers[key] = reader_of(self.settings, self.contract, unit)
            except Unreadable as why:
                self._readers[key] = why
        found = self._readers[key]
        if isinstance(found, Unreadable):
            raise found
        return found


def _spans(rows: pl.DataFrame) -> list[Span]:
    """What a batch of replayed rows takes of each unit: rows here and there between two bounds."""
    bounds = rows.group_by("unit").agg(
        first=pl.col("position").min(), last=pl.col("position").max(), rows=pl.len()
    )
    return [Span(unit, first, last + 1, n) for unit, first, last, n in sorted(bounds.iter_rows())]
