"""Rejected rows of files are read again by today's mapping, when the file itself is gone."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from ingestion.land import land_file
from ingestion.replay import Replayed, replay
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows

MAPPING = """
dataset: trades
format: {format}
separator: ";"
columns: {{px: price, sym: instrument_id, id: trade_id, n: quantity, bs: side, t: event_ts_ns}}
values: {{side: {{BUY: B{more}}}}}
scale: {{price: 100}}
file_name: {{patterns: ['(?P<venue>[a-z]+)_fills'], upper: [venue]}}
"""
AT = "2025-10-02T12:00:00Z"
CSV = f"""bs;id;sym;px;n;t
BUY;T1;BOND_1;9960;1;{AT}
LONG;T2;BOND_1;9961;2;{AT}
"LONG";"T;3";BOND_1;9962;3;{AT}
LONG;T4;BOND_1;cheap;3;{AT}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LAKE_URI": str(tmp_path / "lake")})


def mapping(settings: Settings, form: str, more: str = "") -> None:
    folder = settings.local / "feeds"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "acme.yml").write_text(MAPPING.format(format=form, more=more))


def landed_again(settings: Settings) -> list[tuple[Any, ...]]:
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    return sorted(
        (row["position"], row["trade_id"], row["price"], row["side"], row["venue"], row["source"])
        for row in rows
        if row["unit"].startswith("replay:file:acme:")
    )


def counted(found: list[Replayed]) -> tuple[int, int, int, dict[str, int]]:
    (one,) = found
    return one.examined, one.passed, one.unreadable, dict(one.still)


def test_lines_are_read_by_the_header_and_the_name_that_the_file_had(
    settings: Settings, tmp_path: Path
) -> None:
    mapping(settings, "csv")
    file = tmp_path / "xnys_fills.csv"
    file.write_text(CSV)
    landing = land_file(settings, file, "acme")
    assert (landing.ok, landing.by_code) == (1, {"UNKNOWN_SIDE": 2, "SCHEMA_TYPE": 1})
    file.unlink()
    assert counted(replay(settings)) == (3, 0, 0, {"UNKNOWN_SIDE": 2, "SCHEMA_TYPE": 1})
    mapping(settings, "csv", ", LONG: B")
    assert counted(replay(settings)) == (3, 2, 0, {"SCHEMA_TYPE": 1})
    assert landed_again(settings) == [
        (1, "T2", Decimal("99.61"), "B", "XNYS", "acme"),
        (2, "T;3", Decimal("99.62"), "B", "XNYS", "acme"),
    ]
    assert counted(replay(settings)) == (1, 0, 0, {"SCHEMA_TYPE": 1})


@pytest.mark.parametrize(
    ("unit", "zone", "rest"),
    [("us", "America/New_York", 0), ("ns", "America/New_York", 789), ("ns", "UTC", 789)],
)
def test_rows_of_parquet_are_read_by_their_types(
    settings: Settings, tmp_path: Path, unit: Literal["us", "ns"], zone: str, rest: int
) -> None:
    mapping(settings, "parquet")
    file = tmp_path / "xnys_fills.parquet"
    at = int(datetime(2025, 10, 2, 12, tzinfo=UTC).timestamp()) * 10**9 + 123_456_000 + rest
    moments = pl.Series([at] * 3).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(zone)
    pl.DataFrame(
        {
            "t": moments.dt.cast_time_unit(unit),
            "bs": ["BUY", "LONG", "LONG"],
            "px": [9960.0, 9961.5, 1e-3],
            "n": [Decimal("1"), Decimal("2.5"), Decimal("3")],
            "id": ["T1", "T2", "T3"],
            "sym": ["BOND_1"] * 3,
        }
    ).write_parquet(file)
    assert land_file(settings, file, "acme").rejected == 2
    file.unlink()
    mapping(settings, "parquet", ", LONG: B")
    assert counted(replay(settings)) == (2, 2, 0, {})
    assert landed_again(settings) == [
        (1, "T2", Decimal("99.615"), "B", "XNYS", "acme"),
        (2, "T3", Decimal("0.00001"), "B", "XNYS", "acme"),
    ]
    times = {row["event_ts_ns"] for row in bronze_rows.rows(layout(settings).bronze("trades"))
             if row["verdict"] == "ok"}  # fmt: skip
    assert times == {at}


def test_rows_whose_reading_was_not_kept_stay_open_and_say_what_to_do(
    settings: Settings, tmp_path: Path
) -> None:
    mapping(settings, "csv")
    (tmp_path / "xnys_fills.csv").write_text(CSV)
    land_file(settings, tmp_path / "xnys_fills.csv", "acme")
    for kept in (settings.root / "ledger" / "readings").glob("*"):
        kept.unlink()
    mapping(settings, "csv", ", LONG: B")
    (found,) = replay(settings)
    assert (found.examined, found.passed, found.unreadable) == (3, 0, 3)
    assert "ticklake quarantine export" in found.notes[0]
    assert landed_again(settings) == []


def test_a_file_without_rejected_rows_leaves_no_reading(settings: Settings, tmp_path: Path) -> None:
    mapping(settings, "csv", ", LONG: B")
    (tmp_path / "xnys_fills.csv").write_text("\n".join(CSV.splitlines()[:4]))
    assert land_file(settings, tmp_path / "xnys_fills.csv", "acme").rejected == 0
    assert not (settings.root / "ledger" / "readings").exists()
