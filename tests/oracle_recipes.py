"""Truth for the cleaning recipes, computed a second time: plain Python from their definitions.

Nothing here may import the project, DuckDB, polars or dbt (as in `oracle.py`). A trade or quote is
a dict; a recipe gives the names of its steps with the rows that each removed, in order, and the
rows that are left. References: docs/recipes.md.
"""

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Any

Row = dict[str, Any]
Steps = list[tuple[str, int]]
SECOND = 1_000_000_000
ALLOWED = {"bn2009": 0x30000021, "highfrequency": 0xB0000021}


class Cleaning:
    """Rows of one session in the order of events, with the steps done so far."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = sorted((dict(r) for r in rows), key=lambda r: (r["ts"], r["tie"]))
        self.steps: Steps = []

    def keep(self, step: str, wanted: Callable[[Row], bool]) -> None:
        self.replace(step, [row for row in self.rows if wanted(row)])

    def replace(self, step: str, rows: list[Row]) -> None:
        self.steps.append((step, len(self.rows) - len(rows)))
        self.rows = rows


def regular(opens: int, closes: int) -> Callable[[Row], bool]:
    return lambda row: opens <= row["ts"] < closes


def largest_venue(rows: Sequence[Row], size: Callable[[Row], Any]) -> Any:
    sizes: defaultdict[Any, Any] = defaultdict(int)
    for row in rows:
        sizes[row["venue"]] += size(row)
    return min(sizes, key=lambda venue: (-sizes[venue], venue))


def merged(
    rows: Sequence[Row], columns: Sequence[str], *, first: bool, summed: str = ""
) -> list[Row]:
    """Rows of one timestamp as one: medians of `columns`, the rest of the first or last row."""
    groups: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["ts"]].append(row)
    found = []
    for group in groups.values():
        one = dict(group[0 if first else -1])
        one.update({c: Fraction(median(Fraction(r[c]) for r in group)) for c in columns})
        if summed:
            one[summed] = sum(r[summed] for r in group)
        found.append(one)
    return found


# --- quotes -------------------------------------------------------------------------------------


def has_both(row: Row) -> bool:
    return bool(row["bid"]) and bool(row["offer"])


def around(values: Sequence[Any], reach: int) -> Iterable[list[Any]]:
    for place in range(len(values)):
        low = max(0, place - reach)
        yield [*values[low:place], *values[place + 1 : place + 1 + reach]]


def quotes_bn2009(rows: Iterable[Row], opens: int, closes: int) -> Cleaning:
    work = Cleaning(rows)
    work.keep("P1", regular(opens, closes))
    work.keep("P2", has_both)
    chosen = largest_venue(work.rows, lambda r: (r["bid_size"] or 0) + (r["offer_size"] or 0))
    work.keep("P3", lambda r: r["venue"] == chosen)
    work.replace("Q1", merged(work.rows, ["bid", "offer"], first=False))
    work.keep("Q2", lambda r: r["offer"] >= r["bid"])
    usual = median(r["offer"] - r["bid"] for r in work.rows)
    work.keep("Q3", lambda r: r["offer"] - r["bid"] <= 50 * usual)
    mids = whole_numbers([r["bid"] + r["offer"] for r in work.rows])
    kept = []
    for row, mid, near in zip(work.rows, mids, around(mids, 25), strict=True):
        near.sort()
        centre = near[(len(near) - 1) // 2] + near[len(near) // 2]  # twice the median
        spread = sum(abs(2 * x - centre) for x in near)
        if len(near) < 25 or abs(2 * mid - centre) * len(near) <= 10 * spread:
            kept.append(row)
    work.replace("Q4", kept)
    return work


def quotes_highfrequency(rows: Iterable[Row], opens: int, closes: int) -> Cleaning:
    work = Cleaning(rows)
    work.keep("P2", has_both)
    work.keep("P1", regular(opens, closes))
    chosen = largest_venue(work.rows, lambda r: (r["bid_size"] or 0) + (r["offer_size"] or 0))
    work.keep("P3", lambda r: r["venue"] == chosen)
    work.keep("Q2", lambda r: r["offer"] > r["bid"])
    usual = median(r["offer"] - r["bid"] for r in work.rows)
    work.keep("Q3", lambda r: r["offer"] - r["bid"] < 50 * usual)
    work.replace("Q1", merged(work.rows, ["bid", "offer"], first=False))
    mids = whole_numbers([r["bid"] + r["offer"] for r in work.rows])
    middle = median(map(Fraction, mids))
    mad = Fraction(14826, 10000) * median(abs(x - middle) for x in mids)
    kept = []
    for row, mid, near in zip(work.rows, mids, around(mids, 25), strict=True):
        near.sort()
        centre = near[(len(near) - 1) // 2] + near[len(near) // 2]
        if mad == 0 or abs(2 * mid - centre) < 20 * mad:
            kept.append(row)
    work.replace("Q4", kept)
    return work


def quotes_holden_jacobsen(rows: Iterable[Row], opens: int, closes: int) -> Cleaning:
    work = Cleaning(rows)
    work.keep("P1", regular(opens, closes))
    work.keep("H1", has_both)
    of_seconds = all(r["ts"] % SECOND == 0 for r in work.rows)
    work.replace("H2", work.rows if of_seconds else merged(work.rows, [], first=False))
    work.replace("H3", spread_over_seconds(work.rows, of_seconds))
    work.keep("H4", lambda r: r["offer"] >= r["bid"])
    return work


def spread_over_seconds(rows: Sequence[Row], of_seconds: bool) -> list[Row]:
    many, seen = Counter(r["ts"] for r in rows), Counter[int]()
    found = []
    for row in rows:
        seen[row["ts"]] += 1
        shift = (2 * seen[row["ts"]] - 1) * SECOND // (2 * many[row["ts"]]) if of_seconds else 0
        found.append({**row, "clean_ts": row["ts"] + shift})
    return found


def whole_numbers(values: Sequence[Any]) -> list[int]:
    """Values in units of 10^-10: comparisons of integers are exact and quick."""
    return [int(Fraction(value) * 10**10) for value in values]


# --- trades -------------------------------------------------------------------------------------


def has_usual_conditions(recipe: str) -> Callable[[Row], bool]:
    """LEAN's flags: nothing besides regular, sweep, automatic execution, exempt (and odd lot)."""
    return lambda r: r["conditions"] is None or not int(r["conditions"], 16) & ~ALLOWED[recipe]


def trades_bn2009(
    rows: Iterable[Row], opens: int, closes: int, quotes: Sequence[Row], recipe: str = "bn2009"
) -> Cleaning:
    work = Cleaning(rows)
    first = [("P1", regular(opens, closes)), ("P2", lambda r: r["price"] != 0)]
    for step, wanted in first if recipe == "bn2009" else reversed(first):
        work.keep(step, wanted)
    chosen = largest_venue(work.rows, lambda r: r["quantity"])
    work.keep("P3", lambda r: r["venue"] == chosen)
    work.keep("T1", lambda r: r["status"] == "NEW" and not r["revision"])
    work.keep("T2", has_usual_conditions(recipe))
    work.replace("T3", merged(work.rows, ["price"], first=True, summed="quantity"))
    times = [q["ts"] for q in quotes]
    find = bisect.bisect_left if recipe == "bn2009" else bisect.bisect_right
    kept = []
    for row in work.rows:
        place = find(times, row["ts"]) - 1
        if place >= 0:
            bid, offer = quotes[place]["bid"], quotes[place]["offer"]
            if not 2 * bid - offer <= row["price"] <= 2 * offer - bid:
                continue
        kept.append(row)
    work.replace("T4", kept)
    return work


def trades_brownlees_gallo(rows: Iterable[Row], opens: int, closes: int) -> Cleaning:
    work = Cleaning(rows)
    work.keep("P1", regular(opens, closes))
    work.keep("P2", lambda r: r["price"] != 0)
    prices = [Fraction(r["price"]) for r in work.rows]
    kept = []
    for row, price, near in zip(work.rows, prices, around(prices, 30), strict=True):
        cut = len(near) // 20  # 5 % on each side
        kept_near = sorted(near)[cut : len(near) - cut]
        n = len(kept_near)
        if n >= 2:
            mean = sum(kept_near) / n
            deviation = math.sqrt(sum((x - mean) ** 2 for x in kept_near) / (n - 1))
            if not abs(price - mean) < 3 * deviation + 0.02:
                continue
        kept.append(row)
    work.replace("BG", kept)
    return work


def trades_sip(rows: Iterable[Row]) -> Cleaning:
    work = Cleaning(rows)
    work.keep("S1", lambda r: r["sets_price"] or r["adds_volume"])
    work.keep("S2", lambda r: r["sets_price"])
    return work


def trades_luld(rows: Iterable[Row], opens: int, closes: int) -> Cleaning:
    work = Cleaning(rows)
    work.keep("P1", regular(opens, closes))
    for row in work.rows:
        row["price"] = Fraction(row["price"])
    kept = []
    for place, row in enumerate(work.rows):
        prior = [r["price"] for r in work.rows[max(0, place - 50) : place]]
        if prior:
            reference = median(prior)
            limit = 10 if reference <= 25 else 5 if reference <= 50 else 3
            if abs(row["price"] - reference) * 100 > reference * limit:
                continue
        kept.append(row)
    work.replace("L1", kept)
    times, kept = [r["ts"] for r in work.rows], []
    sums = [Fraction(0)]
    for row in work.rows:
        sums.append(sums[-1] + row["price"])
    for row in work.rows:
        low = bisect.bisect_left(times, row["ts"] - 300 * SECOND)
        high = bisect.bisect_left(times, row["ts"])
        if high > low:
            mean = (sums[high] - sums[low]) / (high - low)
            third = min(Fraction(3, 4) * mean, Fraction(15, 100))
            band = mean / 20 if mean > 3 else mean / 5 if mean >= Fraction(3, 4) else third
            is_wide = row["ts"] < opens + 900 * SECOND or row["ts"] >= closes - 1500 * SECOND
            if abs(row["price"] - mean) > band * (2 if is_wide else 1):
                continue
        kept.append(row)
    work.replace("L2", kept)
    return work


def as_decimal(value: Any) -> Decimal:
    """An exact fraction as a decimal."""
    return Decimal(value.numerator) / Decimal(value.denominator)
