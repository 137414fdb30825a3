"""Text as it stands in a file to the contract's columns, by the rules of the feed."""

from collections.abc import Mapping
from datetime import date

import polars as pl

from contracts.base import Column
from ingestion.batch import Decoded, rejects
from ingestion.columns import (
    Converted,
    epoch_to_ns,
    number_to_ns,
    since_midnight_to_ns,
    text_to_ns,
    to_boolean,
    to_decimal,
    to_integer,
    to_texts,
)
from ingestion.feeds.binding import Bound
from ingestion.feeds.mapping import DATE, FileRefused

Reject = tuple[int, str, str]

_PLAIN = {"integer": to_integer, "boolean": to_boolean, "texts": to_texts}


def to_canonical(
    bound: Bound, texts: Mapping[str, pl.Series], places: pl.Series, refused: list[Reject]
) -> Decoded:
    """Columns of text to the contract's columns.

    `texts` holds a string series per canonical column that the file has (a time may already be
    int64 ns), `places` each row's place in the batch, `refused` the records that gave no row. A
    row with a value that does not convert is a reject; all others are rows, in batch order.
    """
    series: dict[str, pl.Series] = {}
    bad: dict[int, Reject] = {}
    for column in bound.feed.contract.columns:
        text = texts.get(column.name)
        if text is None:
            series[column.name] = _constant(bound, column, len(places))
            continue
        converted = _convert(bound, column, text)
        series[column.name] = converted.values
        for row, code, why in converted.refused:
            place = places[row]
            bad.setdefault(place, (place, code.value, f"{bound.labels[column.name]}: {why}"))
    frame = pl.DataFrame(series).with_columns(places.cast(pl.UInt32).alias("i"))
    if bad:
        frame = frame.filter(~pl.col("i").is_in(list(bad)))
    return Decoded(frame.sort("i"), rejects([*refused, *bad.values()]))


def _constant(bound: Bound, column: Column, rows: int) -> pl.Series:
    value = bound.constant(column.name)
    one = pl.Series([value], dtype=pl.String)
    converted = _convert(bound, column, one)
    if converted.refused:
        _, code, why = converted.refused[0]
        raise FileRefused(f"feed {bound.feed.name}: {column.name}: {why} ({code})")
    return converted.values.new_from_index(0, rows)


def _convert(bound: Bound, column: Column, text: pl.Series) -> Converted:
    if column.kind == "time" and text.dtype == pl.Int64:
        return Converted(text, [])
    feed = bound.feed
    codes = {**dict.fromkeys(feed.nulls), **feed.values.get(column.name, {})}
    text = text.replace(list(codes), list(codes.values()))
    match column.kind:
        case "decimal":
            assert isinstance(column.dtype, pl.Decimal)
            places = len(str(feed.scale.get(column.name, 1))) - 1
            return to_decimal(text, column.dtype, places)
        case "time":
            return _times(bound, text)
        case "text":
            return Converted(text, [])
    return _PLAIN[column.kind](text)


def _times(bound: Bound, text: pl.Series) -> Converted:
    rule = bound.time
    assert rule.unit is not None
    if rule.kind == "midnight":
        assert rule.zone is not None
        day = date.fromisoformat(bound.parameters[DATE])
        return since_midnight_to_ns(text, rule.unit, day, rule.zone)
    if rule.kind == "epoch":
        return number_to_ns(text, rule.unit)
    if rule.kind == "iso":
        return text_to_ns(text, rule.zone)
    return _text_or_epoch(text, rule.unit, rule.zone)


def _text_or_epoch(text: pl.Series, unit: str, zone: str | None) -> Converted:
    """As the wire has it: ISO-8601 text, or an integer epoch."""
    whole = text.str.contains("^-?[0-9]+$").fill_null(False)
    written = text_to_ns(text.set(whole, None), zone)
    if not whole.any():
        return written
    numbers = to_integer(text.set(~whole, None))
    nanos = epoch_to_ns(numbers.values, unit)
    return Converted(nanos.fill_null(written.values), [*numbers.refused, *written.refused])
