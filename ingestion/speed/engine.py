"""Settled candles of one dataset: a pure function of what bronze holds, in the order it landed.

Rows only move this state when their commit is in bronze. So a replay of bronze gives the same
candles, whatever was killed meanwhile, and however the commits are put into pieces.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ingestion.speed import windows
from ingestion.speed.eligible import with_eligibility
from ingestion.speed.landed import Landed
from ingestion.speed.rules import Columns, Width, rules
from ingestion.speed.watermark import Segment, Stream
from ingestion.speed.windows import WINDOWS

_FINISHED: Columns = {
    **WINDOWS,
    "width": pl.String,
    "is_final": pl.Boolean,
    "bronze_version": pl.Int64,
}
FINISHED = pl.Schema(_FINISHED)
LATE = pl.Schema(
    {
        "stream": pl.String,
        "instrument_id": pl.String,
        "width": pl.String,
        "rows": pl.Int64,
        "quantity": pl.Int128,
    }
)
# Streams that are one unit (a file, a connection) end without a word: of more than so many, those
# that were not heard of for longest are taken to have ended.
MOST_LONE_STREAMS = 64
# A partition that lags holds the windows of all open. An instrument keeps so many beyond those
# that it has by itself; where it gets more the oldest give way.
MOST_HELD = 3_600


@dataclass
class State:
    """What is known of a dataset after `version` of its bronze.

    `ended` is the version after which input last ended, and unfinished windows were shown. `open`
    holds the windows that may still change, by width; `late` counts the rows that came too
    late, `disordered` those that came after a newer one, `evicted` the windows closed because an
    instrument had too many, `dropped` the rows that came to those.
    """

    dataset: str
    version: int = -1
    ended: int = -1
    streams: dict[str, Stream] = field(default_factory=dict)
    open: dict[str, pl.DataFrame] = field(default_factory=dict)
    late: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LATE))
    disordered: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    evicted: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    dropped: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lone: dict[str, int] = field(default_factory=dict)  # stream of one unit -> version last heard

    def windows(self, width: Width) -> pl.DataFrame:
        """The open windows of a width."""
        return self.open.get(width.name, pl.DataFrame(schema=WINDOWS))

    def advance(self, landed: Landed) -> pl.DataFrame:
        """Take in what landed next; returns the windows that are finished now (schema FINISHED)."""
        self.version = landed.last
        if landed.rows.is_empty():
            return pl.DataFrame(schema=FINISHED)
        segments = list(segments_of(landed))
        judged = self.judge(landed.rows, segments)
        rows = windows.ordered(with_eligibility(judged.rows))
        finished = [self._step(rows, width, judged) for width in rules().widths]
        finished.append(self._end_lone(segments))
        return pl.concat(finished)

    def unfinished(self) -> pl.DataFrame:
        """The open windows as they stand, for the end of input (schema FINISHED, not final)."""
        found = [
            self.windows(width).with_columns(
                width=pl.lit(width.name),
                is_final=pl.lit(False),
                bronze_version=pl.lit(self.version),
            )
            for width in rules().widths
        ]
        return pl.concat([pl.DataFrame(schema=FINISHED), *(_finished(part) for part in found)])

    def judge(self, rows: pl.DataFrame, segments: list[Segment]) -> "Judged":
        """Count rows in: the watermark before each of them, and when each stream's moved."""
        events = rows["event_ts_ns"].to_numpy()
        seen, newest = np.empty_like(events), np.empty_like(events)
        landing: dict[tuple[int, str], set[str]] = defaultdict(set)
        for s in segments:
            landing[s.version, s.stream].add(s.unit)
        moved: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for s in segments:
            stream = self.streams.setdefault(s.stream, Stream(rules().idle_ns))
            part = slice(s.first, s.end)
            seen[part], newest[part] = stream.judge(s, events[part], landing[s.version, s.stream])
            moved[s.stream].append((stream.watermark_ns, s.version))
            behind = int((events[part] < newest[part]).sum())
            if behind:
                self.disordered[s.stream] += behind
        lengths = [s.end - s.first for s in segments]
        names = pl.Series("stream", [s.stream for s in segments], dtype=pl.String)
        streams = names.gather(np.repeat(np.arange(len(segments)), lengths))
        judged = rows.with_columns(streams, pl.Series("seen_ns", seen))
        judged = judged.with_columns(pl.Series("newest_ns", newest)).with_row_index("landed")
        return Judged(judged, moved)

    def _step(self, rows: pl.DataFrame, width: Width, judged: "Judged") -> pl.DataFrame:
        """One width: leave out what is late, put the rest to the windows, close what is due."""
        late = lateness(rows, width)
        if late.any():
            self._count_late(rows.filter(late), width)
            rows = rows.filter(~late)
        crowded = [name for name in judged.moved if len(self.streams[name].units) > 1]
        evicts = pl.DataFrame(schema=_EVICTS)
        if crowded and self._spans(rows, width) > width.most + MOST_HELD:
            rows, evicts = self._evict(rows, width, crowded)
        every = windows.merged([self.windows(width), windows.made(rows, width)])
        closing = self._closing(every, width, judged, evicts)
        self.open[width.name] = every.filter(closing.is_null())
        done = every.with_columns(
            width=pl.lit(width.name), is_final=pl.lit(True), bronze_version=closing
        )
        return _finished(done.filter(closing.is_not_null()))

    def _spans(self, rows: pl.DataFrame, width: Width) -> int:
        """How many windows lie between the first and the last that are open or get a row."""
        opened = self.windows(width)["start_ns"]
        starts = [opened.min(), rows["event_ts_ns"].min(), opened.max(), rows["event_ts_ns"].max()]
        known = [int(start) for start in starts if start is not None]  # type: ignore[arg-type]
        return (max(known) - min(known)) // width.ns + 2 if known else 0

    def _closing(
        self, every: pl.DataFrame, width: Width, judged: "Judged", evicts: pl.DataFrame
    ) -> pl.Series:
        """The version that finished each window; null for those that stay open."""
        reached = every["start_ns"].to_numpy() + width.ns + width.lateness_ns
        version = np.full(every.height, -1, dtype=np.int64)
        streams = every["stream"]
        for name, moves in judged.moved.items():
            mine = (streams == name).to_numpy()
            marks = np.array([mark for mark, _ in moves])
            versions = np.array([v for _, v in moves] + [-1])
            version[mine] = versions[np.searchsorted(marks, reached[mine], side="left")]
        closed = pl.Series("closed", version).set(pl.Series(version < 0), None)
        if evicts.is_empty():
            return closed
        due = _evicted(every.with_columns(closed=closed).with_row_index("row"), evicts, width)
        for name, count in due["stream"].value_counts().iter_rows():
            self.evicted[name] += count
        return closed.scatter(due["row"], due["version"])

    def _evict(
        self, rows: pl.DataFrame, width: Width, crowded: list[str]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Keep the newest windows of an instrument alone; rows that come to older ones are dropped.

        Returns the rows that are left, and in which version an instrument's newest window was
        which. In a stream of one unit this never happens: windows close before.
        """
        most_ns = (width.most + MOST_HELD) * width.ns
        keys = ["stream", "instrument_id"]
        own = self.windows(width).group_by(keys).agg(known=pl.col("start_ns").max())
        start = pl.col("event_ts_ns") // width.ns * width.ns
        at = rows.select("version", "position", *keys, "landed", start_ns=start)
        at = (
            at.with_row_index("row")
            .sort("landed")
            .join(own, on=keys, how="left", maintain_order="left")
        )
        top = pl.col("start_ns").cum_max().over(keys)
        at = at.with_columns(
            before=pl.max_horizontal(top.shift(1).over(keys), "known"),
            after=pl.max_horizontal(top, "known"),
        )
        at = at.with_columns(gone=pl.col("start_ns") <= pl.col("before") - most_ns)
        at = at.with_columns(pl.col("gone").fill_null(False) & pl.col("stream").is_in(crowded))
        for name, count in at.filter("gone")["stream"].value_counts().iter_rows():
            self.dropped[name] += count
        tops = (
            at.filter(pl.col("stream").is_in(crowded))
            .group_by(*keys, "after")
            .agg(pl.col("version").min())
        )
        keep = at.sort("row")["gone"].not_()
        return rows.filter(keep), tops.select(_EVICTS.names())

    def _count_late(self, rows: pl.DataFrame, width: Width) -> None:
        came = rows.group_by("stream", "instrument_id").agg(
            rows=pl.len().cast(pl.Int64), quantity=pl.col("quantity").sum().cast(pl.Int128)
        )
        came = came.with_columns(width=pl.lit(width.name)).select(LATE.names())
        keys = ["stream", "instrument_id", "width"]
        both = pl.concat([self.late, came])
        self.late = both.group_by(keys).agg(pl.col("rows", "quantity").sum()).select(LATE.names())

    def _end_lone(self, segments: list[Segment]) -> pl.DataFrame:
        """End the streams of one unit that were silent for longest, where there are many."""
        for s in segments:
            if s.unit == s.stream:
                self.lone.pop(s.stream, None)
                self.lone[s.stream] = s.version
        over = list(self.lone)[: max(0, len(self.lone) - MOST_LONE_STREAMS)]
        parts = [pl.DataFrame(schema=FINISHED)]
        if over:
            for name in over:
                del self.lone[name]
            ended = self.unfinished().filter(pl.col("stream").is_in(over))
            parts.append(ended)
            for width, opened in self.open.items():
                self.open[width] = opened.filter(~pl.col("stream").is_in(over))
        return pl.concat(parts)


_EVICTS = pl.Schema(
    {"stream": pl.String, "instrument_id": pl.String, "after": pl.Int64, "version": pl.Int64}
)


def _evicted(every: pl.DataFrame, evicts: pl.DataFrame, width: Width) -> pl.DataFrame:
    """Windows that an instrument's newer ones drove out before they closed; and in which version.

    `evicts` says in which version an instrument's newest window was first `after`.
    """
    limits = every.select(
        "row",
        "stream",
        "instrument_id",
        "closed",
        at=pl.col("start_ns") + (width.most + MOST_HELD) * width.ns,
    ).sort("at")
    due = limits.join_asof(
        evicts.sort("after"),
        left_on="at",
        right_on="after",
        by=["stream", "instrument_id"],
        strategy="forward",
        check_sortedness=False,
    )
    is_first = pl.col("closed").is_null() | (pl.col("version") < pl.col("closed"))
    return due.filter(pl.col("version").is_not_null() & is_first)


@dataclass(frozen=True)
class Judged:
    """Rows with stream, seen_ns (the watermark before them) and newest_ns (of their unit).

    `moved` says how far each stream had come after each of its segments, and in which version.
    """

    rows: pl.DataFrame
    moved: dict[str, list[tuple[int, int]]]


def lateness(rows: pl.DataFrame, width: Width) -> pl.Series:
    """Is each judged row late: had the watermark reached the end of its window?"""
    return rows.select(late=is_late(width, pl.col("seen_ns"))).to_series()


def is_late(width: Width, seen_ns: pl.Expr) -> pl.Expr:
    """Had the watermark, no lateness taken off, reached the end of a row's window?"""
    end = (pl.col("event_ts_ns") // width.ns + 1) * width.ns
    return end <= seen_ns - width.lateness_ns


def stream_of(unit: str) -> str:
    """The stream of a unit: the partitions of a topic are one; a file stands by itself."""
    head, slash, number = unit.rpartition("/")
    return head if unit.startswith("kafka:") and slash and number.isdigit() else unit


def segments_of(landed: Landed) -> Iterator[Segment]:
    """The runs of rows of one commit and unit."""
    rows = landed.rows
    runs = rows.select("version", "unit", "is_replay").with_row_index("first")
    runs = runs.filter(
        pl.any_horizontal(
            pl.col(c) != pl.col(c).shift(1) for c in ("version", "unit", "is_replay")
        ).fill_null(True)
    )
    arrivals = rows["recv_ts_ns"]
    ends = [*runs["first"].to_list()[1:], rows.height]
    for (first, version, unit, is_replay), end in zip(runs.iter_rows(), ends, strict=True):
        arrived = arrivals[first:end]
        at = landed.committed_ns[version]
        is_known = not is_replay and arrived.null_count() < end - first
        yield Segment(
            version=version,
            stream=stream_of(unit),
            unit=unit,
            first=first,
            end=end,
            first_arrival_ns=int(arrived.min()) if is_known else at,  # type: ignore[arg-type]
            last_arrival_ns=int(arrived.max()) if is_known else at,  # type: ignore[arg-type]
        )


def _finished(windows: pl.DataFrame) -> pl.DataFrame:
    return windows.select(pl.col(name).cast(dtype) for name, dtype in FINISHED.items())
