"""Trade quality, velocity and order flow of a random market, late rows included, are those of an
independent computation."""

import random
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.desk import Desk
from tests.oracle_quality import (
    MINUTE,
    SECOND,
    Quote,
    Trade,
    best,
    quality,
    velocity,
    velocity_minutes,
)

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`

DAY = 1_759_363_200 * SECOND  # 2025-10-02T00:00:00Z
OPEN, CLOSE = DAY + 11 * 60 * MINUTE, DAY + 22 * 60 * MINUTE  # bonds: 07:00 to 18:00 New York
MODELS = ("trade_quality_1h", "velocity", "velocity_1m", "order_flow_1m", "quote_leadership")
INSTRUMENTS = ("BOND_A", "BOND_B")
# Quotes and trades are dense where hours meet and where the session ends.
BUSY = [DAY + hour * 60 * MINUTE for hour in (13, 14, 15, 22)]
UNQUOTED = DAY + 18 * 60 * MINUTE
MONEY = ("quoted_spread", "effective_spread", "price_improvement")
LATER = [f"{name}_{s}s" for s in (1, 5, 60, 300) for name in ("realized_spread", "price_impact")]
RATIOS = (
    "effective_spread_bps",
    "price_improvement_bps",
    "price_improvement_pct",
    "effective_over_quoted",
    *(f"price_impact_{s}s_bps" for s in (1, 5, 60, 300)),
)


def moment(rng: random.Random, hours: list[int]) -> int:
    """Around a full hour, on whole seconds often enough for ties."""
    around = rng.choice(hours) + rng.randrange(-500, 400) * SECOND
    return around + (rng.randrange(1000) * 1_000_000 if rng.random() < 0.6 else 0)


def random_quotes(rng: random.Random, count: int) -> list[Quote]:
    rows = {}
    for _ in range(count):
        bid = 9_950 + rng.randrange(15)
        quote = Quote(
            rng.choice(INSTRUMENTS),
            f"D{rng.randrange(3)}",
            moment(rng, BUSY),
            None if rng.random() < 0.06 else bid,
            None if rng.random() < 0.06 else bid + rng.randrange(0, 20),
        )
        rows[quote.instrument, quote.dealer, quote.at] = quote
    return list(rows.values())


def random_trades(rng: random.Random, count: int) -> list[Trade]:
    return [
        Trade(
            f"{number:05}",
            rng.choice(INSTRUMENTS),
            min(moment(rng, [*BUSY, UNQUOTED]), CLOSE - 1),
            9_950 + rng.randrange(40),
            rng.randrange(1, 3_000) * 100,
            rng.choice(["B", "S", None, None]),
        )
        for number in range(count)
    ]


def on_the_wire(row: Quote | Trade) -> dict[str, Any]:
    at = datetime.fromtimestamp(row.at // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    stamp = {"instrumentId": row.instrument, "timestamp": f"{at}.{row.at % SECOND:09}Z"}
    if isinstance(row, Trade):
        return stamp | {
            "tradeId": row.id,
            "price": f"{row.price / 100:.2f}",
            "quantity": row.quantity,
            "buySellIndicator": row.side,
        }
    return stamp | {
        "dealerId": row.dealer,
        "bidPrice": None if row.bid is None else f"{row.bid / 100:.2f}",
        "offerPrice": None if row.offer is None else f"{row.offer / 100:.2f}",
        "bidSize": 1000,
        "offerSize": 1000,
    }


class Market:
    def __init__(self) -> None:
        rng = random.Random(11)
        self.quotes = random_quotes(rng, 700)
        self.trades = sorted(random_trades(rng, 700), key=lambda t: (t.at, t.id))

    def of(self, instrument: str) -> tuple[list[Trade], list[Quote]]:
        return (
            [t for t in self.trades if t.instrument == instrument],
            [q for q in self.quotes if q.instrument == instrument],
        )


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


@pytest.fixture(scope="module")
def desk(shared_desk: Desk, market: Market) -> Desk:
    """Most of the market, built; then what came late, built."""
    rng = random.Random(5)
    late = {id(row) for row in rng.sample([*market.quotes, *market.trades], 60)}
    for is_late in (False, True):
        for dataset, rows in (("quotes", market.quotes), ("trades", market.trades)):
            wire = [on_the_wire(row) for row in rows if (id(row) in late) is is_late]
            shared_desk.land(dataset, wire)
        shared_desk.build("--select", *(f"+{model}" for model in MODELS))
    return shared_desk


def cents(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value) * 100


def test_every_trade_is_measured_as_the_definitions_say(desk: Desk, market: Market) -> None:
    names = ("ref_status", "direction", "location", "is_within_spread", *MONEY, *LATER, *RATIOS)
    rows = desk.query(f"select trade_id, {', '.join(names)} from gold.trade_quality join "
                      "gold.enriched_trades using (trade_key)")  # fmt: skip
    found = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}
    expected = {}
    for instrument in INSTRUMENTS:
        expected |= quality(*market.of(instrument), CLOSE)
    assert found.keys() == expected.keys()
    for trade_id, row in expected.items():
        got = found[trade_id]
        got["ref_status"] = {"STALE": "NONE"}.get(got["ref_status"], got["ref_status"])
        for name in names[:4]:
            assert got[name] == row.get(name), (trade_id, name)
        for name in (*MONEY, *LATER):
            assert cents(got[name]) == row.get(name), (trade_id, name)
        for name in RATIOS:
            wanted = row.get(name)
            assert got[name] == (wanted if wanted is None else pytest.approx(float(wanted))), name
    states = [row["ref_status"] for row in expected.values()]
    assert min(states.count(s) for s in ("OK", "NONE", "ONE_SIDED", "LOCKED", "CROSSED")) > 3
    past_close = [r for r in found.values() if r["ref_status"] == "OK" and not r[LATER[-1]]]
    assert len(past_close) > 10


def test_every_silver_trade_has_one_enriched_row_with_the_quotes_before_it(
    desk: Desk, market: Market
) -> None:
    rows = desk.query(
        "select trade_id, quote_bid_price, quote_offer_price from gold.enriched_trades"
    )
    found = {trade_id: (cents(bid), cents(offer)) for trade_id, bid, offer in rows}
    assert len(rows) == len(market.trades)
    for instrument in INSTRUMENTS:
        trades, quotes = market.of(instrument)
        for trade in trades:
            assert found[trade.id] == best(quotes, trade.at - 1), trade


def test_hourly_quality_divides_exact_sums_once(desk: Desk, market: Market) -> None:
    rows = desk.query(
        "select instrument_id, epoch(event_hour)::bigint, trade_count, measured_count, "
        "improved_pct, at_touch_pct, outside_pct, mean_effective_spread, vw_effective_spread, "
        "effective_over_quoted, vw_price_impact_60s from gold.trade_quality_1h "
        "where venue = 'ALL' and size_bucket = 'ALL'"
    )
    assert len(rows) > 6
    for instrument, hour, count, measured, *figures in rows:
        trades, quotes = market.of(instrument)
        inside = range(hour * SECOND, hour * SECOND + 60 * MINUTE)
        results = quality(trades, quotes, CLOSE)
        of_hour = [(results[t.id], t.quantity) for t in trades if t.at in inside]
        ok = [(row, quantity) for row, quantity in of_hour if row["ref_status"] == "OK"]
        assert (count, measured) == (len(of_hour), len(ok))
        if not ok:
            assert figures == [None] * 7
            continue
        shares = sum(quantity for _, quantity in ok)
        effective = sum(row["effective_spread"] for row, _ in ok)
        with_mid = [(row["price_impact_60s"], q) for row, q in ok if "price_impact_60s" in row]
        later = sum(q for _, q in with_mid)
        wanted = [
            Fraction(100 * sum(row["price_improvement"] > 0 for row, _ in ok), len(ok)),
            Fraction(100 * sum("AT" in row["location"] for row, _ in ok), len(ok)),
            Fraction(100 * sum(row["location"] == "OUTSIDE" for row, _ in ok), len(ok)),
            effective / len(ok) / 100,
            sum(row["effective_spread"] * quantity for row, quantity in ok) / shares / 100,
            effective / sum(row["quoted_spread"] for row, _ in ok),
            sum(x * q for x, q in with_mid) / later / 100 if later else None,
        ]
        for value, expected in zip(figures, wanted, strict=True):
            assert value == (expected if expected is None else pytest.approx(float(expected)))


def test_hourly_quality_of_the_size_classes_adds_up(desk: Desk) -> None:
    ((parts, whole),) = desk.query(
        "select sum(volume) filter (where size_bucket <> 'ALL'), "
        "sum(volume) filter (where size_bucket = 'ALL') from gold.trade_quality_1h "
        "where venue = 'ALL'"
    )
    assert parts == whole
    buckets = desk.query("select distinct size_bucket from gold.trade_quality_1h order by 1")
    assert buckets == [("100000-1000000",), ("<100000",), ("ALL",)]


def test_velocity_counts_the_trades_of_the_last_sixty_seconds(desk: Desk, market: Market) -> None:
    rows = desk.query("select trade_id, trades_60s, shares_60s, trades_per_s from gold.velocity "
                      "join gold.enriched_trades using (trade_key)")  # fmt: skip
    expected = {}
    for instrument in INSTRUMENTS:
        expected |= velocity(market.of(instrument)[0])
    assert {trade_id: (n, int(shares)) for trade_id, n, shares, _ in rows} == expected
    assert all(rate == n / 60 for _, n, _, rate in rows)


def test_velocity_of_a_minute_is_compared_with_the_twenty_before(
    desk: Desk, market: Market
) -> None:
    for instrument in INSTRUMENTS:
        rows = desk.query(
            "select epoch_ns(window_start), trade_count, median_inter_trade_ms, same_ms_share, "
            f"velocity_z from gold.velocity_1m where instrument_id = '{instrument}'"
        )
        expected = velocity_minutes(market.of(instrument)[0], OPEN)
        assert len(rows) == len(expected)
        for start, count, wait, share, z in rows:
            wanted = expected[start]
            assert (count, wait, share) == (*wanted[:2], float(wanted[2]))
            assert z == (None if wanted[3] is None else pytest.approx(wanted[3]))
        assert sum(row[4] is not None for row in rows) > 50


def test_order_flow_of_trades_is_their_classified_volume(desk: Desk, market: Market) -> None:
    for instrument in INSTRUMENTS:
        trades, quotes = market.of(instrument)
        results = quality(trades, quotes, CLOSE)
        sides: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for trade in trades:
            direction = results[trade.id]["direction"]
            if direction is not None:
                minute = sides[trade.at // MINUTE * MINUTE]
                minute[0 if direction == 1 else 1] += trade.quantity
                minute[2] += 1
        rows = desk.query(
            "select epoch_ns(window_start), buy_volume, sell_volume, event_count, buy_share, "
            "signed_imbalance, is_alert from gold.order_flow_1m where flow = 'trades' "
            f"and venue = 'ALL' and instrument_id = '{instrument}'"
        )
        assert {row[0]: [int(v) for v in row[1:4]] for row in rows} == dict(sides)
        for start, *_, share, signed, alert in rows:
            bought, sold, count = sides[start]
            assert share == pytest.approx(bought / (bought + sold))
            assert signed == pytest.approx((bought - sold) / (bought + sold))
            one_sided = 10 * max(bought, sold) > 7 * (bought + sold)
            assert alert is (one_sided and bought + sold >= 10_000 and count >= 10)
