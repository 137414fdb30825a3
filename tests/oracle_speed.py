"""Speed candles by the definitions (analytics.md 2, 0.5 and 6), a record at a time.

Dictionaries and whole numbers: nothing of the code under test. What stands at the top decides, and
is written here again on purpose: widths, lateness, the order of prints of one nanosecond.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle_alerts import SECOND, Watermark

WIDTHS = {"1s": (1, 200), "10s": (10, 1_000), "1m": (60, 5_000)}  # seconds, lateness in ms


class Print(NamedTuple):
    """A trade as it landed: where, when it arrived and happened (ns), and what it says."""

    unit: str
    position: int
    arrival: int
    event: int
    instrument: str
    venue: str | None
    price: Decimal
    quantity: Decimal
    sequence: int | None = None
    trade_id: str | None = None
    sets_price: bool = True
    adds_volume: bool = True

    def order(self) -> tuple[Any, ...]:
        """Total order 0.5 within an instrument; what is absent comes last."""
        row = self.position if self.unit.startswith("file:") else None
        number = int(self.trade_id) if self.trade_id and self.trade_id.isdigit() else None
        terms = (row, self.venue, self.sequence, number, self.trade_id, self.arrival)
        return (
            self.event,
            *((term is None, 0 if term is None else term) for term in terms),
            self.unit,
            self.position,
        )


class Candle(NamedTuple):
    """A candle, and whether the watermark closed it."""

    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    volume: Decimal
    trade_count: int
    vwap_notional: Decimal | None
    vwap_quantity: Decimal | None
    is_final: bool


Key = tuple[str, str, str, int]  # width, instrument, venue or ALL, start in s since epoch


@dataclass
class Speed:
    """The speed layer of one stream: commits in, candles out."""

    watermark: Watermark = field(default_factory=Watermark)
    prints: dict[Key, list[Print]] = field(default_factory=dict)
    late: dict[str, list[Print]] = field(default_factory=lambda: {w: [] for w in WIDTHS})
    disordered: int = 0

    def commit(self, rows: Iterable[Print]) -> None:
        """Take in one commit: units in the order of their names, rows in that of positions."""
        units: dict[str, list[Print]] = {}
        for row in sorted(rows, key=lambda row: (row.unit, row.position)):
            units.setdefault(row.unit, []).append(row)
        for unit, mine in units.items():
            now = min(row.arrival for row in mine)
            for row in mine:
                self._take(row, now, units)
            self.watermark.hear(unit, max(row.arrival for row in mine))

    def _take(self, row: Print, now: int, landing: Iterable[str]) -> None:
        newest = self.watermark.newest.get(row.unit)
        self.disordered += newest is not None and row.event < newest
        reached = self.watermark.before(row.unit, now, landing)
        for width, (seconds, lateness) in WIDTHS.items():
            start = row.event // (seconds * SECOND) * seconds
            end = (start + seconds) * SECOND
            if reached is not None and end <= reached - lateness * 1_000_000:
                self.late[width].append(row)
                continue
            for venue in {"ALL", row.venue or "ALL"}:
                key = (width, row.instrument, venue, start)
                self.prints.setdefault(key, []).append(row)
        self.watermark.include(row.unit, row.event, now, landing)

    def candles(self) -> dict[Key, Candle]:
        """Every window that got a print in time."""
        with localcontext(prec=80):
            return {key: self._candle(key, prints) for key, prints in self.prints.items()}

    def _candle(self, key: Key, prints: list[Print]) -> Candle:
        seconds, lateness = WIDTHS[key[0]]
        reached = self.watermark.reached
        end = (key[3] + seconds) * SECOND
        priced = sorted((p for p in prints if p.sets_price), key=Print.order)
        added = [p.quantity for p in prints if p.adds_volume]
        return Candle(
            open=priced[0].price if priced else None,
            high=max((p.price for p in priced), default=None),
            low=min((p.price for p in priced), default=None),
            close=priced[-1].price if priced else None,
            volume=sum(added, Decimal(0)),
            trade_count=len(added),
            vwap_notional=sum(map(amount, priced), Decimal(0)) if priced else None,
            vwap_quantity=sum((p.quantity for p in priced), Decimal(0)) if priced else None,
            is_final=reached is not None and end <= reached - lateness * 1_000_000,
        )


def amount(row: Print) -> Decimal:
    """price x quantity to twelve decimals, half up."""
    exact = Fraction(row.price) * Fraction(row.quantity)
    units = int(exact * 10**12 * 2 + 1) // 2
    return Decimal(units).scaleb(-12)
