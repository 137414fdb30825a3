"""Conditions of days and the profile over what really lands, and against a full refresh."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from checks.condition import Day, conditions
from tests.desk import Desk, trade

TICKLAKE_MODELS = "all"
MODELS = ("+dataset_condition", "+freshness", "+profile_days")
# AAPL trades in New York from 13:30 to 20:00 UTC in October; a day ends for its trades at 20:05.
NOW = datetime.fromisoformat("2025-10-09T12:00:00+00:00")


def day_of_trades(day: str, number: int, *, bad: int = 0, until: str = "20:05:00") -> list[Any]:
    """Trades at the open, before the close and at `until`, and `bad` records after the first."""
    good = [
        trade(number + place, f"{day}T{at}Z", instrument="AAPL")
        for place, at in enumerate(("13:30:00", "19:59:59", until))
    ]
    broken = [
        trade(number + 100 + n, f"{day}T14:00:00Z", -1, instrument="AAPL") for n in range(bad)
    ]
    return [*good[:1], *broken, *good[1:]]


@pytest.fixture(scope="module")
def landed(shared_desk: Desk) -> Desk:
    """Thursday, Friday with a broken record, no Monday, Tuesday in part; later more of Friday."""
    desk = shared_desk
    desk.land("trades", day_of_trades("2025-10-02", 1) + day_of_trades("2025-10-03", 11, bad=1))
    desk.build("--select", *MODELS)
    desk.land("trades", [trade(50, "2025-10-03T15:00:00Z", instrument="AAPL", quantity=7)])
    desk.land("trades", day_of_trades("2025-10-07", 21)[:1])
    desk.build("--select", *MODELS)
    return desk


def states(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.query(
        "select day, condition, ok_rows, rejected_rows, reasons from gold.dataset_condition "
        "where dataset = 'trades' order by day"
    )


def test_days_are_available_degraded_missing_and_pending(landed: Desk) -> None:
    assert states(landed) == [
        (date(2025, 10, 2), "available", 3, 0, ""),
        (date(2025, 10, 3), "degraded", 4, 1, "20.0 % rejected (1 rows)"),
        (date(2025, 10, 6), "missing", 0, 0, "expected by the calendar, no rows"),
        (
            date(2025, 10, 7),
            "pending",
            1,
            0,
            "events reach 2025-10-07 13:30, the day ends 2025-10-07 20:00 and 5 min more are "
            "waited for",
        ),
    ]


def test_a_profile_counts_minutes_and_volume_and_misses_expected_days(landed: Desk) -> None:
    assert landed.query(
        "select session_date, trades, volume::int, expected_minutes, minutes_traded, "
        "round(completeness_pct, 3), standard_gaps, open_gap_ms, close_gap_ms "
        "from audit.profile_days where instrument_id = 'AAPL' order by session_date"
    ) == [
        # one share each; of 390 minutes two, and on Friday three, have a trade
        (date(2025, 10, 2), 3, 3, 390, 2, 0.513, 1, None, 1_000),
        (date(2025, 10, 3), 4, 10, 390, 3, 0.769, 2, None, 1_000),
        (date(2025, 10, 6), 0, 0, 390, 0, 0.0, 0, None, None),
        (date(2025, 10, 7), 1, 1, 390, 1, 0.256, 0, None, 23_400_000),
    ]


def test_freshness_is_of_event_time_and_of_landing(landed: Desk) -> None:
    ((event, watermark, landing, ok, rejected),) = landed.query(
        "select newest_event, watermark, newest_landing, ok_rows, rejected_rows from gold.freshness"
    )
    assert f"{event:%F %T}" == "2025-10-07 13:30:00" == f"{watermark:%F %T}"
    assert landed.query("select max(committed_at) from ledger.commits") == [(landing,)]
    assert (ok, rejected) == (8, 1)


def test_status_misses_a_dataset_that_stopped_until_now(landed: Desk) -> None:
    (trades,) = conditions(landed.settings, NOW, days=2)
    assert [(day.day, day.condition) for day in trades.days] == [
        (date(2025, 10, 6), "missing"),
        (date(2025, 10, 7), "pending"),
    ]
    # Tuesday 13:30 to Thursday 12:00; Wednesday is over, Thursday has not opened
    assert trades.event_age_s == (24 + 22.5) * 3600
    assert (trades.missing_since, trades.missing_days) == (date(2025, 10, 8), 1)


@pytest.mark.slow
def test_what_was_built_in_steps_equals_a_full_refresh(landed: Desk) -> None:
    tables = ("audit.landed_days", "audit.profile_hours", "gold.dataset_condition")
    asked = {name: f"from {name} order by all" for name in tables}
    landed.build("--select", *MODELS)
    kept = {name: landed.query(query, "warehouse") for name, query in asked.items()}
    landed.build("--full-refresh", "--select", *MODELS)
    assert kept == {name: landed.query(query, "warehouse") for name, query in asked.items()}
    assert len(kept["audit.profile_hours"]) > 5


@pytest.mark.slow
def test_a_replay_that_lands_what_was_rejected_mends_the_day(landed: Desk) -> None:
    # Its own account rightly opens, since nothing of unit x is in quarantine: no build, then.
    landed.land("trades", [trade(90, "2025-10-03T14:00:00Z", instrument="AAPL")], unit="replay:x")
    landed.dbt("run", "--select", "landed_days", "dataset_condition")
    condition = landed.query(
        "select condition, rejected_rows, open_rejected_rows from gold.dataset_condition "
        "where day = '2025-10-03'",
        "warehouse",
    )
    assert condition == [("available", 1, 0)]


def test_an_account_that_stopped_a_build_lowers_the_day_it_names() -> None:
    from decimal import Decimal

    from checks.condition import DatasetCondition, lowered
    from checks.reconcile import Account

    moment = datetime.fromisoformat("2025-10-03T20:00:00+00:00")
    well = [Day(date(2025, 10, 2), "available", ""), Day(date(2025, 10, 3), "available", "")]
    trades = DatasetCondition("trades", moment, moment, 0, 0, well)
    line = '{"dataset": "trades", "event_hour": "2025-10-02T14:00:00+00:00", "difference": 1}'
    account = Account("silver account", "trades", Decimal(1), Decimal(0), Decimal(1), line)
    (found,) = lowered([trades], [account])
    assert [day.condition for day in found.days] == ["degraded", "available"]
    assert "1 lines of accounts" in found.days[0].reasons


def test_before_anything_is_published_no_condition_is_known(tmp_path: Path) -> None:
    from lake.settings import load_settings

    assert conditions(load_settings({"LAKE_URI": str(tmp_path)})) == []
