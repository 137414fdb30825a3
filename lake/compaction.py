"""Compaction: many small files of a table become few, with the same rows.

The new file is written, compared with the old ones, synced, and swapped in with one commit that
says it holds no news. A crash before the commit leaves a file that nobody reads; a writer that
commits at the same moment is not disturbed, and does not disturb.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from lake import delta
from lake.delta_table import Table
from lake.durable import fault_point
from lake.files import arrow_schema, data_files, duckdb_type, literal, names, quoted
from lake.settings import Settings

Progress = Callable[[int, str], None]  # files taken up, and of which table

_MARK = {"ticklake.maintain": "compacted"}
_LANDED = "min.ingest_ts"


@dataclass(frozen=True)
class Group:
    """Files of one partition that become one, in the order in which their rows landed."""

    partition: dict[str, str | None]
    files: pl.DataFrame

    @property
    def paths(self) -> list[str]:
        """The files, absolute."""
        return list(self.files["path"])

    @property
    def rows(self) -> int:
        """Rows in all of them."""
        return int(self.files["rows"].sum())


class RowsDiffer(RuntimeError):
    """A compacted file does not hold the rows of the files it is made of; it is not used."""


def plan(files: pl.DataFrame, rows: int) -> list[Group]:
    """Which files to put together, as `lake.files.data_files` gives them.

    Those of fewer than `rows` rows, so many that the new file has at least that many. A small file
    that is alone in its partition stays, so that a second run finds nothing to do.
    """
    columns = [name for name in files.columns if name.startswith("partition.")]
    order = [name for name in (_LANDED, "path") if name in files.columns]
    small = files.filter(pl.col("rows") < rows).sort([*columns, *order])
    if small.is_empty():
        return []
    parts = small.partition_by(columns, maintain_order=True) if columns else [small]
    return [group for part in parts for group in _groups(part, columns, rows)]


def _groups(part: pl.DataFrame, columns: Sequence[str], rows: int) -> Iterator[Group]:
    partition = {
        name.removeprefix("partition."): None if (value := part[name][0]) is None else str(value)
        for name in columns
    }
    first = total = 0
    for end, count in enumerate(part["rows"], start=1):
        total += count
        if total >= rows or end == part.height:
            if end - first > 1:
                yield Group(partition, part[first:end])
            first, total = end, 0


def compact(root: Path, groups: Sequence[Group], settings: Settings, progress: Progress) -> int:
    """Put the files of each group together, a commit for each; returns the table's version.

    Memory is bounded by TICKLAKE_BUILD_MEMORY however large the table is. Raises RowsDiffer, or
    deltalake's CommitFailedError if somebody else removed one of the files meanwhile.
    """
    table = Table(root)
    schema = arrow_schema(table.schema())
    fields = [field for field in schema if field.name not in table.partition_columns]
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        conn.execute(f"set memory_limit = {literal(settings.build_memory)}")
        conn.execute(f"set threads = {settings.build_threads}")
        conn.execute(f"set temp_directory = {literal(str(settings.local / 'run' / 'spill'))}")
        for group in groups:
            file = _write(conn, root, group, fields)
            fault_point("maintain.files_written")
            gone = [str(Path(path).relative_to(root)) for path in group.paths]
            delta.commit(table, root, [file], gone, metadata=_MARK, is_news=False, fault="maintain")
            progress(len(gone), f"{root.parent.name}.{root.name}")
    return table.version()


def _write(
    conn: DuckDBPyConnection, root: Path, group: Group, fields: Sequence[pa.Field]
) -> delta.DataFile:
    partition = group.partition
    folder = root / delta.partition_folder(partition)
    path = folder / f"compacted-{delta.unique()}.zstd.parquet"
    listed = ", ".join(map(literal, group.paths))
    source = f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
    there = {name for name, *_ in conn.execute(f"describe from {source}").fetchall()}
    columns = ", ".join(
        quoted(f.name) if f.name in there else f"null::{duckdb_type(f.type)} as {quoted(f.name)}"
        for f in fields
    )  # a file of an older contract has not all the columns
    conn.execute(
        f"copy (select {columns} from {source}) to {literal(str(path))} "
        "(format parquet, parquet_version v2, compression zstd, compression_level 3)"
    ).fetchall()
    known = [f.name for f in fields if f.name in there]
    old, new = (
        _digest(conn, source, known),
        _digest(conn, f"read_parquet({literal(str(path))})", known),
    )
    if old != new or new[0] != group.rows:
        path.unlink()
        raise RowsDiffer(
            f"{root}: {len(group.paths)} files hold {old[0]} rows (the log says {group.rows}), the "
            f"file made of them holds {new[0]}, or others; nothing was changed. Run `ticklake "
            f"verify --deep`; the first of them is {group.paths[0]}"
        )
    minimum, maximum = _bounds(group.files)
    return delta.DataFile(
        path=str(path.relative_to(root)),
        size=path.stat().st_size,
        rows=group.rows,
        partition=partition,
        minimum=minimum,
        maximum=maximum,
    )


def _digest(conn: DuckDBPyConnection, source: str, columns: Sequence[str]) -> tuple[Any, ...]:
    hashed = f"hash({names(columns)})"
    sql = f"select count(*), bit_xor({hashed}), sum({hashed}::hugeint) from {source}"
    row: tuple[Any, ...] = conn.execute(sql).fetchall()[0]
    return row


def _bounds(files: pl.DataFrame) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ranges of columns for which each of the files has one."""
    minimum, maximum = {}, {}
    for name in files.columns:
        column = name.removeprefix("min.")
        top = f"max.{column}"
        if column == name or top not in files.columns:
            continue
        if files[name].null_count() or files[top].null_count():
            continue
        minimum[column] = delta.stated(files[name].min())
        maximum[column] = delta.stated(files[top].max())
    return minimum, maximum


def small_files(root: Path, rows: int) -> list[Group]:
    """What is to be put together in the newest version of a table."""
    return plan(data_files(root, DeltaTable(str(root)).version()), rows)
