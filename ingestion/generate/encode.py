"""From columns to JSON bytes, without a Python loop over the rows.

A JSON object is made of members `"key":value`; a member that is null is left out.
"""

import polars as pl

from ingestion.generate.universe import PRICE_UNIT_PLACES, UNIT

MILLISECOND_TEXT = len("2025-10-02T13:30:00.000")
MICROSECOND_TEXT = len("2025-10-02T13:30:00.000000")


def decimal_text(units: pl.Expr, places: pl.Expr) -> pl.Expr:
    """Units of 0.0001 (0 or more) as a decimal with `places` decimals, exactly."""
    fraction = (units % UNIT).cast(pl.String).str.zfill(PRICE_UNIT_PLACES).str.head(places)
    return pl.concat_str(units // UNIT, pl.lit("."), fraction)


def time_text(micros: pl.Expr, width: pl.Expr | int) -> pl.Expr:
    """Microseconds since epoch UTC as a JSON string, ISO-8601 with Z, cut to `width` characters."""
    iso = micros.cast(pl.Datetime("us")).dt.to_string("iso:strict").str.head(width)
    return pl.concat_str(pl.lit('"'), iso, pl.lit('Z"'))


def quoted(text: pl.Expr) -> pl.Expr:
    """A JSON string; the generator's own texts hold nothing that needs escaping."""
    return pl.concat_str(pl.lit('"'), text, pl.lit('"'))


def json_text(keys: list[str]) -> pl.Expr:
    """One JSON object a row from the columns `keys`, each holding the JSON text of its value."""
    members = [pl.concat_str(pl.lit(f'"{key}":'), pl.col(key)) for key in keys]
    inside = pl.concat_str(members, separator=",", ignore_nulls=True)
    return pl.concat_str(pl.lit("{"), inside, pl.lit("}"))
