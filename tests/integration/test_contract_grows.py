"""A newer version of a contract with one more optional column meets a table of the older one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pytest

from contracts import registry
from contracts.base import field
from contracts.derive.arrow import table_schema
from contracts.trades import CONTRACT, Trades
from lake import pins
from lake.bronze import BronzeWriter, Span
from lake.files import data_files
from lake.layout import layout
from lake.settings import Settings

UNIT = "test:unit"


class TradesWithDesk(Trades):
    """Trades that also say which desk dealt."""

    desk: pl.String = field("desk", "the desk that dealt")


GROWN = dataclasses.replace(CONTRACT, model=TradesWithDesk, version=CONTRACT.version + 1)


def rows(first: int, **more: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "instrument_id": ["A"],
            "price": pl.Series(["1.5"]).str.to_decimal(scale=9).cast(pl.Decimal(18, 9)),
            "quantity": pl.Series(["2"]).str.to_decimal(scale=8).cast(pl.Decimal(28, 8)),
            "event_ts_ns": [1_759_406_400_000_000_000],
            "recv_ts_ns": [1_759_406_400_000_000_000],
            "unit": [UNIT],
            "position": [first],
            "source": ["test"],
            **{name: [value] for name, value in more.items()},
        }
    )


NONE = pl.DataFrame(schema={"unit": pl.String, "reject_code": pl.String})


def test_the_table_takes_the_new_column_and_old_rows_have_none(lake: Settings) -> None:
    place = layout(lake)
    BronzeWriter(CONTRACT, place).commit(rows(0), NONE, [Span(UNIT, 0, 1, 1)], "test")
    grown = BronzeWriter(GROWN, place)
    grown.commit(rows(1, desk="rates"), NONE, [Span(UNIT, 1, 2, 1)], "test")
    assert "desk" in {f.name for f in grown.table.schema().fields}
    paths = data_files(place.bronze("trades"), grown.table.version())["path"].to_list()
    found = duckdb.execute(
        "select position, desk, contract_version from read_parquet(?, union_by_name = true) "
        "order by position",
        [paths],
    ).fetchall()
    assert found == [(0, None, CONTRACT.version), (1, "rates", GROWN.version)]


def test_the_older_contract_still_writes_beside_it(lake: Settings) -> None:
    place = layout(lake)
    BronzeWriter(GROWN, place).commit(rows(0, desk="rates"), NONE, [Span(UNIT, 0, 1, 1)], "test")
    older = BronzeWriter(CONTRACT, place)
    assert older.commit(rows(1), NONE, [Span(UNIT, 1, 2, 1)], "test").ok == 1


@pytest.fixture
def view(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[Any, ...]]]:
    """What a build sees of bronze.trades under the newer contract."""
    contracts = {**registry.all_contracts(), "trades": GROWN}
    monkeypatch.setattr(registry, "all_contracts", lambda: contracts)

    def see() -> list[tuple[Any, ...]]:
        place = layout(lake)
        with duckdb.connect() as conn:
            pins.create_views(conn, place, pins.newest(place), {})
            columns = {name for name, *_ in conn.execute("describe bronze.trades").fetchall()}
            assert columns == set(table_schema(GROWN).names)
            (sql,) = conn.execute(
                "select sql from duckdb_views() where schema_name = 'bronze' "
                "and view_name = 'trades'"
            ).fetchall()
            found = conn.execute("select position, desk from bronze.trades order by 1").fetchall()
            return [("union_by_name" in sql[0],), *found]

    return see


def test_a_build_sees_the_new_column_in_files_that_do_not_have_it(
    lake: Settings, view: Callable[[], list[tuple[Any, ...]]]
) -> None:
    place = layout(lake)
    assert view() == [(False,)]
    BronzeWriter(CONTRACT, place).commit(rows(0), NONE, [Span(UNIT, 0, 1, 1)], "test")
    assert view() == [(True,), (0, None)]
    grown = BronzeWriter(GROWN, place)
    grown.commit(rows(1, desk="rates"), NONE, [Span(UNIT, 1, 2, 1)], "test")
    assert view() == [(True,), (0, None), (1, "rates")]


def test_files_are_only_compared_by_name_where_more_than_one_version_landed(
    lake: Settings, view: Callable[[], list[tuple[Any, ...]]]
) -> None:
    writer = BronzeWriter(GROWN, layout(lake))
    writer.commit(rows(0, desk="rates"), NONE, [Span(UNIT, 0, 1, 1)], "test")
    assert view() == [(False,), (0, "rates")]
