"""`ledger/failures`, the table: only ever appended to, each row durable and there once."""

from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from duckdb import DuckDBPyConnection

from lake import damage, delta, delta_log
from lake.failures import Failure
from lake.files import relation
from lake.layout import Layout

SCHEMA = pa.schema(
    [
        ("failure_id", pa.string()),
        ("noted_at", pa.timestamp("us", "UTC")),
        ("kind", pa.string()),
        ("flow", pa.string()),
        ("task", pa.string()),
        ("run_id", pa.string()),
        ("try_number", pa.int32()),
        ("tries", pa.int32()),
        ("interval_start", pa.timestamp("us", "UTC")),
        ("interval_end", pa.timestamp("us", "UTC")),
        ("params", pa.string()),
        ("error", pa.string()),
        ("rule", pa.string()),
        ("cause", pa.string()),
        ("remedy", pa.string()),
        ("command", pa.string()),
        ("log", pa.string()),
    ]
)


def append(layout: Layout, row: Failure) -> bool:
    """Add a row, durably; False if one with its id is there already.

    Of several who try at once one does: the id is an application transaction. Raises
    deltalake's CommitFailedError where the table was changed meanwhile, damage.Damaged.
    """
    table = delta.open_or_create(layout.failures, SCHEMA, [])
    if table.transaction_version(row.failure_id) is not None:
        return False
    file = _write(layout, row)
    try:
        delta.commit(
            table, layout.failures, [file], transactions={row.failure_id: 1}, fault="failures"
        )
    except CommitFailedError:
        (layout.failures / file.path).unlink()
        if delta.open_or_create(layout.failures, SCHEMA, []).transaction_version(row.failure_id):
            return False
        raise
    return True


def read(layout: Layout) -> list[Failure]:
    """All rows, oldest first; none where nothing ever failed. Raises damage.Damaged."""
    if not delta_log.is_table(layout.failures):
        return []
    with damage.named(layout.failures):
        rows = DeltaTable(str(layout.failures)).to_pyarrow_table().to_pylist()
    return sorted((Failure(**row) for row in rows), key=lambda row: row.noted_at)


def create_view(conn: DuckDBPyConnection, layout: Layout) -> None:
    """View ledger.failures over the table's files as they are now."""
    paths: list[str] = []
    if delta_log.is_table(layout.failures):
        with damage.named(layout.failures):
            paths = DeltaTable(str(layout.failures)).file_uris()
    conn.execute(f"create or replace view ledger.failures as from {relation(paths, SCHEMA)}")


def _write(layout: Layout, row: Failure) -> delta.DataFile:
    name = f"{delta.unique()}.zstd.parquet"
    path = layout.failures / name
    pq.write_table(pa.Table.from_pylist([asdict(row)], schema=SCHEMA), path, compression="zstd")
    return delta.DataFile(name, path.stat().st_size, 1, {}, {}, {})
