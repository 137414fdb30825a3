"""Trader position snapshots (R6)."""

import polars as pl

from contracts.base import (
    MONEY,
    PRICE,
    QUANTITY,
    Contract,
    Record,
    event_time_rules,
    field,
    positive,
    product_fits,
)
from contracts.codes import RejectCode


class Positions(Record):
    """Canonical columns of a position: what a trader holds of one instrument at one moment."""

    trader_id: pl.String = field("trader_id", "whose position it is", never_null=True)
    instrument_id: pl.String = field("symbol", "instrument held", never_null=True)
    position_size: QUANTITY = field(
        "position_size", "quantity held; negative when short", never_null=True, unit="units"
    )
    avg_price: PRICE = field("avg_price", "average cost; null when flat", unit="currency")
    current_pnl: MONEY = field("current_pnl", "profit or loss on the position", unit="currency")
    event_ts_ns: pl.Int64 = field(
        "timestamp", "as of when", never_null=True, unit="ns since epoch UTC", kind="time"
    )

    in_range, not_future = event_time_rules()
    positive_price = positive(RejectCode.PRICE_NOT_POSITIVE, "avg_price")
    product = product_fits("avg_price", "position_size")


CONTRACT = Contract(
    dataset="positions",
    version=1,
    model=Positions,
    topic="risk.positions.v1",
    aliases=("trading_positions",),
    key="trader_id",
    control_totals=("position_size",),
    partition_by_date=True,
    description="What a trader holds of one instrument, as a snapshot.",
    epoch_unit="ms",
)
