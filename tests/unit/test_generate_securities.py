"""The security master: a snapshot with right identifiers, then only what changed."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from stdnum import cusip, isin

from ingestion.generate import bonds, encode, identifiers, securities
from ingestion.generate.market import Market
from ingestion.generate.plan import BLOCK_ROWS, Plan
from ingestion.generate.universe import active_bonds

PLAN = Plan(seed=7, quotes=100_000, trades=1_000, securities=10_000)
FIRST, SECOND = PLAN.days
STOCKS = {"AAPL", "GOOGL", "MSFT", "AMZN", "TSLA", "NVDA", "META", "NFLX"}
# Units per contract, and tick in USD.
FUTURES = {
    "CL": (1000, 0.01),
    "BZ": (1000, 0.01),
    "NG": (10000, 0.001),
    "RB": (42000, 0.0001),
    "HO": (42000, 0.0001),
    "GO": (100, 0.25),
}
TRACKED = ("securityName", "issuer", "marketSegment")


@cache
def rows(day: date) -> list[dict[str, Any]]:
    return [json.loads(value) for value in values(PLAN, day)]


def values(plan: Plan, day: date) -> list[bytes]:
    frames = securities.rows(plan, day)
    return [value for frame in frames for value in encode.json_values(securities.FORM, frame)]


def identities(plan: Plan, day: date) -> list[str]:
    return [name for frame in securities.rows(plan, day) for name in frame["instrument_id"]]


def received(day: date) -> list[datetime]:
    return [
        datetime.fromtimestamp(ms / 1000, UTC)
        for frame in securities.rows(PLAN, day)
        for ms in frame["recv_ms"]
    ]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def traded() -> set[str]:
    return {f"BOND_{number + 1:06d}" for number in active_bonds(PLAN)}


def is_bond(row: dict[str, Any]) -> bool:
    return row["instrumentId"] not in STOCKS | FUTURES.keys()


@pytest.mark.parametrize("code", ["037833100", "17275R102", "38259P508", "594918104", "68389X105"])
def test_check_digits_of_real_cusips_come_out_right(code: str) -> None:
    made = identifiers.with_cusip_digit(identifiers.values_of([code[:8]]))
    assert identifiers.texts_of(made).to_list() == [code]


def test_the_check_digit_of_a_real_isin_comes_out_right() -> None:
    made = identifiers.us_isin(identifiers.values_of(["037833100", "594918104"]))
    assert identifiers.texts_of(made).to_list() == ["US0378331005", "US5949181045"]


def test_check_digits_agree_with_stdnum_wherever_letters_stand() -> None:
    rng = np.random.default_rng(3)
    # Every second character a letter on average: each parity of the Luhn sum is met.
    drawn = np.where(
        rng.random((8, 2_000)) < 0.5,
        rng.integers(0, 10, (8, 2_000)),
        rng.integers(10, 36, (8, 2_000)),
    ).astype(np.uint8)
    whole = identifiers.with_cusip_digit(drawn)
    for base, code, of_country in zip(
        identifiers.texts_of(drawn),
        identifiers.texts_of(whole),
        identifiers.texts_of(identifiers.us_isin(whole)),
        strict=True,
    ):
        assert code == base + cusip.calc_check_digit(base)
        assert of_country == f"US{code}" + isin.calc_check_digit(f"US{code}")


def test_every_cusip_and_isin_is_valid_and_the_isin_holds_the_cusip() -> None:
    for row in [*rows(FIRST), *rows(SECOND)]:
        assert cusip.is_valid(row["cusip"]), row
        assert isin.is_valid(row["isin"]), row
        assert row["isin"][2:11] == row["cusip"]


def test_identifiers_belong_to_one_instrument_each() -> None:
    for name in ("instrumentId", "cusip", "isin"):
        listed = [row[name] for row in rows(FIRST)]
        assert len(listed) == len(set(listed))


def test_identifiers_stay_apart_up_to_the_last_bond_there_can_be() -> None:
    numbers = np.r_[0:60_000, 9_970_000:10_030_000, bonds.MAX_BONDS - 60_000 : bonds.MAX_BONDS]
    terms = bonds.bond_terms(PLAN, numbers.astype(np.int64))
    assert terms["instrument_id"].n_unique() == terms["cusip"].n_unique() == len(numbers)
    assert terms["isin"].n_unique() == len(numbers)
    assert terms["instrument_id"][0, 60_000, 119_999].to_list() == [
        "BOND_000001",
        "BOND_9970001",
        "BOND_10030000",
    ]
    last = terms["cusip"][-1]
    assert last == "99ZZZY0K" + cusip.calc_check_digit("99ZZZY0K")


def test_a_bond_past_the_last_cusip_is_refused() -> None:
    with pytest.raises(ValueError, match="26726700 bonds have a CUSIP; ask for fewer"):
        bonds.bond_terms(PLAN, np.array([bonds.MAX_BONDS]))


def test_invented_securities_carry_numbers_reserved_for_internal_use() -> None:
    invented = [row for row in rows(FIRST) if row["instrumentId"] not in STOCKS]
    assert all(row["cusip"].startswith("99") for row in invented)
    futures = [row["cusip"] for row in invented if row["instrumentId"] in FUTURES]
    assert [code[:6] for code in futures] == ["99ZZZZ"] * 6


def test_the_facts_of_a_bond_do_not_depend_on_which_others_are_asked_for() -> None:
    block = bonds.bond_facts(PLAN, np.arange(4_000, 5_000))
    some = np.array([999, 3, 3, 500])
    assert bonds.bond_facts(PLAN, some + 4_000).equals(block[some])


def test_bonds_of_an_issuer_share_its_name_and_its_segment() -> None:
    issued = bonds.bond_facts(PLAN, np.arange(20_000)).with_columns(
        number=pl.int_range(20_000) // 20
    )
    by_issuer = issued.group_by("number").agg(pl.col("issuer", "segment").n_unique())
    assert set(by_issuer["issuer"]) == set(by_issuer["segment"]) == {1}
    assert issued["issuer"].n_unique() == 1_000
    assert issued.select(pl.col("name").str.starts_with(pl.col("issuer")).all()).item()


def test_opening_levels_fill_the_bounds_of_their_segment_evenly() -> None:
    facts = bonds.bond_facts(PLAN, np.arange(100_000))
    for segment, low, high in (("HG", 85, 140), ("AG", 90, 140), ("HY", 60, 120)):
        place = (facts.filter(segment=segment)["price"].to_numpy() - low) / (high - low)
        # A tenth of the bonds in each tenth of the range, within five standard deviations.
        tenths = np.bincount((place * 10).astype(int), minlength=10) / len(place)
        assert len(tenths) == 10
        assert np.abs(tenths - 0.1).max() < 5 * np.sqrt(0.09 / len(place))


def test_coupons_and_maturities_are_spread_evenly() -> None:
    name = bonds.bond_facts(PLAN, np.arange(100_000))["name"]
    terms = name.str.extract_groups(r" (\d\.\d{3})% (\d{4})-(\d\d)-15$").struct.unnest()
    # 64 eighths of a percent, 29 years, 12 months; five standard deviations about the mean.
    for column, kinds in zip(terms.columns, (64, 29, 12), strict=True):
        share = terms[column].value_counts()["count"].to_numpy() / len(name)
        assert len(share) == kinds
        assert np.abs(share - 1 / kinds).max() < 5 * np.sqrt(1 / kinds / len(name))


def test_segments_multipliers_and_ticks_are_those_of_their_class() -> None:
    segments = Counter(row["marketSegment"] for row in rows(FIRST))
    assert segments.pop("EQUITY") == 8
    assert segments.pop("ENERGY") == 6
    for segment, share in (("HG", 0.55), ("AG", 0.20), ("HY", 0.25)):
        assert segments[segment] / segments.total() == pytest.approx(share, abs=0.005)
    for row in rows(FIRST):
        name, given = row["instrumentId"], (row["priceMultiplier"], row["tickSize"])
        if is_bond(row):
            assert given == (0.01, 0.001)
        else:
            assert given == FUTURES.get(name, (1, 0.01))
            assert row["marketSegment"] == ("ENERGY" if name in FUTURES else "EQUITY")
        assert row["currency"] == "USD"


def test_the_snapshot_arrives_before_the_session_and_a_hundred_rows_have_no_as_of_time() -> None:
    arrivals = received(FIRST)
    assert max(arrivals) < datetime(2025, 10, 2, 13, 30, tzinfo=UTC)
    timed = [row["asOf"] for row in rows(FIRST) if "asOf" in row]
    assert len(rows(FIRST)) - len(timed) == 100
    assert max(map(at, timed)) < min(arrivals)


def test_a_large_snapshot_streams_in_blocks_that_never_overtake_each_other() -> None:
    plan = Plan(days=(FIRST,), securities=450_000)
    frames = list(securities.rows(plan, FIRST))
    assert [len(frame) for frame in frames] == [BLOCK_ROWS, BLOCK_ROWS, 50_000]
    whole = pl.concat(frames)
    assert whole["recv_ms"].is_sorted()
    numbered = [f"BOND_{number:06d}" for number in range(1, 449_987)]
    assert whole["instrument_id"][14:].to_list() == numbered
    assert whole["event_us"].null_count() == 100
    # Twenty minutes from 10:05 UTC.
    sent = datetime(2025, 10, 2, 10, 5, tzinfo=UTC).timestamp() * 1000
    assert (
        0 <= whole["recv_ms"][0] - sent < 10 and 0 < 1_200_000 - (whole["recv_ms"][-1] - sent) < 10
    )


def test_the_first_block_of_ten_million_securities_needs_none_of_the_others() -> None:
    plan = Plan(days=(FIRST,), securities=10_000_000)
    block = next(securities.rows(plan, FIRST))
    assert len(block) == BLOCK_ROWS
    assert block["instrument_id"][-1] == f"BOND_{BLOCK_ROWS - 14:06d}"


def test_the_same_plan_makes_the_same_bytes_and_another_seed_others() -> None:
    small = Plan(seed=5, securities=500)
    assert values(small, FIRST) == values(Plan(seed=5, securities=500), FIRST)
    assert values(small, SECOND) == values(Plan(seed=5, securities=500), SECOND)
    other = values(Plan(seed=6, securities=500), FIRST)
    assert len({*values(small, FIRST)} & {*other}) < 50


@pytest.mark.parametrize(("days", "total"), [(1, 50), (2, 100), (3, 10_001), (20, 1_000)])
def test_all_days_together_hold_exactly_the_messages_that_were_asked_for(
    days: int, total: int
) -> None:
    plan = Plan(days=tuple(date(2025, 9, 1 + day) for day in range(days)), securities=total)
    sizes = [len(identities(plan, day)) for day in plan.days]
    assert sum(sizes) == total
    assert all(sizes)


def test_a_master_too_small_for_its_stocks_and_futures_is_refused() -> None:
    crowded = Market(stocks=Market().stocks * 5)
    with pytest.raises(ValueError, match="too few for the market's 46 stocks and futures"):
        identities(Plan(days=(FIRST,), securities=60, market=crowded), FIRST)


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
    assert changed == {
        "new": 50,
        "securityName issuer": 50,
        "securityName": 50,
        "marketSegment": 50,
    }


def test_a_bought_company_keeps_the_terms_of_its_bond() -> None:
    before = {row["instrumentId"]: row for row in rows(FIRST)}
    moved = [
        (row, before[row["instrumentId"]])
        for row in rows(SECOND)
        if row["instrumentId"] in before and row["issuer"] != before[row["instrumentId"]]["issuer"]
    ]
    for row, old in moved:
        terms = old["securityName"].removeprefix(old["issuer"])
        assert row["securityName"] == row["issuer"] + terms
    issuers = {row["issuer"] for row in rows(FIRST)}
    assert not issuers & {row["issuer"] for row, _ in moved}


def test_one_correction_is_dated_back_into_the_first_session_and_its_bond_trades() -> None:
    back = [row for row in rows(SECOND) if at(row["asOf"]).date() == FIRST]
    assert len(back) == 1
    assert 13 <= at(back[0]["asOf"]).hour < 20
    assert back[0]["instrumentId"] in traded()
    assert min(received(SECOND)).date() == SECOND
    assert received(SECOND) == sorted(received(SECOND))


def test_changes_reach_half_of_the_traded_bonds() -> None:
    assert len(traded()) >= 20
    changed = {row["instrumentId"] for row in rows(SECOND)}
    assert len(changed & traded()) == len(traded()) // 2


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
    keys = [key for day in plan.days[1:] for key in identities(plan, day)]
    assert len(keys) == len(set(keys)) == 400
    listed = set(identities(plan, plan.days[0]))
    new = [key for day in plan.days[1:] for key in identities(plan, day) if key not in listed]
    assert len(new) == 100
    for day in plan.days[1:]:
        assert sum(key not in listed for key in identities(plan, day)) == 25
    # 5,000 messages, 400 of them changes, 14 stocks and futures: numbering goes on from there.
    assert sorted(new) == [f"BOND_{number:06d}" for number in range(4_587, 4_687)]
