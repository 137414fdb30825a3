"""Pins: the one vector of bronze versions that a build reads (invariant 6), as DuckDB views."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import polars as pl
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from contracts import registry
from contracts.base import Contract
from contracts.derive.arrow import OK, REJECTED, partition_columns, table_schema
from lake import damage, delta_log, holds, ledger, speed
from lake.files import data_files, literal, relation
from lake.layout import Layout

# dataset -> bronze version, and speed.candles, speed.progress; what has no table is absent
Pin = dict[str, int]

REPLAY = "replay:"  # what the unit of a replayed row begins with; its own unit follows

# Of the ledger's units those that something was delivered in. A replay delivers nothing, and the
# marks of vendors' sources only say that a unit is whole, or since when a stream is silent.
IS_UNIT = (
    f"not starts_with(unit, '{REPLAY}') and not (starts_with(unit, 'alpaca:') "
    "and (ends_with(unit, '#end') or ends_with(unit, '/live/heard')))"
)


def newest(layout: Layout) -> Pin:
    """The vector of the newest versions, with the ledger brought up to those of bronze first.

    Beside the datasets it has the tables of the speed layer, where there is one.
    """
    found = versions(layout)
    ledger.append_new(layout)
    return found


def versions(layout: Layout) -> Pin:
    """The same vector, read only: a look at the logs' newest names."""
    at_speed = speed.newest(layout)
    found = {name: ledger.bronze_version(layout, name) for name in registry.all_contracts()}
    return {**{name: at for name, at in found.items() if at is not None}, **at_speed}


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
    """One dataset's files at a pin, and since when (UTC) rows are news; None: none are."""

    contract: Contract
    files: pl.DataFrame
    news_since: datetime | None

    @property
    def fresh(self) -> pl.DataFrame:
        """Files that may hold news. Compaction puts old rows into new files: only times tell."""
        return _landed_since(self.files, self.news_since)


def bronze_at(
    layout: Layout, contract: Contract, now: Pin, news_since: Mapping[str, datetime]
) -> Bronze:
    """The dataset's files at `now`; `news_since` says from when on the rows of a dataset count."""
    root, dataset = layout.bronze(contract.dataset), contract.dataset
    since = news_since.get(dataset)
    if dataset not in now:
        return Bronze(contract, pl.DataFrame(schema=_NO_FILES), since)
    files = data_files(root, now[dataset])
    if files.is_empty():  # a table that nothing has landed in yet: no file, so no statistics
        return Bronze(contract, pl.DataFrame(schema=_NO_FILES), since)
    return Bronze(contract, files, since)


def news_since(conn: DuckDBPyConnection, before: Pin) -> dict[str, datetime]:
    """When the first of the commits after a pin landed (UTC), for the datasets that have one.

    To the second before: statistics in a log need not be finer. Needs the view ledger.commits.
    """
    news = [
        f"dataset = {literal(name)} and version > {version}" for name, version in before.items()
    ]
    news.append(f"dataset not in ({', '.join(map(literal, ['', *before]))})")
    found = conn.execute(
        "select dataset, epoch(min(committed_at))::bigint - 1 from ledger.commits "
        f"where {' or '.join(news)} group by 1"
    ).fetchall()
    return {name: datetime.fromtimestamp(second, UTC) for name, second in found}


def create_views(
    conn: DuckDBPyConnection,
    layout: Layout,
    now: Pin,
    before: Pin,
    landed_since: date | None = None,
) -> None:
    """Views of what a build reads. While the connection lives, no file of `now` is removed.

    bronze.<dataset>          rows that kept the contract
    bronze.<dataset>_fresh    rows of both verdicts in commits since the pin `before`
    bronze.<dataset>_landed   rows of both verdicts in files since the hour of the first of those,
                              whichever dataset it was, or since the day `landed_since` (UTC) if
                              that is earlier: a build of a range counts anew what landed in it
    bronze.<dataset>_all      rows of both verdicts
    quarantine.<dataset>      rejected rows
    ledger.commits            the ledger
    speed.candles, .progress  what the speed layer has stored
    """
    at = delta_log.newest(layout.ledger) if delta_log.is_table(layout.ledger) else None
    holds.hold(conn, layout, now if at is None else {**now, holds.LEDGER: at})
    for schema in ("bronze", "quarantine", "ledger"):
        conn.execute(f"create schema if not exists {schema}")
    create_ledger_view(conn, layout, at, now)
    speed.create_views(conn, layout, now)
    news = news_since(conn, before)
    everything = [bronze_at(layout, c, now, news) for c in registry.all_contracts().values()]
    for bronze in everything:
        _check_landed(conn, layout, bronze, now)
    since = min(news.values()).replace(minute=0, second=0, microsecond=0) if news else None
    if landed_since is not None:
        day = datetime.combine(landed_since, time(), UTC)
        since = day if since is None else min(since, day)
    old = grown(conn)
    for bronze in everything:
        name = bronze.contract.dataset
        _create_bronze_views(conn, bronze, before.get(name, -1), since, name in old)


def _check_landed(conn: DuckDBPyConnection, layout: Layout, bronze: Bronze, now: Pin) -> None:
    """Raises damage.Damaged where bronze has more rows than the ledger says landed: a commit that
    nobody landed would be taken for copies."""
    dataset = bronze.contract.dataset
    if bronze.files.is_empty():
        return
    there = int(bronze.files["rows"].sum())
    landed = conn.execute(
        "select coalesce(sum(ok + rejected), 0)::bigint from ledger.commits "
        "where dataset = ? and version <= ?",
        [dataset, now[dataset]],
    ).fetchall()[0][0]
    if there > landed:
        raise damage.Damaged(
            f"{layout.bronze(dataset)} has {there} rows, the ledger says that {landed} landed: "
            "something else than `ticklake` wrote to it; `ticklake reconcile` names the batches"
        )


def grown(conn: DuckDBPyConnection) -> set[str]:
    """Datasets of which something landed under another version of the contract.

    Their files have not all the same columns, and DuckDB has to open each of them to know; that
    is not asked of it where one version wrote all of them. Needs the view ledger.commits.
    """
    found = conn.execute("select distinct dataset, contract_version from ledger.commits").fetchall()
    contracts = registry.all_contracts()
    return {name for name, version in found
            if name in contracts and version != contracts[name].version}  # fmt: skip


def create_ledger_view(
    conn: DuckDBPyConnection, layout: Layout, version: int | None = None, upto: Pin | None = None
) -> None:
    """View ledger.commits over the ledger's files, of the newest version if none is given.

    It ends with the commits of the pin `upto`: others may have landed while the pin was taken.
    """
    paths: list[str] = []
    among = "true"
    if upto is not None:
        pinned = (f"dataset = {literal(name)} and version <= {at}" for name, at in upto.items())
        among = " or ".join(["false", *pinned])
    if delta_log.is_table(layout.ledger):
        with damage.named(layout.ledger):
            paths = DeltaTable(str(layout.ledger), version=version).file_uris()
    conn.execute(
        "create or replace view ledger.commits as "
        "select *, date_trunc('hour', committed_at) as landed_hour "
        f"from {relation(paths, ledger.SCHEMA)} where {among}"
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
    # Models know a replayed row by the unit that it came in: it is what it would have been there.
    own_unit = f"* replace (regexp_replace(unit, '^{REPLAY}', '') as unit)"
    has_replays = not _replayed_at(conn, name).is_empty()
    for view, (files, where) in views.items():
        shown = own_unit if has_replays and view == f"bronze.{name}" else "*"
        source = _relation(contract, files, is_grown)
        conn.execute(f"create or replace view {view} as select {shown} from {source} where {where}")
    create_quarantine_view(conn, contract, bronze.files, is_grown)


def create_quarantine_view(
    conn: DuckDBPyConnection, contract: Contract, files: pl.DataFrame, is_grown: bool
) -> None:
    """View quarantine.<dataset>: what people look at to see what was refused and why.

    `state` is open, or replayed with the moment and the batch. Needs the view ledger.commits,
    which says when something was replayed: only files of those moments are looked into.
    """
    rejected = files.filter(pl.col("partition.verdict") == REJECTED)
    accepted = files.filter(pl.col("partition.verdict") == OK)
    replays = _landed_at(accepted, _replayed_at(conn, contract.dataset))
    # Of two replays the first counts; the account of replays opens on the second.
    outcome = (
        f"select substr(unit, {len(REPLAY) + 1}) as unit, position, min(ingest_ts) as replayed_at, "
        f"min_by(batch, ingest_ts) as replayed_batch from {_relation(contract, replays, is_grown)} "
        f"where starts_with(unit, {literal(REPLAY)}) group by 1, 2"
    )
    conn.execute(
        f"create or replace view quarantine.{contract.dataset} as select q.reject_code, "
        "q.reject_message, q.source, q.unit, q.position, q.raw, q.contract_version, q.batch, "
        "make_timestamptz(q.recv_ts_ns // 1000) as recv_ts, q.ingest_ts, q.recv_ts_ns, "
        "q.delivery_unit, case when r.replayed_batch is null then 'open' else 'replayed' end as "
        "state, r.replayed_at, r.replayed_batch "
        f"from {_relation(contract, rejected, is_grown)} as q "
        f"left join ({outcome}) as r on q.unit = r.unit and q.position = r.position"
    )


def _replayed_at(conn: DuckDBPyConnection, dataset: str) -> pl.Series:
    """When replays of a dataset landed, as microseconds since epoch, in order."""
    moments = conn.execute(
        "select distinct epoch_us(committed_at) from ledger.commits "
        "where dataset = ? and starts_with(unit, ?) order by 1",
        [dataset, REPLAY],
    ).fetchall()
    return pl.Series([moment for (moment,) in moments], dtype=pl.Int64)


def _landed_at(files: pl.DataFrame, moments: pl.Series) -> pl.DataFrame:
    """Files that may hold rows landed at one of the moments; compaction keeps both bounds.

    The log of a compaction by delta-rs keeps them to the millisecond, cut off.
    """
    if moments.is_empty() or files.is_empty():
        return files.clear()
    earliest, latest = (files[f"{side}.ingest_ts"].dt.epoch("us") for side in ("min", "max"))
    following = moments.search_sorted(earliest.fill_null(0))
    next_moment = pl.Series([*moments, None], dtype=pl.Int64).gather(following)
    return files.filter((next_moment < latest + 1_000).fill_null(False) | latest.is_null())


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


def _landed_since(files: pl.DataFrame, since: datetime | None) -> pl.DataFrame:
    if since is None or files.is_empty():
        return files.clear()
    return files.filter((pl.col("max.ingest_ts") >= since).fill_null(True))


def positions(conn: DuckDBPyConnection, pin: Pin) -> dict[str, dict[str, int]]:
    """What has landed of each dataset at a pin: the next position of every topic-partition and
    WebSocket client; of files and the like, which end, only how many."""
    goes_on = "(starts_with(unit, 'kafka:') or starts_with(unit, 'ws:'))"
    found: dict[str, dict[str, int]] = {}
    for dataset, version in pin.items():
        rows = conn.execute(
            f"select case when {goes_on} then unit else split_part(unit, ':', 1) || 's' end, "
            f"case when bool_or({goes_on}) then max(next_position) else count(distinct unit) end "
            f"from ledger.commits where dataset = ? and version <= ? and {IS_UNIT} "
            "group by 1 order by 1",
            [dataset, version],
        ).fetchall()
        found[dataset] = dict(rows)
    return found


def to_json(pin: Pin) -> str:
    """A pin as text for the warehouse."""
    return json.dumps(pin, sort_keys=True)
