"""lakehouse.duckdb: a small read-only file of views over exactly the published files.

It is written anew beside the old one and swapped in with one rename, so a reader has either the
publication before or the one after, for all tables at once, and is never blocked.
"""

import os
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from contracts import registry
from lake import failures_table, pins
from lake.durable import fault_point, sync_file, sync_folders
from lake.files import arrow_schema, data_files, literal, quoted, relation
from lake.layout import Layout
from lake.published_table import PART
from lake.records import Published, Record, current

# The file format of DuckDB 1.2: what newer versions write, older ones can then still open.
STORAGE_VERSION = "v1.2.0"


class NothingPublished(RuntimeError):
    """There is no publication yet; run a build first."""


def connect(layout: Layout) -> DuckDBPyConnection:
    """A read-only connection to the published tables, in UTC. Raises NothingPublished."""
    if not layout.lakehouse.exists():
        raise NothingPublished(
            f"nothing is published under {layout.root}; land data and run `dbt build` (in dbt/)"
        )
    return open_file(layout.lakehouse)


def open_file(path: Path) -> DuckDBPyConnection:
    """A read-only connection to a file of views, in UTC."""
    conn = duckdb.connect(str(path), read_only=True)
    conn.execute("set TimeZone = 'UTC'")
    return conn


def shows(layout: Layout) -> int | None:
    """Number of the publication that lakehouse.duckdb shows; None if there is no such file."""
    if not layout.lakehouse.exists():
        return None
    with duckdb.connect(str(layout.lakehouse), read_only=True) as conn:
        found = conn.execute("select number from audit.publication").fetchall()
    return int(found[0][0])


def refresh(layout: Layout) -> bool:
    """Make lakehouse.duckdb show the current publication; False if it already did."""
    record = current(layout)
    if record is None or shows(layout) == record.number:
        return False
    swap(layout, record)
    return True


def swap(layout: Layout, record: Record) -> None:
    """Write the views of a publication and put them in place in one rename."""
    layout.local.mkdir(parents=True, exist_ok=True)
    draft = layout.local / f".lakehouse.{os.getpid()}.duckdb"
    draft.unlink(missing_ok=True)
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        conn.execute(
            f"attach {literal(str(draft))} as lakehouse (storage_version '{STORAGE_VERSION}')"
        )
        conn.execute("use lakehouse")
        write_views(conn, layout, record)
        conn.execute("use memory")
        conn.execute("detach lakehouse")
    sync_file(draft)
    fault_point("publish.swapping")
    draft.replace(layout.lakehouse)
    sync_folders([layout.local])


def write_views(conn: DuckDBPyConnection, layout: Layout, record: Record) -> None:
    """Make the views of a publication in an empty database."""
    for schema in ("silver", "gold", "audit", "quarantine", "ledger"):
        conn.execute(f"create schema {schema}")
    tables = [(key, t) for key, t in record.tables.items() if t.kind == "table"]
    views = [(key, t) for key, t in record.tables.items() if t.kind == "view"]
    for key, table in tables:
        conn.execute(f"create view {_name(key)} as {_table_sql(layout, key, table)}")
    _write_model_views(conn, {key: view.sql for key, view in views})
    pins.create_ledger_view(conn, layout)
    failures_table.create_view(conn, layout)
    old = pins.grown(conn)
    for contract in registry.all_contracts().values():
        read = {name: facts["version"] for name, facts in record.read.items()}
        bronze = pins.bronze_at(layout, contract, read, {})
        pins.create_quarantine_view(conn, contract, bronze.files, contract.dataset in old)
    conn.execute(
        f"create view audit.publication as select {record.number} as number, "
        f"{literal(record.build_id)} as build_id, timestamptz {literal(record.published_at)} "
        f"as published_at, {literal(record.revision)} as revision"
    )


def _write_model_views(conn: DuckDBPyConnection, waiting: dict[str, str]) -> None:
    """A view may read other views: those whose inputs stand are made first."""
    while waiting:
        missing: dict[str, duckdb.CatalogException] = {}
        for key, sql in waiting.items():
            try:
                conn.execute(f"create view {_name(key)} as {sql}")
            except duckdb.CatalogException as error:
                missing[key] = error
        if len(missing) == len(waiting):
            raise next(iter(missing.values()))
        waiting = {key: waiting[key] for key in missing}


def _table_sql(layout: Layout, key: str, table: Published) -> str:
    schema, name = key.split(".")
    root = layout.table(schema, name)
    paths = sorted(data_files(root, table.version)["path"].to_list())
    if not paths:
        return _empty_sql(root, table.version)
    listed = ", ".join(literal(path) for path in paths)
    return f"select * from read_parquet([{listed}], hive_partitioning = false)"


def _empty_sql(root: Path, version: int) -> str:
    schema = arrow_schema(DeltaTable(str(root), version=version).schema())
    columns = pa.schema([field for field in schema if field.name != PART])
    return f"select * from {relation([], columns)}"


def _name(key: str) -> str:
    return ".".join(quoted(part) for part in key.split("."))
