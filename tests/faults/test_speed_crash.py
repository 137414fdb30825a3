"""The resident process is killed with kill -9, and its speed candles are those of its bronze."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from ingestion.speed.active import active_candles
from ingestion.speed.replay import replay
from lake.layout import layout
from lake.settings import Settings
from tests import bronze_rows
from tests.embedded_broker import Broker, Sent
from tests.following import following, wait_for
from tests.oracle_speed import Candle, Key, Print, Speed
from tests.speed_rows import START

TOPIC = "market.trades.v1"
KEYS = ["width", "instrument_id", "venue", "window_start"]
POINTS = ("speed.pictured", "speed.committed", "speed.log_synced", "speed.stored", "")
COUNT = 300  # prints of one sending
SEEDS = [pytest.param(seed, marks=[pytest.mark.slow] if seed >= 1 else []) for seed in range(20)]


def prints(seed: int, partitions: int) -> list[Print]:
    """A print about every 50 ms; some are seconds behind."""
    rng = random.Random(seed)
    made, positions = [], dict.fromkeys(range(partitions), 0)
    for number in range(3 * COUNT):
        arrival = START + number * 50_000_000
        behind = rng.choice([0, 0, 0, 0, 0, 120, 800, 1_700, 7_000]) * 1_000_000
        partition = rng.randrange(partitions)
        made.append(
            Print(
                unit=f"kafka:test/{TOPIC}/{partition}",
                position=positions[partition],
                arrival=arrival,
                event=arrival - behind,
                instrument=rng.choice(["AAPL", "MSFT"]),
                venue=rng.choice([None, "XNYS"]),
                price=Decimal(rng.randrange(9_000, 11_000)).scaleb(-2),
                quantity=Decimal(rng.randrange(1, 500)),
                trade_id=str(number),
            )
        )
        positions[partition] += 1
    return made


def sent(made: list[Print]) -> list[Sent]:
    return [
        Sent(
            json.dumps(
                {
                    "tradeId": p.trade_id,
                    "instrumentId": p.instrument,
                    "price": str(p.price),
                    "quantity": str(p.quantity),
                    "timestamp": p.event // 1_000_000,
                    "buySellIndicator": "B",
                    **({"venue": p.venue} if p.venue else {}),
                }
            ).encode(),
            partition=int(p.unit.rpartition("/")[2]),
            sent_ms=p.arrival // 1_000_000,
        )
        for p in made
    ]


def stored(settings: Settings) -> pl.DataFrame:
    """What is in `speed/candles`."""
    table = DeltaTable(str(layout(settings).speed / "candles"))
    return pl.read_parquet(table.file_uris(), hive_partitioning=True)


def as_oracle(found: pl.DataFrame) -> dict[Key, Candle]:
    """Stored candles as the oracle has them."""
    return {
        (*(row[name] for name in KEYS[:3]), int(row["window_start"].timestamp())): Candle(
            **{name: row[name] for name in Candle._fields}
        )
        for row in found.to_dicts()
    }


def stop(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_kill_the_candles_are_those_of_a_replay_of_bronze(
    seed: int,
    broker: Broker,
    kafka_lake: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(seed)
    partitions = 1 if seed % 2 == 0 else 3
    made, settings = prints(seed, partitions), kafka_lake()
    monkeypatch.setenv("TICKLAKE_SPEED_FLUSH_SECONDS", "0.1")
    monkeypatch.setenv("TICKLAKE_BATCH_ROWS", "60")
    broker.create_topic(TOPIC, partitions)
    broker.produce(TOPIC, sent(made[:COUNT]))
    point = POINTS[seed % len(POINTS)]
    if point:
        monkeypatch.setenv("TICKLAKE_FAULT", f"{point}:{rng.randrange(1, 4)}")
    with following(settings, "trades") as process:
        if not point:
            wait_for(rng.randrange(1, COUNT), settings, 60)
            os.kill(process.pid, signal.SIGKILL)
        broker.produce(TOPIC, sent(made[COUNT : 2 * COUNT]))
        assert process.wait(60) == -signal.SIGKILL
    monkeypatch.delenv("TICKLAKE_FAULT", raising=False)
    with following(settings, "trades") as process:
        wait_for(2 * COUNT, settings, 60)
        broker.produce(TOPIC, sent(made[2 * COUNT :]))
        wait_for(3 * COUNT, settings, 60)
        stop(process)
    found, again = stored(settings), replay(settings, "trades")
    assert_frame_equal(found.select(again.columns).sort(KEYS), again.sort(KEYS))
    if partitions == 1:  # then it does not matter how what landed was cut into commits
        unkilled = Speed()
        unkilled.commit(made)
        assert as_oracle(found) == unkilled.candles()
        assert unkilled.late["1s"]


def test_candles_can_be_looked_at_before_their_records_are_in_bronze(
    broker: Broker, kafka_lake: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, made = kafka_lake(), prints(0, 1)[:40]
    monkeypatch.setenv("TICKLAKE_BATCH_SECONDS", "600")
    broker.create_topic(TOPIC, 1)
    broker.produce(TOPIC, sent(made))
    with following(settings, "trades") as process:
        deadline, trades = time.monotonic() + 60, 0
        while trades < len(made) and time.monotonic() < deadline:
            shown = active_candles(settings, "trades")
            minutes = shown.filter((pl.col("width") == "1m") & (pl.col("venue") == "ALL"))
            trades = int(minutes["trade_count"].sum())
            time.sleep(0.02)
        assert trades == len(made)
        assert bronze_rows.rows(layout(settings).bronze("trades")) == []
        stop(process)
    assert active_candles(settings).is_empty()


def test_each_commit_keeps_the_watermark_that_it_saw(
    broker: Broker, kafka_lake: Callable[..., Settings]
) -> None:
    settings, made = kafka_lake(), prints(0, 1)
    broker.create_topic(TOPIC, 1)
    with following(settings, "trades") as process:
        for first in (0, 50):
            broker.produce(TOPIC, sent(made[first : first + 50]))
            wait_for(first + 50, settings, 60)
            time.sleep(1)
        stop(process)
    history = DeltaTable(str(layout(settings).bronze("trades"))).history()
    last = json.loads(history[0]["ticklake"])
    newest = max(p.event for p in made[: last["spans"][0]["first"]])
    assert last["watermarks"] == {f"kafka:test/{TOPIC}": newest // 1_000_000 * 1_000_000}
