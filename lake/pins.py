"""Pins: the one vector of bronze versions that a build reads (invariant 6), as DuckDB views."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from contracts import registry
from contracts.base import Contract
from contracts.derive.arrow import OK, REJECTED, partition_columns, table_schema
from lake import ledger
from lake.files import data_files, literal, relation
from lake.layout import Layout

# dataset -> bronze version; a dataset without a table is absent
Pin = dict[str, int]


def newest(layout: Layout) -> Pin:
    """The vector of the newest bronze versions, with the ledger brought up to them first."""
    versions = {name: ledger.bronze_version(layout, name) for name in registry.all_contracts()}
    ledger.append_new(layout)
    return {name: version for name, version in versions.items() if version is not None}


_NO_FILES = pl.Schema(
    {
        "path": pl.String(),
        "partition.verdict": pl.String(),
        "min.ingest_ts": pl.Datetime("us", "UTC"),
        "max.ingest_ts": pl.Datetime("us", "UTC"),
    }
)


@dataclass(frozen=True)
class Bronze:
    """One dataset's files at a pin, and which of them came since the one before."""

    contract: Contract
    files: pl.DataFrame
    known: frozenset[str]

    @property
    def fresh(self) -> pl.DataFrame:
        """Files that the previous pin did not have."""
        return self.files.filter(~pl.col("path").is_in(list(self.known)))


def bronze_at(layout: Layout, contract: Contract, now: Pin, before: Pin) -> Bronze:
    """The dataset's files at `now`, and at `before` to tell the fresh ones."""
    root, dataset = layout.bronze(contract.dataset), contract.dataset
    if dataset not in now:
        return Bronze(contract, pl.DataFrame(schema=_NO_FILES), frozenset())
    files = data_files(root, now[dataset])
    if files.is_empty():  # a table that nothing has landed in yet: no file, so no statistics
        return Bronze(contract, pl.DataFrame(schema=_NO_FILES), frozenset())
    if dataset not in before:
        return Bronze(contract, files, frozenset())
    if before[dataset] == now[dataset]:
        return Bronze(contract, files, frozenset(files["path"]))
    return Bronze(contract, files, frozenset(data_files(root, before[dataset])["path"]))


def create_views(conn: DuckDBPyConnection, layout: Layout, now: Pin, before: Pin) -> None:
    """Views of what a build reads.

    bronze.<dataset>          rows that kept the contract
    bronze.<dataset>_fresh    rows of both verdicts in commits since the pin `before`
    bronze.<dataset>_landed   rows of both verdicts in files since the hour of the first of those,
                              whichever dataset it was
    bronze.<dataset>_all      rows of both verdicts
    quarantine.<dataset>      rejected rows
    ledger.commits            the ledger
    """
    for schema in ("bronze", "quarantine", "ledger"):
        conn.execute(f"create schema if not exists {schema}")
    create_ledger_view(conn, layout)
    everything = [bronze_at(layout, c, now, before) for c in registry.all_contracts().values()]
    since = _first_hour([bronze.fresh for bronze in everything])
    old = grown(conn)
    for bronze in everything:
        name = bronze.contract.dataset
        _create_bronze_views(conn, bronze, before.get(name, -1), since, name in old)


def grown(conn: DuckDBPyConnection) -> set[str]:
    """Datasets of which something landed under another version of the contract.

    Their files have not all the same columns, and DuckDB has to open each of them to know; that
    is not asked of it where one version wrote all of them. Needs the view ledger.commits.
    """
    found = conn.execute("select distinct dataset, contract_version from ledger.commits").fetchall()
    contracts = registry.all_contracts()
    return {name for name, version in found
            if name in contracts and version != contracts[name].version}  # fmt: skip


def create_ledger_view(conn: DuckDBPyConnection, layout: Layout) -> None:
    """View ledger.commits over the ledger's files."""
    paths: list[str] = []
    if DeltaTable.is_deltatable(str(layout.ledger)):
        paths = DeltaTable(str(layout.ledger)).file_uris()
    conn.execute(
        "create or replace view ledger.commits as "
        "select *, date_trunc('hour', committed_at) as landed_hour "
        f"from {relation(paths, ledger.SCHEMA)}"
    )


def _create_bronze_views(
    conn: DuckDBPyConnection, bronze: Bronze, before: int, since: datetime | None, is_grown: bool
) -> None:
    contract, name = bronze.contract, bronze.contract.dataset
    accepted = bronze.files.filter(pl.col("partition.verdict") == OK)
    fresh = bronze.fresh
    # Compaction puts old rows into new files: the ledger says which batches are really new.
    news = (
        f"batch in (select batch from ledger.commits where dataset = {literal(name)} "
        f"and version > {before})"
    )
    views = {
        f"bronze.{name}": (accepted, "true"),
        f"bronze.{name}_fresh": (fresh, news),
        f"bronze.{name}_landed": (_landed_since(bronze.files, since), "true"),
        f"bronze.{name}_all": (bronze.files, "true"),
    }
    for view, (files, where) in views.items():
        source = _relation(contract, files, is_grown)
        conn.execute(f"create or replace view {view} as select * from {source} where {where}")
    create_quarantine_view(conn, contract, bronze.files, is_grown)


def create_quarantine_view(
    conn: DuckDBPyConnection, contract: Contract, files: pl.DataFrame, is_grown: bool
) -> None:
    """View quarantine.<dataset>: what people look at to see what was refused and why."""
    rejected = files.filter(pl.col("partition.verdict") == REJECTED)
    source = _relation(contract, rejected, is_grown)
    conn.execute(
        f"create or replace view quarantine.{contract.dataset} as select reject_code, "
        f"reject_message, source, unit, position, raw, contract_version, batch, "
        f"make_timestamptz(recv_ts_ns // 1000) as recv_ts, ingest_ts from {source}"
    )


def _relation(contract: Contract, files: pl.DataFrame, is_grown: bool) -> str:
    schema = table_schema(contract)
    rows = relation(
        files["path"].to_list(),
        schema,
        partitions=partition_columns(contract),
        union_by_name=is_grown,
    )
    if not is_grown:
        return rows
    # Files of an older version alone would lack the newer columns altogether.
    return f"(from {relation([], schema)} union all by name from {rows})"


def _first_hour(fresh: Sequence[pl.DataFrame]) -> datetime | None:
    """The hour in which the first of the fresh files landed; None if there is none."""
    first = [files["min.ingest_ts"].min() for files in fresh if files.height]
    return min(first).replace(minute=0, second=0, microsecond=0) if first else None  # type: ignore


def _landed_since(files: pl.DataFrame, since: datetime | None) -> pl.DataFrame:
    return files.clear() if since is None else files.filter(pl.col("max.ingest_ts") >= since)


def positions(conn: DuckDBPyConnection, pin: Pin) -> dict[str, dict[str, int]]:
    """Next position of every topic-partition per dataset at a pin; files are only counted."""
    found: dict[str, dict[str, int]] = {}
    for dataset, version in pin.items():
        rows = conn.execute(
            "select case when unit like 'kafka:%' then unit else split_part(unit, ':', 1) || 's' "
            "end as unit, case when any_value(unit) like 'kafka:%' then max(next_position) "
            "else count(distinct unit) end from ledger.commits where dataset = ? and version <= ? "
            "group by 1 order by 1",
            [dataset, version],
        ).fetchall()
        found[dataset] = dict(rows)
    return found


def to_json(pin: Pin) -> str:
    """A pin as text for the warehouse."""
    return json.dumps(pin, sort_keys=True)
