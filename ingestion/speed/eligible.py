"""Which prints may set a price and which add to volume (analytics.md 2, seed sale_conditions)."""

import re
from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo

import polars as pl

from ingestion.speed.rules import NS_PER_SECOND, Condition, Rules, rules

# Regular hours in minutes of the local day, of calendars whose prints may be extended-hours ones.
_HOURS = {
    "us_equity": ("America/New_York", 570, 960),
    "corporate_bond": ("America/New_York", 420, 1080),
}


def with_eligibility(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `sets_price` and `adds_volume`; they have conditions, source and their time."""
    if rows["conditions"].null_count() == rows.height:
        return rows.with_columns(sets_price=pl.lit(True), adds_volume=pl.lit(True))
    known = rules()
    found = rows.filter(pl.col("conditions").is_not_null())
    texts = found.select("source", "conditions").unique()
    judged = [(*key, *_judged(known, *key)) for key in texts.iter_rows()]
    columns = ["source", "conditions", "sets_price", "adds_volume", "is_extended"]
    flags = pl.DataFrame(judged, schema=columns, orient="row")
    flagged = rows.join(flags, on=["source", "conditions"], how="left", maintain_order="left")
    flagged = flagged.with_columns(
        pl.col("sets_price", "adds_volume").fill_null(True), pl.col("is_extended").fill_null(False)
    )
    if flagged["is_extended"].any():
        extended = pl.struct("instrument_id", "event_ts_ns").map_elements(
            lambda row: _is_regular(row["instrument_id"], row["event_ts_ns"]),
            return_dtype=pl.Boolean,
        )
        part = flagged.with_row_index("_i").filter("is_extended").select("_i", in_regular=extended)
        flagged = flagged.with_row_index("_i").join(
            part, on="_i", how="left", maintain_order="left"
        )
        flagged = flagged.with_columns(
            pl.col("sets_price") & ~pl.col("in_regular").fill_null(False)
        ).drop("_i", "in_regular")
    return flagged.drop("is_extended")


def _judged(known: Rules, source: str, conditions: str) -> tuple[bool, bool, bool]:
    """What a text of conditions says: sets a price, adds to volume, is an extended-hours print."""
    form = known.forms.get(source, "sip")
    borne = [c for c in known.conditions.get(form, ()) if _bears(form, conditions, c)]
    return (
        all(c.sets_price for c in borne),
        all(c.adds_volume for c in borne),
        any(c.is_extended for c in borne),
    )


def _bears(form: str, conditions: str, condition: Condition) -> bool:
    if form == "sip":
        return condition.code in conditions
    try:
        return int(conditions, 16) & int(condition.code, 16) != 0
    except ValueError:
        return False


def _is_regular(instrument_id: str, event_ts_ns: int) -> bool:
    """Does a moment lie in the regular session? Elsewhere than in `_HOURS` the session is one."""
    calendar = _calendar(instrument_id)
    if calendar not in _HOURS:
        return True
    zone, opens, closes = _HOURS[calendar]
    local = datetime.fromtimestamp(event_ts_ns // NS_PER_SECOND, ZoneInfo(zone))
    hours = _trading_hours(calendar, local.date(), opens, closes)
    return hours is not None and hours[0] <= local.hour * 60 + local.minute < hours[1]


@cache
def _trading_hours(calendar: str, day: date, opens: int, closes: int) -> tuple[int, int] | None:
    early = rules().holidays.get(calendar, {}).get(day.isoformat())
    if day.isoweekday() > 5 or early == "":
        return None
    if early is None:
        return opens, closes
    hour, minute = early.split(":")
    return opens, int(hour) * 60 + int(minute)


@cache
def _calendar(instrument_id: str) -> str:
    known = rules()
    for calendar, patterns in known.calendars.items():
        if any(_fits(instrument_id, pattern) for pattern in patterns):
            return calendar
    return known.default_calendar


def _fits(text: str, pattern: str) -> bool:
    expression = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, text) is not None
