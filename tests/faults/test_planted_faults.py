"""A fault of each kind, planted into a lake that is right: `reconcile` names where it is, and what
a build then does is as docs/reconciliation.md says.

One lake of two days is built once; each test breaks it, looks, and puts it back.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from checks.account import Account
from checks.reconcile import reconcile
from lake import control_totals, delta_log
from lake.bronze import METADATA_KEY
from lake.records import Record, current, folder_entry
from tests.desk import Desk, trade

FIRST, SECOND = "2025-10-02", "2025-10-03"
UNIT = "kafka:trades/0"
CANDLES = "gold.candles_1h"
HOUR = "2025-10-03T13"  # of the second day


def prints(day: str, hour: int, count: int) -> list[dict[str, object]]:
    """Trades of one instrument, a minute apart; prices 100, 101 ... and quantities 1, 2 ..."""
    return [
        trade(int(f"{day[-2:]}{hour}{n}"), f"{day}T{hour}:{n:02}:00Z", 100 + n, n + 1)
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, dbt_target: Path) -> Desk:
    """Two days, landed and published one after the other: five trades, then four."""
    desk = Desk(tmp_path_factory.mktemp("lake") / "lake", dbt_target)
    desk.land("trades", prints(FIRST, 13, 5), unit=UNIT)
    desk.build()
    desk.land("trades", prints(SECOND, 13, 4), unit=UNIT)
    desk.build()
    return desk


@pytest.fixture(scope="module")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture
def desk(built: Desk, tmp_path: Path) -> Iterator[Desk]:
    """The lake as it was built; what a test does to it is undone."""
    kept = tmp_path / "kept"
    shutil.copytree(built.root, kept)
    yield built
    shutil.rmtree(built.root)
    shutil.copytree(kept, built.root)


def opened(desk: Desk) -> list[Account]:
    """The lines that do not close."""
    return [account for account in reconcile(desk.settings) if account.is_open]


def record_of(desk: Desk) -> Record:
    found = current(desk.layout)
    assert found is not None
    return found


def published_file(desk: Desk, key: str, part: str) -> Path:
    """The one file of a published table's part."""
    root = desk.layout.table(*key.split("."))
    uris = DeltaTable(str(root), version=record_of(desk).tables[key].version).file_uris()
    (found,) = [Path(uri) for uri in uris if f"part={part}" in uri]
    return found


def rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Write a data file again in its place."""
    change(pl.read_parquet(path, hive_partitioning=False)).write_parquet(path)


def one_dearer(column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """The first row costs one more."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        first = pl.int_range(pl.len()) == 0
        kind = rows.schema[column]
        dearer = (pl.col(column) + pl.lit(Decimal(1))).cast(kind)
        return rows.with_columns(
            pl.when(first).then(dearer).otherwise(pl.col(column)).alias(column)
        )

    return change


def build_range(desk: Desk, first: str, last: str) -> None:
    desk.build(TICKLAKE_BUILD_FROM=first, TICKLAKE_BUILD_TO=last)


# --- a lake that is right -----------------------------------------------------------------------


def test_every_line_of_a_whole_lake_closes_and_every_published_row_is_in_one(desk: Desk) -> None:
    accounts = reconcile(desk.settings)
    assert [account for account in accounts if account.is_open] == []
    sides = {(a.name, a.scope): (a.left, a.right) for a in accounts}
    assert sides["ledger = bronze", "trades"] == (9, 9)
    assert sides["positions follow each other", "trades"] == (9, 9)
    tables = {k: t for k, t in record_of(desk).tables.items() if t.kind == "table"}
    counted = [a for a in accounts if a.name == "published = built"]
    rows = sum(
        int(pl.DataFrame(DeltaTable(str(desk.layout.table(*k.split("."))), version=t.version)
        .get_add_actions(flatten=True))["num_records"].sum())
        for k, t in tables.items()
    )  # fmt: skip
    assert sum(a.right for a in counted) == rows


def test_control_totals_are_the_sums_that_the_messages_have(desk: Desk) -> None:
    ((rows, sums),) = desk.query(
        f"select row_count, sums from {control_totals.KEY} "
        f"where table_name = 'silver.trades_history' and table_part = '{HOUR}'"
    )
    found = {name: Decimal(text) for name, text in json.loads(sums).items()}
    assert rows == 4
    assert (found["price"], found["quantity"]) == (100 + 101 + 102 + 103, 1 + 2 + 3 + 4)
    assert found["notional"] == 100 * 1 + 101 * 2 + 102 * 3 + 103 * 4


# --- a deleted file -----------------------------------------------------------------------------


def test_a_deleted_file_of_bronze_is_named_with_the_batch_that_it_held(desk: Desk) -> None:
    root = desk.layout.bronze("trades")
    (file,) = (Path(uri) for uri in DeltaTable(str(root)).file_uris() if SECOND in uri)
    file.unlink()
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("ledger = bronze", "trades")
    assert (line.left, line.right, line.difference) == (9, 5, 4)
    assert f"{file}: data file missing" in line.detail
    assert f"4 rows of {UNIT}, positions 5 to 9 (excluded); 0 are left" in line.detail


def test_a_deleted_published_file_is_named_with_the_rows_it_held(desk: Desk) -> None:
    file = published_file(desk, CANDLES, HOUR)
    rows = pl.read_parquet(file).height
    file.unlink()
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("published = built", f"{CANDLES} {HOUR}")
    assert (line.left, line.right) == (rows, 0)
    assert f"{file}: data file missing" in line.detail
    assert "where event_hour = timestamptz '2025-10-03 13:00:00+00'" in line.look


# --- a doubled commit ---------------------------------------------------------------------------


def double_commit(desk: Desk, *, with_spans: bool) -> None:
    """The second batch once more, by a writer that reads no positions."""
    root = desk.layout.bronze("trades")
    table = DeltaTable(str(root))
    version = table.version()
    rows = table.to_pyarrow_table(filters=[("event_date", "=", date.fromisoformat(SECOND))])
    info = delta_log.commit_info(delta_log.read(root, version))
    given = {METADATA_KEY: info[METADATA_KEY]} if with_spans else {}
    write_deltalake(
        table, rows, mode="append", commit_properties=CommitProperties(custom_metadata=given)
    )
    assert DeltaTable(str(root)).version() == version + 1


def test_a_commit_doubled_without_its_spans_is_named_and_no_build_takes_it_up(desk: Desk) -> None:
    before = record_of(desk)
    double_commit(desk, with_spans=False)
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("ledger = bronze", "trades")
    assert (line.left, line.right, line.difference) == (9, 13, -4)
    assert "8 are left, of 4 positions" in line.detail
    desk.dbt("build", expect=False)
    assert record_of(desk) == before


def test_a_commit_doubled_with_its_spans_is_named_and_stops_the_build(desk: Desk) -> None:
    before = record_of(desk)
    double_commit(desk, with_spans=True)
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("positions follow each other", "trades")
    assert (line.left, line.right, line.difference) == (9, 13, -4)
    assert f"positions 5 to 9 (excluded) of {UNIT}" in line.detail
    desk.dbt("build", expect=False)
    assert record_of(desk) == before
    stopped = [a for a in opened(desk) if a.name.startswith("landing account")]
    assert [(a.left, a.right) for a in stopped] == [(4, 8), (4, 8)]


# --- a dropped row in silver --------------------------------------------------------------------


def drop_from_warehouse(desk: Desk) -> None:
    with duckdb.connect(str(desk.layout.warehouse)) as conn:
        conn.execute(
            "delete from silver.trades_history where price = 102 and event_hour >= '2025-10-03'"
        )


def test_a_row_dropped_from_silver_before_its_account_opens_it(desk: Desk) -> None:
    drop_from_warehouse(desk)
    desk.dbt("build", "--select", "account_silver", "--full-refresh", expect=False)
    (line,) = opened(desk)
    assert line.name.startswith("silver account of build")
    assert line.scope.startswith(f"trades {UNIT}")
    assert (line.left, line.right, line.difference) == (4, 3, 1)


def test_a_row_dropped_from_silver_is_back_when_its_hour_is_built_again(desk: Desk) -> None:
    drop_from_warehouse(desk)
    desk.land("trades", [trade(99, f"{SECOND}T13:30:00Z", 50, 1)], unit=UNIT)
    desk.build()
    assert opened(desk) == []
    assert desk.query("select count(*), sum(quantity) from silver.trades") == [(10, 15 + 10 + 1)]


def test_a_row_dropped_from_published_silver_is_named_with_its_part(desk: Desk) -> None:
    rewrite(
        published_file(desk, "silver.trades_history", HOUR),
        lambda rows: rows.filter(pl.col("price") != 103),
    )
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("published = built", f"silver.trades_history {HOUR}")
    assert (line.left, line.right, line.difference) == (4, 3, 1)
    assert "price: built 406.000000000, published 303.000000000" in line.detail


# --- a changed price in gold --------------------------------------------------------------------


def test_a_price_changed_in_a_published_file_is_named_with_both_sums(desk: Desk) -> None:
    file = published_file(desk, CANDLES, HOUR)
    closes = sum(pl.read_parquet(file)["close"])
    rewrite(file, one_dearer("close"))
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("published = built, close", f"{CANDLES} {HOUR}")
    assert (line.left, line.right, line.difference) == (closes, closes + 1, -1)


def test_two_prices_that_change_places_are_told_by_the_checksum(desk: Desk) -> None:
    key = "gold.candle_windows_1m"
    rewrite(
        published_file(desk, key, HOUR),
        lambda rows: rows.with_columns(pl.col("close").reverse()),
    )
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("published = built, checksum", f"{key} {HOUR}")


def commit_dearer(desk: Desk) -> int:
    """The hour of candles replaced by a commit of somebody else; returns its version."""
    root = desk.layout.table(*CANDLES.split("."))
    rows = pl.read_parquet(published_file(desk, CANDLES, HOUR), hive_partitioning=False)
    write_deltalake(
        str(root),
        one_dearer("close")(rows).with_columns(part=pl.lit(HOUR)).to_arrow(),
        mode="overwrite",
        predicate=f"part = '{HOUR}'",
    )
    return DeltaTable(str(root)).version()


def test_a_price_changed_by_a_commit_is_not_shown_and_the_commit_is_named(desk: Desk) -> None:
    before = desk.query(f"select * from {CANDLES} order by all")
    version = record_of(desk).tables[CANDLES].version
    after = commit_dearer(desk)
    lines = opened(desk)
    assert [(a.name, a.scope) for a in lines] == [("published version = newest version", CANDLES)]
    assert (lines[0].left, lines[0].right) == (version, after)
    assert desk.query(f"select * from {CANDLES} order by all") == before


def publish_as(desk: Desk, version: int) -> None:
    """Let the newest record name another version of the hourly candles."""
    record = record_of(desk)
    table = replace(record.tables[CANDLES], version=version)
    changed = replace(record, tables={**record.tables, CANDLES: table})
    folder_entry(desk.layout, record.number).write_bytes(changed.to_json())


def test_a_changed_price_that_a_record_names_is_told_from_what_was_built(desk: Desk) -> None:
    publish_as(desk, commit_dearer(desk))
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("published = built, close", f"{CANDLES} {HOUR}")
    assert line.difference == -1


# --- a half-published day -----------------------------------------------------------------------


def test_a_day_that_one_table_lacks_is_named_and_a_build_of_the_day_publishes_it(
    desk: Desk,
) -> None:
    rows = pl.read_parquet(published_file(desk, CANDLES, HOUR)).height
    publish_as(desk, record_of(desk).tables[CANDLES].version - 1)
    (line,) = opened(desk)
    assert (line.name, line.scope) == ("published = built", f"{CANDLES} {HOUR}")
    assert (line.left, line.right, line.difference) == (rows, 0, rows)
    build_range(desk, SECOND, "2025-10-04")
    assert opened(desk) == []
    assert desk.query(f"select count(*) from {CANDLES} where event_hour >= '{SECOND}'") == [(rows,)]


# --- what a build of the day mends --------------------------------------------------------------


def test_a_build_of_the_day_mends_what_was_deleted_changed_or_written_by_others(
    desk: Desk,
) -> None:
    before = desk.fingerprints()
    published_file(desk, "silver.trades_history", HOUR).unlink()
    rewrite(published_file(desk, "gold.candle_windows_1m", HOUR), one_dearer("high"))
    commit_dearer(desk)
    assert len(opened(desk)) == 3
    build_range(desk, SECOND, "2025-10-04")
    assert opened(desk) == []
    assert desk.fingerprints() == before
