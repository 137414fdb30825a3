"""A generated day through the embedded broker: every fault gets the verdict its truth names."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any
from zlib import crc32

import pytest

from ingestion.generate.plan import Plan
from ingestion.generate.stream import DATASETS, Stream, stream, truth
from ingestion.land import land_generated, land_topics
from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker, Sent
from tests.faults.messages import TOPICS
from tests.oracle import Delivered

DAY = date(2025, 10, 2)
PLAN = Plan(seed=23, days=(DAY,), quotes=5_000, trades=4_000, securities=500)
PARTITIONS = 4
Outcome = tuple[str, str | None]  # verdict and reject code


def faults() -> dict[int, Outcome]:
    """Index of a trade message that is faulty -> what the generator says must become of it."""
    columns = truth(PLAN).select("message", "verdict", "code")
    return {message: (verdict, code) for message, verdict, code in columns.iter_rows()}


def sent(made: Stream) -> list[Sent]:
    """The stream's messages; an instrument always goes to the same partition."""
    return [
        Sent(value, crc32(key) % PARTITIONS, int(at), key)
        for value, key, at in zip(made.values, made.keys, made.recv_ts_ms, strict=True)
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


def test_the_truth_table_holds_every_kind_of_fault() -> None:
    counts = Counter(code or verdict for verdict, code in faults().values())
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


def test_every_fault_is_recognised_and_nothing_sound_is_refused(
    broker: Broker, kafka_lake: Callable[..., Settings]
) -> None:
    settings = kafka_lake(TICKLAKE_BATCH_ROWS=1_500)
    placed: dict[str, list[Delivered]] = {}
    for dataset in DATASETS:
        messages = sent(stream(PLAN, dataset, DAY))
        broker.create_topic(TOPICS[dataset], PARTITIONS)
        broker.produce(TOPICS[dataset], messages)
        placed[dataset] = delivered(dataset, messages, broker)
    landings = {landing.dataset: landing for landing in land_topics(settings)}

    rejected = Counter(code for verdict, code in faults().values() if verdict == "rejected")
    assert landings["trades"].by_code == rejected
    assert {name: (landing.ok, landing.rejected) for name, landing in landings.items()} == {
        "quotes": (5_000, 0),
        "trades": (4_000 - rejected.total(), rejected.total()),
        "securities": (500, 0),
    }
    rows = {name: bronze_rows.rows(layout(settings).bronze(name)) for name in DATASETS}
    for dataset in DATASETS:
        assert bronze_rows.differences(dataset, rows[dataset], placed[dataset]) == []
    found = outcomes(rows["trades"])
    expected = faults()
    for index, place in enumerate(placed["trades"]):
        assert found[place.unit, place.position] == expected.get(index, ("ok", None))


@pytest.mark.parametrize("dataset", DATASETS)
def test_landed_without_a_broker_the_verdicts_are_the_same(dataset: str, lake: Settings) -> None:
    first, second = (land_generated(lake, dataset, PLAN, DAY) for _ in range(2))
    assert (second.ok, second.rejected) == (0, 0)
    rows = bronze_rows.rows(layout(lake).bronze(dataset))
    assert len(rows) == first.ok + first.rejected
    expected = faults() if dataset == "trades" else {}
    for (_, position), outcome in outcomes(rows).items():
        assert outcome == expected.get(position, ("ok", None))
    made = stream(PLAN, dataset, DAY)
    (unit,) = {row["unit"] for row in rows}
    whole = [
        Delivered(unit, position, int(at) * 1_000_000, value, TOPICS[dataset])
        for position, (value, at) in enumerate(zip(made.values, made.recv_ts_ms, strict=True))
    ]
    assert bronze_rows.differences(dataset, rows, whole) == []
