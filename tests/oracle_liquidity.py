"""Liquidity and dealer activity by brute force, from rows of best quotes and of dealers' intervals.

Every moment at which anything changes is a boundary; what holds between two of them is looked up
anew each time. Times are exact fractions of nanoseconds. Nothing of the project is imported.
"""

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
SECOND = 1_000_000_000


def ratio(numerator: Any, denominator: Any) -> float | None:
    """Numerator / denominator as the nearest float; None where there is nothing to divide by."""
    return float(Fraction(numerator) / Fraction(denominator)) if denominator else None


def _clip(row: Row, start: int, end: int) -> int:
    return int(max(0, min(row["valid_to_ns"], end) - max(row["valid_from_ns"], start)))


def _lives(rows: list[Row]) -> list[tuple[int, int]]:
    """(start, life) in ns of each state that begins in these rows of one session."""
    lives: list[list[int]] = []
    for row in rows:
        if row["starts_state"]:
            lives.append([row["valid_from_ns"], row["valid_to_ns"]])
        elif lives:
            lives[-1][1] = row["valid_to_ns"]
    return [(start, end - start) for start, end in lives]


def _changes(rows: list[Row]) -> dict[str, list[int]]:
    """Moments (ns) of changes of price, mid and leaders in one session."""
    found: dict[str, list[int]] = {"price": [], "mid": [], "leader": []}
    before: Row | None = None
    mid = None
    leaders: dict[str, str | None] = {"bid_leader": None, "offer_leader": None}
    for row in rows:
        at = row["valid_from_ns"]
        prices = (row["best_bid"], row["best_offer"])
        if before and row["starts_state"] and prices != (before["best_bid"], before["best_offer"]):
            found["price"].append(at)
        if row["is_valid"]:
            now = row["best_bid"] + row["best_offer"]
            if mid is not None and now != mid:
                found["mid"].append(at)
            mid = now
        for side, known in leaders.items():
            if row[side] is not None:
                if known is not None and known != row[side]:
                    found["leader"].append(at)
                leaders[side] = row[side]
        before = row
    return found


def _concentration(rows: list[Row], side: str, start: int, end: int) -> Fraction | None:
    shares: dict[str, Fraction] = defaultdict(Fraction)
    for row in rows:
        names = (row[f"{side}_dealers"] or "").split(",")
        if row["is_valid"]:
            for name in names:
                shares[name] += Fraction(_clip(row, start, end), len(names))
    total = sum(shares.values())
    return sum((s / total) ** 2 for s in shares.values()) if total else None  # type: ignore[return-value]


def liquidity(rows: list[Row], start: int, end: int, length: int | None = None) -> Row:
    """Measures of [start, end) from one instrument's states of one session, in order of time.

    `length` (ns) is what the window counts as, its own length by default.
    """
    length = end - start if length is None else length
    times = {
        name: sum(_clip(r, start, end) for r in rows if holds(r)) for name, holds in _KINDS.items()
    }
    valid = [(r, _clip(r, start, end)) for r in rows if r["is_valid"]]
    spread = sum(Fraction(r["best_offer"] - r["best_bid"]) * t for r, t in valid)
    bps = sum(
        Fraction(20000 * (r["best_offer"] - r["best_bid"]))
        / Fraction(r["best_bid"] + r["best_offer"])
        * t
        for r, t in valid
    )
    lives = [life for at, life in _lives(rows) if start <= at < end]
    counts = {k: sum(start <= at < end for at in v) for k, v in _changes(rows).items()}
    bid, offer = (_concentration(rows, side, start, end) for side in ("bid", "offer"))
    hhi = None if bid is None or offer is None else (bid + offer) / 2
    minutes = Fraction(length, 60 * SECOND)
    mids = [r["best_bid"] + r["best_offer"] for r, t in valid if t]
    return {
        **{f"{name}_ns": t for name, t in times.items()},
        "twas": ratio(spread, times["valid"]),
        "twas_bps": ratio(bps, times["valid"]),
        "coverage": ratio(times["valid"], length),
        "two_sided_pct": ratio(100 * times["two_sided"], length),
        "locked_pct": ratio(100 * times["locked"], times["two_sided"]),
        "crossed_pct": ratio(100 * times["crossed"], times["two_sided"]),
        "state_count": len(lives),
        "flicker_pct": ratio(100 * sum(life < SECOND // 10 for life in lives), len(lives)),
        "lifetime_ms": ratio(sum(life**2 for life in lives), 10**6 * sum(lives)),
        "mean_state_ms": ratio(sum(lives), 10**6 * len(lives)),
        **{f"{name}_changes_per_min": ratio(n, minutes) for name, n in counts.items()},
        **{
            column: ratio(sum(r[source] * t for r, t in valid), times["valid"])
            for column, source in _COUNTS.items()
        },
        "bid_hhi": None if bid is None else float(bid),
        "offer_hhi": None if offer is None else float(offer),
        "hhi": None if hhi is None else float(hhi),
        "effective_makers": None if hhi is None else float(1 / hhi),
        "lowest_mid": min(mids) / 2 if mids else None,
        "highest_mid": max(mids) / 2 if mids else None,
    }


_KINDS: dict[str, Callable[[Row], bool]] = {
    "quoted": lambda r: True,
    "two_sided": lambda r: r["is_two_sided"],
    "valid": lambda r: r["is_valid"],
    "locked": lambda r: r["is_locked"],
    "crossed": lambda r: r["is_crossed"],
}
_COUNTS = {
    "best_bid_dealers": "n_bid_dealers",
    "best_offer_dealers": "n_offer_dealers",
}


def quote_volatility(rows: list[Row], start: int) -> tuple[float | None, float | None, int]:
    """(volatility in bps, range of the mid in bps, valid seconds) of the minute that begins at
    `start` ns, from one instrument's states, second by second."""
    valid = [r for r in rows if r["is_valid"]]

    def mid(at: int) -> tuple[Any, bool]:
        known = [r for r in valid if r["valid_from_ns"] <= at]
        if not known:
            return None, False
        last = max(known, key=lambda r: r["valid_from_ns"])
        if at < last["valid_to_ns"]:
            return last["best_bid"] + last["best_offer"], True
        carried = at - last["valid_to_ns"] <= 5 * SECOND
        return (last["best_bid"] + last["best_offer"] if carried else None), False

    grid = [mid(start + k * SECOND) for k in range(-1, 60)]
    seconds = sum(in_force for _, in_force in grid[1:])
    if seconds < 30:
        return None, None, seconds
    squares = [
        math.log(now / then) ** 2
        for (then, _), (now, _) in itertools.pairwise(grid)
        if now is not None and then is not None
    ]
    mids = [r["best_bid"] + r["best_offer"] for r in valid if _clip(r, start, start + 60 * SECOND)]
    low, high = min(mids), max(mids)
    return 1e4 * math.sqrt(math.fsum(squares)), float(20000 * (high - low) / (high + low)), seconds


def price_impact(rows: list[Row], trades: list[Row], start: int, end: int) -> Row:
    """Amihud's ratio and Kyle's slopes over the minutes of [start, end) by least squares."""
    minute = 60 * SECOND
    mids: dict[int, Fraction] = {}
    for at in range(start, end, minute):
        seen = [r for r in rows if r["is_valid"] and _clip(r, at, at + minute)]
        if seen:
            mids[at] = Fraction(seen[-1]["best_bid"] + seen[-1]["best_offer"]) / 2
    points = []
    for at, mid in mids.items():
        if at - minute in mids:
            done = [t for t in trades if at <= t["event_ts_ns"] < at + minute]
            signed = sum(Fraction(t["quantity"]) * (1 if t["side"] == "B" else -1) for t in done)
            money = sum((t["notional"] for t in done if t["notional"]), start=0)
            change = mid - mids[at - minute]
            points.append((float(signed), float(change), math.log(mid / mids[at - minute]), money))
    illiquid = [abs(r) / float(money) for _, _, r, money in points if money]
    few = len(points) < 30
    flows = [p[0] for p in points]
    return {
        "return_minutes": len(points),
        "traded_minutes": len(illiquid),
        "amihud": statistics.fmean(illiquid) if len(illiquid) >= 30 else None,
        "kyle_lambda": None
        if few
        else statistics.linear_regression(flows, [p[1] for p in points])[0],
        "kyle_lambda_bps": None
        if few
        else statistics.linear_regression(flows, [1e4 * p[2] for p in points])[0],
    }
