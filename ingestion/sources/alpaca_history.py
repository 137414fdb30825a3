"""Alpaca's history as a source: a day of a symbol is a unit, its rows in Alpaca's order positions.

The last rows of a unit come with a mark of their own, `<unit>#end`, in the same commit: a unit that
has it is never asked for again, so a repeat costs no request and what Alpaca changes later moves
no position.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from deltalake import DeltaTable

from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.sources.alpaca_rest import PAGE_ROWS, History, Page
from ingestion.sources.alpaca_wire import TIMEFRAMES, Kind, Market, iso, wire_of
from ingestion.sources.base import Positions
from ingestion.sources.vendor import Rows, batch_of
from lake.bronze import Span
from lake.layout import Layout, layout
from lake.receipts import receive
from lake.settings import Settings

DAY = timedelta(days=1)
EPOCH = date(1970, 1, 1)
DAY_NS = 86_400 * 10**9
# When a UTC day is over for good: late prints and the free plan's quarter of an hour; a daily bar
# also waits for the end of trading in New York, which is after midnight UTC.
SETTLED_NS = 20 * 60 * 10**9
SETTLED_DAILY_NS = 6 * 3600 * 10**9


class HistoryChanged(RuntimeError):
    """Alpaca's answer is not the one of which the first rows were landed."""


@dataclass(frozen=True)
class Window:
    """One unit of history: what is asked, both ends included, in ns since epoch UTC."""

    unit: str
    symbols: tuple[str, ...]
    first_ns: int
    last_ns: int

    @property
    def end_mark(self) -> Span:
        """What says that the unit landed whole."""
        return Span(f"{self.unit}#end", 0, 1, 0)


@dataclass(frozen=True)
class Chosen:
    """What of a feed is asked for: a kind of records, and the width of bars."""

    market: Market
    kind: Kind
    interval: str = "1m"

    @property
    def prefix(self) -> str:
        """How the names of the units begin."""
        what = f"bars.{self.interval}" if self.kind == "bars" else self.kind
        return f"{self.market.prefix}/{what}"


def day_windows(
    chosen: Chosen, symbols: Iterable[str], start: date, end: date, edition: int = 1
) -> list[Window]:
    """A window for each symbol and UTC day from `start` until before `end`, day by day.

    `edition` above 1 gives the units another name, so that they land anew.
    """
    suffix = f"+{edition}" if edition > 1 else ""
    windows = []
    for number in range((end - start).days):
        day = start + number * DAY
        first = (day - EPOCH).days * DAY_NS
        windows += [
            Window(f"{chosen.prefix}/{symbol}/{day}{suffix}", (symbol,), first, first + DAY_NS - 1)
            for symbol in symbols
        ]
    return windows


def first_open_day(chosen: Chosen, now_ns: int) -> date:
    """The first UTC day that is not over yet: history stops before it."""
    daily = chosen.kind == "bars" and chosen.interval == "1d"
    settled = now_ns - (SETTLED_DAILY_NS if daily else SETTLED_NS)
    return EPOCH + settled // DAY_NS * DAY


class AlpacaHistory:
    """Windows of one kind, each from where the table stands, in commits of whole answers."""

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        chosen: Chosen,
        windows: Iterable[Window],
        done: Callable[[Window], None] | None = None,
    ) -> None:
        """`done` is told each window that needs nothing more or was read to its end."""
        self.contract = contract
        self.settings = settings
        self.chosen = chosen
        self.windows = windows
        self._done = done
        self._history: History | None = None

    def batches(self, positions: Positions) -> Iterator[Batch | None]:
        """Answers of several windows make one batch, up to batch_rows rows or batch_seconds.

        Raises VendorRefused, VendorAway and HistoryChanged; what came before them is handed over.
        """
        pending: list[Rows] = []
        marks: list[Span] = []
        began = time.monotonic()
        try:
            for window in self.windows:
                for rows, is_last in self._open(window, positions):
                    pending.append(rows)
                    marks += [window.end_mark] if is_last else []
                    size = sum(len(part.raw) for part in pending)
                    waited = time.monotonic() - began
                    if size >= self.settings.batch_rows or waited >= self.settings.batch_seconds:
                        yield self._batch(pending, marks)
                        pending, marks, began = [], [], time.monotonic()
                if self._done:
                    self._done(window)
        except Exception:  # what was fetched before it is whole, and is landed first
            if pending:
                yield self._batch(pending, marks)
            raise
        if pending:
            yield self._batch(pending, marks)

    def acknowledge(self, batch: Batch) -> None:
        """Nothing to forget: the table remembers how far each unit is landed."""

    def close(self) -> None:
        """Nothing is held between batches."""

    def _batch(self, pending: list[Rows], marks: list[Span]) -> Batch:
        source = self.chosen.market.source
        return batch_of(self.contract, self.settings, source, pending, *marks)

    def _open(self, window: Window, positions: Positions) -> Iterator[tuple[Rows, bool]]:
        """What the table has not of a window, answer by answer, and whether it is the last."""
        if positions(window.end_mark.unit):
            return
        first = positions(window.unit)
        at = layout(self.settings)
        symbols = ",".join(window.symbols)
        received = receive(at, window.unit, symbols, 0).received_ns
        position = 0
        for page in self._pages(window):
            following = position + len(page.records)
            if position < first <= following:
                self._refuse_if_changed(at, window, page.records[first - position - 1], first - 1)
            new = page.records[max(first - position, 0) :]
            if page.is_last and following < first:
                raise HistoryChanged(
                    f"{window.unit}: {first} rows are landed and Alpaca has {following} now; "
                    "nothing more of it was landed. To land the unit anew under another name, of "
                    "which silver keeps one of each, add --edition 2"
                )
            if new or page.is_last:
                yield self._rows(window, max(first, position), new, received), page.is_last
            position = following

    def _pages(self, window: Window) -> Iterator[Page]:
        if self._history is None:
            self._history = History(self.chosen.market, self.settings)
        asked = {"start": iso(window.first_ns), "end": iso(window.last_ns)}
        if self.chosen.kind == "bars":
            asked["timeframe"] = TIMEFRAMES[self.chosen.interval]
        if self.chosen.market.asset == "stocks":
            # Names as they were on that day: Alpaca's default is today's, and answers change.
            asked["asof"] = str(EPOCH + window.first_ns // DAY_NS * DAY)
            if self.chosen.kind == "bars":
                asked["adjustment"] = "raw"
        limit = min(PAGE_ROWS, self.settings.batch_rows)
        return self._history.pages(self.chosen.kind, list(window.symbols), limit, **asked)

    def _rows(self, window: Window, first: int, raw: list[bytes], received: int) -> Rows:
        return Rows(window.unit, first, raw, self._wire(raw), [received] * len(raw))

    def _wire(self, raw: Iterable[bytes]) -> list[bytes]:
        market, kind, interval = self.chosen.market, self.chosen.kind, self.chosen.interval
        return [wire_of(market, kind, record, interval) for record in raw]

    def _refuse_if_changed(self, at: Layout, window: Window, record: bytes, position: int) -> None:
        """Raise HistoryChanged where the last landed row is another one in today's answer."""
        landed = _landed(at, self.contract, window.unit, position)
        limit = self.settings.max_record_bytes
        read = decode_json(self.contract, self._wire([record]), limit).frame.drop("i")
        if landed["reject_code"][0] is not None:
            same = landed["raw"][0] == record
        else:
            same = not read.is_empty() and read.equals(landed.select(read.columns))
        if not same:
            raise HistoryChanged(
                f"{window.unit}: row {position} is landed and is another one in what Alpaca "
                "answers now; nothing more of it was landed. To land the unit anew under another "
                "name, of which silver keeps one of each, add --edition 2"
            )


def _landed(at: Layout, contract: Contract, unit: str, position: int) -> pl.DataFrame:
    """The row of bronze at a position."""
    files = DeltaTable(str(at.bronze(contract.dataset))).file_uris()
    here = (pl.col("unit") == unit) & (pl.col("position") == position)
    rows = pl.scan_parquet(files, hive_partitioning=False, missing_columns="insert")
    return rows.filter(here).collect()
