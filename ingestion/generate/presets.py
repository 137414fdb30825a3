"""What a person asks for in words and short numbers: presets, sizes, shares and days."""

import re
from datetime import date, timedelta
from typing import Any, Literal

from ingestion.generate.bonds import MAX_BONDS
from ingestion.generate.listing import all_bonds
from ingestion.generate.plan import Plan

FIRST_DAY = date(2025, 10, 2)
Preset = Literal["small", "demo", "high-volume", "full", "firehose"]

# Fields of a plan; all but the demo are one day long.
PRESETS: dict[Preset, dict[str, Any]] = {
    "small": {
        "quotes": 20_000,
        "trades": 10_000,
        "securities": 2_000,
        "orders": 20_000,
        "market_data": 10_000,
        "book_updates": 10_000,
        "snapshot_minutes": 30,
        "posts": 10,
        "bars": True,
    },
    "demo": {
        "days": Plan().days,
        "orders": 60_000,
        "market_data": 40_000,
        "book_updates": 40_000,
        "snapshot_minutes": 30,
        "posts": 30,
        "bars": True,
    },
    "high-volume": {"quotes": 200_000, "trades": 100_000, "securities": 20_000},
    "full": {"quotes": 1_200_000, "trades": 1_000_000, "securities": 10_000_000},
    "firehose": {
        "quotes": 2_400_000,
        "trades": 2_000_000,
        "securities": 10_000,
        "orders": 5_700_000,
    },
}

SIZES = (
    "quotes", "trades", "securities", "orders", "market_data", "book_updates",
    "snapshot_minutes", "posts", "bars",
)  # fmt: skip
# Where only some sizes are given.
SECURITIES, TRADES, QUOTES_PER_TRADE = 10_000, 50_000, 2

_NUMBER = re.compile(r"(\d[\d_]*(?:\.\d+)?)([kKmM]?)")
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


def whole_number(text: str) -> int:
    """A count such as 250000, 1_200_000, 10k or 1.2M. Raises ValueError for anything else."""
    found = _NUMBER.fullmatch(text)
    if found:
        whole, _, fraction = found[1].replace("_", "").partition(".")
        size: int = 10 ** len(fraction)
        count, rest = divmod(int(whole + fraction) * _FACTORS[found[2].lower()], size)
        if not rest:
            return count
    raise ValueError(f"{text!r} is not a number of messages; write 1200000, 1_200_000, 1.2M or 10k")


def share(text: str) -> float:
    """A share such as 5% or 0.05. Raises ValueError for anything else."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a share; write 5% or 0.05") from None


def weekdays(first: date, count: int) -> tuple[date, ...]:
    """The first `count` days from `first` on that are no Saturday or Sunday."""
    days: list[date] = []
    while len(days) < count:
        if first.weekday() < 5:
            days.append(first)
        first += timedelta(days=1)
    return tuple(days)


def make_plan(preset: Preset | None, **asked: Any) -> Plan:
    """A preset with what is asked for (where it is not None) in its place.

    Without a preset: what is asked for and the master it needs; the demo where no size is.
    Raises ValueError where no market can be made of it, before any message is.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    sizes = PRESETS[preset] if preset else _alone(given)
    plan = Plan(**{"days": (FIRST_DAY,), "fault_share": 0.0, **sizes, **given})
    if all_bonds(plan) > MAX_BONDS:
        raise ValueError(f"plan: {MAX_BONDS} bonds have a CUSIP; ask for fewer securities")
    if plan.scenario == "arbitrage" and not plan.market_data:
        raise ValueError("scenario arbitrage shows in market data alone: add --market-data 40k")
    if plan.scenario:
        from ingestion.generate.trades import trade_day

        for day in plan.days:  # a scenario may need more trades than there are
            trade_day(plan, day)
    return plan


def _alone(given: dict[str, Any]) -> dict[str, Any]:
    """Sizes of what was not asked for, where something was: trades need quotes to trade on."""
    if not any(given.get(name) for name in SIZES):
        return PRESETS["demo"]
    trades = given.get("trades", 0) or (TRADES if _sums_up_trades(given) else 0)
    return {"quotes": QUOTES_PER_TRADE * trades, "trades": trades, "securities": SECURITIES}


def _sums_up_trades(given: dict[str, Any]) -> bool:
    return bool(given.get("snapshot_minutes") or given.get("bars"))
