"""Corrections and cancels, late originals and chains, against a second computation."""

import random
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests.desk import Desk, trade
from tests.oracle_trades import Message, states

DAYS = [date(2025, 10, 1), date(2025, 10, 2), date(2025, 10, 3)]
STATES = "select position, state from silver.trades_history order by position"


def log(seed: int) -> tuple[list[dict[str, Any]], list[Message]]:
    """Trades of three sessions, many of them corrected, corrected again, cancelled or repeated; ids
    come again on other days, and messages may land before what they speak of."""
    rng = random.Random(seed)
    facts: list[tuple[str, date, str, str | None, int | None]] = []
    for number in range(60):
        original, day = f"T{number % 40}", rng.randrange(3)
        facts.append((original, DAYS[day], "NEW", None, None))
        spoken_of = original
        for step in range(rng.choice([0, 0, 1, 2, 3])):
            status = rng.choice(["CORRECT", "CORRECT", "CANCEL"])
            own = rng.random() < 0.3
            later = DAYS[rng.randrange(day, 3)]
            version = rng.choice([None, step + 2, 2])
            name = original if own else f"M{number}-{step}"
            facts.append((name, later, status, None if own else spoken_of, version))
            spoken_of = spoken_of if own else name
    facts += [(f"O{n}", DAYS[1], "CANCEL", f"unseen {n}", None) for n in range(5)]
    facts += rng.sample(facts, 20)
    rng.shuffle(facts)
    records, messages = [], []
    for landed, (name, day, status, ref, version) in enumerate(facts):
        at = datetime(day.year, day.month, day.day, 14) + timedelta(seconds=rng.randrange(6 * 3600))
        more = {"status": status, "refTradeId": ref, "version": version}
        records.append(
            {**trade(0, f"{at.isoformat()}Z", price=100 + landed % 3), "tradeId": name, **more}
        )
        messages.append(Message(landed, name, day, status, ref, version))
    return records, messages


@pytest.fixture(scope="module")
def corrected(shared_desk: Desk) -> tuple[Desk, list[Message]]:
    """Two thirds landed and built, then the rest."""
    records, messages = log(seed=7)
    cut = len(records) * 2 // 3
    shared_desk.land("trades", records[:cut])
    shared_desk.build()
    assert dict(shared_desk.query(STATES)) == states(messages[:cut])
    shared_desk.land("trades", records[cut:])
    shared_desk.build()
    return shared_desk, messages


def test_every_record_has_the_state_that_a_second_computation_gives_it(
    corrected: tuple[Desk, list[Message]],
) -> None:
    desk, messages = corrected
    assert dict(desk.query(STATES)) == states(messages)
    assert set(states(messages).values()) == {
        "current", "duplicate", "superseded", "cancelled", "applied", "parked",
    }  # fmt: skip


def test_silver_and_candles_hold_current_trades_only_and_the_account_says_what_became_of_the_others(
    corrected: tuple[Desk, list[Message]],
) -> None:
    desk, messages = corrected
    became = list(states(messages).values())
    current, copies = became.count("current"), became.count("duplicate")
    assert desk.query("select count(*) from silver.trades") == [(current,)]
    assert desk.query(
        "select sum(trade_count) from gold.candles_1d where session_scope = 'all' and venue = 'ALL'"
    ) == [(current,)]
    assert desk.query(
        "select sum(ok_rows), sum(silver_rows), sum(duplicate_rows), sum(lifecycle_rows) "
        "from audit.account_silver where dataset = 'trades'"
    ) == [(len(became), current, copies, len(became) - current - copies)]


@pytest.mark.slow
def test_late_corrections_rebuild_what_a_full_refresh_would(
    corrected: tuple[Desk, list[Message]],
) -> None:
    desk, _ = corrected
    kept = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == kept
