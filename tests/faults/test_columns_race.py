"""Writers that first write under a newer contract at once, beside those of the older one."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from contracts.base import Contract
from contracts.trades import CONTRACT
from lake import delta
from lake.bronze import BronzeWriter, PositionTaken, Span
from lake.delta_table import Table
from lake.layout import Layout
from tests import bronze_rows
from tests.desk import Desk
from tests.growing import WITH_BOOK, WITH_DESK

NONE = pl.DataFrame(schema={"unit": pl.String, "reject_code": pl.String})


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    """A lake whose table of trades has the columns of the older contract."""
    found = Desk(tmp_path / "lake", tmp_path).layout
    BronzeWriter(CONTRACT, found)
    return found


def columns(writer: BronzeWriter) -> set[str]:
    return {field.name for field in writer.table.schema().fields}


def land(writer: BronzeWriter, unit: str, first: int, **given: Any) -> int:
    row = {
        "instrument_id": ["A"],
        "price": pl.Series(["1.5"]).cast(pl.Decimal(18, 9)),
        "quantity": pl.Series(["2"]).cast(pl.Decimal(28, 8)),
        "event_ts_ns": [1_759_406_400_000_000_000],
        "recv_ts_ns": [1_759_406_400_000_000_000],
        "unit": [unit],
        "position": [first],
        "source": ["test"],
    }
    return writer.commit(pl.DataFrame(row), NONE, [Span(unit, first, first + 1, 1)], "test",
                         **given).version  # fmt: skip


def landed(place: Layout) -> list[tuple[str, int]]:
    return sorted((row["unit"], row["position"]) for row in
                  bronze_rows.rows(place.bronze("trades")))  # fmt: skip


@pytest.mark.parametrize("other", [WITH_DESK, WITH_BOOK])
def test_of_two_first_writers_of_a_version_the_slower_finds_the_column_there(
    place: Layout, monkeypatch: pytest.MonkeyPatch, other: Contract
) -> None:
    """The other one comes between the moment when the table was opened and the new column."""
    opening, others = delta.open_or_create, []

    def late(*given: Any) -> Table:
        table = opening(*given)
        if not others:
            others.append("on its way")
            others.append(BronzeWriter(other, place))
        return table

    monkeypatch.setattr(delta, "open_or_create", late)
    mine = BronzeWriter(WITH_BOOK, place)
    assert {"desk", "book"} <= columns(mine)
    land(mine, "mine", 0)
    land(others[1], "theirs", 0)
    assert landed(place) == [("mine", 0), ("theirs", 0)]


def test_a_writer_of_the_older_contract_goes_on_when_a_newer_one_added_a_column(
    place: Layout,
) -> None:
    older = BronzeWriter(CONTRACT, place)
    land(older, "unit", 0)
    newer = BronzeWriter(WITH_DESK, place)
    land(newer, "another", 0)
    land(older, "unit", 1)
    land(newer, "another", 1)
    land(older, "unit", 2)
    assert landed(place) == [*(("another", n) for n in range(2)), *(("unit", n) for n in range(3))]
    assert BronzeWriter(WITH_DESK, place).next_position("unit") == 3


def test_a_position_that_a_newer_writer_took_stays_taken(place: Layout) -> None:
    older = BronzeWriter(CONTRACT, place)
    assert older.next_position("unit") == 0
    land(BronzeWriter(WITH_DESK, place), "unit", 0)
    with pytest.raises(PositionTaken):
        land(older, "unit", 0)
    assert landed(place) == [("unit", 0)]


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_fence_holds_over_a_column_that_was_added(place: Layout, is_moved: bool) -> None:
    older = BronzeWriter(CONTRACT, place)
    assert older.next_position("fence") == 0
    newer = BronzeWriter(WITH_DESK, place)
    if is_moved:
        land(newer, "unit", 7, fence={"fence": 1})
        with pytest.raises(PositionTaken):
            land(older, "unit", 5, fence={"fence": 1})
    else:
        land(older, "unit", 5, fence={"fence": 1})
    assert landed(place) == [("unit", 7 if is_moved else 5)]
    assert BronzeWriter(CONTRACT, place).next_position("fence") == 1
