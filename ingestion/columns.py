"""Text columns to canonical columns, strictly and a whole column at a time.

Shared by the JSON decoder and the feed mappings: both arrive at text, and both must turn the
same text into the same decimal or nanosecond, or reject it with the same code.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal, InvalidOperation

import msgspec
import polars as pl

from contracts.codes import RejectCode

NS_MIN, NS_MAX = -(2**63) + 1, 2**63 - 1
NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
DAY_NS = 86_400_000_000_000
_NON_FINITE = {"nan", "inf", "infinity"}
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,9}))?")
_DECIMALS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
_TEXTS = msgspec.json.Decoder(list[str])
_BOOLEANS = {"0": False, "1": True, "false": False, "true": True}


Refusal = tuple[int, RejectCode, str]


@dataclass(frozen=True)
class Converted:
    """A canonical column, null where a value was refused, and the refusals (row, code, message)."""

    values: pl.Series
    refused: list[Refusal]


def to_text(values: Sequence[bytes]) -> Converted:
    """UTF-8 bytes to text; a value in another encoding is PARSE_ERROR."""
    try:
        return Converted(pl.Series(values, dtype=pl.Binary).cast(pl.String), [])
    except pl.exceptions.ComputeError:  # one of them is not UTF-8: find out which
        text: list[str | None] = []
        refused = []
        for row, value in enumerate(values):
            try:
                text.append(value.decode())
            except UnicodeDecodeError as error:
                text.append(None)
                refused.append((row, RejectCode.PARSE_ERROR, f"not UTF-8: {error}"))
        return Converted(pl.Series(text, dtype=pl.String), refused)


def to_decimal(text: pl.Series, dtype: pl.Decimal, shift: int = 0) -> Converted:
    """Text to exact decimals; null stays null. The text counts units of 10 ** -shift.

    A plain number that fits is converted in bulk. Anything else (exponent, sign, more zeros than
    the scale) is looked at alone: it is taken if its value fits exactly, and refused if it would
    have to be rounded. Nothing is ever rounded in silence.
    """
    precision, scale = dtype.precision or 38, dtype.scale
    if shift:
        text = _shift_point(text, shift)
    text, refused = _plain_numbers(text, precision - scale, scale)
    return Converted(text.str.to_decimal(scale=scale).cast(dtype), refused)


def to_integer(text: pl.Series) -> Converted:
    """Text to 64-bit integers; null stays null. A decimal point or an exponent is refused."""
    whole = text.str.contains(r"^[+-]?[0-9]+$").fill_null(False)
    numbers = text.set(~whole, None).cast(pl.Int64, strict=False)
    return Converted(numbers, _lost(text, numbers, _not_an_integer))


def to_boolean(text: pl.Series) -> Converted:
    """0, 1, false and true (in any case) to booleans; null stays null."""
    lower = text.str.to_lowercase()
    values = lower.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    return Converted(values, _lost(text, values, _not_a_boolean))


def to_texts(text: pl.Series) -> Converted:
    """JSON arrays of strings, e.g. ["AAPL", "MSFT"], to lists; null stays null."""
    lists: list[list[str] | None] = []
    refused: list[Refusal] = []
    for row, value in enumerate(text.to_list()):
        try:
            lists.append(None if value is None else _TEXTS.decode(value))
        except msgspec.DecodeError as error:
            lists.append(None)
            why = f"'{value[:60]}' is not a JSON array of strings: {error}"
            refused.append((row, RejectCode.SCHEMA_TYPE, why))
    return Converted(pl.Series(lists, dtype=pl.List(pl.String)), refused)


def _not_an_integer(value: str) -> tuple[RejectCode, str]:
    if value.strip("+-").lower() in _NON_FINITE:
        return RejectCode.NON_FINITE, f"'{value}' is not a finite number"
    return RejectCode.SCHEMA_TYPE, f"'{value[:60]}' is not a whole number of 64 bits"


def _not_a_boolean(value: str) -> tuple[RejectCode, str]:
    return RejectCode.SCHEMA_TYPE, f"'{value[:60]}' is not one of {', '.join(_BOOLEANS)}"


def _lost(
    text: pl.Series, values: pl.Series, explain: Callable[[str], tuple[RejectCode, str]]
) -> list[Refusal]:
    """Refusals for the rows that have text but came out null."""
    rows = (text.is_not_null() & values.is_null()).arg_true().to_list()
    return [
        (row, *explain(value)) for row, value in zip(rows, text.gather(rows).to_list(), strict=True)
    ]


def _shift_point(text: pl.Series, places: int) -> pl.Series:
    """The same numbers with the decimal point `places` to the left; other text as it is."""
    frame = pl.DataFrame({"text": text})
    digits = pl.col("text").str.strip_prefix("-").str.zfill(places + 1)
    sign = pl.when(pl.col("text").str.starts_with("-")).then(pl.lit("-")).otherwise(pl.lit(""))
    shifted = pl.concat_str(sign, digits.str.head(-places), pl.lit("."), digits.str.tail(places))
    whole = pl.col("text").str.contains(r"^-?[0-9]+$")
    moved = frame.select(pl.when(whole).then(shifted).otherwise("text")).to_series()
    odd = (~text.str.contains(r"^-?[0-9]+$")).fill_null(False).arg_true().to_list()
    if not odd:
        return moved
    return moved.scatter(odd, [_shift_one(value, places) for value in text.gather(odd)])


def _shift_one(value: str, places: int) -> str:
    number = _NUMBER.fullmatch(value)
    if number is None:
        return value
    return f"{number[1]}e{int(number[2] or 0) - places}"


def _plain_numbers(text: pl.Series, whole: int, scale: int) -> tuple[pl.Series, list[Refusal]]:
    """Numbers rewritten as [-]digits[.digits] within the given widths, or refused and null."""
    fraction = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
    plain = text.str.contains(rf"^-?[0-9]{{1,{whole}}}{fraction}$")
    odd = (~plain).fill_null(False).arg_true().to_list()
    if not odd:
        return text, []
    refused: list[Refusal] = []
    fixed: list[str | None] = []
    for row, value in zip(odd, text.gather(odd).to_list(), strict=True):
        try:
            fixed.append(_exact(value, whole, scale))
        except _Unfit as error:
            fixed.append(None)
            refused.append((row, error.code, str(error)))
    return text.scatter(odd, fixed), refused


class _Unfit(ValueError):
    """A text that is no number, or no number of the column's."""

    def __init__(self, code: RejectCode, why: str) -> None:
        super().__init__(why)
        self.code = code


def _exact(value: str, whole: int, scale: int) -> str:
    """The same number as [-]digits[.digits] within the widths. Raises _Unfit."""
    number, shown = _number(value), value[:60]
    if number.is_zero():
        return "0"
    if number.adjusted() >= whole:
        why = f"'{shown}' has more than {whole} digits before the point"
        raise _Unfit(RejectCode.SCHEMA_TYPE, why)
    if number.adjusted() >= -scale:  # else it is far too small to be written out
        normal = number.normalize(Context(prec=len(value)))  # the default rounds at 28 digits
        if -int(normal.as_tuple().exponent) <= scale:
            return f"{normal:f}"
    raise _Unfit(RejectCode.SCHEMA_TYPE, f"'{shown}' has more than {scale} decimals")


def _number(value: str) -> Decimal:
    try:
        if "_" in value or not value.isascii() or value != value.strip():
            raise InvalidOperation
        number = Decimal(value)
    except InvalidOperation:
        raise _Unfit(RejectCode.SCHEMA_TYPE, f"'{value[:60]}' is not a number") from None
    if not number.is_finite():
        raise _Unfit(RejectCode.NON_FINITE, f"'{value[:60]}' is not a finite number")
    return number


def to_ns(text: pl.Series) -> Converted:
    """ISO-8601 text with an offset to ns since epoch UTC; null stays null.

    A time without a zone is TS_OUT_OF_RANGE, other text is SCHEMA_TYPE. A time that does not fit
    64 bits of nanoseconds is set to the nearest that does, and the range rules reject it.
    """
    micros = text.str.to_datetime("%+", time_unit="us", strict=False).cast(pl.Int64)
    nanos = text.str.to_datetime("%+", time_unit="ns", strict=False).cast(pl.Int64)
    fits = micros.is_between(NS_MIN // 1000 + 1, NS_MAX // 1000 - 1)
    if not fits.all():
        clamped = pl.select(
            pl.when(fits).then(nanos).when(micros > 0).then(NS_MAX).when(micros < 0).then(NS_MIN)
        ).to_series()
        nanos = clamped
    lost = (text.is_not_null() & nanos.is_null()).arg_true().to_list()
    refused = [(row, *_bad_time(value)) for row, value in zip(lost, text.gather(lost), strict=True)]
    return Converted(nanos, refused)


def _bad_time(value: str) -> tuple[RejectCode, str]:
    naive = pl.Series([f"{value}Z"]).str.to_datetime("%+", time_unit="us", strict=False)
    if naive[0] is not None:
        return (
            RejectCode.TS_OUT_OF_RANGE,
            f"'{value}' has no time zone; write it with Z or an offset",
        )
    return RejectCode.SCHEMA_TYPE, f"'{value[:60]}' is not an ISO-8601 time"


def epoch_to_ns(values: pl.Series, unit: str) -> pl.Series:
    """Integer epoch in `unit` (s, ms, us, ns) to ns, kept inside 64 bits."""
    factor = NS_PER[unit]
    return values.clip(NS_MIN // factor + 1, NS_MAX // factor - 1) * factor


def number_to_ns(text: pl.Series, unit: str) -> Converted:
    """Numbers in `unit` (s, ms, us, ns) as text to ns, exactly, kept inside 64 bits.

    More decimals than there are nanoseconds is refused, as is text that is not a number.
    """
    decimals = _DECIMALS[unit]
    plain, refused = _plain_numbers(text, 19, decimals)
    parts = plain.str.split_exact(".", 1).struct.unnest()
    fraction = parts["field_1"].fill_null("").str.pad_end(decimals, "0")
    digits = pl.select(pl.concat_str(parts["field_0"], fraction)).to_series()
    nanos = digits.cast(pl.Int64, strict=False)
    edge = pl.when(digits.str.starts_with("-")).then(NS_MIN).otherwise(NS_MAX)
    inside = pl.when(nanos.is_null() & digits.is_not_null()).then(edge).otherwise(nanos)
    return Converted(pl.select(inside.clip(NS_MIN, NS_MAX)).to_series(), refused)


def since_midnight_to_ns(text: pl.Series, unit: str, day: date, zone: str) -> Converted:
    """Numbers in `unit` on the wall clock of `zone` on `day` (local) to ns since epoch UTC.

    A number outside the day, a wall clock time that the zone skips and one that it shows twice
    are TS_OUT_OF_RANGE: none of them names one moment.
    """
    clock = number_to_ns(text, unit)
    midnight = (day - date(1970, 1, 1)).days * DAY_NS
    in_day = clock.values.is_between(0, DAY_NS, closed="left")
    naive = (clock.values.set(~in_day, None) + midnight).cast(pl.Datetime("ns"))
    nanos = local_to_ns(naive, zone)
    numbers = text.set(clock.values.is_null(), None)
    lost = _lost(numbers, nanos, lambda value: _no_moment(f"{value} {unit} on {day}", zone))
    return Converted(nanos, [*clock.refused, *lost])


def local_to_ns(naive: pl.Series, zone: str) -> pl.Series:
    """Wall clock datetimes of `zone` to ns since epoch UTC; null where the zone has no or two."""
    aware = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return aware.dt.cast_time_unit("ns").cast(pl.Int64)


def text_to_ns(text: pl.Series, zone: str | None) -> Converted:
    """ISO-8601 text to ns since epoch UTC; text without an offset is on the clock of `zone`.

    Without a zone this is `to_ns`. A wall clock time that the zone skips or shows twice is
    TS_OUT_OF_RANGE.
    """
    parsed = to_ns(text)
    if zone is None or not parsed.refused:
        return parsed
    rows = [row for row, code, _ in parsed.refused if code is RejectCode.TS_OUT_OF_RANGE]
    if not rows:
        return parsed
    local = text.gather(rows)
    naive = (local + "Z").str.to_datetime("%+", time_unit="ns", strict=False)
    nanos = local_to_ns(naive.dt.replace_time_zone(None), zone)
    lost = _lost(local, nanos, lambda value: _no_moment(f"'{value}'", zone))
    others = [refusal for refusal in parsed.refused if refusal[1] is not RejectCode.TS_OUT_OF_RANGE]
    refused = [*others, *((rows[row], code, why) for row, code, why in lost)]
    return Converted(parsed.values.scatter(rows, nanos), refused)


def _no_moment(shown: str, zone: str) -> tuple[RejectCode, str]:
    return RejectCode.TS_OUT_OF_RANGE, f"{shown} is not one moment on the clock of {zone}"
