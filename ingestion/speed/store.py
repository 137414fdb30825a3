"""Where speed candles lie: two tables that only grow, and a picture of the open windows.

One commit of `speed/candles` brings the candles that finished and, as an application transaction,
the bronze version that they reach to: nothing is stored twice. Before it a picture of the state of
that version is on the disk; whoever starts takes it up there and reads on in bronze.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from ingestion.speed.candles import CANDLES, candles_of
from ingestion.speed.engine import LATE, State
from ingestion.speed.rules import rules
from ingestion.speed.watermark import NOTHING, Stream, Unit
from ingestion.speed.windows import WINDOWS
from lake import delta, delta_log
from lake.delta_table import Table
from lake.durable import fault_point, sync_file, sync_folders
from lake.layout import Layout

FORMAT = 1  # of the picture: one of another format is not read, the state is made anew

_LATE_COLUMNS = [
    (f"late_{part}{width}", dtype)
    for part, dtype in (("", pa.int64()), ("quantity_", pa.decimal128(38, 8)))
    for width in ("1s", "10s", "1m")
]
PROGRESS = pa.schema(
    [
        ("dataset", pa.string()),
        ("stream", pa.string()),
        ("bronze_version", pa.int64()),
        ("watermark_ns", pa.int64()),
        *_LATE_COLUMNS,
        ("out_of_order", pa.int64()),
        ("evicted_windows", pa.int64()),
        ("evicted_rows", pa.int64()),
        ("flushed_at", pa.timestamp("us", "UTC")),
    ]
)


class Superseded(RuntimeError):
    """Another process has stored candles of the dataset meanwhile: start from what it stored."""


class Store:
    """The speed candles of one dataset."""

    def __init__(self, layout: Layout, dataset: str) -> None:
        self.root = layout.speed
        self.dataset = dataset
        schema = pl.DataFrame(schema=CANDLES).to_arrow().schema
        self._candles = delta.open_or_create(self.root / "candles", _plain(schema), ["event_date"])
        self._progress = delta.open_or_create(self.root / "progress", PROGRESS, [])

    def version(self) -> int:
        """The bronze version that the stored candles reach to; -1 before any."""
        stored = self._candles.transaction_version(self.dataset)
        return -1 if stored is None else stored

    def refresh(self) -> None:
        """See what others have stored."""
        self._candles.update_incremental()
        self._progress.update_incremental()

    def picture(self) -> State | None:
        """The state that belongs to the stored candles; None if there is no picture of it."""
        if self.version() < 0:
            return State(self.dataset)
        path = self._path(self.version())
        with suppress(OSError, ValueError, KeyError, pl.exceptions.PolarsError):
            return _read(path, self.dataset)
        return None

    def append(self, state: State, finished: pl.DataFrame, since: int) -> None:
        """Store what has finished (schema engine.FINISHED) between version `since` and the state.

        Raises Superseded where the table does not stand at `since`.
        """
        if self.version() != since:
            raise Superseded(f"{self.dataset}: stored up to {self.version()}, not {since}")
        _write(self._path(state.version), state)
        fault_point("speed.pictured")
        files = (
            [
                self._file(part)
                for part in candles_of(finished, self.dataset).partition_by("event_date")
            ]
            if finished.height
            else []
        )
        self._commit(self._candles, files, state.version)
        fault_point("speed.stored")
        self.tell(state)
        for path in self._pictures():
            if path != self._path(state.version):
                path.unlink(missing_ok=True)

    def tell(self, state: State) -> None:
        """Say how far the stored candles reach, if that is not said yet."""
        told = self._progress.transaction_version(self.dataset)
        rows = told_of(state) if told is None or told < state.version else []
        if not rows:
            return
        path = self._progress.root / f"{self.dataset}.{delta.unique()}.zstd.parquet"
        _write_arrow(pa.Table.from_pylist(rows, schema=PROGRESS), path)
        size = path.stat().st_size
        file = delta.DataFile(path.name, size, len(rows), {}, {}, {})
        self._commit(self._progress, [file], state.version)

    def clear(self) -> None:
        """Remove all that is stored of the dataset, in one commit of each table."""
        for table in (self._progress, self._candles):
            files = _files_of(table, self.dataset)
            moves = {self.dataset: -1}
            delta.commit(table, table.root, [], files, transactions=moves, fault="speed")
        for path in self._pictures():
            path.unlink(missing_ok=True)

    def _commit(self, table: Table, files: Sequence[delta.DataFile], version: int) -> None:
        moves = {self.dataset: version}
        try:
            delta.commit(table, table.root, files, transactions=moves, fault="speed")
        except CommitFailedError as error:
            raise Superseded(f"{self.dataset}: another process stores candles: {error}") from error

    def _file(self, part: pl.DataFrame) -> delta.DataFile:
        day = part["event_date"][0]
        partition = {"event_date": None if day is None else str(day)}
        folder = self._candles.root / delta.partition_folder(partition)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.dataset}.{delta.unique()}.zstd.parquet"
        rows = part.drop("event_date").sort("width", "instrument_id", "window_start", "venue")
        rows.write_parquet(path, compression="zstd", compression_level=3)
        starts = rows["window_start"]
        return delta.DataFile(
            path=str(path.relative_to(self._candles.root)),
            size=path.stat().st_size,
            rows=rows.height,
            partition=partition,
            minimum={"window_start": delta.stated(starts.min())},
            maximum={"window_start": delta.stated(starts.max())},
        )

    def _path(self, version: int) -> Path:
        return self.root / "state" / f"{self.dataset}.{version}.parquet"

    def _pictures(self) -> list[Path]:
        return list((self.root / "state").glob(f"{self.dataset}.*.parquet"))


def told_of(state: State) -> list[dict[str, Any]]:
    """A row of `speed/progress` per stream; counters count from the stream's beginning."""
    now = datetime.now(UTC)
    late = {
        (stream, width): (count, quantity)
        for stream, width, count, quantity in state.late.group_by("stream", "width")
        .agg(pl.col("rows", "quantity").sum())
        .with_columns(pl.col("quantity").cast(pl.Decimal(38, 0)))
        .iter_rows()
    }
    rows = []
    for name, stream in state.streams.items():
        row = {
            "dataset": state.dataset,
            "stream": name,
            "bronze_version": state.version,
            "watermark_ns": None if stream.watermark_ns == NOTHING else stream.watermark_ns,
            "out_of_order": state.disordered.get(name, 0),
            "evicted_windows": state.evicted.get(name, 0),
            "evicted_rows": state.dropped.get(name, 0),
            "flushed_at": now,
        }
        for width in rules().widths:
            count, quantity = late.get((name, width.name), (0, 0))
            row[f"late_{width.name}"] = count
            row[f"late_quantity_{width.name}"] = quantity.scaleb(-8) if count else 0
        rows.append(row)
    return rows


def _files_of(table: Table, dataset: str) -> list[str]:
    table.update_incremental()
    uris = table.snapshot().file_uris()
    files = [str(Path(uri).relative_to(table.root)) for uri in uris]
    return [file for file in files if Path(file).name.startswith(f"{dataset}.")]


def _plain(schema: pa.Schema) -> pa.Schema:
    """String views as strings: Delta's own names of types."""
    return pa.schema(
        [pa.field(f.name, pa.string() if "string" in str(f.type) else f.type) for f in schema]
    )


def _write_arrow(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def _write(path: Path, state: State) -> None:
    """A picture of the state: its open windows as rows, all else beside them, in one file."""
    opened = [frame.with_columns(width=pl.lit(width)) for width, frame in state.open.items()] or [
        pl.DataFrame(schema={**WINDOWS, "width": pl.String})
    ]
    rest = {
        "format": FORMAT,
        "version": state.version,
        "ended": state.ended,
        "streams": {
            name: {
                "watermark_ns": stream.watermark_ns,
                "units": {u: [k.newest_ns, k.heard_ns] for u, k in stream.units.items()},
            }
            for name, stream in state.streams.items()
        },
        "late": state.late.with_columns(pl.col("quantity").cast(pl.String)).rows(),
        "disordered": state.disordered,
        "evicted": state.evicted,
        "dropped": state.dropped,
        "lone": state.lone,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    frame = pl.concat(opened).with_columns(pl.col(pl.Int128).cast(pl.Decimal(38, 0)))
    frame.write_parquet(draft, metadata={"ticklake": json.dumps(rest)})
    sync_file(draft)
    draft.replace(path)
    sync_folders([path.parent])


def _read(path: Path, dataset: str) -> State:
    rest = json.loads(pl.read_parquet_metadata(path)["ticklake"])
    if rest["format"] != FORMAT:
        raise ValueError(f"{path} is of format {rest['format']}")
    state = State(dataset, rest["version"], rest["ended"])
    for name, told in rest["streams"].items():
        units = {u: Unit(*known) for u, known in told["units"].items()}
        state.streams[name] = Stream(rules().idle_ns, told["watermark_ns"], units)
    late = {name: pl.String if name == "quantity" else dtype for name, dtype in LATE.items()}
    state.late = pl.DataFrame(rest["late"], schema=late, orient="row").cast(dict(LATE))
    for name in ("disordered", "evicted", "dropped"):
        getattr(state, name).update(rest[name])
    state.lone.update(rest["lone"])
    frame = pl.read_parquet(path)
    for (width,), rows in frame.group_by("width", maintain_order=True):
        columns = (pl.col(name).cast(dtype) for name, dtype in WINDOWS.items())
        state.open[str(width)] = rows.select(columns)
    return state


def is_there(layout: Layout) -> bool:
    """Has anything been stored?"""
    return delta_log.is_table(layout.speed / "candles")
