"""Binance's public data dumps land as trades and bars, whatever unit and header a file has."""

import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion.feeds.mapping import FileRefused
from ingestion.land import land_file
from lake.layout import layout
from lake.settings import Settings
from tests.bronze_rows import rows

# The rows are laid out as in the archive's own description of its spot data.
TRADES_2024 = """\
4273480000,42283.58000000,0.00091000,38.47805780,1704067200000,True,True
4273480001,42283.59000000,0.02500000,1057.08975000,1704067200217,False,True
"""
TRADES_2025 = """\
4359271130,93576.00000000,0.00020000,18.71520000,1735689600024861,True,True
4359271131,93576.01000000,1.50000000,140364.01500000,1735689600100000,False,True
"""
HEADER = "id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch\n"
MIDNIGHT_2024, MIDNIGHT_2025 = 1_704_067_200 * 10**9, 1_735_689_600 * 10**9
COLUMNS = ("trade_id", "price", "quantity", "event_ts_ns", "side")


def zipped(folder: Path, name: str, content: str) -> Path:
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", content)
    return path


def landed(lake: Settings, dataset: str, *columns: str) -> list[tuple[Any, ...]]:
    found = sorted(rows(layout(lake).bronze(dataset)), key=lambda row: row["position"])
    return [tuple(row[column] for column in columns) for row in found]


@pytest.mark.parametrize("header", ["", HEADER], ids=["bare", "with header"])
def test_trades_of_before_2025_are_in_milliseconds(
    lake: Settings, tmp_path: Path, header: str
) -> None:
    path = zipped(tmp_path, "BTCUSDT-trades-2024-01-01", header + TRADES_2024)
    landing = land_file(lake, path, "binance_trades")
    assert (landing.ok, landing.rejected) == (2, 0)
    assert landed(lake, "trades", *COLUMNS) == [
        ("4273480000", Decimal("42283.58"), Decimal("0.00091"), MIDNIGHT_2024, "S"),
        ("4273480001", Decimal("42283.59"), Decimal("0.025"), MIDNIGHT_2024 + 217_000_000, "B"),
    ]
    facts = set(landed(lake, "trades", "instrument_id", "venue", "source", "reject_code"))
    assert facts == {("BTCUSDT", "BINANCE", "binance_trades", None)}


def test_trades_since_2025_are_in_microseconds(lake: Settings, tmp_path: Path) -> None:
    path = zipped(tmp_path, "BTCUSDT-trades-2025-01-01", TRADES_2025)
    land_file(lake, path, "binance_trades")
    assert landed(lake, "trades", *COLUMNS) == [
        ("4359271130", Decimal(93576), Decimal("0.0002"), MIDNIGHT_2025 + 24_861_000, "S"),
        ("4359271131", Decimal("93576.01"), Decimal("1.5"), MIDNIGHT_2025 + 100_000_000, "B"),
    ]


def test_aggregate_trades_land_under_their_own_source(lake: Settings, tmp_path: Path) -> None:
    line = "3358234567,93576.00000000,0.01000000,4359271130,4359271139,1735689600024861,True,True\n"
    path = zipped(tmp_path, "BTCUSDT-aggTrades-2025-01-01", line)
    assert land_file(lake, path, "binance_agg_trades").ok == 1
    assert landed(lake, "trades", *COLUMNS, "source") == [
        ("3358234567", 93576, Decimal("0.01"), MIDNIGHT_2025 + 24_861_000, "S",
         "binance_agg_trades"),
    ]  # fmt: skip


def test_candles_take_their_interval_from_the_files_name(lake: Settings, tmp_path: Path) -> None:
    line = (
        "1735689600000000,93576.00,93610.93,93537.50,93610.93,8.21827000,1735689659999999,"
        "769018.85,2631,3.95157000,369757.32,0\n"
    )
    assert (
        land_file(lake, zipped(tmp_path, "BTCUSDT-1m-2025-01-01", line), "binance_klines").ok == 1
    )
    columns = ("instrument_id", "interval", "event_ts_ns", "open", "high", "low", "close")
    assert landed(lake, "bars", *columns, "volume", "trade_count") == [
        ("BTCUSDT", "1m", MIDNIGHT_2025, 93576, Decimal("93610.93"), Decimal("93537.5"),
         Decimal("93610.93"), Decimal("8.21827"), 2631),
    ]  # fmt: skip
    with pytest.raises(FileRefused, match="takes instrument_id, interval from the file's name"):
        land_file(lake, zipped(tmp_path, "BTCUSDT-3m-2025-01-01", line), "binance_klines")


def test_a_dump_cut_short_keeps_its_last_row_in_quarantine(lake: Settings, tmp_path: Path) -> None:
    path = zipped(tmp_path, "ETHUSDT-trades-2025-01-01", TRADES_2025[:-40])
    landing = land_file(lake, path, "binance_trades")
    assert (landing.ok, landing.rejected, dict(landing.by_code)) == (1, 1, {"PARSE_ERROR": 1})
