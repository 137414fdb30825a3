"""The generator's streams as a whole: repeatable, complete, in arrival order, on listed names."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from contracts import registry
from ingestion.decode import decode_json
from ingestion.generate.plan import BLOCK_ROWS, Plan, session_us
from ingestion.generate.stream import DATASETS, Stream, blocks, datasets, stream, truth
from ingestion.sources.generator import GeneratorSource
from lake.settings import load_settings

MARKET = ("securities", "quotes", "trades")
PLAN = Plan(seed=11, quotes=20_001, trades=20_000, securities=2_000)
ALL = Plan(
    seed=17,
    quotes=6_000,
    trades=5_000,
    securities=600,
    orders=4_000,
    market_data=3_000,
    book_updates=3_000,
    snapshot_minutes=60,
    posts=5,
    bars=True,
    fault_share=0.2,
)
DESTINATIONS = {
    "negative_price": "quarantine",
    "zero_quantity": "quarantine",
    "future_date": "quarantine",
    "malformed_json": "quarantine",
    "missing_field": "quarantine",
    "wrong_type": "quarantine",
    "unknown_instrument": "parked",
    "duplicate": "duplicate",
    "late": "late",
    "fat_finger": "outlier",
}
# What tells a faulty message from the sound one, where it is still JSON with all its members.
TELLTALE = {
    "negative_price": {"price"},
    "zero_quantity": {"quantity"},
    "future_date": {"timestamp"},
    "unknown_instrument": {"instrumentId"},
    "fat_finger": {"price"},
    "duplicate": set(),
    "late": set(),
}
REPOSITORY = Path(__file__).resolve().parents[2]
DIGEST = """
import hashlib
from ingestion.generate.plan import Plan
from ingestion.generate.stream import datasets, stream, truth
plan = Plan(seed=3, quotes=2_000, trades=2_000, securities=500, orders=800, market_data=500,
    book_updates=500, snapshot_minutes=60, posts=2, bars=True)
digest = hashlib.sha256(truth(plan).write_csv().encode())
for dataset in reversed(datasets(plan)):
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
    plan = Plan(
        seed=3,
        quotes=2_000,
        trades=2_000,
        securities=500,
        orders=800,
        market_data=500,
        book_updates=500,
        snapshot_minutes=60,
        posts=2,
        bars=True,
    )
    parts: dict[tuple[str, date], list[bytes]] = {}
    assert datasets(plan) == DATASETS
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
    for dataset in MARKET:
        day = plan.days[0]
        assert stream(plan, dataset, day).values != stream(other, dataset, day).values


def test_the_messages_of_all_days_add_up_to_the_plan() -> None:
    totals = {
        dataset: sum(len(made(dataset, day).values) for day in PLAN.days) for dataset in MARKET
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
    assert [len(stream(plan, name, plan.days[0]).values) for name in MARKET] == [98, 0, 0]
    assert datasets(plan) == ("securities",)
    assert truth(plan).is_empty()


@pytest.mark.parametrize("dataset", DATASETS)
def test_arrival_times_never_decrease_and_the_three_fields_are_parallel(dataset: str) -> None:
    for day in ALL.days:
        one = stream(ALL, dataset, day)
        assert len(one.values) == len(one.keys) == len(one.recv_ts_ms) > 0
        assert one.recv_ts_ms.dtype == np.int64
        assert (np.diff(one.recv_ts_ms) >= 0).all()


@pytest.mark.parametrize("dataset", DATASETS)
def test_blocks_follow_each_other_without_a_gap_and_hold_what_the_stream_holds(
    dataset: str,
) -> None:
    plan = replace(ALL, quotes=BLOCK_ROWS + 1_000, trades=BLOCK_ROWS + 1_000, days=ALL.days[:1])
    day, following = plan.days[0], 0
    for block in blocks(plan, dataset, day):
        assert block.first == following
        assert 0 < len(block) <= BLOCK_ROWS
        assert len(block.values) == len(block.keys) == len(block.recv_ms) == len(block)
        following += len(block)
    assert following == len(stream(plan, dataset, day).values)
    assert dataset not in ("quotes", "trades") or following == BLOCK_ROWS + 1_000


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("start", [0, 77])
def test_landed_without_json_every_row_is_what_its_json_says(dataset: str, start: int) -> None:
    contract = registry.get(dataset)
    settings = load_settings({"LAKE_URI": "unused", "TICKLAKE_BATCH_ROWS": "499"})
    for day in ALL.days:
        whole = stream(ALL, dataset, day)
        source = GeneratorSource(contract, settings, ALL, day)
        following = min(start, len(whole.values))
        for batch in source.batches(lambda _: start):
            assert batch is not None
            records = whole.values[following : following + batch.size]
            assert batch.raw(range(batch.size)) == records
            assert batch.provenance["position"].to_list() == [
                *range(following, following + batch.size)
            ]
            recv_ns = whole.recv_ts_ms[following : following + batch.size] * 1_000_000
            assert batch.provenance["recv_ts_ns"].to_list() == recv_ns.tolist()
            got, wanted = batch.decode(), decode_json(contract, records, settings.max_record_bytes)
            assert got.frame.schema == wanted.frame.schema
            assert got.frame.equals(wanted.frame)
            assert got.rejects.sort("i").equals(wanted.rejects.sort("i"))
            following += batch.size
        assert following == len(whole.values)


def test_a_limit_on_records_holds_for_what_lands_without_json_too() -> None:
    settings = load_settings({"LAKE_URI": "unused", "TICKLAKE_MAX_RECORD_BYTES": "256"})
    contract, day = registry.get("securities"), ALL.days[0]
    values = stream(ALL, "securities", day).values
    (batch,) = GeneratorSource(contract, settings, ALL, day).batches(lambda _: 0)
    assert batch is not None
    too_long = {place for place, value in enumerate(values) if len(value) > 256}
    assert too_long
    assert set(batch.decode().rejects["i"]) == too_long


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
    for dataset in MARKET:
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


def test_truth_names_a_destination_for_each_kind_and_the_bytes_that_were_sent() -> None:
    told = truth(ALL)
    found = told.select("kind", "destination").unique()
    assert dict(found.iter_rows()) == DESTINATIONS
    for day in ALL.days:
        values = stream(ALL, "trades", day).values
        for row in told.filter(day=day).iter_rows(named=True):
            assert row["digest"] == hashlib.md5(values[row["message"]]).hexdigest()


def test_truth_counts_messages_through_the_whole_day_not_the_block() -> None:
    plan = Plan(
        seed=5, days=ALL.days[:1], quotes=5_000, trades=BLOCK_ROWS + 20_000, securities=200,
        fault_share=0.002,
    )  # fmt: skip
    values = stream(plan, "trades", plan.days[0]).values
    told = truth(plan)
    assert told.filter(pl.col("message") >= BLOCK_ROWS).height > 10
    for place, digest in told.select("message", "digest").iter_rows():
        assert hashlib.md5(values[place]).hexdigest() == digest


def test_truth_tells_what_each_faulty_message_said_before_and_the_fault_is_all_that_differs() -> (
    None
):
    compared = 0
    for day in ALL.days:
        values = stream(ALL, "trades", day).values
        for row in truth(ALL).filter(day=day).iter_rows(named=True):
            before, sent = json.loads(row["original"]), values[row["message"]]
            if row["kind"] == "malformed_json":
                assert not is_json(sent)
                continue
            after = json.loads(sent)
            changed = {key for key in before | after if before.get(key) != after.get(key)}
            if row["kind"] in ("missing_field", "wrong_type"):
                assert len(changed) == 1
            else:
                assert changed == TELLTALE[row["kind"]]
            compared += 1
    assert compared == 880  # 20 % of 5,000, without the 120 that are malformed


def test_the_truth_of_a_market_without_faults_has_the_same_columns() -> None:
    sound = truth(Plan(quotes=100, trades=50, securities=200, fault_share=0))
    assert sound.is_empty()
    assert sound.schema == truth(ALL).schema
    assert sound.schema["message"] == pl.Int64


def is_json(value: bytes) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def test_a_dataset_or_a_day_that_is_not_planned_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no dataset 'alerts'"):
        stream(PLAN, "alerts", PLAN.days[0])
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
