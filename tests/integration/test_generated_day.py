"""A generated day of every record: every fault gets the verdict its truth names, and all else is
sound, through the embedded broker and without one."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any
from zlib import crc32

import pytest

from ingestion.generate.plan import Plan
from ingestion.generate.stream import Stream, datasets, stream, truth
from ingestion.land import land_generated, land_topics
from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker, Sent
from tests.faults.messages import TOPICS
from tests.oracle import Delivered

DAY = date(2025, 10, 2)
PLAN = Plan(
    seed=23,
    days=(DAY,),
    quotes=5_000,
    trades=4_000,
    securities=500,
    orders=4_000,
    market_data=2_000,
    book_updates=2_000,
    snapshot_minutes=60,
    posts=20,
    bars=True,
)
DATASETS = ("securities", "quotes", "trades", "orders", "market_data", "book_updates", "positions",
            "posts", "bars")  # fmt: skip
PARTITIONS = 4
Outcome = tuple[str, str | None]  # verdict and reject code


@cache
def made(dataset: str) -> Stream:
    return stream(PLAN, dataset, DAY)


def faults(dataset: str) -> dict[int, Outcome]:
    """Index of a faulty message -> what the generator says must become of it."""
    columns = truth(PLAN).select("dataset", "message", "verdict", "code")
    return {message: (verdict, code) for of, message, verdict, code in columns.iter_rows()
            if of == dataset}  # fmt: skip


def sent(dataset: str) -> list[Sent]:
    """The stream's messages; what has the same key always goes to the same partition."""
    columns = (made(dataset).values, made(dataset).keys, made(dataset).recv_ts_ms)
    return [
        Sent(value, crc32(key) % PARTITIONS, int(at), key)
        for value, key, at in zip(*columns, strict=True)
    ]


def delivered(dataset: str, messages: list[Sent], broker: Broker) -> list[Delivered]:
    """Where each message lies in the topic."""
    following: Counter[str] = Counter()
    found = []
    for message in messages:
        unit = broker.unit(TOPICS[dataset], message.partition)
        recv = message.sent_ms * 1_000_000
        assert message.value is not None
        found.append(Delivered(unit, following[unit], recv, message.value, TOPICS[dataset]))
        following[unit] += 1
    return found


def outcomes(rows: list[dict[str, Any]]) -> dict[tuple[str, int], Outcome]:
    return {(row["unit"], row["position"]): (row["verdict"], row["reject_code"]) for row in rows}


def test_the_plan_asks_for_every_record_that_is_generated() -> None:
    assert datasets(PLAN) == DATASETS
    asked = {"quotes": 5_000, "trades": 4_000, "securities": 500, "orders": 4_000,
             "market_data": 2_000, "book_updates": 2_000}  # fmt: skip
    assert {name: len(made(name).values) for name in asked} == asked
    assert all(len(made(name).values) > 50 for name in DATASETS)


def test_the_truth_table_holds_every_kind_of_fault() -> None:
    counts = Counter(code or verdict for verdict, code in faults("trades").values())
    assert sum(counts.values()) == 200  # 5.0 % of 4,000
    assert counts == {
        "PRICE_NOT_POSITIVE": 32,
        "QTY_NOT_POSITIVE": 16,
        "FUTURE_TS": 24,
        "PARSE_ERROR": 24,
        "SCHEMA_MISSING_FIELD": 16,
        "SCHEMA_TYPE": 12,
        "ok": 76,
    }
    assert truth(PLAN)["dataset"].unique().to_list() == ["trades"]


def test_every_fault_is_recognised_and_nothing_sound_is_refused(
    broker: Broker, kafka_lake: Callable[..., Settings]
) -> None:
    settings = kafka_lake(TICKLAKE_BATCH_ROWS=1_500)
    placed: dict[str, list[Delivered]] = {}
    for dataset in DATASETS:
        messages = sent(dataset)
        assert {message.partition for message in messages} == set(range(PARTITIONS))
        broker.create_topic(TOPICS[dataset], PARTITIONS)
        broker.produce(TOPICS[dataset], messages)
        placed[dataset] = delivered(dataset, messages, broker)
    landings = {landing.dataset: landing for landing in land_topics(settings, DATASETS)}

    rejected = Counter(code for verdict, code in faults("trades").values() if verdict == "rejected")
    assert landings["trades"].by_code == rejected
    assert {name: (landing.ok, landing.rejected) for name, landing in landings.items()} == {
        **{name: (len(placed[name]), 0) for name in DATASETS},
        "trades": (4_000 - rejected.total(), rejected.total()),
    }
    for dataset in DATASETS:
        rows = bronze_rows.rows(layout(settings).bronze(dataset))
        assert bronze_rows.differences(dataset, rows, placed[dataset]) == []
        found, expected = outcomes(rows), faults(dataset)
        for index, place in enumerate(placed[dataset]):
            assert found[place.unit, place.position] == expected.get(index, ("ok", None))


@pytest.mark.parametrize("dataset", DATASETS)
def test_landed_without_a_broker_the_verdicts_are_the_same(dataset: str, lake: Settings) -> None:
    first, second = (land_generated(lake, dataset, PLAN, DAY) for _ in range(2))
    assert (second.ok, second.rejected) == (0, 0)
    rows = bronze_rows.rows(layout(lake).bronze(dataset))
    assert len(rows) == first.ok + first.rejected
    expected = faults(dataset)
    for (_, position), outcome in outcomes(rows).items():
        assert outcome == expected.get(position, ("ok", None))
    (unit,) = {row["unit"] for row in rows}
    whole = [
        Delivered(unit, position, int(at) * 1_000_000, value, TOPICS[dataset])
        for position, (value, at) in enumerate(
            zip(made(dataset).values, made(dataset).recv_ts_ms, strict=True)
        )
    ]
    assert bronze_rows.differences(dataset, rows, whole) == []
