"""Event times of a feed, as its time rule says, to ns since epoch UTC."""

from datetime import date

import polars as pl

from contracts.codes import RejectCode
from ingestion.columns import (
    NS_MAX,
    NS_MIN,
    Converted,
    Refusal,
    epoch_to_ns,
    local_to_ns,
    number_to_ns,
    since_midnight_to_ns,
    text_to_ns,
    to_integer,
)
from ingestion.feeds.binding import Bound
from ingestion.feeds.mapping import DATE, FileRefused

# The largest epoch of a unit lies far in the future of the next finer one (analytics.md 0.1).
_MAGNITUDES = ((10**11, "s"), (10**14, "ms"), (10**17, "us"), (2**63, "ns"))


def text_to_times(bound: Bound, text: pl.Series) -> Converted:
    """Times as text to ns since epoch UTC; null stays null."""
    rule = bound.time
    if rule.kind == "format":
        assert rule.format is not None
        return format_to_ns(text, rule.format, rule.zone)
    if rule.kind == "iso":
        return text_to_ns(text, rule.zone)
    assert rule.unit is not None
    if rule.kind == "midnight":
        assert rule.zone is not None
        day = date.fromisoformat(bound.parameters[DATE])
        return since_midnight_to_ns(text, rule.unit, day, rule.zone)
    if rule.kind == "epoch":
        return number_to_ns(text, rule.unit)
    return _text_or_epoch(text, rule.unit, rule.zone)


def unit_by_size(texts: list[str], where: str) -> str:
    """What epochs count in, told by their size; most of `texts` decide, so that one bad row cannot.

    Raises FileRefused when none of them is a whole number.
    """
    numbers = sorted(int(text) for text in texts if text.isascii() and text.isdigit())
    if not numbers:
        raise FileRefused(
            f"{where}: none of the first {len(texts)} times is a whole number, so `unit: auto` "
            "cannot tell what they count in; say s, ms, us or ns"
        )
    middle = numbers[len(numbers) // 2]
    return next((unit for bound, unit in _MAGNITUDES if middle < bound), "ns")


def format_to_ns(text: pl.Series, form: str, zone: str | None) -> Converted:
    """Text written as `form` (strftime) to ns since epoch UTC.

    Without an offset in the form it is on the clock of `zone`; a wall clock time that the zone
    skips or shows twice is TS_OUT_OF_RANGE, as in `text_to_ns`.
    """
    micros = text.str.to_datetime(form, time_unit="us", strict=False)
    nanos = text.str.to_datetime(form, time_unit="ns", strict=False)
    unread = text.is_not_null() & micros.is_null()
    refused: list[Refusal] = [
        (row, RejectCode.SCHEMA_TYPE, f"'{text[row][:60]}' is not a time written as {form}")
        for row in unread.arg_true().to_list()
    ]
    number = micros.cast(pl.Int64)
    fits = number.is_between(NS_MIN // 1000 + 1, NS_MAX // 1000 - 1).fill_null(False)
    far = number.set(fits, None)
    edge = far.clip(-1, 1) * NS_MAX
    if isinstance(nanos.dtype, pl.Datetime) and nanos.dtype.time_zone is None:
        assert zone is not None
        inside = nanos.set(~fits, None)
        made = local_to_ns(inside, zone)
        lost = inside.is_not_null() & made.is_null()
        refused += [
            (
                row,
                RejectCode.TS_OUT_OF_RANGE,
                f"'{text[row]}' is not one moment on the clock of {zone}",
            )
            for row in lost.arg_true().to_list()
        ]
    else:
        made = nanos.cast(pl.Int64).set(~fits, None)
    return Converted(made.fill_null(edge), refused)


def starts_of(ends: pl.Series, intervals: pl.Series, zone: str | None) -> pl.Series:
    """Starts of windows in ns from their ends; a day is one day back on the clock of `zone`."""
    frame = pl.DataFrame({"end": ends, "interval": intervals})
    end = pl.col("end").cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(zone or "UTC")
    known = pl.col("interval").str.contains("^[0-9]+[smhd]$")
    back = pl.when(known).then(pl.lit("-") + pl.col("interval")).otherwise(pl.lit("0s"))
    return frame.select(end.dt.offset_by(back).cast(pl.Int64).alias(ends.name)).to_series()


def _text_or_epoch(text: pl.Series, unit: str, zone: str | None) -> Converted:
    """As the wire has it: ISO-8601 text, or an integer epoch."""
    if text.str.contains(":", literal=True).fill_null(True).all():  # ten times as fast as below
        return text_to_ns(text, zone)
    whole = text.str.contains("^-?[0-9]+$").fill_null(False)
    written = text_to_ns(text.set(whole, None), zone)
    numbers = to_integer(text.set(~whole, None))
    nanos = epoch_to_ns(numbers.values, unit)
    return Converted(nanos.fill_null(written.values), [*numbers.refused, *written.refused])
