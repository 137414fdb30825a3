"""The gaps, spikes and gap alerts of a real day: AIG of 2013-10-08."""

import os
from pathlib import Path

import pytest

from ingestion.land import land_file
from tests.desk import Desk

TICKLAKE_MODELS = "all"

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
TRADES = Path(REAL_DATA or "") / "lean" / "lean_aig_20131008_tick_trade.zip"


@pytest.mark.slow
@pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)
def test_the_aig_day_has_the_gaps_and_volume_spikes_of_the_reference(desk: Desk) -> None:
    land_file(desk.settings, TRADES, "lean_trades")
    desk.dbt("build", "--select", "+trade_gaps", "+volume_alerts", "gap_alerts")
    assert counts(desk) == [(500, 7_555), (5_000, 1_233), (30_000, 5)]
    assert desk.query(
        "select sum(triggers) from gold.volume_alerts where rule = 'volume_spike'", "warehouse"
    ) == [(12,)]
    assert desk.query("select sum(triggers) from gold.gap_alerts", "warehouse") == [(5,)]
    desk.dbt("build", "--select", "trade_gaps", "--vars", "{trade_filter: all}")
    assert counts(desk) == [(500, 7_570), (5_000, 1_234), (30_000, 5)]


def counts(desk: Desk) -> list[tuple[int, int]]:
    return desk.query(
        "select threshold_ms, count(*) from silver.trade_gaps where gap_kind = 'trade' "
        "group by all order by all",
        "warehouse",
    )
