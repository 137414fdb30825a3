"""Speed candles from rows that landed: the watermark, ties, decimals, what is open."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ingestion.speed import engine
from ingestion.speed.engine import State, segments_of
from ingestion.speed.rules import Rules, Width, rules
from ingestion.speed.store import Store
from lake.layout import layout
from lake.settings import Settings
from tests.oracle_alerts import SECOND
from tests.oracle_speed import Print, Speed
from tests.speed_rows import START, a_print, candles, landed, random_commits

MS = 1_000_000


def with_rules(monkeypatch: pytest.MonkeyPatch, **changed: object) -> Rules:
    known = replace(rules(), **changed)  # type: ignore[arg-type]
    monkeypatch.setattr(engine, "rules", lambda: known)
    return known


@pytest.mark.parametrize("together", [True, False])
def test_the_worked_example_of_the_watermark(
    monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    width = Width("10s", 10 * SECOND, 2 * SECOND)
    with_rules(monkeypatch, widths=(width,))
    arrivals = ["1", "9", "11", "8", "12.5", "9.9", "21", "19.5", "22.1", "19.9"]
    prints = [a_print(n, at, quantity=Decimal(n + 1)) for n, at in enumerate(arrivals)]
    commits = [(1, prints)] if together else [(n + 1, [p]) for n, p in enumerate(prints)]
    seen, state = {}, State("trades")
    for commit in commits:
        one = landed([commit])
        judged = state.judge(one.rows, list(segments_of(one))).rows
        for event, at in judged.select("event_ts_ns", "seen_ns").iter_rows():
            seen[event - START] = (at - 2 * SECOND - START) / SECOND
    assert {at: seen[int(Decimal(at) * SECOND)] for at in ("8", "9.9", "19.5", "19.9")} == {
        "8": 9.0,
        "9.9": 10.5,
        "19.5": 19.0,
        "19.9": 20.1,
    }
    state = State("trades")
    found = candles(state, [state.advance(landed([commit])) for commit in commits])
    second = START // SECOND
    assert {key[3] - second: (c.volume, c.trade_count, c.is_final) for key, c in found.items()} == {
        0: (Decimal(1 + 2 + 4), 3, True),
        10: (Decimal(3 + 5 + 8), 3, True),
        20: (Decimal(7 + 9), 2, False),
    }
    assert state.late.select("width", "rows", "quantity").rows() == [("10s", 2, 16 * 10**8)]
    assert dict(state.disordered) == {"kafka:test/t": 4}


def test_the_golden_of_candles() -> None:
    """G1 of analytics.md: two prints of one moment, the second by its sequence."""
    rows = [("0.0", "100", 1, 1), ("0.0", "101", 2, 2), ("0.4", "99", 1, 3), ("0.9", "100", 4, 4)]
    prints = [
        a_print(n, at, price, quantity=Decimal(size), sequence=sequence)
        for n, (at, price, size, sequence) in enumerate(rows)
    ]
    state = State("trades")
    found = candles(state, [state.advance(landed([(1, prints)]))])
    candle = found["1s", "AAPL", "ALL", START // SECOND]
    assert candle[:6] == (100, 101, 99, 100, 8, 4)
    assert candle.vwap_notional is not None
    assert candle.vwap_quantity is not None
    assert candle.vwap_notional / candle.vwap_quantity == Decimal("100.125")


@pytest.mark.parametrize("partitions", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4, 8))
def test_candles_are_those_of_the_definitions(seed: int, partitions: int) -> None:
    commits = random_commits(seed, partitions)
    oracle, state = Speed(), State("trades")
    finished = []
    for version, prints in commits:
        oracle.commit(prints)
        finished.append(state.advance(landed([(version, prints)])))
    assert candles(state, finished) == oracle.candles()
    assert any(oracle.late.values())
    counted = {(w, sum(p.quantity for p in late), len(late)) for w, late in oracle.late.items()}
    by_width = state.late.group_by("width").agg(pl.col("quantity").sum(), pl.col("rows").sum())
    assert {(w, Decimal(q).scaleb(-8), n) for w, q, n in by_width.iter_rows()} == {
        one for one in counted if one[2]
    }
    assert sum(state.disordered.values()) == oracle.disordered > 0


@pytest.mark.parametrize("seed", range(2))
def test_commits_taken_in_together_give_what_they_give_one_by_one(seed: int) -> None:
    commits = random_commits(seed, 3)
    by_one, together = State("trades"), State("trades")
    ones = pl.concat([by_one.advance(landed([commit])) for commit in commits])
    halves = [together.advance(landed(commits[:7])), together.advance(landed(commits[7:]))]
    order = ["width", "instrument_id", "venue", "start_ns"]
    assert_frame_equal(ones.sort(order), pl.concat(halves).sort(order))
    assert_frame_equal(by_one.unfinished().sort(order), together.unfinished().sort(order))


@pytest.mark.parametrize("seed", range(2))
def test_one_partition_gives_the_same_however_it_is_cut_into_commits(seed: int) -> None:
    prints = [p for _, some in random_commits(seed, 1) for p in some]
    whole, cut = State("trades"), State("trades")
    one = whole.advance(landed([(1, prints)]))
    pieces = [
        cut.advance(landed([(n, prints[at : at + 7])]))
        for n, at in enumerate(range(0, len(prints), 7), start=1)
    ]
    assert candles(whole, [one]) == candles(cut, pieces)
    assert whole.late.sort("width", "instrument_id").equals(cut.late.sort("width", "instrument_id"))


@pytest.mark.parametrize("seed", range(2))
def test_a_picture_of_the_state_goes_on_as_the_state_does(seed: int, lake: Settings) -> None:
    commits = random_commits(seed, 3)
    state, store = State("trades"), Store(layout(lake), "trades")
    store.append(state := State("trades"), state.advance(landed(commits[:6])), -1)
    taken_up = Store(layout(lake), "trades").picture()
    assert taken_up is not None
    assert taken_up.version == 6
    order = ["width", "instrument_id", "venue", "start_ns"]
    rest = landed(commits[6:])
    assert_frame_equal(state.advance(rest).sort(order), taken_up.advance(rest).sort(order))
    assert_frame_equal(state.unfinished().sort(order), taken_up.unfinished().sort(order))
    assert state.late.sort(LATE_KEYS).equals(taken_up.late.sort(LATE_KEYS))


LATE_KEYS = ["stream", "instrument_id", "width"]


def test_a_partition_that_is_idle_holds_nobody_back() -> None:
    def at(number: int, partition: int, seconds: float, arrival_s: float) -> Print:
        unit = f"kafka:test/t/{partition}"
        arrival = START + int(arrival_s * SECOND)
        return a_print(number, seconds, unit=unit, arrival=arrival)

    first = [at(0, 0, 0.5, 0.5), at(0, 1, 0.6, 0.6)]
    for gap, is_late in [(30.0, False), (30.001, True)]:
        state = State("trades")
        state.advance(landed([(1, first)]))
        news = [at(1, 0, 20, 0.6 + gap), at(2, 0, 0.7, 0.6 + gap)]
        state.advance(landed([(2, news)]))
        assert state.late.filter(pl.col("width") == "1s").height == is_late, gap


def test_every_window_that_may_still_change_is_open() -> None:
    state = State("trades")
    finished = state.advance(landed([(1, [a_print(0, 0.95), a_print(1, 1.1), a_print(2, 0.99)])]))
    assert finished.is_empty()
    opened = state.windows(rules().widths[0])
    assert sorted(opened["start_ns"] - START) == [0, SECOND]
    finished = state.advance(landed([(2, [a_print(3, 1.2)])]))
    assert finished.select("width", "start_ns", "trade_count").rows() == [("1s", START, 2)]


def test_an_instrument_of_one_partition_has_no_more_windows_than_the_bound() -> None:
    prints = [a_print(n, n * 0.37 - (n % 5) * 0.3) for n in range(1, 400)]
    state = State("trades")
    assert [width.most for width in rules().widths] == [3, 3, 3]
    for n, print_ in enumerate(prints, start=1):
        state.advance(landed([(n, [print_])]))
        assert all(state.windows(width).height <= width.most for width in rules().widths)
    assert not state.evicted


def test_a_partition_that_lags_cannot_make_the_state_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_HELD", 2)
    slow = a_print(0, 0.1, unit="kafka:test/t/1")
    fast = [a_print(n, n) for n in range(20)]
    state = State("trades")
    finished = [state.advance(landed([(1, [slow])]))]
    finished += [state.advance(landed([(n, [p])])) for n, p in enumerate(fast, start=2)]
    seconds = rules().widths[0]
    assert state.windows(seconds).height == 5
    assert dict(state.evicted) == {"kafka:test/t": 15}
    finished.append(state.advance(landed([(30, [a_print(1, 3.5, unit="kafka:test/t/1")])])))
    assert dict(state.dropped) == {"kafka:test/t": 1}
    found = candles(state, finished)  # no key twice
    assert sum(c.trade_count for key, c in found.items() if key[0] == "1s") == 21


def test_a_window_with_volume_and_no_price_has_no_prices() -> None:
    odd_lot = a_print(0, 0.1, sets_price=False, quantity=Decimal("0.00000001"))
    state = State("trades")
    found = candles(state, [state.advance(landed([(1, [odd_lot])]))])
    assert found["1s", "AAPL", "ALL", START // SECOND] == (
        None, None, None, None, Decimal("1E-8"), 1, None, None, False
    )  # fmt: skip


def test_an_extended_hours_print_sets_no_price_in_the_regular_session() -> None:
    ten_in_new_york = START + 2 * 3600 * SECOND
    before_the_open = START + 3600 * SECOND
    for at, price in [(ten_in_new_york, None), (before_the_open, 100)]:
        one = landed([(1, [a_print(0, 0, event=at)])])
        one = replace(one, rows=one.rows.with_columns(conditions=pl.lit("T")))
        state = State("trades")
        state.advance(one)
        assert candles(state, [])["1s", "AAPL", "ALL", at // SECOND].open == price


def test_lateness_and_conditions_are_those_of_the_dbt_project() -> None:
    known = rules()
    assert [(w.name, w.ns // SECOND, w.lateness_ns // MS) for w in known.widths] == [
        ("1s", 1, 200),
        ("10s", 10, 1_000),
        ("1m", 60, 5_000),
    ]
    assert known.idle_ns == 30 * SECOND
    assert known.forms["lean_trades"] == "lean"
    codes = {c.code: c[1:] for c in known.conditions["sip"]}
    assert codes["W"] == (False, True, False)
    assert codes["9"] == (True, False, False)
    assert codes["M"] == (False, False, False)
    assert codes["T"] == (True, True, True)


def test_nothing_is_stored_twice(lake: Settings) -> None:
    from ingestion.speed.store import Superseded

    commits = random_commits(1, 2)
    state, store, other = State("trades"), Store(layout(lake), "trades"), None
    other = Store(layout(lake), "trades")
    store.append(state, state.advance(landed(commits)), -1)
    with pytest.raises(Superseded):
        other.append(state, state.unfinished(), -1)
    assert Path(layout(lake).speed / "candles").is_dir()
