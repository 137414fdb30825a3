"""Delta tables as DuckDB sees them: a view over the exact files of one version."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from lake import damage, delta_log

_DUCKDB_TYPE = {
    pa.string(): "varchar",
    pa.large_string(): "varchar",
    pa.binary(): "blob",
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.bool_(): "boolean",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamp with time zone",
}


def data_files(root: Path, version: int) -> pl.DataFrame:
    """The files of a Delta table at a version, one row each.

    Columns: path (absolute), rows, one `partition.<name>` per partition column and the
    `min.<column>` / `max.<column>` statistics that the writer recorded. Raises damage.Damaged if
    the log cannot be read, or a file is gone or has another size than the log says.
    """
    with damage.named(root):
        delta_log.check_tail(root, version)
        table = DeltaTable(str(root), version=version)
        actions = pl.DataFrame(table.get_add_actions(flatten=True))
        for path, size in actions.select("path", "size_bytes").iter_rows():
            damage.check_size(f"{root}/{path}", size)
    return actions.with_columns(
        path=pl.lit(f"{root}/") + pl.col("path"), rows=pl.col("num_records")
    ).drop("size_bytes", "modification_time", "num_records")


def relation(
    paths: Sequence[str],
    schema: pa.Schema,
    *,
    partitions: Sequence[str] = (),
    union_by_name: bool = False,
) -> str:
    """SQL of a relation over exactly these Parquet files, or an empty one of the same columns.

    `partitions` are the columns whose values stand in the paths.
    """
    if not paths:
        columns = ", ".join(f"null::{duckdb_type(f.type)} as {quoted(f.name)}" for f in schema)
        return f"(select {columns} where false)"
    listed = ", ".join(literal(path) for path in paths)
    if partitions:
        types = ", ".join(
            f"{literal(name)}: {duckdb_type(schema.field(name).type)}" for name in partitions
        )
        hive = f"hive_partitioning = true, hive_types = {{{types}}}"
    else:
        hive = "hive_partitioning = false"
    union = ", union_by_name = true" if union_by_name else ""
    return f"read_parquet([{listed}], {hive}{union})"


def duckdb_type(dtype: pa.DataType) -> str:
    """DuckDB's name of an Arrow type."""
    if pa.types.is_decimal(dtype):
        return f"decimal({dtype.precision}, {dtype.scale})"
    if pa.types.is_list(dtype):
        return f"{duckdb_type(dtype.value_type)}[]"
    return _DUCKDB_TYPE[dtype]


def arrow_schema(schema: Any) -> pa.Schema:
    """A Delta schema as pyarrow, without nullability and metadata, to compare with DuckDB's."""
    fields = pa.schema(schema)
    return pa.schema([pa.field(f.name, _plain(f.type)) for f in fields])


def _plain(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(dtype) or pa.types.is_large_string(dtype):
        return pa.string()
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return pa.list_(_plain(dtype.value_type))
    return dtype


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def names(columns: Iterable[str]) -> str:
    """SQL identifiers, separated by commas."""
    return ", ".join(quoted(column) for column in columns)
