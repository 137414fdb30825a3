"""Windows as candles: the columns that people and dbt read, decimals exact."""

import polars as pl

CANDLES = pl.Schema(
    {
        "width": pl.String,
        "instrument_id": pl.String,
        "venue": pl.String,
        "window_start": pl.Datetime("us", "UTC"),
        "open": pl.Decimal(18, 9),
        "high": pl.Decimal(18, 9),
        "low": pl.Decimal(18, 9),
        "close": pl.Decimal(18, 9),
        "volume": pl.Decimal(38, 8),
        "trade_count": pl.Int64,
        "vwap_notional": pl.Decimal(38, 12),
        "vwap_quantity": pl.Decimal(38, 8),
        "is_final": pl.Boolean,
        "dataset": pl.String,
        "stream": pl.String,
        "bronze_version": pl.Int64,
        "event_date": pl.Date,
    }
)


def candles_of(finished: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """Windows (schema engine.FINISHED) as candles (schema CANDLES).

    A window without a print that may set a price has null prices, and null beside them as vwap.
    """
    has_price = pl.col("open_price").is_not_null()
    start = pl.from_epoch(pl.col("start_ns") // 1_000, time_unit="us").dt.replace_time_zone("UTC")
    return finished.with_columns(
        window_start=start,
        event_date=start.dt.date(),
        dataset=pl.lit(dataset),
        open=decimal("open_price", 9),
        close=decimal("close_price", 9),
        high=decimal("high", 9),
        low=decimal("low", 9),
        volume=decimal("volume", 8),
        vwap_notional=pl.when(has_price).then(decimal("vwap_notional", 12)),
        vwap_quantity=pl.when(has_price).then(decimal("vwap_quantity", 8)),
    ).select(pl.col(name).cast(dtype) for name, dtype in CANDLES.items())


def decimal(column: str, scale: int) -> pl.Expr:
    """An integer that counts units of 10^-scale as the decimal that it stands for."""
    unit = pl.lit(f"0.{'1':0>{scale}}").str.to_decimal(scale=scale)
    return pl.col(column).cast(pl.Int128).cast(pl.Decimal(38, 0)) * unit
