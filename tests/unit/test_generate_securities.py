"""The security master: a snapshot with right identifiers, then only what changed."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import pytest
from stdnum import cusip, isin

from ingestion.generate import identifiers
from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream

PLAN = Plan(seed=7, quotes=2_000, trades=1_000, securities=10_000)
FIRST, SECOND = PLAN.days
STOCKS = {"AAPL", "GOOGL", "MSFT", "AMZN", "TSLA", "NVDA", "META", "NFLX"}
TRACKED = ("securityName", "issuer", "marketSegment")


@cache
def rows(day: date) -> list[dict[str, Any]]:
    return [json.loads(value) for value in stream(PLAN, "securities", day).values]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def received(day: date) -> list[datetime]:
    return [
        datetime.fromtimestamp(ms / 1000, UTC) for ms in stream(PLAN, "securities", day).recv_ts_ms
    ]


@pytest.mark.parametrize("code", ["037833100", "17275R102", "38259P508", "594918104", "68389X105"])
def test_check_digits_of_real_cusips_come_out_right(code: str) -> None:
    made = identifiers.with_cusip_digit(identifiers.values_of([code[:8]]))
    assert identifiers.texts_of(made).tolist() == [code]


def test_the_check_digit_of_a_real_isin_comes_out_right() -> None:
    made = identifiers.us_isin(identifiers.values_of(["037833100", "594918104"]))
    assert identifiers.texts_of(made).tolist() == ["US0378331005", "US5949181045"]


def test_every_cusip_and_isin_is_valid_and_the_isin_holds_the_cusip() -> None:
    for row in [*rows(FIRST), *rows(SECOND)]:
        assert cusip.is_valid(row["cusip"]), row
        assert isin.is_valid(row["isin"]), row
        assert row["isin"][2:11] == row["cusip"]


def test_identifiers_belong_to_one_instrument_each() -> None:
    for name in ("instrumentId", "cusip", "isin"):
        values = [row[name] for row in rows(FIRST)]
        assert len(values) == len(set(values))


def test_invented_bonds_carry_numbers_reserved_for_internal_use() -> None:
    bonds = [row for row in rows(FIRST) if row["instrumentId"] not in STOCKS]
    assert all(row["cusip"].startswith("99") for row in bonds)


def test_segments_multipliers_and_ticks_are_those_of_their_class() -> None:
    segments = Counter(row["marketSegment"] for row in rows(FIRST))
    assert segments.pop("EQUITY") == 8
    bonds = segments.total()
    for segment, share in (("HG", 0.55), ("AG", 0.20), ("HY", 0.25)):
        assert segments[segment] / bonds == pytest.approx(share, abs=0.01)
    for row in rows(FIRST):
        stock = row["instrumentId"] in STOCKS
        assert row["priceMultiplier"] == (1 if stock else 0.01)
        assert row["tickSize"] == (0.01 if stock else 0.001)
        assert (row["marketSegment"] == "EQUITY") is stock


def test_the_snapshot_arrives_before_the_session_and_a_hundred_rows_have_no_as_of_time() -> None:
    arrivals = received(FIRST)
    assert max(arrivals) < datetime(2025, 10, 2, 13, 30, tzinfo=UTC)
    timed = [row["asOf"] for row in rows(FIRST) if "asOf" in row]
    assert len(rows(FIRST)) - len(timed) == 100
    assert max(map(at, timed)) < min(arrivals)


def test_the_second_day_holds_only_real_changes_and_new_instruments() -> None:
    before = {row["instrumentId"]: row for row in rows(FIRST)}
    changed: Counter[str] = Counter()
    for row in rows(SECOND):
        assert "asOf" in row
        old = before.get(row["instrumentId"])
        if old is None:
            changed["new"] += 1
            continue
        different = [name for name in TRACKED if row[name] != old[name]]
        changed[" ".join(different)] += 1
        same = row.keys() - {*TRACKED, "asOf"}
        assert different and all(row[name] == old[name] for name in same)
    assert len(rows(SECOND)) == len({row["instrumentId"] for row in rows(SECOND)}) == 200
    assert changed["new"] == 50
    assert changed.keys() == {"new", "securityName issuer", "securityName", "marketSegment"}


def test_one_correction_is_dated_back_into_the_first_session_and_its_bond_trades() -> None:
    back = [row for row in rows(SECOND) if at(row["asOf"]).date() == FIRST]
    assert len(back) == 1
    assert 13 <= at(back[0]["asOf"]).hour < 20
    traded = {key.decode() for key in stream(PLAN, "quotes", FIRST).keys}
    assert back[0]["instrumentId"] in traded
    assert min(received(SECOND)).date() == SECOND


def test_changes_reach_traded_bonds_too() -> None:
    traded = {key.decode() for day in PLAN.days for key in stream(PLAN, "quotes", day).keys}
    assert sum(row["instrumentId"] in traded for row in rows(SECOND)) >= 20


def test_changes_are_received_within_two_minutes_of_taking_effect() -> None:
    for row, when in zip(rows(SECOND), received(SECOND), strict=True):
        if at(row["asOf"]).date() == SECOND:
            assert 0 < (when - at(row["asOf"])).total_seconds() <= 120


def test_over_many_days_no_instrument_changes_twice_and_each_day_lists_new_ones() -> None:
    plan = Plan(
        quotes=500,
        trades=100,
        securities=5_000,
        days=tuple(date(2025, 10, day) for day in range(6, 11)),
    )
    keys = [key for day in plan.days[1:] for key in stream(plan, "securities", day).keys]
    assert len(keys) == len(set(keys)) == 400
    listed = set(stream(plan, "securities", plan.days[0]).keys)
    for day in plan.days[1:]:
        assert sum(key not in listed for key in stream(plan, "securities", day).keys) == 25
