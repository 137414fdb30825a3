"""Delta tables, written so that nothing is acknowledged before it is on the disk.

The data files are written and synced first, then one log entry names them all. delta-rs does the
commit protocol (put-if-absent, conflict check, checkpoints); it never syncs, so we do.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.transaction import AddAction, RemoveAction

from lake.durable import fault_point, folders_between, sync_file, sync_folders

# Nothing may forget history on its own: the ledger is derived from it first.
CONFIGURATION: dict[str, str | None] = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "50",
}

# Each commit is synced before its writer goes on, so only writers that died leave entries behind.
MAX_UNSYNCED = 10


@dataclass(frozen=True)
class DataFile:
    """One Parquet file that is written but not yet named in the log."""

    path: str  # relative to the table
    size: int
    rows: int
    partition: Mapping[str, str | None]
    minimum: Mapping[str, Any]
    maximum: Mapping[str, Any]

    def action(self) -> AddAction:
        """The log action that makes the file part of the table."""
        stats = {
            "numRecords": self.rows,
            "minValues": dict(self.minimum),
            "maxValues": dict(self.maximum),
            "nullCount": {},
        }
        return AddAction(
            self.path,
            self.size,
            self.partition,
            time.time_ns() // 1_000_000,
            True,
            json.dumps(stats),
        )


def open_or_create(path: Path, schema: pa.Schema, partition_by: Sequence[str]) -> DeltaTable:
    """The table at `path`; made, durably, if it is not there.

    A writer that died between its commit and its sync left a log entry that a power cut could
    still take; whoever builds on it by reading positions has to sync it first.
    """
    if not DeltaTable.is_deltatable(str(path)):
        there = next(parent for parent in path.parents if parent.exists())
        path.mkdir(parents=True, exist_ok=True)
        DeltaTable.create(
            str(path),
            schema=Schema.from_arrow(schema),
            partition_by=list(partition_by),
            mode="ignore",
            configuration=CONFIGURATION,
        )
        sync_folders(folders_between(there, path))
    table = DeltaTable(str(path))
    sync_log(path, max(0, table.version() - MAX_UNSYNCED), table.version())
    return table


def unique() -> str:
    """A token that makes a file name unique."""
    return secrets.token_hex(8)


def partition_folder(partition: Mapping[str, str | None]) -> str:
    """Hive-style folder of a partition, in the mapping's order."""
    default = "__HIVE_DEFAULT_PARTITION__"
    return "/".join(f"{name}={default if v is None else v}" for name, v in partition.items())


def commit(
    table: DeltaTable,
    root: Path,
    add: Sequence[DataFile],
    remove: Sequence[str] = (),
    *,
    transactions: Mapping[str, int] | None = None,
    metadata: Mapping[str, str] | None = None,
    new_schema: pa.Schema | None = None,
    fault: str = "delta",
) -> int:
    """Make written files part of the table in one commit; returns the version.

    `remove` are relative paths to drop in the same commit. With `new_schema` the files replace
    the whole table and its schema. `transactions` are application transactions (id -> next
    position). The order is: sync data files and their folders, commit, sync the log entry.
    Raises deltalake's CommitFailedError on a conflicting writer.
    """
    for file in add:
        sync_file(root / file.path)
    sync_folders(f for file in add for f in folders_between(root, (root / file.path).parent))
    fault_point(f"{fault}.files_synced")
    actions: list[AddAction | RemoveAction] = [file.action() for file in add]
    now = time.time_ns() // 1_000_000
    actions += [RemoveAction(path, True, now) for path in remove]
    before = table.version()
    table.create_write_transaction(
        actions,
        mode="overwrite" if new_schema else "append",
        schema=Schema.from_arrow(new_schema) if new_schema else table.schema(),
        partition_by=table.metadata().partition_columns,
        commit_properties=CommitProperties(
            custom_metadata=dict(metadata or {}),
            max_commit_retries=50,
            app_transactions=[Transaction(k, v) for k, v in (transactions or {}).items()],
        ),
    )
    fault_point(f"{fault}.committed")
    table.update_incremental()
    if new_schema:  # an overwrite drops the table's configuration with the old schema
        table.alter.set_table_properties({k: v for k, v in CONFIGURATION.items() if v})
        table.update_incremental()
    sync_log(root, before + 1, table.version())
    fault_point(f"{fault}.log_synced")
    return int(table.version())


def sync_log(root: Path, first: int, last: int) -> None:
    """Flush the log entries `first` to `last` and the log folder."""
    log = root / "_delta_log"
    for version in range(first, last + 1):
        entry = log / f"{version:020}.json"
        if entry.exists():
            sync_file(entry)
    sync_folders(folders_between(root.parent, log))
