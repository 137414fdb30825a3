"""Truth for order books and depth: a replay into dictionaries, importing nothing of the project."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Level = tuple[str, int, Decimal, Decimal, int]


@dataclass
class Book:
    """Live orders: order id -> (side, price, size). Raises nothing; notes what is wrong."""

    orders: dict[str, tuple[str, Decimal, Decimal]] = field(default_factory=dict)
    findings: list[tuple[str, str]] = field(default_factory=list)

    def apply(self, message: dict[str, Any]) -> None:
        """One message in the wire's names (R4): A adds, C reduces, M replaces, R clears."""
        kind, order = message["msgType"], message["orderId"]
        if kind == "R":
            self.orders.clear()
            return
        if order is None:
            if kind in "ACM":
                self.findings.append((message["msgId"], "NO_ORDER_ID"))
            return
        size = Decimal(str(message["volume"]))
        live = self.orders.get(order)
        if kind in "AM":
            if kind == "A" and live:
                self.findings.append((message["msgId"], "DOUBLE_ADD"))
            if kind == "M" and not live:
                self.findings.append((message["msgId"], "ORPHAN_MODIFY"))
            self.orders[order] = (message["side"], Decimal(str(message["price"])), size)
        elif kind == "C":
            if not live:
                self.findings.append((message["msgId"], "ORPHAN_CANCEL"))
                return
            if size > live[2]:
                self.findings.append((message["msgId"], "OVER_CANCEL"))
            if size >= live[2]:
                del self.orders[order]
            else:
                self.orders[order] = (live[0], live[1], live[2] - size)

    def depth(self) -> list[Level]:
        return top_levels((side, price, size) for side, price, size in self.orders.values())


def top_levels(quotes: Iterable[tuple[str, Decimal, Decimal]], count: int = 5) -> list[Level]:
    """(side, level, price, size, quoters) of the best `count` prices a side; side is B... or S/O...

    Bids from the highest, offers from the lowest; of size 0 there is no level (analytics.md 10).
    """
    sizes: dict[tuple[str, Decimal], list[Decimal]] = {}
    for side, price, size in quotes:
        if size > 0:
            sizes.setdefault((side, price), []).append(size)
    found: list[Level] = []
    for side in sorted({side for side, _ in sizes}):
        prices = sorted((p for s, p in sizes if s == side), reverse=side.startswith("B"))
        for level, price in enumerate(prices[:count], 1):
            behind = sizes[side, price]
            found.append((side, level, price, sum(behind, Decimal(0)), len(behind)))
    return found
