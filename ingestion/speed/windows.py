"""Windows of candles: made from rows, put together, closed. Whole numbers inside, exact.

Prices are in units of 1e-9, quantities of 1e-8, price x quantity of 1e-12, as integers. A window
keeps the marks of its open and close, so that it can be put together with what comes later in any
order: the total order 0.5 (dbt/macros/market/dedup.sql) decides, never the arrival.
"""

from collections.abc import Sequence

import polars as pl

from ingestion.speed.rules import Columns, Width

KEYS = ("stream", "instrument_id", "venue", "start_ns")
ALL = "ALL"

# The total order 0.5 within an instrument, nulls last; rows as `ordered` gives them.
ORDER = {
    "event_ts_ns": pl.Int64,
    "source_row": pl.Int64,
    "of_venue": pl.String,
    "sequence": pl.Int64,
    "number": pl.UInt64,
    "trade_id": pl.String,
    "recv_ts_ns": pl.Int64,
    "unit": pl.String,
    "position": pl.Int64,
}
_MARK = {**ORDER, "price": pl.Int64}

_COLUMNS: Columns = {
    "stream": pl.String,
    "instrument_id": pl.String,
    "venue": pl.String,
    "start_ns": pl.Int64,
    "high": pl.Int64,
    "low": pl.Int64,
    "volume": pl.Int128,
    "trade_count": pl.Int64,
    "vwap_notional": pl.Int128,
    "vwap_quantity": pl.Int128,
    **{f"open_{name}": dtype for name, dtype in _MARK.items()},
    **{f"close_{name}": dtype for name, dtype in _MARK.items()},
}
WINDOWS = pl.Schema(_COLUMNS)

# Windows by venue alone, null where none is told; `late` has a bit for each width, from the
# narrowest on, for which their rows come too late.
PARTS = pl.Schema(_COLUMNS | {"late": pl.Int64})

_HALF = 50_000  # of the five digits that price x quantity has more than it keeps


def ordered(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their numbers as integers, sorted by the total order."""
    rows = rows.with_columns(
        price=pl.col("price").to_physical().cast(pl.Int64),
        quantity=pl.col("quantity").to_physical().cast(pl.Int128),
        of_venue=pl.col("venue"),
        number=pl.col("trade_id").cast(pl.UInt64, strict=False),
        source_row=pl.when(pl.col("unit").str.starts_with("file:")).then("position"),
    )
    by = [name for name in ORDER if rows[name].null_count() < rows.height]
    rows = rows.sort(by, nulls_last=True, maintain_order=True)
    return rows.with_columns(_amount(rows).alias("amount"))


def _amount(rows: pl.DataFrame) -> pl.Series:
    """price x quantity, rounded half up to 12 digits; without a division where nothing is lost."""
    price, quantity, unit = pl.col("price").cast(pl.Int128), pl.col("quantity"), 2 * _HALF
    amount = price * (quantity // unit)
    if rows.select((quantity % unit != 0).any()).item():
        amount += (price * (quantity % unit) + _HALF) // unit
    return rows.select(amount.alias("amount")).to_series()


def made(rows: pl.DataFrame, width: Width) -> pl.DataFrame:
    """Windows of `ordered` rows (schema WINDOWS): for each venue, and for all together."""
    rows = rows.with_row_index("place")
    by_venue = _by_venue(rows, width)
    of_all = by_venue
    if by_venue["venue"].null_count() < by_venue.height:
        of_all = by_venue.group_by("stream", "instrument_id", "start_ns").agg(
            pl.col("first", "low").min(),
            pl.col("last", "high").max(),
            pl.col("volume", "trade_count", "vwap_notional", "vwap_quantity").sum(),
        )
    both = [of_all.with_columns(venue=pl.lit(ALL)), by_venue.filter(pl.col("venue").is_not_null())]
    return _marked(pl.concat(both, how="diagonal"), rows, WINDOWS)


def parts(rows: pl.DataFrame, width: Width) -> pl.DataFrame:
    """Windows of `ordered` rows that have `late` (schema PARTS), of which `widened` makes wider."""
    rows = rows.with_row_index("place")
    return _marked(_by_venue(rows, width, "late"), rows, PARTS)


def widened(parts: pl.DataFrame, width: Width) -> pl.DataFrame:
    """Parts as windows of a width (schema WINDOWS), with several of the same keys: `combined`."""
    named = parts.filter(pl.col("venue").is_not_null())
    every = pl.concat([parts.with_columns(venue=pl.lit(ALL)), named])
    start = pl.col("start_ns") // width.ns * width.ns
    return every.with_columns(start).select(WINDOWS.names())


def _by_venue(rows: pl.DataFrame, width: Width, *also: str) -> pl.DataFrame:
    start = (pl.col("event_ts_ns") // width.ns * width.ns).alias("start_ns")
    sets, adds = pl.col("sets_price"), pl.col("adds_volume")
    if rows["sets_price"].all() and rows["adds_volume"].all():
        sums = _sums(pl.col, pl.len())
    else:
        # A print that may not is worth nothing: 0, or null where 0 would be a price.
        rows = rows.with_columns(
            added=pl.when(adds).then("quantity").otherwise(0),
            paid_for=pl.when(sets).then("quantity").otherwise(0),
            amount=pl.when(sets).then("amount").otherwise(0),
            priced=pl.when(sets).then("price"),
            placed=pl.when(sets).then("place"),
        )
        names = {"quantity": "added", "price": "priced", "place": "placed"}
        sums = _sums(lambda name: pl.col(names.get(name) or name), adds.sum())
        sums["vwap_quantity"] = pl.col("paid_for").sum()
    return rows.group_by("stream", "instrument_id", "venue", start, *also).agg(**sums)


def _sums(of, count: pl.Expr) -> dict[str, pl.Expr]:  # type: ignore[no-untyped-def]
    return {
        "first": of("place").min(),
        "last": of("place").max(),
        "high": of("price").max(),
        "low": of("price").min(),
        "volume": of("quantity").sum(),
        "trade_count": count.cast(pl.Int64),
        "vwap_notional": pl.col("amount").sum(),
        "vwap_quantity": of("quantity").sum(),
    }


def _marked(windows: pl.DataFrame, rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The marks of open and close instead of their places among the rows."""
    ends = {"open": windows["first"], "close": windows["last"]}
    marks = rows.select(
        pl.col(name).gather(place).alias(f"{end}_{name}")
        for end, place in ends.items()
        for name in _MARK
    )
    return windows.hstack(marks).select(pl.col(n).cast(dtype) for n, dtype in schema.items())


def merged(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Windows of the same keys put together, whatever the order; a frame has its keys once."""
    filled = [frame for frame in frames if frame.height]
    if not filled:
        return pl.DataFrame(schema=WINDOWS)
    return filled[0] if len(filled) == 1 else combined(pl.concat(filled))


def combined(every: pl.DataFrame) -> pl.DataFrame:
    """Windows (schema WINDOWS or PARTS), those of the same keys put together."""
    keys = [name for name in (*KEYS, "late") if name in every.columns]
    twice = pl.struct(keys).is_duplicated()
    shared = every.filter(twice)
    if shared.is_empty():
        return every
    sums = shared.group_by(keys).agg(
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("volume", "trade_count", "vwap_notional", "vwap_quantity").sum(),
    )
    for end in ("open", "close"):
        sums = sums.join(_end(shared, end, keys), on=keys, how="left", nulls_equal=True)
    return pl.concat([every.filter(~twice), sums.select(every.columns)])


def _end(windows: pl.DataFrame, end: str, keys: Sequence[str]) -> pl.DataFrame:
    """The first open, or the last close, of windows of the same keys."""
    names = [f"{end}_{name}" for name in _MARK]
    order = [f"{end}_{name}" for name in ORDER]
    priced = windows.filter(pl.col(f"{end}_price").is_not_null()).sort(order, nulls_last=True)
    groups = priced.select(*keys, *names).group_by(keys, maintain_order=True)
    return groups.first() if end == "open" else groups.last()
