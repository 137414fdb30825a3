"""A newer version of a contract with one more optional column meets a table of the older one."""

import dataclasses

import duckdb
import polars as pl

from contracts.base import field
from contracts.trades import CONTRACT, Trades
from lake.bronze import BronzeWriter, Span
from lake.files import data_files
from lake.layout import layout
from lake.settings import Settings

UNIT = "test:unit"


class TradesWithDesk(Trades):
    """Trades that also say which desk dealt."""

    desk: pl.String = field("desk", "the desk that dealt")


GROWN = dataclasses.replace(CONTRACT, model=TradesWithDesk, version=2)


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
    assert found == [(0, None, 1), (1, "rates", 2)]


def test_the_older_contract_still_writes_beside_it(lake: Settings) -> None:
    place = layout(lake)
    BronzeWriter(GROWN, place).commit(rows(0, desk="rates"), NONE, [Span(UNIT, 0, 1, 1)], "test")
    older = BronzeWriter(CONTRACT, place)
    assert older.commit(rows(1), NONE, [Span(UNIT, 1, 2, 1)], "test").ok == 1
