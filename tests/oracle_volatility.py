"""Truth about volatility in plain Python (analytics.md 21): dense grids, no tricks with zeros.

Nothing here may import the project, DuckDB, polars or dbt.
"""

import itertools
from collections.abc import Sequence
from math import log, pi, sqrt

Print = tuple[float, float]  # seconds since the open, price; in order


def grid(prints: Sequence[Print], seconds: int, step: int, shift: int = 0) -> list[float]:
    """The first price, then the last price at the end of each bin from the first print's on."""
    ends = [*list(range(shift or step, seconds, step)), seconds]
    first, opening = prints[0]
    lasts = [[price for at, price in prints if at < end][-1] for end in ends if end > first]
    return [opening, *lasts]


def returns(points: Sequence[float]) -> list[float]:
    return [log(b / a) for a, b in itertools.pairwise(points)]


def realized(prints: Sequence[Print], seconds: int, step: int, shift: int = 0) -> float:
    return sum(r * r for r in returns(grid(prints, seconds, step, shift)))


def subsampled(prints: Sequence[Print], seconds: int) -> float:
    return sum(realized(prints, seconds, 300, 60 * shift) for shift in range(5)) / 5


def bipower(prints: Sequence[Print], seconds: int) -> float:
    r = [abs(x) for x in returns(grid(prints, seconds, 300))]
    total = sum(a * b for a, b in itertools.pairwise(r))
    return pi / 2 * len(r) / (len(r) - 1) * total


def med_rv(prints: Sequence[Print], seconds: int) -> float:
    r = [abs(x) for x in returns(grid(prints, seconds, 300))]
    total = sum(sorted(three)[1] ** 2 for three in zip(r, r[1:], r[2:], strict=False))
    return pi / (6 - 4 * sqrt(3) + pi) * len(r) / (len(r) - 2) * total
