"""Tables in PostgreSQL: their definition, and rows on their way into them.

Rows go from DuckDB through Arrow into a binary COPY: decimals stay decimals, nothing is made text
or float on the way.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from checks.expectations.models import models
from lake.files import names, quoted
from lake.postgres_copy import CopiedTable, Cut, name_of
from serving.postgres_plan import Difference, Wanted

BATCH_ROWS = 100_000
_TYPES = {
    "VARCHAR": "text",
    "BIGINT": "bigint",
    "INTEGER": "integer",
    "SMALLINT": "smallint",
    "DOUBLE": "double precision",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "BLOB": "bytea",
    "VARCHAR[]": "text[]",
    "BIGINT[]": "bigint[]",
}
_DECIMAL = re.compile(r"^DECIMAL\((\d+),\s*(\d+)\)$")
_NULLS_NOT_DISTINCT = 150000  # the first version that has it
_NO_NUL = "chr(0), chr(65533)"  # PostgreSQL's text has no NUL character: it becomes U+FFFD

Progress = Callable[[str, int], None]
"""Called with a table's name and a number of rows that were copied."""


def postgres_type(kind: str) -> str:
    """PostgreSQL's type for DuckDB's; what has none is kept as text."""
    if found := _DECIMAL.match(kind):
        return f"numeric({found[1]},{found[2]})"
    return _TYPES.get(kind, "text")


@dataclass(frozen=True)
class Shape:
    """A table's definition as SQL: its columns, and the constraint that is its key, if any."""

    columns: str
    constraint: str = ""

    def __str__(self) -> str:
        return f"{self.columns}; {self.constraint}"


def shape_of(table: Wanted, key: Sequence[str], has_nulls: bool, version: int) -> Shape:
    """The definition of a table with this key on a server of this version (150004: 15.4).

    A key that may be null is a unique constraint, in which nulls count as equal where the server
    can do that.
    """
    columns = ", ".join(f"{quoted(name)} {postgres_type(kind)}" for name, kind in table.columns)
    how = "primary key"
    if has_nulls:
        how = "unique nulls not distinct" if version >= _NULLS_NOT_DISTINCT else "unique"
    return Shape(columns, f"{how} ({names(key)})" if key else "")


def key_of(table: Wanted) -> tuple[str, ...]:
    """The columns that no two rows of a table share, as the model's yml says; empty: none."""
    model = models().get(table.key)
    key = model.key if model else ()
    return key if set(key) <= {name for name, _ in table.columns} else ()


def has_nulls(
    conn: DuckDBPyConnection, table: Wanted, key: Sequence[str], copied: CopiedTable | None
) -> bool:
    """Is a column of the key null in a row that was copied, or is to be copied?"""
    if not key:
        return False
    if copied is not None and copied.shape.partition("; ")[2].startswith("unique"):
        return True
    known = copied.parts if copied is not None and copied.cut == table.cut else {}
    parts = [name for name, part in table.parts.items() if known.get(name) != part]
    missing = " or ".join(f"{quoted(name)} is null" for name in key)
    rows = table.rows_of(parts)
    return bool(
        conn.execute(f"select coalesce(bool_or({missing}), false) from {rows}").fetchall()[0][0]
    )


def make(cursor: Any, key: str, shape: Shape, draft: str) -> None:
    """Make an empty table under the name `draft`, in the schema of `key`, without its key."""
    schema = key.partition(".")[0]
    cursor.execute(f"create schema if not exists {quoted(schema)}")
    cursor.execute(f"create table {quoted(schema)}.{quoted(draft)} ({shape.columns})")


def finish(cursor: Any, key: str, shape: Shape, draft: str, cut: Cut) -> None:
    """Give a filled table its key, and an index by which its parts are found."""
    target = f"{quoted(key.partition('.')[0])}.{quoted(draft)}"
    if shape.constraint:
        named = quoted(f"{draft}_key")
        cursor.execute(f"alter table {target} add constraint {named} {shape.constraint}")
    if cut.by != "all":
        part = quoted(cut.column) if cut.by == "hour" else f"left(md5({quoted(cut.column)}), 1)"
        cursor.execute(f"create index {quoted(f'{draft}_part')} on {target} (({part}))")


def put_in_place(cursor: Any, key: str, draft: str) -> None:
    """Let a finished table have its name, instead of the one that had it."""
    schema, name = key.split(".")
    cursor.execute(f"drop table if exists {name_of(key)}")
    cursor.execute(f"alter table {quoted(schema)}.{quoted(draft)} rename to {quoted(name)}")
    for suffix in ("key", "part"):
        named = f"{quoted(schema)}.{quoted(f'{draft}_{suffix}')}"
        cursor.execute(f"alter index if exists {named} rename to {quoted(f'{name}_{suffix}')}")


def exists(cursor: Any, key: str) -> bool:
    """Is the table there?"""
    cursor.execute(f"select to_regclass('{name_of(key)}') is not null")
    return bool(cursor.fetchone()[0])


def delete(cursor: Any, difference: Difference, copied_parts: int) -> None:
    """Delete the rows of the parts that are copied anew, or gone."""
    parts = [*difference.changed, *difference.gone]
    target = name_of(difference.table.key)
    if len(parts) >= copied_parts:
        cursor.execute(f"delete from {target}")
        return
    for part in parts:
        cursor.execute(f"delete from {target} where {difference.table.cut.holds(part)}")


def load(
    cursor: Any,
    conn: DuckDBPyConnection,
    table: Wanted,
    parts: Sequence[str],
    into: str,
    progress: Progress,
) -> int:
    """Copy the rows of `parts` into the table `into` of the schema; returns how many there were."""
    if not parts:
        return 0
    selected = ", ".join(_selected(name, kind) for name, kind in table.columns)
    reader = conn.sql(f"select {selected} from {table.rows_of(parts)}").to_arrow_reader(BATCH_ROWS)
    copied = 0

    def batches() -> Any:
        nonlocal copied
        for batch in reader:
            copied += batch.num_rows
            yield batch
            progress(table.key, batch.num_rows)

    schema = table.key.partition(".")[0]
    stream = pa.RecordBatchReader.from_batches(reader.schema, batches())
    cursor.adbc_ingest(into, stream, mode="append", db_schema_name=schema)
    return copied


def _selected(name: str, kind: str) -> str:
    column = quoted(name)
    if kind == "VARCHAR":
        return f"replace({column}, {_NO_NUL}) as {column}"
    if kind == "VARCHAR[]":
        return f"list_transform({column}, lambda v: replace(v, {_NO_NUL})) as {column}"
    if postgres_type(kind) == "text":
        return f"replace({column}::varchar, {_NO_NUL}) as {column}"
    return column
