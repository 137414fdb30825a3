"""Liquidity, quote volatility and dealer activity agree with a brute-force computation."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.desk import Desk, trade
from tests.oracle_dealers import dealer_activity, hits, live_dealers, stale_ns
from tests.oracle_liquidity import SECOND, Row, liquidity, price_impact, quote_volatility

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`

DAY = datetime(2025, 10, 2, tzinfo=UTC)
MODELS = (
    "+liquidity_session",
    "+quote_volatility_1m",
    "+dealer_sessions",
    "+dealer_activity_1h",
)
TABLES = (
    "liquidity_1m",
    "liquidity_1h",
    "liquidity_session",
    "quote_volatility_1m",
    "dealer_activity_15m",
    "dealer_activity_1h",
    "dealer_activity",
    "dealer_sessions",
)


def at(seconds: float) -> str:
    """The moment so many seconds after 13:00 UTC (09:00 New York), to the microsecond."""
    moment = DAY + timedelta(hours=13, microseconds=round(seconds * 1e6))
    return moment.isoformat().replace("+00:00", "Z")


def dealer_quotes(seed: int, instrument: str, dealer: str, hours: float = 2.5) -> list[Row]:
    """A dealer's quotes: bursts and silences, refreshes, one-sided, withdrawn and crossed ones."""
    rng = random.Random(f"{seed} {instrument} {dealer}")
    rows: list[Row] = []
    now = rng.uniform(0, 900)
    bid, offer = 9990, 10010
    while now < hours * 3600:
        if rng.random() < 0.7:
            mid, half = 10000 + rng.randrange(-6, 7), rng.randrange(4, 15)
            bid, offer = mid - half, mid + half
        bid_size, offer_size = rng.choice(
            [(100, 200), (300, 100), (200, 200), (100, 0), (0, 100), (0, 0), (500, 500)]
        )
        crossed = rng.random() < 0.03
        rows.append(
            {
                "instrumentId": instrument,
                "dealerId": dealer,
                "bidPrice": f"{(offer if crossed else bid) / 100:.2f}",
                "offerPrice": f"{(bid if crossed else offer) / 100:.2f}",
                "bidSize": bid_size,
                "offerSize": offer_size,
                "timestamp": at(now),
            }
        )
        now += rng.choice([0.05, 0.5, 2, 20, 90, 400, 1100]) * rng.uniform(0.1, 2)
    return rows


def trades(seed: int, instrument: str, count: int, first: int) -> list[Row]:
    """Trades on half seconds at prices about the market, some on the hour."""
    rng = random.Random(f"{seed} {instrument}")
    return [
        trade(
            first + n,
            at(rng.choice([3600, 5400, rng.randrange(2 * 9000) / 2])),
            price=f"{(10000 + rng.randrange(-14, 15)) / 100:.2f}",
            quantity=rng.randrange(1, 500),
            instrument=instrument,
            side=rng.choice("BS"),
        )
        for n in range(count)
    ]


def rows_of(desk: Desk, sql: str) -> list[Row]:
    import duckdb

    with duckdb.connect(str(desk.layout.warehouse), read_only=True) as conn:
        conn.execute("set TimeZone = 'UTC'")
        found = conn.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


class Market:
    """Best quotes and firm lives of each instrument, and the bounds of sessions, as built."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.best = self._by_instrument("gold.best_quotes", "valid_from_ns")
        self.lives = self._by_instrument(
            "silver.quote_intervals where quote_type = 'F' and is_valid", "from_ns"
        )
        self.trades = self._by_instrument("silver.trades", "event_ts_ns")

    def _by_instrument(self, table: str, order: str) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in rows_of(self.desk, f"select * from {table} order by {order}"):
            found.setdefault(row["instrument_id"], []).append(row)
        return found

    def session(self, row: Row) -> list[Row]:
        """The best quotes of a row's session."""
        rows = self.best[row["instrument_id"]]
        return [r for r in rows if r["session_date"] == row["session_date"]]


def bounds(row: Row) -> tuple[int, int]:
    """A session's bounds in its scope, ns."""
    if row["session_scope"] == "regular":
        return row["regular_open_ns"], row["regular_close_ns"]
    return row["extended_open_ns"], row["extended_close_ns"]


def assert_agrees(found: Row, wanted: Row) -> None:
    for name, value in wanted.items():
        is_same = found[name] == value or (
            value is not None
            and found[name] is not None
            and math.isclose(float(found[name]), float(value), rel_tol=1e-11, abs_tol=1e-12)
        )
        assert is_same, (name, found[name], value, found)


def with_sessions(table: str) -> str:
    return (
        f"select t.*, s.* exclude (calendar, session_date) from {table} as t "
        "join silver.sessions as s on t.calendar = s.calendar and t.session_date = s.session_date"
    )


@pytest.fixture(scope="module")
def market(shared_desk: Desk) -> Market:
    desk = shared_desk
    pairs = [(i, d) for i in ("STOCK", "BOND_1") for d in "ABCD"]
    desk.land("quotes", [q for pair in pairs for q in dealer_quotes(1, *pair)])
    desk.land("trades", trades(1, "STOCK", 300, 0) + trades(1, "BOND_1", 40, 1000))
    desk.build("--select", *MODELS)
    return Market(desk)


def start_of(row: Row) -> int:
    return int(row["window_start"].timestamp()) * SECOND


def test_every_minute_has_the_liquidity_of_a_brute_force_computation(market: Market) -> None:
    found = rows_of(market.desk, "select * from gold.liquidity_1m")
    assert len(found) > 200
    assert sum(row["twas"] is not None for row in found) > 100
    for row in found:
        start = start_of(row)
        assert_agrees(row, liquidity(market.session(row), start, start + 60 * SECOND))


@pytest.mark.parametrize("table", ["liquidity_1h", "liquidity_session"])
def test_hours_and_sessions_have_the_liquidity_of_a_brute_force_computation(
    market: Market, table: str
) -> None:
    found = rows_of(market.desk, with_sessions(f"gold.{table}"))
    assert {row["session_scope"] for row in found} == {"all", "regular"}
    for row in found:
        start, end = bounds(row)
        if table == "liquidity_1h":
            hour = start_of(row)
            inside = (max(hour, start), min(hour + 3600 * SECOND, end))
            start, end = (
                inside if row["session_scope"] == "regular" else (hour, hour + 3600 * SECOND)
            )
        rows, lives = market.session(row), market.lives[row["instrument_id"]]
        wanted = liquidity(rows, start, end)
        del wanted["lowest_mid"], wanted["highest_mid"]
        for side in ("bid", "offer"):
            wanted[f"live_{side}_dealers"] = live_dealers(lives, rows, side.upper(), start, end)
        assert_agrees(row, wanted)


def test_amihud_and_kyle_are_those_of_a_regression_over_minutes(market: Market) -> None:
    found = rows_of(market.desk, with_sessions("gold.liquidity_session"))
    assert sum(row["kyle_lambda"] is not None for row in found) >= 2
    assert sum(row["amihud"] is not None for row in found) >= 1
    assert sum(row["amihud"] is None for row in found) >= 1
    for row in found:
        done = market.trades[row["instrument_id"]]
        assert_agrees(row, price_impact(market.session(row), done, *bounds(row)))


def test_quote_volatility_is_that_of_a_grid_of_seconds(market: Market) -> None:
    found = rows_of(market.desk, "select * from gold.quote_volatility_1m")
    assert sum((row["quote_volatility_bps"] or 0) > 0 for row in found) > 20
    assert any(row["quote_volatility_bps"] is None for row in found)
    for row in found:
        wanted = quote_volatility(market.best[row["instrument_id"]], start_of(row))
        names = ("quote_volatility_bps", "mid_range_bps", "valid_seconds")
        assert_agrees(row, dict(zip(names, wanted, strict=True)))


@pytest.mark.parametrize("table", ["dealer_activity_1h", "dealer_activity"])
def test_dealers_are_active_as_a_brute_force_computation_says(market: Market, table: str) -> None:
    found = rows_of(market.desk, with_sessions(f"gold.{table}"))
    assert len(found) >= 16
    for row in found:
        rows, lives = market.best[row["instrument_id"]], market.lives[row["instrument_id"]]
        if table == "dealer_activity":
            start, end = bounds(row)
            done = market.trades[row["instrument_id"]]
            wanted = dealer_activity(lives, rows, row["dealer_id"], start, end)
            wanted |= hits(rows, done, row["dealer_id"], start, end)
            wanted["stale_ns"] = stale_ns(lives, row["dealer_id"], 900 * SECOND, start, end)
        else:
            start = start_of(row)
            wanted = dealer_activity(lives, rows, row["dealer_id"], start, start + 3600 * SECOND)
            del wanted["median_spread"]
        assert_agrees(row, wanted)


def test_a_dealers_session_adds_up_its_instruments(market: Market) -> None:
    found = rows_of(market.desk, "select * from gold.dealer_sessions")
    activity = rows_of(market.desk, "select * from gold.dealer_activity")
    assert len(found) == 16  # 4 dealers, 2 calendars, 2 scopes
    for row in found:
        key = ("dealer_id", "calendar", "session_scope")
        own = [a for a in activity if all(a[k] == row[k] for k in key)]
        assert row["instruments_quoted"] == len(own) == 1
        assert row["updates"] == sum(a["updates"] for a in own)
        assert row["best_bid_pct"] == own[0]["best_bid_pct"]


def test_shared_time_at_the_best_adds_up_to_the_valid_time(market: Market) -> None:
    sums: dict[tuple[Any, ...], float] = {}
    for row in rows_of(market.desk, "select * from gold.dealer_activity"):
        key = (row["instrument_id"], row["session_scope"])
        sums[key] = sums.get(key, 0) + row["best_offer_shared_pct"]
    assert all(math.isclose(total, 100, rel_tol=1e-12) for total in sums.values())


@pytest.mark.slow
def test_late_quotes_and_trades_give_what_a_full_refresh_gives(market: Market) -> None:
    desk = market.desk
    late = dealer_quotes(2, "STOCK", "E", hours=0.4)[:5]
    late += [{**q, "dealerId": "A", "timestamp": at(5399.5 + n)} for n, q in enumerate(late)]
    desk.land("quotes", late)
    desk.land("trades", trades(3, "BOND_1", 5, 5000))
    desk.build("--select", *MODELS)
    shown: Callable[[], Any] = lambda: {  # noqa: E731
        table: rows_of(
            desk, f"select count(*), bit_xor(hash(t)), sum(hash(t)) from gold.{table} as t"
        )
        for table in TABLES
    }
    incremental = shown()
    desk.build("--full-refresh", "--select", *MODELS)
    assert shown() == incremental
