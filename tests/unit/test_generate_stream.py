"""The generator's streams as a whole: repeatable, complete, in arrival order, on listed names."""

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ingestion.generate.plan import Plan, session_us
from ingestion.generate.stream import DATASETS, Stream, stream, truth

PLAN = Plan(seed=11, quotes=20_001, trades=20_000, securities=2_000)
REPOSITORY = Path(__file__).resolve().parents[2]
DIGEST = """
import hashlib
from ingestion.generate.plan import Plan
from ingestion.generate.stream import DATASETS, stream, truth
plan = Plan(seed=3, quotes=2_000, trades=2_000, securities=500)
digest = hashlib.sha256(truth(plan).write_csv().encode())
for dataset in reversed(DATASETS):
    for day in reversed(plan.days):
        made = stream(plan, dataset, day)
        for part in (*made.values, *made.keys, made.recv_ts_ms.tobytes()):
            digest.update(part + b"|")
print(digest.hexdigest())
"""


@cache
def made(dataset: str, day: date) -> Stream:
    return stream(PLAN, dataset, day)


def parsed(dataset: str, day: date) -> list[dict[str, object]]:
    """Messages that are JSON objects."""
    found = []
    for value in made(dataset, day).values:
        try:
            found.append(json.loads(value))
        except ValueError:
            continue
    return found


def digest_of_a_fresh_process(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_same_seed_gives_the_same_bytes_in_any_process_and_in_any_order() -> None:
    plan = Plan(seed=3, quotes=2_000, trades=2_000, securities=500)
    parts: dict[tuple[str, date], list[bytes]] = {}
    for dataset in DATASETS:
        for day in plan.days:
            one = stream(plan, dataset, day)
            parts[dataset, day] = [*one.values, *one.keys, one.recv_ts_ms.tobytes()]
    here = hashlib.sha256(truth(plan).write_csv().encode())
    for dataset in reversed(DATASETS):
        for day in reversed(plan.days):
            for part in parts[dataset, day]:
                here.update(part + b"|")
    one_thread = digest_of_a_fresh_process(PYTHONHASHSEED="1", POLARS_MAX_THREADS="1")
    assert here.hexdigest() == one_thread


def test_another_seed_gives_another_market() -> None:
    plan = Plan(seed=12, quotes=200, trades=100, securities=200)
    other = Plan(seed=13, quotes=200, trades=100, securities=200)
    for dataset in DATASETS:
        day = plan.days[0]
        assert stream(plan, dataset, day).values != stream(other, dataset, day).values


def test_the_messages_of_all_days_add_up_to_the_plan() -> None:
    totals = {
        dataset: sum(len(made(dataset, day).values) for day in PLAN.days) for dataset in DATASETS
    }
    assert totals == {"securities": 2_000, "quotes": 20_001, "trades": 20_000}


@pytest.mark.parametrize("days", [1, 3, 5])
def test_uneven_numbers_are_spread_over_the_days_without_loss(days: int) -> None:
    plan = Plan(
        quotes=1_003,
        trades=997,
        securities=401,
        days=tuple(date(2025, 10, 6 + day) for day in range(days)),
    )
    for dataset, total in (("securities", 401), ("quotes", 1_003), ("trades", 997)):
        assert sum(len(stream(plan, dataset, day).values) for day in plan.days) == total


def test_a_market_without_trades_or_quotes_can_be_made() -> None:
    plan = Plan(quotes=0, trades=0, securities=100)
    assert [len(stream(plan, name, plan.days[0]).values) for name in DATASETS] == [98, 0, 0]
    assert truth(plan).is_empty()


@pytest.mark.parametrize("dataset", DATASETS)
def test_arrival_times_never_decrease_and_the_three_fields_are_parallel(dataset: str) -> None:
    for day in PLAN.days:
        one = made(dataset, day)
        assert len(one.values) == len(one.keys) == len(one.recv_ts_ms)
        assert one.recv_ts_ms.dtype == np.int64
        assert (np.diff(one.recv_ts_ms) >= 0).all()


def test_quotes_and_sound_trades_arrive_after_they_happen_and_within_200_ms() -> None:
    for dataset in ("quotes", "trades"):
        for day in PLAN.days:
            faulty = set(truth(PLAN).filter(day=day)["message"]) if dataset == "trades" else set()
            one = made(dataset, day)
            opened, closed = session_us(day)
            for place, (value, recv) in enumerate(zip(one.values, one.recv_ts_ms, strict=True)):
                if place in faulty:
                    continue
                event = datetime.fromisoformat(json.loads(value)["timestamp"])
                event_us = round(event.timestamp() * 1_000_000)
                assert 0 < int(recv) * 1_000 - event_us <= 201_000
                assert opened <= event_us < closed


def test_the_session_is_that_of_new_york_in_summer_and_in_winter() -> None:
    for day, hour in ((date(2025, 10, 2), 13), (date(2025, 12, 2), 14)):
        opened, closed = session_us(day)
        assert datetime.fromtimestamp(opened / 1e6, UTC) == datetime(
            day.year, day.month, day.day, hour, 30, tzinfo=UTC
        )
        assert closed - opened == 23_400_000_000


def test_every_instrument_of_a_quote_or_trade_is_in_the_master_from_the_first_day() -> None:
    listed = {row["instrumentId"] for row in parsed("securities", PLAN.days[0])}
    later = {row["instrumentId"] for row in parsed("securities", PLAN.days[1])}
    unknown = truth(PLAN).filter(kind="unknown_instrument")
    for day in PLAN.days:
        assert {key.decode() for key in made("quotes", day).keys} <= listed
        strangers = set(unknown.filter(day=day)["message"])
        for place, key in enumerate(made("trades", day).keys):
            assert (key.decode() in listed) is (place not in strangers)
            assert place not in strangers or key.decode() not in later


def test_the_key_of_a_message_is_its_instrument() -> None:
    removed = 0
    for dataset in DATASETS:
        for day in PLAN.days:
            one = made(dataset, day)
            for value, key in zip(one.values, one.keys, strict=True):
                try:
                    instrument = json.loads(value).get("instrumentId")
                except ValueError:
                    continue
                removed += instrument is None
                assert instrument in (None, key.decode())
    assert removed <= 80  # messages of which a field was taken away


def test_a_dataset_or_a_day_that_is_not_planned_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no dataset 'orders'"):
        stream(PLAN, "orders", PLAN.days[0])
    with pytest.raises(ValueError, match="2024-01-02 is not in the plan"):
        stream(PLAN, "quotes", date(2024, 1, 2))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seed": -1}, "seed"),
        ({"days": ()}, "days"),
        ({"days": (date(2025, 10, 3), date(2025, 10, 2))}, "ascending"),
        ({"trades": -1}, "0 or more"),
        ({"quotes": 0}, "at least one quote"),
        ({"securities": 99}, "securities"),
        ({"fault_share": 0.6}, "fault_share"),
    ],
)
def test_a_plan_that_makes_no_market_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Plan(**change)  # type: ignore[arg-type]
