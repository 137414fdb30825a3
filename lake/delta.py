"""Delta tables, written so that nothing is acknowledged before it is on the disk.

The data files are written and synced first, then one log entry names them all. A commit costs the
same on a table of ten files and of ten thousand (`lake.delta_table`).
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import structlog
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction

from lake import damage, delta_log
from lake.delta_log import LOG, Action
from lake.delta_table import Conflict, Table
from lake.durable import fault_point, folders_between, sync_file, sync_folders

# Nothing may forget history on its own: the ledger is derived from it first.
CONFIGURATION: dict[str, str | None] = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "50",
}

# Each commit is synced before its writer goes on, so only writers that died leave entries behind.
MAX_UNSYNCED = 10

log = structlog.get_logger()

_PATH_SAFE = "/=:+,@!$&'()*;-._~"


@dataclass(frozen=True)
class DataFile:
    """One Parquet file that is written but not yet named in the log."""

    path: str  # relative to the table
    size: int
    rows: int
    partition: Mapping[str, str | None]
    minimum: Mapping[str, Any]
    maximum: Mapping[str, Any]

    @property
    def stats(self) -> str:
        """Rows and ranges as the log has them."""
        return json.dumps(
            {
                "numRecords": self.rows,
                "minValues": dict(self.minimum),
                "maxValues": dict(self.maximum),
                "nullCount": {},
            }
        )

    def action(self) -> AddAction:
        """The log action that makes the file part of the table, as delta-rs takes it."""
        return AddAction(self.path, self.size, self.partition, _now_ms(), True, self.stats)

    def entry(self, *, is_news: bool) -> Action:
        """The same as a line of the log."""
        return {
            "add": {
                "path": quote(self.path, safe=_PATH_SAFE),
                "partitionValues": dict(self.partition),
                "size": self.size,
                "modificationTime": _now_ms(),
                "dataChange": is_news,
                "stats": self.stats,
            }
        }


def open_or_create(path: Path, schema: pa.Schema, partition_by: Sequence[str]) -> Table:
    """The table at `path`; made, durably, if it is not there.

    A writer that died between its commit and its sync left a log entry that a power cut could
    still take; whoever builds on it by reading positions has to sync it first. Raises
    damage.Damaged, which names the file, if the log cannot be read.
    """
    if not delta_log.is_table(path):
        _create(path, schema, partition_by)
    table = _opened(path)
    sync_log(path, max(0, table.version() - MAX_UNSYNCED), table.version())
    return table


def _opened(path: Path) -> Table:
    try:
        return Table(path)
    except Exception:
        with damage.named(path):
            if not delta_log.set_aside_checkpoints(path):
                raise
            log.warning("checkpoint set aside", table=str(path), why="it was not whole")
            return Table(path)


def _create(path: Path, schema: pa.Schema, partition_by: Sequence[str]) -> None:
    """Make the table with one whole entry; of two who try, one does.

    Its folders may have been made just now, by whoever took a lock: each above it is synced.
    """
    (path / LOG).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        DeltaTable.create(
            scratch,
            schema=Schema.from_arrow(schema),
            partition_by=list(partition_by),
            configuration=CONFIGURATION,
        )
        made = delta_log.read(Path(scratch), 0)
    info = {"timestamp": _now_ms(), "operation": "CREATE TABLE", "engineInfo": "ticklake"}
    actions = [action for action in made if "commitInfo" not in action]
    delta_log.put(path, 0, [{"commitInfo": info}, *actions])
    sync_folders([path / LOG, path])
    for folder in path.parents:
        with suppress(PermissionError):  # not ours, so not made by us
            sync_folders([folder])


def stated(value: Any) -> Any:
    """A statistic as the log has it: times as text in UTC, to the microsecond."""
    return f"{value:%Y-%m-%dT%H:%M:%S.%f}Z" if isinstance(value, datetime) else value


def unique() -> str:
    """A token that makes a file name unique."""
    return secrets.token_hex(8)


def partition_folder(partition: Mapping[str, str | None]) -> str:
    """Hive-style folder of a partition, in the mapping's order."""
    default = "__HIVE_DEFAULT_PARTITION__"
    return "/".join(f"{name}={default if v is None else v}" for name, v in partition.items())


def commit(
    table: Table,
    root: Path,
    add: Sequence[DataFile],
    remove: Sequence[str] = (),
    *,
    transactions: Mapping[str, int] | None = None,
    metadata: Mapping[str, str] | None = None,
    new_schema: pa.Schema | None = None,
    is_news: bool = True,
    fault: str = "delta",
) -> int:
    """Make written files part of the table in one commit; returns the version.

    `remove` are relative paths to drop in the same commit. With `new_schema` the files replace
    the whole table and its schema. `transactions` are application transactions (id -> next
    position). `is_news` False says that the same rows lie in other files. The order is: sync data
    files and their folders, commit, sync the log entry.
    Raises deltalake's CommitFailedError on a conflicting writer.
    """
    for file in add:
        sync_file(root / file.path)
    sync_folders(f for file in add for f in folders_between(root, (root / file.path).parent))
    fault_point(f"{fault}.files_synced")
    before = table.version()
    if new_schema:
        _overwrite(table, add, remove, metadata or {}, new_schema)
        fault_point(f"{fault}.committed")
        table.update_incremental()
        # an overwrite drops the table's configuration with the old schema
        table.alter.set_table_properties({k: v for k, v in CONFIGURATION.items() if v})
        table.update_incremental()
    else:
        actions = _entry(table, add, remove, transactions or {}, metadata or {}, is_news)
        removed = frozenset(action["remove"]["path"] for action in actions if "remove" in action)
        table.put(actions, Conflict(frozenset(transactions or {}), removed))
        fault_point(f"{fault}.committed")
    sync_log(root, before + 1, table.version())
    fault_point(f"{fault}.log_synced")
    version = table.version()
    table.checkpoint_if_due()
    return version


def _entry(
    table: Table,
    add: Sequence[DataFile],
    remove: Sequence[str],
    transactions: Mapping[str, int],
    metadata: Mapping[str, str],
    is_news: bool,
) -> list[Action]:
    info = {
        "timestamp": _now_ms(),
        "operation": "WRITE" if is_news else "OPTIMIZE",
        "operationParameters": {
            "mode": "Append",
            "partitionBy": json.dumps(table.partition_columns),
        },
        "engineInfo": "ticklake",
        **metadata,
    }
    actions: list[Action] = [{"commitInfo": info}]
    actions += [
        {"txn": {"appId": app, "version": version, "lastUpdated": _now_ms()}}
        for app, version in transactions.items()
    ]
    actions += [
        {
            "remove": {
                "path": quote(path, safe=_PATH_SAFE),
                "deletionTimestamp": _now_ms(),
                "dataChange": is_news,
            }
        }
        for path in remove
    ]
    return actions + [file.entry(is_news=is_news) for file in add]


def _overwrite(
    table: Table,
    add: Sequence[DataFile],
    remove: Sequence[str],
    metadata: Mapping[str, str],
    schema: pa.Schema,
) -> None:
    actions: list[AddAction | RemoveAction] = [file.action() for file in add]
    actions += [RemoveAction(path, True, _now_ms()) for path in remove]
    table.snapshot().create_write_transaction(
        actions,
        mode="overwrite",
        schema=Schema.from_arrow(schema),
        partition_by=table.partition_columns,
        commit_properties=CommitProperties(custom_metadata=dict(metadata), max_commit_retries=50),
    )


def sync_log(root: Path, first: int, last: int) -> None:
    """Flush the log entries `first` to `last` and the log folder."""
    for version in range(first, last + 1):
        path = delta_log.entry(root, version)
        if path.exists():
            sync_file(path)
    sync_folders(folders_between(root.parent, root / LOG))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
