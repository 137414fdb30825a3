"""A published table as a folder of Hive-partitioned Parquet: year=2025/month=10/day=2.

What is exported is one publication: the connection holds the file of views that was current when it
was opened. The folder is written under another name beside its place and renamed when it is whole,
checked and on the disk, so that nobody finds half of an export.
"""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from duckdb import DuckDBPyConnection

from lake import lakehouse
from lake.durable import sync_file, sync_folders
from lake.files import literal, quoted
from lake.layout import Layout

# What says which day a row belongs to, in this order; a moment counts by its UTC date.
DAY_COLUMNS = (
    "session_date",
    "event_hour",
    "window_start",
    "event_ts",
    "landed_hour",
    "valid_from",
)
MANIFEST = "_export.json"  # readers of Parquet folders skip names that begin with _
_DATES = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


class ExportError(RuntimeError):
    """What was asked for cannot be exported; the message says what to do instead."""


@dataclass(frozen=True)
class Exported:
    """What was written: of which table and publication, cut by which column, and how much."""

    table: str
    folder: str
    publication: int
    day_of: str
    rows: int
    days: int
    files: int
    bytes: int


@dataclass(frozen=True)
class _Chosen:
    """Which rows: of a table, by the day of a column, of days in [first, after)."""

    schema: str
    name: str
    column: str
    first: date | None
    after: date | None

    @property
    def table(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def rows(self) -> str:
        """SQL of the rows, with their day."""
        day = f"cast({quoted(self.column)} as date)"  # the connection is in UTC
        wanted = [f"{day} >= date '{self.first}'"] if self.first else []
        wanted += [f"{day} < date '{self.after}'"] if self.after else []
        where = f" where {' and '.join(wanted)}" if wanted else ""
        relation = f"{quoted(self.schema)}.{quoted(self.name)}"
        return f"select *, {day} as export_day from {relation}{where}"


def export(
    layout: Layout,
    table: str,
    folder: Path,
    *,
    by: str | None = None,
    first: date | None = None,
    after: date | None = None,
    memory: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Exported:
    """Write `table` (schema.name, or a name in gold) to `folder`, which must be new or empty.

    `by` names the date or timestamp column whose UTC day a row is put under (default: the first of
    DAY_COLUMNS that the table has); rows of days in [first, after) are taken. `progress` is called
    with per cent done. Raises ExportError, and lakehouse.NothingPublished before the first build.
    """
    _must_be_free(folder)
    with lakehouse.connect(layout) as conn:
        if memory:
            conn.execute(f"set memory_limit = {literal(memory)}")
        conn.execute("set preserve_insertion_order = false")
        schema, name = _found(conn, table)
        chosen = _Chosen(schema, name, _day_column(conn, schema, name, by), first, after)
        ((number,),) = conn.execute("select number from audit.publication").fetchall()
        draft = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            _copy(conn, chosen, draft, progress)
            exported = _described(conn, draft, chosen, folder, number)
            _expect(conn, chosen, exported.rows)
            _put_in_place(draft, folder, exported)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return exported


def _must_be_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder that is new or empty")
    if folder.is_dir() and any(folder.iterdir()):
        raise ExportError(f"{folder} is not empty; name a new folder, or empty it first")


def _found(conn: DuckDBPyConnection, table: str) -> tuple[str, str]:
    tables = conn.execute(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema in ('gold', 'silver', 'audit', 'ledger', 'quarantine') order by all"
    ).fetchall()
    schema, _, name = table.rpartition(".")
    wanted = (schema or "gold", name)
    if wanted not in tables:
        gold = ", ".join(n for s, n in tables if s == "gold")
        raise ExportError(
            f"there is no published table {'.'.join(wanted)}. In gold are {gold or 'none'}; those "
            "of silver and audit are named with their schema, as in silver.trades"
        )
    return wanted


def _day_column(conn: DuckDBPyConnection, schema: str, name: str, by: str | None) -> str:
    columns = conn.execute(
        "select column_name, data_type from information_schema.columns "
        "where table_schema = ? and table_name = ?",
        [schema, name],
    ).fetchall()
    dated = [column for column, kind in columns if kind in _DATES]
    if by is None:
        found = [column for column in DAY_COLUMNS if column in dated] or dated
        if found:
            return found[0]
        raise ExportError(
            f"{schema}.{name} has no date or timestamp to cut it by; export it with DuckDB's "
            f"`copy {schema}.{name} to 'file.parquet'`"
        )
    if by not in dated:
        raise ExportError(
            f"{schema}.{name} has no date or timestamp called {by}; it has "
            f"{', '.join(dated) or 'none'}"
        )
    return by


def _copy(
    conn: DuckDBPyConnection, chosen: _Chosen, draft: Path, progress: Callable[[float], None]
) -> None:
    """One COPY in a thread of its own, while this one tells how far it is."""
    parts = ", ".join(f"{part}(export_day) as {part}" for part in ("year", "month", "day"))
    sql = (
        f"copy (select * exclude (export_day), {parts} from "
        f"({chosen.rows})) to {literal(str(draft))} "
        "(format parquet, compression zstd, partition_by (year, month, day), "
        "filename_pattern 'part_{i}', overwrite_or_ignore)"
    )
    failed: list[BaseException] = []

    def run() -> None:
        try:
            conn.execute(sql).fetchall()
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.1)
            progress(max(0.0, conn.query_progress()))
    except BaseException:
        conn.interrupt()
        worker.join()
        raise
    if failed:
        raise failed[0]


def _described(
    conn: DuckDBPyConnection, draft: Path, chosen: _Chosen, folder: Path, number: int
) -> Exported:
    files = sorted(draft.rglob("*.parquet"))
    rows = 0
    if files:
        listed = ", ".join(literal(str(path)) for path in files)
        ((rows,),) = conn.execute(f"select count(*) from read_parquet([{listed}])").fetchall()
    return Exported(
        table=chosen.table,
        folder=str(folder),
        publication=number,
        day_of=chosen.column,
        rows=rows,
        days=len({path.parent for path in files}),
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
    )


def _expect(conn: DuckDBPyConnection, chosen: _Chosen, written: int) -> None:
    ((there,),) = conn.execute(f"select count(*) from ({chosen.rows})").fetchall()
    if there == 0:
        raise ExportError(f"{chosen.table} has no rows in these days: nothing was written")
    if there != written:
        raise ExportError(f"{written} rows were written of {there}: nothing was kept, try again")


def _put_in_place(draft: Path, folder: Path, exported: Exported) -> None:
    (draft / MANIFEST).write_text(json.dumps(asdict(exported), indent=1) + "\n")
    for path in draft.rglob("*"):
        if path.is_file():
            sync_file(path)
    sync_folders([path for path in (draft, *draft.rglob("*")) if path.is_dir()])
    if folder.is_dir():
        folder.rmdir()  # empty, or this says so
    draft.replace(folder)
    sync_folders([folder.parent])
