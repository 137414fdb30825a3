"""A real day of quotes: AIG of 2013-10-08, its liquidity against figures computed elsewhere."""

import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import land_file
from tests.desk import Desk
from tests.oracle_liquidity import SECOND, Row, liquidity, quote_volatility

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
FOLDER = Path(REAL_DATA or "") / "lean"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name real ticks"),
]

OPEN = datetime(2013, 10, 8, 13, 30, tzinfo=UTC)
MODELS = ("+liquidity_session", "+quote_volatility_1m", "+dealer_activity")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The day's quotes and trades, built once."""
    folder = tmp_path_factory.mktemp("real_liquidity")
    desk = Desk(folder / "lake", folder / "target", models="all")
    land_file(desk.settings, FOLDER / "lean_aig_20131008_tick_quote.zip", "lean_quotes")
    land_file(desk.settings, FOLDER / "lean_aig_20131008_tick_trade.zip", "lean_trades")
    desk.build("--select", *MODELS)
    return desk


def one(desk: Desk, sql: str) -> Row:
    import duckdb

    with duckdb.connect(str(desk.layout.warehouse), read_only=True) as conn:
        conn.execute("set TimeZone = 'UTC'")
        found = conn.execute(sql)
        names = [column[0] for column in found.description]
        (row,) = found.fetchall()
        return dict(zip(names, row, strict=True))


def regular(desk: Desk) -> Row:
    return one(
        desk,
        "select * from gold.liquidity_session "
        "where instrument_id = 'AIG' and session_scope = 'regular'",
    )


def test_the_time_weighted_spread_of_the_regular_session_is_2_168192_bps(day: Desk) -> None:
    assert round(regular(day)["twas_bps"], 6) == 2.168192


def test_a_single_consolidated_source_is_the_only_maker(day: Desk) -> None:
    row = regular(day)
    assert (row["hhi"], row["effective_makers"]) == (1.0, 1.0)
    assert (row["live_bid_dealers"], row["best_offer_dealers"]) == (1.0, 1.0)


def test_the_session_covers_six_and_a_half_hours(day: Desk) -> None:
    row = regular(day)
    assert row["window_ns"] == 23_400 * SECOND
    assert row["valid_ns"] + row["locked_ns"] + row["crossed_ns"] == row["two_sided_ns"]
    # 390 minutes, of which the first has none before it
    assert row["return_minutes"] == row["traded_minutes"] == 389
    assert row["amihud"] is not None


@pytest.mark.parametrize("minute", [0, 1, 137, 389])
def test_minutes_of_the_day_agree_with_a_brute_force_computation(day: Desk, minute: int) -> None:
    at = OPEN + timedelta(minutes=minute)
    start = int(at.timestamp()) * SECOND
    near: list[Row] = [
        dict(zip(COLUMNS, row, strict=True))
        for row in day.query(
            f"select {', '.join(COLUMNS)} from gold.best_quotes where instrument_id = 'AIG' "
            f"and valid_to_ns > {start - 10 * SECOND} and valid_from_ns < {start + 60 * SECOND} "
            "order by valid_from_ns",
            "warehouse",
        )
    ]
    found = one(day, f"select * from gold.liquidity_1m where window_start = '{at.isoformat()}'")
    wanted = liquidity(near, start, start + 60 * SECOND)
    for name in (
        "twas",
        "twas_bps",
        "coverage",
        "crossed_pct",
        "locked_pct",
        "mid_changes_per_min",
    ):
        assert_close(found[name], wanted[name])
    volatility = one(
        day, f"select * from gold.quote_volatility_1m where window_start = '{at.isoformat()}'"
    )
    bps, reach, seconds = quote_volatility(near, start)
    assert volatility["valid_seconds"] == seconds
    assert_close(volatility["quote_volatility_bps"], bps)
    assert_close(volatility["mid_range_bps"], reach)


COLUMNS = (
    "valid_from_ns",
    "valid_to_ns",
    "starts_state",
    "best_bid",
    "best_offer",
    "n_bid_dealers",
    "n_offer_dealers",
    "bid_dealers",
    "offer_dealers",
    "bid_leader",
    "offer_leader",
    "is_two_sided",
    "is_locked",
    "is_crossed",
    "is_valid",
)


def assert_close(found: Any, wanted: Any) -> None:
    assert (found is None) == (wanted is None), (found, wanted)
    if wanted is not None:
        assert math.isclose(found, wanted, rel_tol=1e-11, abs_tol=1e-12), (found, wanted)
