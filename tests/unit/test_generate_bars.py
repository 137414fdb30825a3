"""Vendor bars: what a vendor computes from the trades, computed once more."""

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import cache
from typing import Any

import polars as pl

from ingestion.generate import bars
from ingestion.generate.plan import Plan
from ingestion.generate.trades import trade_day

PLAN = Plan(quotes=10_000, trades=20_000, securities=100, bars=True)
STOCKS = {stock.symbol for stock in PLAN.market.stocks}


@cache
def made() -> pl.DataFrame:
    return pl.concat([frame for day in PLAN.days for frame in bars.rows(PLAN, day)])


def test_bars_are_the_trades_of_their_minute() -> None:
    trades: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for day in PLAN.days:
        for trade in trade_day(PLAN, day).iter_rows(named=True):
            if trade["instrument_id"] in STOCKS:
                minute = trade["event_us"] - trade["event_us"] % 60_000_000
                trades[trade["instrument_id"], minute].append(trade)
    assert len(made()) == len(trades) > 2_000
    for bar in made().iter_rows(named=True):
        of_bar = trades[bar["instrument_id"], bar["event_us"]]
        prices = [trade["price"] for trade in of_bar]
        assert [bar[name] for name in ("open", "high", "low", "close")] == [
            prices[0], max(prices), min(prices), prices[-1],
        ]  # fmt: skip
        volume = sum(trade["quantity"] for trade in of_bar)
        assert (bar["volume"], bar["trade_count"]) == (volume, len(of_bar))
        with localcontext() as context:
            context.prec = 60
            notional = sum(Decimal(t["price"]) * t["quantity"] for t in of_bar) / 10_000
            vwap = (notional / volume).quantize(Decimal("1e-9"), ROUND_HALF_UP)
        assert Decimal(bar["vwap"]).scaleb(-9) == vwap


def test_a_vwap_is_rounded_half_up_and_does_not_overflow() -> None:
    def vwap(*fills: tuple[int, int]) -> int:
        prices, quantities = zip(*fills, strict=True)
        trades = pl.DataFrame(
            {
                "event_us": [0] * len(fills),
                "active": [0] * len(fills),
                "instrument_id": ["AAPL"] * len(fills),
                "price": prices,
                "quantity": quantities,
            }
        )
        return bars.minute_bars(trades)["vwap"].item()

    # 1.000 001 562 5: exactly half a unit of the ninth decimal.
    assert vwap((10_000, 63), (10_001, 1)) == 1_000_001_563
    assert vwap((10_000, 2), (10_001, 1)) == 1_000_033_333
    assert vwap((9_999_999, 10**12), (9_999_998, 10**12)) == 999_999_850_000


def test_a_bar_is_sent_two_seconds_after_its_minute_and_names_no_venue() -> None:
    assert (made()["recv_ms"] == made()["event_us"] // 1000 + 62_000).all()
    assert (made()["interval"] == "1m").all()
    assert "venue" not in made().columns
    assert made().select("instrument_id", "event_us").is_unique().all()
