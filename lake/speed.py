"""The speed layer's tables as a build reads them: versions, views, and the hours with news.

`speed/candles` has a row per finished window, `speed/progress` one per flush and stream; both are
only appended to, candles first, so that what progress says of a window holds for the candles.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from duckdb import DuckDBPyConnection

from lake import damage, delta_log
from lake.files import data_files, names, relation
from lake.layout import Layout

CANDLES, PROGRESS = "speed.candles", "speed.progress"
TABLES = (PROGRESS, CANDLES)  # in the order in which they are pinned

SCHEMA = {
    CANDLES: pa.schema(
        {
            "width": pa.string(),
            "instrument_id": pa.string(),
            "venue": pa.string(),
            "window_start": pa.timestamp("us", "UTC"),
            "open": pa.decimal128(18, 9),
            "high": pa.decimal128(18, 9),
            "low": pa.decimal128(18, 9),
            "close": pa.decimal128(18, 9),
            "volume": pa.decimal128(38, 8),
            "trade_count": pa.int64(),
            "vwap_notional": pa.decimal128(38, 12),
            "vwap_quantity": pa.decimal128(38, 8),
            "is_final": pa.bool_(),
            "dataset": pa.string(),
            "stream": pa.string(),
            "bronze_version": pa.int64(),
            "event_date": pa.date32(),
        }
    ),
    PROGRESS: pa.schema(
        {
            "dataset": pa.string(),
            "stream": pa.string(),
            "bronze_version": pa.int64(),
            "watermark_ns": pa.int64(),
        }
    ),
}
_PARTITIONS = {CANDLES: ["event_date"], PROGRESS: []}

HOUR = timedelta(hours=1)
_LATENESS = HOUR  # no width allows more; a window may become final that long after its end
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """Hours of event time, UTC, from `first` to `last`, both included."""

    first: datetime
    last: datetime


def root(layout: Layout, table: str) -> Path:
    """The folder of one of the tables."""
    return layout.speed / table.partition(".")[2]


def newest(layout: Layout) -> dict[str, int]:
    """The newest versions, progress first; without a speed layer there are none.

    Read before the versions of bronze: no candle is then made of rows that the build cannot see.
    """
    return {
        table: delta_log.newest(root(layout, table))
        for table in TABLES
        if delta_log.is_table(root(layout, table))
    }


def create_views(conn: DuckDBPyConnection, layout: Layout, now: Mapping[str, int]) -> None:
    """Views speed.candles (with `event_hour`) and speed.progress at a pin, empty without one."""
    conn.execute("create schema if not exists speed")
    for table in TABLES:
        hour = ", date_trunc('hour', window_start) as event_hour" if table == CANDLES else ""
        conn.execute(
            f"create or replace view {table} as select {names(SCHEMA[table].names)}{hour} "
            f"from {_rows(layout, table, now.get(table))}"
        )


def news(
    conn: DuckDBPyConnection, layout: Layout, before: Mapping[str, int], now: Mapping[str, int]
) -> dict[str, list[Span] | None]:
    """Hours whose comparison may come out otherwise than at the pin `before`, per table.

    Those of new candles, and those that a watermark has passed through since: a window may be
    final now though nothing of it is new, and may be missing. None: any hour, as the older
    version cannot be read any more or the table was made anew.
    """
    found = {CANDLES: _new_candles, PROGRESS: _passed}
    told: dict[str, list[Span] | None] = {}
    for table in TABLES:
        if now.get(table) == before.get(table):
            told[table] = []
        elif now.get(table, -1) < before.get(table, -1):
            told[table] = None
        else:
            try:
                told[table] = found[table](conn, layout, before.get(table), now[table])
            except (DeltaError, OSError, damage.Damaged):
                told[table] = None
    return told


def _new_candles(_: DuckDBPyConnection, layout: Layout, before: int | None, now: int) -> list[Span]:
    """Hours that the files cover which one of both versions has and the other has not."""
    files = _files(root(layout, CANDLES), now)
    if before is not None:
        older = _files(root(layout, CANDLES), before)
        added = files.join(older, on="path", how="anti")
        files = pl.concat([added, older.join(files, on="path", how="anti")])
    day = pl.col("partition.event_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    covered = files.select(
        pl.col("min.window_start").fill_null(day),
        pl.col("max.window_start").fill_null(day + timedelta(hours=23)),
    )
    return merged(Span(_hour(first), _hour(last)) for first, last in covered.iter_rows())


def _passed(conn: DuckDBPyConnection, layout: Layout, before: int | None, now: int) -> list[Span]:
    """Hours through which the watermark of a stream has gone."""
    reached = _watermarks(conn, layout, now)
    older = {} if before is None else _watermarks(conn, layout, before)
    return merged(
        Span(_hour(min(older.get(stream, at), at) - _LATENESS), _hour(at))
        for stream, at in reached.items()
        if older.get(stream) != at
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same hours in as few spans as possible."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda s: s.first):
        if found and span.first <= found[-1].last + HOUR:
            found[-1] = Span(found[-1].first, max(found[-1].last, span.last))
        else:
            found.append(span)
    return found


def _watermarks(
    conn: DuckDBPyConnection, layout: Layout, version: int
) -> dict[tuple[str, str], datetime]:
    rows = conn.execute(
        f"select dataset, stream, max(watermark_ns) from {_rows(layout, PROGRESS, version)} "
        "where watermark_ns > 0 group by 1, 2"
    ).fetchall()
    return {(d, s): _EPOCH + timedelta(microseconds=ns // 1000) for d, s, ns in rows}


def _rows(layout: Layout, table: str, version: int | None) -> str:
    schema, partitions = SCHEMA[table], _PARTITIONS[table]
    if version is None:
        return relation([], schema)
    files = data_files(root(layout, table), version)
    return relation(files["path"].to_list(), schema, partitions=partitions)


def _files(at: Path, version: int) -> pl.DataFrame:
    """Files of a version with the first and last window of each; they may be gone by now."""
    actions = pl.DataFrame(DeltaTable(str(at), version=version).get_add_actions(flatten=True))
    unstated = [
        pl.lit(None, pl.Datetime("us", "UTC")).alias(column)
        for column in ("min.window_start", "max.window_start")
        if column not in actions.columns
    ]
    return actions.with_columns(unstated).select(
        "path",
        pl.col("partition.event_date").cast(pl.Date),
        pl.col("min.window_start").cast(pl.Datetime("us", "UTC")),
        pl.col("max.window_start").cast(pl.Datetime("us", "UTC")),
    )


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
