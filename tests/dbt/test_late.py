"""Late trades, judged as they landed: one row at a time, over commits, units and hours."""

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl
import pytest

from contracts import registry
from ingestion.batch import Batch
from ingestion.decode import decode_json
from ingestion.land import land_batch
from ingestion.speed.replay import judged, replay
from lake.bronze import BronzeWriter, Span
from tests.desk import Desk, trade
from tests.disordered_day import REAL_DATA
from tests.disordered_day import batches as batches_of_the_day
from tests.oracle_alerts import SECOND, Watermark

NOON = datetime(2025, 10, 2, 12, tzinfo=UTC)
WIDTHS = {1: 200, 10: 1_000, 60: 5_000, 3600: 30_000}  # seconds -> lateness, ms
PROVENANCE = {
    "recv_ts_ns": pl.Int64,
    "unit": pl.String,
    "position": pl.Int64,
    "delivery_unit": pl.String,
}
MODELS = ("late_trades_units", "late_trades_watermarks", "late_trades")
FLAGS = """
select trade_id, max_seen_ns, is_out_of_order, late_1s, late_10s, late_1m, late_1h, late_1d
from silver.late_trades order by all
"""

TICKLAKE_MODELS = "all"


class Clock(datetime):
    """A clock that stands where a test puts it."""

    stands = NOON

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.stands


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Clock]]:
    monkeypatch.setattr("lake.bronze.datetime", Clock)
    Clock.stands = NOON
    yield Clock


Row = tuple[int, int]  # event time, arrival
Batches = list[tuple[datetime, dict[str, list[Row]]]]


def batches(seed: int) -> Batches:
    """(landing time, rows by unit) of commits of three partitions over some hours, with pauses
    that make partitions idle and events up to an hour behind."""
    rng = random.Random(seed)
    now, found = NOON, []
    for _ in range(60):
        now += timedelta(seconds=rng.choice([1, 5, 20, 45, 600]))
        units: dict[str, list[Row]] = {}
        for unit in sorted(
            rng.sample(["kafka:t/0", "kafka:t/1", "kafka:t/2"], rng.randrange(1, 3))
        ):
            arrival = int(now.timestamp()) * SECOND
            units[unit] = []
            for _ in range(rng.randrange(1, 12)):
                arrival += rng.randrange(SECOND)
                behind = rng.choice([0, 0, 0, 1, 3, 15, 90, 400, 4000])
                units[unit].append((arrival - behind * SECOND - rng.randrange(SECOND), arrival))
        found.append((now + timedelta(seconds=20), units))
    return found


def expected(landed: Batches) -> list[tuple[Any, ...]]:
    """The late rows by the definition, a record at a time."""
    stream, newest, rows, number = Watermark(), dict[str, int](), [], 0
    for _, units in landed:
        for unit, records in units.items():
            for event, _ in records:
                reached = stream.before(unit, records[0][1], units)
                stream.include(unit, event, records[0][1], units)
                top = newest.get(unit)
                newest[unit] = event if top is None else max(event, top)
                late = {}
                for width, lateness in WIDTHS.items():
                    end = (event // (width * SECOND) + 1) * width * SECOND
                    late[width] = reached is not None and end <= reached - lateness * 1_000_000
                is_behind = top is not None and event < top
                if is_behind or late[1]:
                    seen = max(s for s in (top, reached) if s is not None)
                    rows.append((f"T{number}", seen, is_behind, *late.values(), False))
                number += 1
            stream.hear(unit, records[-1][1])
    return sorted(rows)


def land(desk: Desk, clock: type[Clock], some: Batches, number: int = 0) -> int:
    """Land commits, each at its time and with all of its units; returns the next trade number."""
    contract = registry.get("trades")
    for at, units in some:
        clock.stands = at
        writer = BronzeWriter(contract, desk.layout)
        raw, spans, places = [], [], []
        for unit, records in units.items():
            first = writer.next_position(unit)
            spans.append(Span(unit, first, first + len(records), len(records)))
            for offset, (event, arrival) in enumerate(records):
                raw.append(json.dumps(trade(number, iso(event))).encode())
                places.append((arrival, unit, first + offset, None))
                number += 1
        provenance = pl.DataFrame(places, schema=PROVENANCE, orient="row")
        decode = partial(decode_json, contract, raw, desk.settings.max_record_bytes)
        batch = Batch(contract, "test", provenance, spans, partial(picked, raw), decode)
        assert land_batch(writer, batch).rejected == 0
    return number


def picked(raw: list[bytes], places: Sequence[int]) -> list[bytes]:
    return [raw[place] for place in places]


def iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % SECOND:09d}Z"


@pytest.mark.slow
def test_every_row_is_judged_by_what_had_landed_before_it(desk: Desk, clock: type[Clock]) -> None:
    commits = batches(6)
    assert len({at.hour for at, _ in commits}) >= 3
    number = land(desk, clock, commits[:20])
    desk.dbt("build", "--select", *MODELS)
    number = land(desk, clock, commits[20:21], number)
    desk.dbt("build", "--select", *MODELS)
    land(desk, clock, commits[21:], number)
    desk.dbt("build", "--select", *MODELS)
    late = desk.query(FLAGS, "warehouse")
    assert late == expected(commits)
    assert_the_speed_layer_judges_alike(desk)
    for flag in range(3, 7):
        assert {row[flag] for row in late} == {True, False}
    assert {row[2] for row in late} == {True, False}
    everything = {
        m: desk.query(f"select * from silver.{m} order by all", "warehouse") for m in MODELS
    }
    desk.dbt("build", "--full-refresh", "--select", *MODELS)
    for model, rows in everything.items():
        assert desk.query(f"select * from silver.{model} order by all", "warehouse") == rows, model


def land_disordered_day(desk: Desk) -> None:
    """The AIG day, each twentieth trade up to six seconds late, without sale conditions."""
    for rows in batches_of_the_day():
        desk.land("trades", rows)


def assert_the_speed_layer_judges_alike(desk: Desk) -> None:
    flags = ["late_1s", "late_10s", "late_1m"]
    found = judged(desk.settings, "trades").filter(pl.col("is_out_of_order") | pl.col("late_1s"))
    places = found.select("unit", "position", "is_out_of_order", *flags).rows()
    sql = f"select unit, position, is_out_of_order, {', '.join(flags)} from silver.late_trades"
    assert sorted(places) == sorted(desk.query(sql, "warehouse"))


@pytest.mark.slow
@pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)
def test_the_disordered_aig_day_has_the_late_rows_of_the_reference(desk: Desk) -> None:
    land_disordered_day(desk)
    desk.dbt("build", "--select", *MODELS)
    figures = desk.query(
        "select count(*), count(*) filter (where is_out_of_order), "
        "count(*) filter (where late_1s), sum(quantity) filter (where late_1s), "
        "count(*) filter (where late_10s), sum(quantity) filter (where late_10s), "
        "count(*) filter (where late_1m) from silver.late_trades",
        "warehouse",
    )
    assert figures == [(1_959, 1_959, 1_315, 281_309, 240, 58_074, 0)]
    assert_the_speed_layer_judges_alike(desk)


@pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)
def test_the_disordered_aig_day_has_the_speed_candles_of_the_reference(desk: Desk) -> None:
    land_disordered_day(desk)
    rows = judged(desk.settings, "trades")
    late = {
        width: (int(rows[f"late_{width}"].sum()), rows.filter(f"late_{width}")["quantity"].sum())
        for width in ("1s", "10s", "1m")
    }
    assert rows.height == 43_342
    assert rows["is_out_of_order"].sum() == 1_959
    assert late == {"1s": (1_315, 281_309), "10s": (240, 58_074), "1m": (0, 0)}
    candles = replay(desk.settings, "trades").group_by("width").len()
    assert dict(candles.iter_rows()) == {"1s": 8_078 - 74, "10s": 2_260 - 1, "1m": 429}
