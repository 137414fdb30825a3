"""Cells as they stand in a file to the contract's columns, by the rules of the feed."""

from collections.abc import Mapping

import polars as pl

from contracts.base import Column
from ingestion.batch import Decoded, rejects
from ingestion.columns import Converted, to_boolean, to_decimal, to_integer, to_texts
from ingestion.feeds.binding import Bound
from ingestion.feeds.mapping import TIME, FileRefused
from ingestion.feeds.sides import Reject, given_sides
from ingestion.feeds.times import starts_of, text_to_times
from ingestion.feeds.typed import as_text, typed

_PLAIN = {"integer": to_integer, "boolean": to_boolean, "texts": to_texts}


def to_canonical(
    bound: Bound, cells: Mapping[str, pl.Series], places: pl.Series, refused: list[Reject]
) -> Decoded:
    """Columns of a file to the contract's columns.

    `cells` holds a series per canonical column that the file has, of text or of whatever type the
    file gave it; `places` each row's place in the batch, `refused` the records that gave no row. A
    row with a value that does not convert is a reject; all others are rows, in batch order.
    """
    series: dict[str, pl.Series] = {}
    bad: dict[int, Reject] = {}
    for column in bound.feed.contract.columns:
        given = cells.get(column.name)
        if given is None:
            series[column.name] = _constant(bound, column, len(places))
            continue
        converted = _convert(bound, column, given)
        series[column.name] = converted.values
        for row, code, why in converted.refused:
            place = places[row]
            bad.setdefault(place, (place, code.value, f"{bound.labels[column.name]}: {why}"))
    frame = pl.DataFrame(series).with_columns(places.cast(pl.UInt32).alias("i"))
    if bad:
        frame = frame.filter(~pl.col("i").is_in(list(bad)))
    frame, sideless = _shaped(bound, frame)
    if not frame["i"].is_sorted():
        frame = frame.sort("i")
    return Decoded(frame, rejects([*refused, *bad.values(), *sideless]))


def _shaped(bound: Bound, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Reject]]:
    """What the feed says of whole rows: sides that are not there, windows labelled by their end."""
    if bound.feed.time.label == "end":
        starts = starts_of(frame[TIME], frame["interval"], bound.feed.time.zone)
        frame = frame.with_columns(starts.alias(TIME))
    return given_sides(frame) if bound.feed.sides == "given" else (frame, [])


def _constant(bound: Bound, column: Column, rows: int) -> pl.Series:
    value = bound.constant(column.name)
    one = pl.Series([value], dtype=pl.String)
    converted = _convert(bound, column, one)
    if converted.refused:
        _, code, why = converted.refused[0]
        raise FileRefused(f"feed {bound.feed.name}: {column.name}: {why} ({code})")
    return converted.values.new_from_index(0, rows)


def _convert(bound: Bound, column: Column, cells: pl.Series) -> Converted:
    feed = bound.feed
    codes = {**dict.fromkeys(feed.nulls), **feed.values.get(column.name, {})}
    shift = len(str(feed.scale.get(column.name, 1))) - 1
    if cells.dtype != pl.String and set(codes) <= {""}:
        made = typed(cells, column, shift, bound.time)
        if made is not None:
            return made
    text = _translated(as_text(cells), codes)
    match column.kind:
        case "decimal":
            assert isinstance(column.dtype, pl.Decimal)
            if feed.decimal_mark != ".":
                text = _with_points(text, feed.decimal_mark)
            return to_decimal(text, column.dtype, shift)
        case "time":
            return text_to_times(bound, text)
        case "text":
            return Converted(text, [])
    return _PLAIN[column.kind](text)


def _translated(text: pl.Series, codes: Mapping[str, str | None]) -> pl.Series:
    """The text with the feed's codes and signs for nothing put right."""
    if set(codes) == {""} and codes[""] is None:
        empty = text == ""
        return text.set(empty, None) if empty.any() else text
    return text.replace(list(codes), list(codes.values())) if codes else text


def _with_points(text: pl.Series, mark: str) -> pl.Series:
    """Numbers with the feed's own decimal mark, written with a point.

    A number that has a point already is refused: it may set thousands apart, or be of another hand.
    """
    number = pl.col("text")
    pointed = number.str.replace(mark, ".", literal=True)
    refused = pl.concat_str(number, pl.lit(f" where the decimal mark is {mark}"))
    has_point = number.str.contains(".", literal=True)
    frame = text.to_frame("text")
    return frame.select(pl.when(has_point).then(refused).otherwise(pointed)).to_series()
