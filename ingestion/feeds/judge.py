"""What a feed mapping must fulfil beyond its types; each raises ValueError with what to change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ingestion.feeds.rules import TimeRule

if TYPE_CHECKING:
    from ingestion.feeds.mapping import Feed

DATE = "date"  # the one parameter that is not a column
TIME = "event_ts_ns"
SIDES = ("bid_price", "offer_price")
ONE_SIDED = ("side", "action", "price", "size")
DBN_SCHEMAS = (
    "trades", "tbbo", "mbp-1", "mbo", "ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d",
)  # fmt: skip


def judge(feed: "Feed") -> None:
    """Judge a mapping as a whole against the contract of its dataset."""
    _check_columns(feed)
    _check_shape(feed)
    _check_dbn(feed)
    _check_parameters(feed)
    _check_times(feed)
    _check_sides(feed)
    _check_supply(feed)


def _check_columns(feed: "Feed") -> None:
    kinds: dict[str, str] = {column.name: column.kind for column in feed.contract.columns}
    upper = feed.file_name.upper if feed.file_name else ()
    named: dict[str, Sequence[str]] = {
        "columns": list((feed.columns or {}).values()),
        "constants": list(feed.constants),
        "values": list(feed.values),
        "scale": list(feed.scale),
        "file_name.patterns": sorted(feed.parameters() - {DATE}),
        "file_name.upper": list(upper),
    }
    for where, names in named.items():
        for name in names:
            if name not in kinds:
                raise ValueError(
                    f"{where}: the contract of {feed.dataset} has no column '{name}'; "
                    f"it has: {', '.join(kinds)}"
                )
    for name in feed.scale:
        if kinds[name] != "decimal":
            raise ValueError(f"scale: {name} is {kinds[name]}, only decimals have a scale")


def _check_shape(feed: "Feed") -> None:
    keys = list(feed.columns or {})
    if feed.indexed:
        if not keys or not all(isinstance(key, int) and key >= 0 for key in keys):
            raise ValueError("columns: without a header they are indexes from 0, e.g. 0: price")
        if feed.width is not None and feed.width <= max(int(key) for key in keys):
            raise ValueError(f"width: {feed.width} columns cannot hold index {max(keys)}")
        targets = list((feed.columns or {}).values())
        if len(set(targets)) < len(targets):
            raise ValueError("columns: two indexes give the same canonical column")
    else:
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("columns: names are wanted here, an index needs header: false")
        if feed.width is not None or feed.header_lines:
            raise ValueError("width, header_lines: only a csv without a header has them")
    if feed.format == "jsonl" and feed.columns is None:
        extras = (feed.constants, feed.values, feed.scale, feed.ignore, feed.file_name)
        given = any(extras) or feed.sides != "both" or feed.decimal_mark != "."
        if given or feed.time != TimeRule() or feed.nulls != ("",):
            raise ValueError("jsonl without columns is the wire format and takes nothing else")


def _check_dbn(feed: "Feed") -> None:
    if feed.format != "dbn":
        if feed.schemas:
            raise ValueError("schemas: only format dbn has them")
        return
    if not feed.schemas or not feed.columns:
        raise ValueError(f"format dbn needs columns, and schemas: some of {', '.join(DBN_SCHEMAS)}")
    unknown = [schema for schema in feed.schemas if schema not in DBN_SCHEMAS]
    if unknown:
        raise ValueError(f"schemas: {unknown} cannot be read; there are: {', '.join(DBN_SCHEMAS)}")
    rule = feed.time.model_copy(update={"label": "start"})
    if feed.scale or rule != TimeRule():
        raise ValueError("format dbn knows its own price scale and times: leave scale, time out")


def _check_parameters(feed: "Feed") -> None:
    twice = feed.parameters() & {*feed.constants, *(feed.columns or {}).values()}
    twice |= set(feed.constants) & set((feed.columns or {}).values())
    if twice:
        raise ValueError(f"{', '.join(sorted(twice))}: given twice (columns, constants, file name)")
    if feed.time.kind == "midnight" and DATE not in feed.parameters():
        raise ValueError("time: kind midnight needs the group (?P<date>...) in file_name.patterns")


def _check_times(feed: "Feed") -> None:
    if feed.time.unit == "auto" and feed.format != "csv":
        raise ValueError("time: unit auto is for format csv; say s, ms, us or ns")
    if feed.time.label == "end" and feed.dataset != "bars":
        raise ValueError("time: label end is for bars; other records have no window")


def _check_sides(feed: "Feed") -> None:
    if feed.sides == "both":
        return
    if feed.dataset != "quotes":
        raise ValueError("sides: only quotes have them")
    targets = list((feed.columns or {}).values())
    supplied = {*targets, *feed.constants, *feed.parameters()}
    if supplied & set(ONE_SIDED) or not set(SIDES) <= set(targets):
        raise ValueError(
            "sides: given wants columns for bid_price and offer_price and makes "
            f"{', '.join(ONE_SIDED)} of them itself"
        )


def _check_supply(feed: "Feed") -> None:
    if feed.columns is None:
        return  # the contract's own names; each file is checked when it is opened
    given = {*feed.columns.values(), *feed.constants, *feed.parameters()}
    for column in feed.contract.columns:
        if column.never_null and column.name not in given:
            raise ValueError(
                f"{feed.dataset}.{column.name} may never be null, and no column, constant or "
                "file name gives it"
            )
