"""Many writers of one table: those of different units all get through, of one unit exactly one."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from contracts import registry
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.land import land_batch
from lake import ledger
from lake.bronze import BronzeWriter, PositionTaken, Span
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.faults.messages import messages
from tests.oracle import Delivered

WRITERS = 8
ROWS = 3  # of a commit
ROUNDS = 12
SOURCE = "test"


def delivered(unit: str, count: int) -> list[Delivered]:
    """The records of one unit, good ones and poison."""
    made = messages(sum(unit.encode()), "trades", count, 1)
    return [
        Delivered(unit, place, sent.sent_ms * 1_000_000, sent.value or b"", SOURCE, sent.batch_id)
        for place, sent in enumerate(made)
    ]


def batch_of(records: list[Delivered]) -> Batch:
    """One batch of consecutive records of one unit."""
    contract = registry.get("trades")
    raw = [record.raw for record in records]
    provenance = pl.DataFrame(
        {
            "recv_ts_ns": [record.recv_ts_ns for record in records],
            "unit": [record.unit for record in records],
            "position": [record.position for record in records],
            "delivery_unit": [record.delivery_unit for record in records],
        },
        schema_overrides={"delivery_unit": pl.String},
    )
    first = records[0]
    return Batch(
        contract,
        SOURCE,
        provenance,
        [Span(first.unit, first.position, records[-1].position + 1, len(records))],
        lambda places: [raw[place] for place in places],
        partial(decode_json, contract, raw, 262_144),
    )


def write_unit(root: str, unit: str, commits: int) -> int:
    """In a process of its own: land a unit in so many commits, through one kept handle."""
    writer = BronzeWriter(registry.get("trades"), layout(load_settings({"LAKE_URI": root})))
    records = delivered(unit, ROWS * commits)
    for number in range(commits):
        land_batch(writer, batch_of(records[ROWS * number : ROWS * (number + 1)]))
    return commits


def race(root: str, unit: str, number: int, start: Any) -> int:
    """In a process of its own: land batch `number` of a unit when `start` lets go; 1 if it won."""
    writer = BronzeWriter(registry.get("trades"), layout(load_settings({"LAKE_URI": root})))
    records = delivered(unit, ROWS * ROUNDS)[ROWS * number : ROWS * (number + 1)]
    start.wait(60)
    try:
        land_batch(writer, batch_of(records))
    except PositionTaken:
        return 0
    return 1


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Eight processes that have imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ingestion.land", "tests.faults.messages"])
    with ProcessPoolExecutor(WRITERS, mp_context=context) as pool:
        yield pool


def right(settings: Settings, units: list[str], commits: int) -> None:
    """Every record of every unit is there once, as the oracle says, and in the ledger."""
    table = layout(settings).bronze("trades")
    sent = [record for unit in units for record in delivered(unit, ROWS * commits)]
    assert bronze_rows.differences("trades", bronze_rows.rows(table), sent) == []
    history = DeltaTable(str(table)).history()
    assert len([entry for entry in history if "ticklake" in entry]) == len(units) * commits
    ledger.append_new(layout(settings))
    rows = pl.read_parquet(DeltaTable(str(layout(settings).ledger)).file_uris())
    assert Counter(rows["unit"]) == dict.fromkeys(units, commits)
    assert rows["consumed"].sum() == len(sent)


@pytest.mark.parametrize("commits", [8, pytest.param(250, marks=pytest.mark.slow)])
def test_writers_of_different_units_drop_no_commit(
    commits: int, lake: Settings, processes: ProcessPoolExecutor
) -> None:
    units = [f"kafka:test/market.trades.v1/{number}" for number in range(WRITERS)]
    BronzeWriter(registry.get("trades"), layout(lake))
    done = [processes.submit(write_unit, str(lake.root), unit, commits) for unit in units]
    assert [future.result(timeout=500) for future in done] == [commits] * WRITERS
    right(lake, units, commits)


def test_of_writers_of_one_unit_exactly_one_wins_each_time(
    lake: Settings, processes: ProcessPoolExecutor
) -> None:
    unit = "kafka:test/market.trades.v1/0"
    BronzeWriter(registry.get("trades"), layout(lake))
    with multiprocessing.Manager() as manager:
        for number in range(ROUNDS):
            start = manager.Barrier(2)
            both = [processes.submit(race, str(lake.root), unit, number, start) for _ in range(2)]
            assert sorted(future.result(timeout=120) for future in both) == [0, 1], number
    right(lake, [unit], ROUNDS)
