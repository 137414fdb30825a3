"""Liquidity and dealer activity by brute force, from rows of best quotes and of dealers' intervals.

Every moment at which anything changes is a boundary; what holds between two of them is looked up
anew each time. Times are exact fractions of nanoseconds. Nothing of the project is imported.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
SECOND = 1_000_000_000


def ratio(numerator: Any, denominator: Any) -> float | None:
    """Numerator / denominator as the float nearest to it; None where there is nothing to divide by."""
    return float(Fraction(numerator) / Fraction(denominator)) if denominator else None


def _clip(row: Row, start: int, end: int) -> int:
    return max(0, min(row["valid_to_ns"], end) - max(row["valid_from_ns"], start))


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
        for (then, _), (now, _) in zip(grid, grid[1:], strict=False)
        if now is not None and then is not None
    ]
    mids = [r["best_bid"] + r["best_offer"] for r in valid if _clip(r, start, start + 60 * SECOND)]
    low, high = min(mids), max(mids)
    return 1e4 * math.sqrt(math.fsum(squares)), float(20000 * (high - low) / (high + low)), seconds


def dealer_activity(
    intervals: list[Row],
    rows: list[Row],
    dealer: str,
    start: int,
    end: int,
    length: int | None = None,
) -> Row:
    """What one dealer did in one instrument in [start, end), from firm valid intervals and states."""
    mine = [i for i in intervals if i["dealer_id"] == dealer and i["is_valid"]]
    length = end - start if length is None else length
    bounds = {start, end}
    for i in mine:
        bounds |= {i["from_ns"], i["to_ns"]}
    for r in rows:
        bounds |= {r["valid_from_ns"], r["valid_to_ns"]}
    moments = sorted(b for b in bounds if start <= b <= end)
    time: dict[str, Fraction] = defaultdict(Fraction)
    for at, until in zip(moments, moments[1:], strict=False):
        shown = {i["side"]: i for i in mine if i["from_ns"] <= at < i["to_ns"]}
        market = next((r for r in rows if r["valid_from_ns"] <= at < r["valid_to_ns"]), None)
        _add_moment(time, dealer, shown, market, until - at)
    updates = {i["quote_ts_ns"] for i in mine if i["from_ns"] == i["quote_ts_ns"]}
    changed = {i["from_ns"] for i in mine if i["from_ns"] == i["since_ns"]}
    spreads = [s for at in updates if start <= at < end if (s := _spread(mine, at)) is not None]
    return {
        "updates": sum(start <= at < end for at in updates),
        "price_changing_updates": sum(start <= at < end for at in changed),
        "quote_frequency": ratio(60 * SECOND * sum(start <= at < end for at in updates), length),
        "two_sided_pct": ratio(100 * time["both_live"], length),
        **{
            f"best_{side}_pct": ratio(100 * time[f"{side}_best"], time["valid"])
            for side in ("bid", "offer", "either", "both")
        },
        **{
            f"best_{side}_shared_pct": ratio(100 * time[f"{side}_shared"], time["valid"])
            for side in ("bid", "offer")
        },
        **{
            f"best_{side}_when_quoting_pct": ratio(
                100 * time[f"{side}_best"], time[f"{side}_quoting"]
            )
            for side in ("bid", "offer", "either", "both")
        },
        "own_spread": ratio(time["spread"], time["spread_time"]),
        "median_spread": float(statistics.median(spreads)) if spreads else None,
    }


def _spread(mine: Iterable[Row], at: int) -> Any:
    shown = {i["side"]: i["price"] for i in mine if i["from_ns"] <= at < i["to_ns"]}
    if len(shown) < 2 or shown["OFFER"] <= shown["BID"]:
        return None
    return shown["OFFER"] - shown["BID"]


def _add_moment(
    time: dict[str, Fraction], dealer: str, shown: Row, market: Row | None, ns: int
) -> None:
    live = {"bid": "BID" in shown, "offer": "OFFER" in shown}
    valid = market is not None and market["is_valid"]
    best = {side: False for side in live}
    if valid:
        assert market is not None
        time["valid"] += ns
        for side in live:
            names = (market[f"{side}_dealers"] or "").split(",")
            best[side] = dealer in names
            if best[side]:
                time[f"{side}_shared"] += Fraction(ns, len(names))
    for what, held in (("live", live), ("best", best)):
        for name, holds in (
            ("bid", held["bid"]),
            ("offer", held["offer"]),
            ("either", any(held.values())),
            ("both", all(held.values())),
        ):
            if holds:
                time[f"{name}_{what}"] += ns
                if what == "live" and valid:
                    time[f"{name}_quoting"] += ns
    if all(live.values()) and shown["OFFER"]["price"] > shown["BID"]["price"]:
        time["spread_time"] += ns
        time["spread"] += Fraction(shown["OFFER"]["price"] - shown["BID"]["price"]) * ns


def live_dealers(
    intervals: list[Row], rows: list[Row], side: str, start: int, end: int
) -> float | None:
    """Dealers with a live quote on a side, weighted by the time of valid markets in [start, end)."""
    spans = [
        (max(r["valid_from_ns"], start), min(r["valid_to_ns"], end)) for r in rows if r["is_valid"]
    ]
    live = sum(
        max(0, min(i["to_ns"], until) - max(i["from_ns"], since))
        for i in intervals
        if i["side"] == side and i["is_valid"]
        for since, until in spans
    )
    return ratio(live, sum(max(0, until - since) for since, until in spans))


def hits(rows: list[Row], trades: list[Row], dealer: str, start: int, end: int) -> Row:
    """Trades in [start, end) in a valid market in force strictly before them, and how many of them
    were done at a best price that the dealer showed."""
    hit = compared = 0
    for done in trades:
        at = done["event_ts_ns"]
        market = next((r for r in rows if r["valid_from_ns"] < at <= r["valid_to_ns"]), None)
        if not (start <= at < end) or market is None or not market["is_valid"]:
            continue
        compared += 1
        hit += any(
            done["price"] == market[f"best_{side}"]
            and dealer in market[f"{side}_dealers"].split(",")
            for side in ("bid", "offer")
        )
    return {"hits": hit, "trades": compared, "hit_pct": ratio(100 * hit, compared)}


def stale_ns(intervals: list[Row], dealer: str, ttl: int, start: int, end: int) -> int:
    """Time in [start, end) after a quote of the dealer outlived `ttl` ns, until its next live one."""
    mine = [i for i in intervals if i["dealer_id"] == dealer and i["is_valid"]]
    lapses = {i["to_ns"] for i in mine if i["to_ns"] - i["quote_ts_ns"] == ttl}
    total = 0
    for lapse in lapses:
        if any(i["from_ns"] <= lapse < i["to_ns"] for i in mine):
            continue
        back = min((i["from_ns"] for i in mine if i["from_ns"] > lapse), default=end)
        total += max(0, min(back, end) - max(lapse, start))
    return total


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
