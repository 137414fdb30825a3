"""Truth, computed a second time: what must become of records, in plain Python from the spec.

Nothing here may import the project, DuckDB, polars or dbt: what agrees with this agrees with the
definitions (analytics.md), not with itself. Numbers in brackets are sections of that document.
Single records are judged in `oracle_contract`; here are the events and tables made of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle_contract import SECOND, Delivered, Row, Verdict, epoch_ns, judge, kept

__all__ = ["Candle", "Delivered", "Row", "Verdict", "Version", "candles", "current_trades",
           "deduplicate", "judge", "kept", "securities_history", "session_date",
           "wrong_positions"]  # fmt: skip

NEW_YORK = ZoneInfo("America/New_York")
WIDTHS = {"1s": SECOND, "10s": 10 * SECOND, "1m": 60 * SECOND, "1h": 3600 * SECOND}
TRACKED = ("security_name", "issuer", "cusip", "isin", "market_segment", "currency", "tick_size",
           "price_multiplier")  # fmt: skip


def session_date(event_ts_ns: int) -> date:
    """The New York calendar date of a moment [0.2]."""
    return datetime.fromtimestamp(event_ts_ns // SECOND, NEW_YORK).date()


# --- positions (architecture.md, invariant 1) ---------------------------------------------------


def wrong_positions(
    landed: Iterable[tuple[str, int]], sent: dict[str, int]
) -> dict[str, tuple[list[int], list[int]]]:
    """Units whose landed positions are not 0..n-1, each once: unit -> (missing, surplus).

    `landed` holds a (unit, position) for every row of bronze, `sent` the n of every unit.
    """
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for unit, position in landed:
        found[unit][position] += 1
    wrong = {}
    for unit in found.keys() | sent.keys():
        wanted = range(sent.get(unit, 0))
        missing = [position for position in wanted if not found[unit][position]]
        surplus = [p for p, times in found[unit].items() if times > 1 or p not in wanted]
        if missing or surplus:
            wrong[unit] = (missing, sorted(surplus))
    return wrong


# --- deduplication of trades [3] ----------------------------------------------------------------


def deduplicate(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Trades that are events, and declared duplicates, both in landing order.

    Of several rows with one identity the first by (recv_ts, unit, position) is the event.
    """
    occurrence: Counter[tuple[Any, ...]] = Counter()
    seen: set[tuple[Any, ...]] = set()
    events: list[Row] = []
    duplicates: list[Row] = []
    for row in sorted(rows, key=lambda row: row.order):
        identity = _identity(row)
        if identity is None:
            copy = (_delivery(row), _content(row))
            occurrence[copy] += 1
            identity = ("content", _scope(row), _content(row), occurrence[copy])
        (duplicates if identity in seen else events).append(row)
        seen.add(identity)
    return events, duplicates


def _identity(row: Row) -> tuple[Any, ...] | None:
    """Rule 1, the trade's id; else rule 2, the venue's sequence number; else none."""
    day = session_date(row["event_ts_ns"])
    if row["trade_id"] is not None:
        status = row["status"] or "NEW"
        return ("id", row.source, row["venue"], row["instrument_id"], day, row["trade_id"], status,
                row["version"])  # fmt: skip
    if row["sequence"] is not None:
        return ("sequence", row.source, row["venue"], day, row["sequence"])
    return None


def _content(row: Row) -> tuple[Any, ...]:
    """What makes two anonymous prints look the same; decimals compare by value (1.10 = 1.1)."""
    return (row.source, row["venue"], row["instrument_id"], row["event_ts_ns"], row["price"],
            row["quantity"], row["side"], row["conditions"])  # fmt: skip


def _delivery(row: Row) -> tuple[str, str]:
    """What counts occurrences: a file, or a producer's batch."""
    return (row.source, row.delivery_unit or row.unit)


def _scope(row: Row) -> str:
    """Where copies meet: everywhere, but a partition log that names no batches repeats nothing."""
    is_log = row.unit.startswith("kafka:") and row.delivery_unit is None
    return row.unit if is_log else ""


# --- lifecycle [0.6] ----------------------------------------------------------------------------


def current_trades(events: Iterable[Row]) -> list[Row]:
    """The standing version of each trade: cancelled ones and orphaned corrections are left out."""
    rows = list(events)
    refers = {_named(row, "trade_id"): _named(row, "ref_trade_id") for row in rows
              if row["ref_trade_id"] is not None}  # fmt: skip
    chains: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        name = _named(row, "trade_id")
        root = ("anonymous", row.unit, row.position) if row["trade_id"] is None else name
        for _ in refers:
            root = refers.get(root, root)
        chains[root].append(row)
    standing = []
    for chain in chains.values():
        winner = min(chain, key=lambda row: (-(row["version"] or 0), row.order))
        known = any((row["status"] or "NEW") == "NEW" for row in chain)
        if known and winner["status"] != "CANCEL":
            standing.append(winner)
    return standing


def _named(row: Row, column: str) -> tuple[Any, ...]:
    return (row.source, row["venue"], row["instrument_id"], row[column])


# --- candles [2] --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candle:
    """One window of one instrument over all venues; vwap = vwap_notional / volume."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trade_count: int
    vwap_notional: Decimal

    @property
    def vwap(self) -> Decimal:
        """Volume-weighted average price; one division, at the end."""
        return self.vwap_notional / self.volume


def candles(trades: Iterable[Row], interval: str) -> dict[tuple[str, int], Candle]:
    """Candles of an interval (1s 10s 1m 1h 1d), by (instrument, window start in ns since epoch).

    Every print is eligible here: sale conditions and outliers are not judged.
    """
    windows: defaultdict[tuple[str, int], list[Row]] = defaultdict(list)
    for trade in trades:
        start = window_start(trade["event_ts_ns"], interval)
        windows[trade["instrument_id"], start].append(trade)
    return {key: _candle(sorted(prints, key=total_order)) for key, prints in windows.items()}


def window_start(event_ts_ns: int, interval: str) -> int:
    """Start of the window a moment lies in; a day starts at midnight of its session date."""
    if interval != "1d":
        return event_ts_ns // WIDTHS[interval] * WIDTHS[interval]
    return epoch_ns(datetime.combine(session_date(event_ts_ns), time(), NEW_YORK))


def total_order(trade: Row) -> tuple[Any, ...]:
    """The order of trades over all venues [0.5]: nothing in it depends on how they arrived.

    A file's rows have a consolidated order of their own; what a log delivers has none, and
    `sequence` counts within its venue. What is unknown comes last.
    """
    source_row = trade.position if trade.unit.startswith("file:") else None
    trade_id = trade["trade_id"] or ""
    number = int(trade_id) if trade_id.isascii() and trade_id.isdigit() else None
    known = (source_row, trade["venue"], trade["sequence"], number, trade["trade_id"])
    return (trade["event_ts_ns"], *((value is None, value or 0) for value in known))


def _candle(prints: Sequence[Row]) -> Candle:
    prices = [trade["price"] for trade in prints]
    with localcontext(prec=76):  # the default would round sums at 28 digits
        volume = sum((trade["quantity"] for trade in prints), Decimal())
        notional = sum((trade["price"] * trade["quantity"] for trade in prints), Decimal())
    return Candle(
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        volume=volume,
        trade_count=len(prints),
        vwap_notional=notional,
    )


# --- history of securities [18] -----------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """What a security was in [valid_from_ns, valid_to_ns), open where valid_to_ns is None."""

    valid_from_ns: int
    valid_to_ns: int | None
    attributes: tuple[Any, ...]
    is_assumed: bool


def securities_history(rows: Iterable[Row]) -> dict[str, list[Version]]:
    """Instrument -> its versions by business time; attributes in the order of TRACKED.

    The first version is taken to hold from the beginning of time, and marked assumed. A record
    that changes nothing makes no version; of several as of one moment the last landed counts.
    """
    stated: defaultdict[str, dict[int, Row]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.order):
        stated[row["instrument_id"]][row["event_ts_ns"]] = row
    return {instrument: _versions(by_time) for instrument, by_time in stated.items()}


def _versions(by_time: dict[int, Row]) -> list[Version]:
    changes: list[tuple[int, tuple[Any, ...]]] = []
    for as_of in sorted(by_time):
        attributes = tuple(by_time[as_of][name] for name in TRACKED)
        if not changes or attributes != changes[-1][1]:
            changes.append((as_of if changes else 0, attributes))
    ends = [start for start, _ in changes[1:]] + [None]
    return [
        Version(start, end, attributes, is_assumed=place == 0)
        for place, ((start, attributes), end) in enumerate(zip(changes, ends, strict=True))
    ]
