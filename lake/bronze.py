"""The bronze writer: one batch, one Delta commit, positions and all (invariants 1, 2 and 8)."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import CommitFailedError

from contracts.base import Contract
from contracts.derive.arrow import OK, REJECTED, file_schema
from lake import delta
from lake.durable import fault_point
from lake.layout import Layout
from lake.widening import TURNS, open_wide

NS_PER_HOUR = 3_600_000_000_000
NS_PER_DAY = 24 * NS_PER_HOUR
METADATA_KEY = "ticklake"

# Rising or close to the one before: differences take less than values.
_DELTA = ("position", "recv_ts_ns", "event_ts_ns", "sequence")
# What readers look for; of other columns nobody asks for the range in a file.
_STATISTICS = ("instrument_id", "event_ts_ns", "unit", "position", "batch", "ingest_ts")
_SAMPLE_ROWS = 1_000


@dataclass(frozen=True)
class Span:
    """Positions of one unit that a batch consumes: [first, next), `rows` records were there.

    rows < next - first where the broker has holes (compaction, aborted transactions).
    """

    unit: str
    first: int
    next: int
    rows: int


@dataclass(frozen=True)
class Commit:
    """What one commit landed."""

    dataset: str
    version: int
    batch: str
    ok: int
    rejected: int
    by_code: dict[str, int]
    hours: tuple[str, ...]


class PositionTaken(RuntimeError):
    """Another writer has moved the position since ours was read: this one must stop."""


class BronzeWriter:
    """Writes one dataset's bronze table. The handle that reads positions is the one that writes.

    A second writer of the same unit is refused, never merged: either its span does not start
    where the table stands, or delta-rs refuses the stale handle.

    `watermarks` says how far the candles made beside the landing have come, by stream (ns since
    epoch UTC, no lateness taken off): each commit keeps what it saw.
    """

    def __init__(
        self,
        contract: Contract,
        layout: Layout,
        watermarks: Callable[[], Mapping[str, int]] | None = None,
    ) -> None:
        self.contract = contract
        self._watermarks = watermarks
        self.root: Path = layout.bronze(contract.dataset)
        self.table = open_wide(self.root, contract)
        self._file_schema = file_schema(contract)

    def next_position(self, unit: str) -> int:
        """The first position of `unit` that is not landed; 0 for a new unit."""
        return self.table.transaction_version(unit) or 0

    def refresh(self) -> None:
        """See what others have committed meanwhile, synced, as whoever reads positions must."""
        before = self.table.version()
        self.table.update_incremental()
        delta.sync_log(self.root, before + 1, self.table.version())

    def commit(
        self,
        good: pl.DataFrame,
        rejected: pl.DataFrame,
        spans: Sequence[Span],
        source: str,
        fence: Mapping[str, int] | None = None,
    ) -> Commit:
        """Land one batch. Both frames carry the landing columns but batch, ingest_ts, version.

        A batch moves the positions of its units, and a second writer of one of them is refused.
        A batch that takes rows here and there, such as a replay, gives a `fence` instead: one
        application transaction (id -> number) that only one writer can move.

        Raises PositionTaken when a span does not start at the table's position, or when another
        writer commits the same unit at the same moment.
        """
        for span in spans if fence is None else ():
            stands = self.next_position(span.unit)
            if span.first != stands:
                raise PositionTaken(
                    f"{self.contract.dataset} {span.unit}: the batch starts at position "
                    f"{span.first}, the table stands at {stands}; another writer landed it"
                )
        now = datetime.now(UTC)
        batch = f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        files = self._write_files(good, rejected, batch, now)
        fault_point("bronze.files_written")
        summary = _summary(self.contract, good, rejected, spans, source, batch, now)
        if self._watermarks:
            summary["watermarks"] = {
                stream: ns
                for stream, ns in self._watermarks().items()
                if any(span.unit.startswith(stream) for span in spans)
            }
        moves = fence or {span.unit: span.next for span in spans}
        version = self._put(files, moves, {METADATA_KEY: json.dumps(summary)})
        return Commit(
            dataset=self.contract.dataset,
            version=version,
            batch=batch,
            ok=good.height,
            rejected=rejected.height,
            by_code=summary["rejected_by_code"],
            hours=tuple(summary["hours"]),
        )

    def _put(
        self, files: list[delta.DataFile], moves: Mapping[str, int], metadata: Mapping[str, str]
    ) -> int:
        """Commit written files. A commit that was refused for anything but its positions, such as
        a column that somebody added, is tried again by a fresh handle that stands where ours did.
        """
        stood = {app: self.table.transaction_version(app) for app in moves}
        for _ in range(TURNS):
            try:
                return delta.commit(
                    self.table,
                    self.root,
                    files,
                    transactions=moves,
                    metadata=metadata,
                    fault="bronze",
                )
            except CommitFailedError as error:
                refused = error
            self.table = open_wide(self.root, self.contract)
            if stood != {app: self.table.transaction_version(app) for app in moves}:
                break
        raise PositionTaken(
            f"{self.contract.dataset}: another writer committed one of {list(moves)} at the same "
            f"moment ({refused})"
        ) from refused

    def _write_files(
        self, good: pl.DataFrame, rejected: pl.DataFrame, batch: str, now: datetime
    ) -> list[delta.DataFile]:
        parts: list[tuple[dict[str, str | None], pl.DataFrame]] = []
        if rejected.height:
            verdict: dict[str, str | None] = {"verdict": REJECTED}
            if self.contract.partition_by_date:
                verdict["event_date"] = None
            parts.append((verdict, rejected))
        if good.height and self.contract.partition_by_date:
            for day, rows in _by_date(good):
                parts.append(({"verdict": OK, "event_date": day}, rows))
        elif good.height:
            parts.append(({"verdict": OK}, good))
        stamps = {"batch": batch, "ingest_ts": now, "contract_version": self.contract.version}
        return [self._write(partition, rows, stamps) for partition, rows in parts]

    def _write(
        self, partition: dict[str, str | None], rows: pl.DataFrame, stamps: Mapping[str, Any]
    ) -> delta.DataFile:
        folder = self.root / delta.partition_folder(partition)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{stamps['batch']}.zstd.parquet"
        _write_parquet(_table(rows, stamps, self._file_schema), folder / name)
        event, ingest = rows.get_column("event_ts_ns", default=None), stamps["ingest_ts"]
        minimum: dict[str, object] = {"ingest_ts": _delta_time(ingest)}
        maximum = dict(minimum)
        if event is not None and event.null_count() < rows.height:
            minimum["event_ts_ns"], maximum["event_ts_ns"] = event.min(), event.max()
        return delta.DataFile(
            path=str((folder / name).relative_to(self.root)),
            size=(folder / name).stat().st_size,
            rows=rows.height,
            partition=partition,
            minimum=minimum,
            maximum=maximum,
        )


def _by_date(good: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each UTC day of event time, in their order."""
    days = good["event_ts_ns"] // NS_PER_DAY
    if days.min() == days.max():
        yield _date(days[0]), good
        return
    for (day,), rows in good.group_by(days.alias("_day"), maintain_order=True):
        yield _date(day), rows


def _date(days_since_epoch: Any) -> str:
    return str(date(1970, 1, 1) + timedelta(days=int(days_since_epoch)))


def _table(rows: pl.DataFrame, stamps: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """The rows and their stamps in the columns of a bronze file."""
    columns = []
    for field in schema:
        if field.name in stamps:
            columns.append(_repeated(pa.scalar(stamps[field.name], field.type), rows.height))
        elif field.name in rows.columns:
            columns.append(_column(rows[field.name], field.type))
        else:
            columns.append(pa.nulls(rows.height, field.type))
    return pa.table(columns, names=schema.names)


def _column(values: pl.Series, dtype: pa.DataType) -> pa.Array:
    if values.dtype != pl.String:
        return values.to_arrow().cast(dtype)
    first, last = values[0], values[-1]
    if first is not None and first == last and (values == first).all(ignore_nulls=False):
        return _repeated(pa.scalar(first, dtype), len(values))
    return values.to_arrow(compat_level=pl.CompatLevel.newest())  # views: written without a copy


def _repeated(value: pa.Scalar, times: int) -> pa.Array:
    """One value in every row. A text is a dictionary already, so that no row of it is looked at."""
    if not pa.types.is_string(value.type):
        return pa.repeat(value, times)
    every = pa.Array.from_buffers(pa.int32(), times, [None, pa.py_buffer(bytes(4 * times))])
    return pa.DictionaryArray.from_arrays(every, pa.array([value.as_py()], value.type))


def _write_parquet(table: pa.Table, path: Path) -> None:
    names = set(table.column_names)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in table.column_names if _repeats(table[name])],
        column_encoding={name: "DELTA_BINARY_PACKED" for name in _DELTA if name in names},
        write_statistics=[name for name in _STATISTICS if name in names],
        store_schema=False,  # it would call a repeated text a dictionary
    )


def _repeats(column: pa.ChunkedArray) -> bool:
    """Is it a text with few values, as far as its first rows tell?"""
    if pa.types.is_dictionary(column.type):
        return True
    if not (pa.types.is_string(column.type) or pa.types.is_string_view(column.type)):
        return False
    sample = column.slice(0, _SAMPLE_ROWS)
    return len(sample.cast(pa.string()).unique()) * 2 <= len(sample)


def _summary(
    contract: Contract,
    good: pl.DataFrame,
    rejected: pl.DataFrame,
    spans: Sequence[Span],
    source: str,
    batch: str,
    now: datetime,
) -> dict[str, Any]:
    """What the commit says of itself; the ledger is made from it."""
    hours = (
        good.group_by(hour=pl.col("event_ts_ns") // NS_PER_HOUR).len().sort("hour").iter_rows()
        if good.height
        else iter(())
    )
    ok, bad = _counts(good["unit"]), _counts(rejected["unit"])
    return {
        "batch": batch,
        "source": source,
        "committed_at": now.isoformat(),
        "contract_version": contract.version,
        "spans": [
            {
                "unit": span.unit,
                "first": span.first,
                "next": span.next,
                "consumed": span.rows,
                "ok": ok.get(span.unit, 0),
                "rejected": bad.get(span.unit, 0),
            }
            for span in spans
        ],
        "rejected_by_code": _counts(rejected["reject_code"]),
        "totals": {name: str(good[name].sum()) for name in contract.control_totals},
        "hours": {_hour(hour): rows for hour, rows in hours},
    }


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(values.value_counts(sort=True).iter_rows())


def _hour(hours_since_epoch: int) -> str:
    return f"{datetime.fromtimestamp(hours_since_epoch * 3600, UTC):%Y-%m-%dT%H}"


def _delta_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
