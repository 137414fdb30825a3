"""Publication by itself: what a table becomes, and what of two builders who publish at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from checks.reconcile import reconcile
from lake import lakehouse
from lake.build_end import DIRTY
from lake.layout import Layout, layout
from lake.publish import Model, PublishConflict, Record, current, publish
from lake.session import STATE_SQL
from lake.settings import load_settings
from tests.desk import Desk, trade

CUT = Model("gold", "prices", "table", part="strftime(hour, '%Y-%m-%dT%H')")
ROWS = "(timestamptz '2025-10-02 1{}:00:00+00', {}::bigint)"


class Builder:
    """A builder with a warehouse of its own, without dbt: it has gold.prices and publishes it."""

    def __init__(self, where: Layout, name: str) -> None:
        self.layout = where
        self.name = name
        self.conn = duckdb.connect()
        self.conn.execute("set TimeZone = 'UTC'")
        self.conn.execute(STATE_SQL + "create schema gold;")

    def make(self, *rows: tuple[int, int], sql: str = "select * from given") -> None:
        """gold.prices from (hour, price) rows."""
        values = ", ".join(ROWS.format(*row) for row in rows) or ROWS.format(0, 0)
        keep = "true" if rows else "false"
        self.conn.execute(
            f"create or replace table gold.prices as with given as (select * from (values {values})"
            f" as v (hour, price) where {keep}) {sql}"
        )

    def publish(self, model: Model = CUT) -> Record | None:
        """Publish gold.prices and show it to readers."""
        record = publish(
            self.conn, self.layout, [model], build_id=self.name, read={}, pin={}, alongside=[DIRTY]
        )
        lakehouse.refresh(self.layout)
        return record

    def publish_half(self) -> None:
        """Commit gold.prices and stop before the record is written."""
        absent = Model("gold", "absent", "table")
        with pytest.raises(duckdb.CatalogException):
            publish(self.conn, self.layout, [CUT, absent], build_id=self.name, read={}, pin={})

    def publish_while(self, other: Callable[[], Any]) -> None:
        """Publish, with something happening after the table was opened and before its commit."""
        done: list[None] = []

        def meanwhile(part: str) -> str:
            if not done:
                done.append(None)
                other()
            return part

        self.conn.create_function("meanwhile", meanwhile, ["VARCHAR"], "VARCHAR")
        model = Model(CUT.schema, CUT.name, CUT.kind, part=f"meanwhile({CUT.part})")
        try:
            self.publish(model)
        finally:
            assert done


@pytest.fixture
def where(tmp_path: Path) -> Layout:
    return layout(load_settings({"LAKE_URI": str(tmp_path / "lake")}))


@pytest.fixture
def builders(where: Layout) -> Iterator[tuple[Builder, Builder]]:
    """Two builders of one lake."""
    first, second = Builder(where, "first"), Builder(where, "second")
    yield first, second
    first.conn.close()
    second.conn.close()


@pytest.fixture
def builder(builders: tuple[Builder, Builder]) -> Builder:
    return builders[0]


def shown(where: Layout, columns: str = "hour(hour) - 10, price") -> list[tuple[Any, ...]]:
    """gold.prices as readers see it."""
    with lakehouse.connect(where) as conn:
        return conn.execute(f"select {columns} from gold.prices order by all").fetchall()


def files(where: Layout) -> dict[str, set[str]]:
    """Part -> data files of gold.prices as published."""
    record = current(where)
    assert record is not None
    version = record.tables[CUT.key].version
    uris = DeltaTable(str(where.table("gold", "prices")), version=version).file_uris()
    found: dict[str, set[str]] = {}
    for uri in uris:
        found.setdefault(Path(uri).parent.name[-1], set()).add(uri)
    return found


# --- one builder --------------------------------------------------------------------------------


def test_only_parts_that_differ_are_written_and_parts_that_are_gone_disappear(
    builder: Builder,
) -> None:
    builder.make((1, 10), (2, 20), (3, 30))
    builder.publish()
    before = files(builder.layout)
    builder.make((1, 10), (2, 21), (4, 40))
    builder.publish()
    after = files(builder.layout)
    assert shown(builder.layout) == [(1, 10), (2, 21), (4, 40)]
    assert {part for part in before if after.get(part) == before[part]} == {"1"}
    assert after.keys() == {"1", "2", "4"}


def test_a_table_that_became_empty_is_shown_empty_and_can_fill_again(builder: Builder) -> None:
    builder.make((1, 10))
    builder.publish()
    builder.make()
    builder.publish()
    assert shown(builder.layout) == []
    builder.make((2, 20))
    builder.publish()
    assert shown(builder.layout) == [(2, 20)]


def test_what_is_the_same_is_not_published_again(builder: Builder) -> None:
    builder.make((1, 10))
    first = builder.publish()
    builder.make((1, 10))
    assert builder.publish() is None
    assert current(builder.layout) == first


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select *, price * 2 as twice from given", [(1, 10, 20), (2, 20, 40)]),
        ("select hour, price::varchar as price, 'x' as mark from given",
         [(1, "10", "x"), (2, "20", "x")]),
        ("select hour, price % 7 as rest, price from given", [(1, 3, 10), (2, 6, 20)]),
    ],
    ids=["a column more", "another type", "another place"],
)  # fmt: skip
def test_a_table_whose_columns_change_is_published_whole_with_the_new_ones(
    builder: Builder, sql: str, expected: list[tuple[Any, ...]]
) -> None:
    builder.make((1, 10), (2, 20))
    builder.publish()
    before = files(builder.layout)
    builder.make((1, 10), (2, 20), sql=sql)
    builder.publish()
    assert shown(builder.layout, "hour(hour) - 10, * exclude (hour)") == expected
    assert not {uri for part in files(builder.layout).values() for uri in part} & {
        uri for part in before.values() for uri in part
    }
    builder.make((1, 10), (3, 30), sql=sql)  # and goes on by parts
    builder.publish()
    assert shown(builder.layout, "hour(hour) - 10")[-1:] == [(3,)]
    assert builder.publish() is None


@pytest.mark.parametrize("then", ["select * from given", "select *, price * 2 as twice from given"])
def test_new_columns_that_were_never_recorded_are_rolled_back(builder: Builder, then: str) -> None:
    builder.make((1, 10))
    builder.publish()
    builder.make((1, 10), (2, 20), sql="select *, price * 2 as twice from given")
    builder.publish_half()
    assert shown(builder.layout) == [(1, 10)]
    builder.make((1, 10), (3, 30), sql=then)
    builder.publish()
    assert shown(builder.layout) == [(1, 10), (3, 30)]
    columns = shown(builder.layout, "columns(* exclude (hour, price))") if "twice" in then else []
    assert columns == ([(20,), (60,)] if "twice" in then else [])


# --- two builders -------------------------------------------------------------------------------


def test_the_builder_whose_number_is_taken_publishes_nothing(
    builders: tuple[Builder, Builder],
) -> None:
    first, second = builders
    first.make((1, 10))
    first.publish()
    first.make((1, 11), (2, 20))
    second.make((1, 12), (3, 30))
    with pytest.raises(PublishConflict, match="run the build again"):
        first.publish_while(second.publish)
    assert shown(first.layout) == [(1, 12), (3, 30)]
    first.publish()
    assert shown(first.layout) == [(1, 11), (2, 20)]


def test_the_first_publication_too_has_one_builder(builders: tuple[Builder, Builder]) -> None:
    first, second = builders
    first.make((1, 10))
    second.make((2, 20))
    with pytest.raises(PublishConflict):
        first.publish_while(second.publish)
    assert shown(first.layout) == [(2, 20)]


def test_a_commit_of_a_builder_that_never_recorded_it_does_not_leak_into_the_next(
    builders: tuple[Builder, Builder],
) -> None:
    first, second = builders
    first.make((1, 10))
    first.publish()

    first.make((1, 11), (3, 30))
    second.make((1, 10), (2, 99))
    with pytest.raises(PublishConflict):
        first.publish_while(second.publish_half)
    assert shown(first.layout) == [(1, 10)]
    first.publish()
    assert shown(first.layout) == [(1, 11), (3, 30)]


# --- dbt build ----------------------------------------------------------------------------------


def lose_a_row(file: Path) -> None:
    """Write a data file again without its last row, as a broken disk or a careless hand might."""
    rows = pl.read_parquet(file, hive_partitioning=False)
    rows.head(-1).write_parquet(file)


@pytest.mark.slow
def test_a_row_lost_from_bronze_stops_the_plain_build_until_it_is_back(desk: Desk) -> None:
    desk.land("trades", [trade(n, f"12:00:0{n}") for n in range(5)], unit="kafka:trades/0")
    before = desk.build()
    shown_before = desk.fingerprints(leave_out=())
    known = set(desk.layout.bronze("trades").rglob("*.parquet"))
    desk.land("trades", [trade(n, f"13:00:0{n}") for n in range(5, 9)], unit="kafka:trades/1")
    (file,) = set(desk.layout.bronze("trades").rglob("*.parquet")) - known
    whole = file.read_bytes()
    lose_a_row(file)
    for _ in range(2):  # trying again does not help
        desk.dbt("build", expect=False)
        assert current(desk.layout) == before
        assert desk.fingerprints(leave_out=()) == shown_before
        bronze, stopped = (a for a in reconcile(desk.settings) if a.is_open)
        assert (bronze.name, bronze.left, bronze.right) == ("ledger = bronze", 9, 8)
        assert (stopped.name.split()[0], stopped.left, stopped.right) == ("landing", 4, 3)
        assert "trades kafka:trades/1" in stopped.scope
    file.write_bytes(whole)
    after = desk.build()
    assert after.number == before.number + 1
    assert after.pin["trades"]["version"] == before.pin["trades"]["version"] + 1
    assert desk.query(
        "select count(*), sum(volume) from gold.candles_1s where session_scope = 'all'"
    ) == [(9, 9)]
    assert not [account for account in reconcile(desk.settings) if account.is_open]


@pytest.mark.slow
def test_leaving_out_one_invariant_test_publishes_nothing_and_a_finding_may_be_left_out(
    desk: Desk,
) -> None:
    desk.land("trades", [trade(1, "12:00:00")])
    desk.dbt("build", "--exclude", "closes_account_gold_")
    assert desk.query("select count(*) from silver.trades") == [(0,)]
    desk.dbt("build", "--exclude", "accepted_values_enriched_trades_is_parked__False__False")
    record = current(desk.layout)
    assert record is not None
    assert record.pin == {}
    assert desk.build().pin["trades"]["version"] == 1


@pytest.mark.slow
def test_another_machine_builds_the_same_and_publishes_nothing_new(
    desk: Desk, tmp_path: Path
) -> None:
    desk.land("trades", [trade(n, f"12:00:0{n}") for n in range(5)])
    record = desk.build()
    assert desk.build(LAKE_LOCAL=str(tmp_path / "other")) == record
    there = layout(
        load_settings({"LAKE_URI": str(desk.root), "LAKE_LOCAL": str(tmp_path / "other")})
    )
    with lakehouse.connect(there) as conn:
        assert conn.execute("select count(*) from silver.trades").fetchall() == [(5,)]
    desk.land("trades", [trade(9, "12:30:00")])
    assert desk.build(LAKE_LOCAL=str(tmp_path / "other")).number == record.number + 1
    assert desk.build().number == record.number + 1
    assert desk.query("select count(*) from silver.trades") == [(6,)]
