"""The speed layer as analytics.md 6 defines it, in plain Python: one stream of one unit.

It takes trades as they are on the wire, in the order in which they land, and stores what the lake's
own speed layer would: finished windows, and how far the stream had come. No import of ingestion.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl
from deltalake import write_deltalake

from lake.layout import Layout
from lake.speed import CANDLES, SCHEMA, root

SECOND = 1_000_000_000
WIDTHS = {"1s": (1, 200), "10s": (10, 1_000), "1m": (60, 5_000)}  # seconds, lateness ms
PROGRESS = {
    "dataset": pl.String, "stream": pl.String, "bronze_version": pl.Int64, "watermark_ns": pl.Int64,
    "late_1s": pl.Int64, "late_10s": pl.Int64, "late_1m": pl.Int64,
}  # fmt: skip


class Print(NamedTuple):
    """A trade as the speed layer sees it, in the order 0.5."""

    at: int
    sequence: int
    price: Decimal
    quantity: Decimal


class SpeedLayer:
    """Candles of one stream; `flush` stores what was finished since the last one."""

    def __init__(self, layout: Layout, stream: str = "kafka:test", dataset: str = "trades") -> None:
        self.layout, self.stream, self.dataset = layout, stream, dataset
        self.newest: int | None = None
        self.open: dict[tuple[str, str, str, int], list[Print]] = defaultdict(list)
        self.finished: list[tuple[tuple[str, str, str, int], list[Print]]] = []
        self.late = dict.fromkeys(WIDTHS, 0)

    def take(self, trades: Iterable[dict[str, Any]]) -> None:
        """Records in the order in which they landed."""
        for trade in trades:
            at = ns(trade["timestamp"])
            sequence = trade.get("sequence", 0)
            one = Print(at, sequence, Decimal(str(trade["price"])), Decimal(str(trade["quantity"])))
            for width, (seconds, lateness) in WIDTHS.items():
                start = at // (seconds * SECOND) * seconds * SECOND
                if self._is_closed(start + seconds * SECOND, lateness):
                    self.late[width] += 1
                    continue
                for venue in {"ALL", trade.get("venue") or "ALL"}:
                    self.open[width, trade["instrumentId"], venue, start].append(one)
            self.newest = at if self.newest is None else max(self.newest, at)
        for key in sorted(self.open):
            seconds, lateness = WIDTHS[key[0]]
            if self._is_closed(key[3] + seconds * SECOND, lateness):
                self.finished.append((key, self.open.pop(key)))

    def _is_closed(self, end: int, lateness_ms: int) -> bool:
        return self.newest is not None and end <= self.newest - lateness_ms * 1_000_000

    def flush(self, bronze_version: int) -> None:
        """Append finished windows, then how far the stream had come."""
        rows = [self._row(key, prints, bronze_version) for key, prints in self.finished]
        self.finished = []
        if rows:
            append(self.layout, rows)
        progress = {
            "dataset": self.dataset, "stream": self.stream, "bronze_version": bronze_version,
            "watermark_ns": self.newest, **{f"late_{w}": n for w, n in self.late.items()},
        }  # fmt: skip
        frame = pl.DataFrame([progress], schema=PROGRESS)
        write_deltalake(str(self.layout.speed / "progress"), frame.to_arrow(), mode="append")

    def _row(
        self, key: tuple[str, str, str, int], prints: list[Print], version: int
    ) -> dict[str, Any]:
        width, instrument, venue, start = key
        prints = sorted(prints)
        prices = [p.price for p in prints]
        moment = datetime.fromtimestamp(start // SECOND, UTC)
        return {
            "width": width, "instrument_id": instrument, "venue": venue, "window_start": moment,
            "open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1],
            "volume": sum(p.quantity for p in prints), "trade_count": len(prints),
            "vwap_notional": sum(p.price * p.quantity for p in prints),
            "vwap_quantity": sum(p.quantity for p in prints),
            "is_final": True, "dataset": self.dataset, "stream": self.stream,
            "bronze_version": version, "event_date": moment.date(),
        }  # fmt: skip


def append(layout: Layout, rows: list[dict[str, Any]]) -> None:
    """Store candles."""
    frame = pl.from_arrow(SCHEMA[CANDLES].empty_table())
    assert isinstance(frame, pl.DataFrame)
    table = pl.DataFrame(rows, schema=frame.schema).to_arrow()
    write_deltalake(str(root(layout, CANDLES)), table, mode="append", partition_by=["event_date"])


def ns(timestamp: str | int) -> int:
    """A time on the wire as ns since epoch UTC: ms, or ISO 8601 to the microsecond."""
    if isinstance(timestamp, int):
        return timestamp * 1_000_000
    moment = datetime.fromisoformat(timestamp)
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * 1_000


def day_of(timestamp: str | int) -> date:
    """Its UTC day."""
    return datetime.fromtimestamp(ns(timestamp) // SECOND, UTC).date()
