"""AIG of 2013-10-08: trade quality and order flow are the figures computed from its files alone."""

import os
from pathlib import Path

import pytest

from ingestion.land import land_file
from tests.desk import Desk

TICKLAKE_MODELS = "all"

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
FOLDER = Path(REAL_DATA or "") / "lean"

pytestmark = [
    pytest.mark.slow,  # a million quotes, twice
    pytest.mark.skipif(
        not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
    ),
]

MODELS = ["+trade_quality_1h", "+velocity_1m", "+order_flow_1m"]
# effective spread in bps, trades inside, at the touch and outside, minutes with a dominant side
# and those of them with 10,000 shares or more, and 10 trades
FIGURES = {
    "all": (2.209037, 385, 38_492, 939, 73, 46),
    "default": (2.200602, 383, 38_469, 913, 71, 42),
}


@pytest.fixture(scope="module")
def landed(shared_desk: Desk) -> Desk:
    for kind in ("trade", "quote"):
        path = FOLDER / f"lean_aig_20131008_tick_{kind}.zip"
        land_file(shared_desk.settings, path, f"lean_{kind}s")
    return shared_desk


@pytest.mark.parametrize("trade_filter", FIGURES)
def test_the_day_has_the_spread_and_the_order_flow_of_its_files(
    landed: Desk, trade_filter: str
) -> None:
    landed.build("--select", *MODELS, "--vars", f"{{trade_filter: {trade_filter}}}")
    ((spread, *counts),) = landed.query(
        "select avg(effective_spread_bps), count(*) filter (where location = 'INSIDE'), "
        "count(*) filter (where location in ('AT_BID', 'AT_OFFER')), "
        "count(*) filter (where location = 'OUTSIDE') from gold.trade_quality"
    )
    ((dominant, alerts),) = landed.query(
        "select count(*) filter (where greatest(buy_volume, sell_volume) * 10 > "
        "(buy_volume + sell_volume) * 7), count(*) filter (where is_alert) "
        "from gold.order_flow_1m where venue = 'ALL'"
    )
    assert (round(spread, 6), *counts, dominant, alerts) == FIGURES[trade_filter]


def test_every_trade_of_the_day_has_its_quote_and_its_hour(landed: Desk) -> None:
    assert landed.query("select count(*) from gold.enriched_trades") == [(43_342,)]
    ((hourly, trades),) = landed.query(
        "select (select sum(trade_count) from gold.trade_quality_1h "
        "where venue = 'ALL' and size_bucket = 'ALL'), (select count(*) from gold.trade_quality)"
    )
    assert hourly == trades
