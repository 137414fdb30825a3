"""Dealer activity by brute force, from rows of best quotes and of dealers' firm valid lives.

Every moment at which anything changes is a boundary; what holds between two of them is looked up
anew each time. Nothing of the project is imported.
"""

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from tests.oracle_liquidity import SECOND, Row, ratio


def dealer_activity(
    intervals: list[Row],
    rows: list[Row],
    dealer: str,
    start: int,
    end: int,
    length: int | None = None,
) -> Row:
    """What one dealer did in one instrument in [start, end)."""
    mine = [i for i in intervals if i["dealer_id"] == dealer and i["is_valid"]]
    length = end - start if length is None else length
    bounds = {start, end}
    for i in mine:
        bounds |= {i["from_ns"], i["to_ns"]}
    for r in rows:
        bounds |= {r["valid_from_ns"], r["valid_to_ns"]}
    moments = sorted(b for b in bounds if start <= b <= end)
    time: dict[str, Fraction] = defaultdict(Fraction)
    for at, until in itertools.pairwise(moments):
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
    best = dict.fromkeys(live, False)
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
    """Dealers live on a side, weighted by the time of valid markets in [start, end)."""
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
    """Time in [start, end) after a quote outlived `ttl` ns, until the dealer's next live one."""
    mine = [i for i in intervals if i["dealer_id"] == dealer and i["is_valid"]]
    lapses = {i["to_ns"] for i in mine if i["to_ns"] - i["quote_ts_ns"] == ttl}
    total = 0
    for lapse in lapses:
        if any(i["from_ns"] <= lapse < i["to_ns"] for i in mine):
            continue
        back = min((i["from_ns"] for i in mine if i["from_ns"] > lapse), default=end)
        total += max(0, min(back, end) - max(lapse, start))
    return total
