"""Alerts as published (R10): one contract for all five topics, each rule fills what it has."""

import polars as pl

from contracts.base import MONEY, PRICE, QUANTITY, RATIO, Contract, Record, event_time_rules, field


class Alerts(Record):
    """Canonical columns of an alert (analytics.md 14-16).

    `value` is what the rule measured, `threshold` what it may not exceed, `reference` what it was
    measured against; the other numbers say the same in the terms of one rule.
    """

    alert_id: pl.String = field("alert_id", "id of the alert; a replay gives the same one")
    rule: pl.String = field("rule", "the rule that raised it")
    event_ts_ns: pl.Int64 = field(
        "detection_time",
        "event time at which the rule held",
        never_null=True,
        unit="ns since epoch UTC",
        kind="time",
    )
    instrument_id: pl.String = field("symbol", "instrument; null for a trader as a whole")
    venue: pl.String = field("exchange", "venue; null where the rule looks at several")
    trader_id: pl.String = field("trader_id", "trader, of a risk alert")
    severity: pl.String = field("severity", "level, in the rule's own words")
    value: RATIO = field("value", "what was measured")
    threshold: RATIO = field("threshold", "the limit that it passed")
    reference: RATIO = field("reference", "what it was measured against")
    price: PRICE = field("price", "price that moved", unit="currency")
    prev_price: PRICE = field("prev_price", "price it moved from", unit="currency")
    price_change_pct: RATIO = field("price_change_pct", "by how much it moved", unit="per cent")
    volume: QUANTITY = field("volume", "volume of the window or episode", unit="units")
    avg_volume: RATIO = field("avg_volume", "mean volume of the windows before", unit="units")
    z_score: RATIO = field("z_score", "sample deviations above that mean")
    buy_volume: QUANTITY = field("buy_volume", "volume bought in the window", unit="units")
    sell_volume: QUANTITY = field("sell_volume", "volume sold in the window", unit="units")
    imbalance: RATIO = field("imbalance", "share of the larger side, 0.5 to 1")
    buy_venue: pl.String = field("buy_exchange", "where to buy, of an arbitrage")
    sell_venue: pl.String = field("sell_exchange", "where to sell, of an arbitrage")
    buy_price: PRICE = field("buy_price", "offer at the venue to buy on", unit="currency")
    sell_price: PRICE = field("sell_price", "bid at the venue to sell on", unit="currency")
    edge_bps: RATIO = field("edge_bps", "sell price above buy price", unit="bps")
    profit: MONEY = field("profit", "gross profit on `volume`", unit="currency")
    duration_ms: pl.Int64 = field("duration_ms", "how long the episode lasted", unit="ms")

    in_range, not_future = event_time_rules()


CONTRACT = Contract(
    dataset="alerts",
    version=1,
    model=Alerts,
    topic="price_alerts",
    aliases=(
        "volume_spikes",
        "risk_alerts",
        "order_imbalance_alerts",
        "arbitrage_opportunities",
    ),
    key="instrument_id",
    control_totals=(),
    partition_by_date=True,
    description="Alerts as published: price moves, volume, risk, order imbalance, arbitrage.",
    epoch_unit="ms",
)
