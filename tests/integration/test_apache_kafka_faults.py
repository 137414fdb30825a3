"""What only a real broker does: transactions, compaction, retention, topics made anew, pauses."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from contracts import registry
from ingestion.accept import Loss, NotAccepted, accept_losses, accept_recreated
from ingestion.land import land_topics
from ingestion.sources.kafka_origin import RecordsLost, TopicRecreated
from lake import ledger
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.apache_kafka import ApacheKafka, require_kafka
from tests.following import following, wait_for

pytestmark = pytest.mark.slow

TRADES = registry.get("trades").topic
SENT_MS = 1_759_406_400_000


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    require_kafka()
    more = {"log.cleaner.backoff.ms": "100", "log.initial.task.delay.ms": "100"}
    with ApacheKafka(tmp_path_factory.mktemp("kafka"), more) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, kafka: ApacheKafka) -> Iterator[Settings]:
    yield load_settings(
        {"LAKE_URI": str(tmp_path / "lake"), "TICKLAKE_KAFKA_BOOTSTRAP": kafka.bootstrap}
    )
    if TRADES in kafka.topics():
        kafka.delete_topic(TRADES)


def trade(number: int) -> bytes:
    return (
        f'{{"tradeId":"{number}","instrumentId":"I","price":1,"quantity":1,'
        '"timestamp":"2025-10-02T12:00:00Z","buySellIndicator":"B"}'
    ).encode()


def send(kafka: ApacheKafka, numbers: range, partition: int = 0, key: str = "k") -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for number in numbers:
        producer.produce(TRADES, trade(number), key, partition, timestamp=SENT_MS + 1_000 * number)
    assert producer.flush(30) == 0


def in_transaction(kafka: ApacheKafka, numbers: range, *, commit: bool) -> None:
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "transactional.id": f"t{numbers.start}",
            "log_level": 0,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in numbers:
        producer.produce(TRADES, trade(number), partition=0, timestamp=SENT_MS)
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def land(settings: Settings) -> int:
    (landing,) = land_topics(settings, ("trades",))
    return landing.ok + landing.rejected


def landed(settings: Settings) -> dict[tuple[str, int], int]:
    """Trade id at each (unit, position)."""
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    found = {(row["unit"], row["position"]): int(row["trade_id"]) for row in rows}
    assert len(found) == len(rows)
    return found


def spans(settings: Settings) -> list[dict[str, Any]]:
    """The ledger's lines in the order of their commits."""
    ledger.append_new(layout(settings))
    rows = DeltaTable(str(layout(settings).ledger)).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["version"], row["unit"]))


def test_aborted_records_never_land_and_their_holes_are_no_gaps(
    kafka: ApacheKafka, settings: Settings
) -> None:
    """Offsets 0-9 aborted, 11-20 committed, 22-26 aborted; 10, 21 and 27 are their ends."""
    kafka.create_topic(TRADES)
    in_transaction(kafka, range(100, 110), commit=False)
    in_transaction(kafka, range(10), commit=True)
    in_transaction(kafka, range(200, 205), commit=False)
    began = time.monotonic()
    assert land(settings) == 10
    assert land(settings) == 0  # the hole at the end is no reason to wait
    assert time.monotonic() - began < 10
    unit = kafka.unit(TRADES, 0)
    assert landed(settings) == {(unit, 11 + number): number for number in range(10)}
    send(kafka, range(10, 15))
    assert land(settings) == 5
    found = [
        (row["first_position"], row["next_position"], row["consumed"]) for row in spans(settings)
    ]
    assert found == [(0, 21, 10), (21, 33, 5)]


def test_an_open_transaction_holds_back_what_is_behind_it_until_it_ends(
    kafka: ApacheKafka, settings: Settings
) -> None:
    kafka.create_topic(TRADES)
    send(kafka, range(5))
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": "open", "log_level": 0}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(TRADES, trade(100), partition=0, timestamp=SENT_MS)
    producer.flush(30)
    send(kafka, range(5, 10))
    assert land(settings) == 5
    producer.abort_transaction(30)
    assert land(settings) == 5
    assert sorted(landed(settings).values()) == list(range(10))


def test_what_compaction_left_lands_and_its_holes_close_in_the_accounts(
    kafka: ApacheKafka, settings: Settings
) -> None:
    """Three keys; only the last record of each survives in what is compacted."""
    compacted = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
    }
    kafka.create_topic(TRADES, 1, compacted)
    for number in range(30):
        send(kafka, range(number, number + 1), key=f"k{number % 3}")
    send(kafka, range(30, 31), key="last")  # in a segment of its own, as each is
    found, deadline = 31, time.monotonic() + 60
    while found == 31 and time.monotonic() < deadline:
        fresh = load_settings(
            {
                "LAKE_URI": str(settings.root / f"{time.monotonic_ns()}"),
                "TICKLAKE_KAFKA_BOOTSTRAP": kafka.bootstrap,
            }
        )
        found = land(fresh)
    assert found < 31
    numbers = sorted(landed(fresh).values())
    assert numbers[-4:] == [27, 28, 29, 30]
    assert all(position == number for (_, position), number in landed(fresh).items())
    (line,) = spans(fresh)
    assert (line["first_position"], line["next_position"]) == (0, 31)
    assert (line["consumed"], line["ok"]) == (found, found)


@pytest.mark.parametrize("new_records", [0, 5, 40])
def test_a_topic_made_anew_stops_a_landing_and_a_resident_and_lands_when_accepted(
    new_records: int, kafka: ApacheKafka, settings: Settings
) -> None:
    kafka.create_topic(TRADES)
    with following(settings, "trades") as resident:
        send(kafka, range(20))
        wait_for(20, settings, 40)
        before = landed(settings)
        kafka.delete_topic(TRADES)
        kafka.create_topic(TRADES)
        send(kafka, range(100, 100 + new_records))
        assert resident.wait(30) != 0
    with pytest.raises(TopicRecreated, match=f"^{TRADES} was deleted and made anew"):
        land(settings)
    assert landed(settings) == before
    accept_recreated(settings, TRADES)
    assert [land(settings), land(settings)] == [new_records, 0]
    unit = f"kafka:{kafka.cluster}/{TRADES}~2/0"
    assert landed(settings) == before | {
        (unit, position): 100 + position for position in range(new_records)
    }


def test_a_topic_that_is_deleted_and_stays_away_is_no_error_for_a_resident(
    kafka: ApacheKafka, settings: Settings
) -> None:
    kafka.create_topic(TRADES)
    with following(settings, "trades") as resident:
        send(kafka, range(20))
        wait_for(20, settings, 40)
        kafka.delete_topic(TRADES)
        time.sleep(6)
        assert resident.poll() is None
        resident.send_signal(signal.SIGINT)
        out, _ = resident.communicate(timeout=20)
    assert resident.returncode == 0
    assert out.splitlines()[-1] == "20"


def test_records_deleted_before_they_were_landed_stop_it_and_an_accepted_loss_is_in_the_ledger(
    kafka: ApacheKafka, settings: Settings
) -> None:
    kafka.create_topic(TRADES, 2)
    for partition in range(2):
        send(kafka, range(100 * partition, 100 * partition + 10), partition)
    assert land(settings) == 20
    for partition in range(2):
        send(kafka, range(100 * partition + 10, 100 * partition + 30), partition)
    kafka.delete_records(TRADES, 1, 25)
    named = rf"{TRADES}/1:10-25\. Nothing more.*--accept-loss {TRADES}/1:10-25$"
    for _ in range(2):  # it stays so until somebody accepts it
        with pytest.raises(RecordsLost, match=named):
            land(settings)
    for wrong, why in (
        (f"{TRADES}/1:10-26", "still has the records from 25 on; only 10-25 can be given up"),
        (f"{TRADES}/1:11-25", "the table stands at 10, not at 11"),
        (f"{TRADES}/0:30-31", "still has the records from 0 on|stands at"),
    ):
        with pytest.raises(NotAccepted, match=why):
            accept_losses(settings, [Loss.of(wrong)])
    accept_losses(settings, [Loss.of(f"{TRADES}/1:10-25")])
    land(settings)
    unit = kafka.unit(TRADES, 1)
    assert landed(settings) == {(kafka.unit(TRADES, 0), number): number for number in range(30)} | {
        (unit, number): 100 + number for number in (*range(10), *range(25, 30))
    }
    lines = [row for row in spans(settings) if row["unit"] == unit]
    assert [
        (row["source"], row["first_position"], row["next_position"], row["consumed"], row["ok"])
        for row in lines
    ] == [
        (TRADES, 0, 10, 10, 10),
        (f"lost:{TRADES}", 10, 25, 0, 0),
        (TRADES, 25, 30, 5, 5),
    ]


def test_a_topic_that_had_lost_records_before_it_was_first_read_lands_from_what_it_has(
    kafka: ApacheKafka, settings: Settings
) -> None:
    """What is lost later is another thing: the partition was ours by then, landed or not."""
    kafka.create_topic(TRADES, 2)
    send(kafka, range(10))
    kafka.delete_records(TRADES, 0, 4)
    assert land(settings) == 6
    assert sorted(landed(settings).values()) == list(range(4, 10))
    assert [(row["first_position"], row["next_position"]) for row in spans(settings)] == [(0, 10)]
    send(kafka, range(100, 110), 1)
    kafka.delete_records(TRADES, 1, 3)
    with pytest.raises(RecordsLost, match=f"{TRADES}/1:0-3"):
        land(settings)
    accept_losses(settings, [Loss.of(f"{TRADES}/1:0-3")])
    assert land(settings) == 7


def test_a_broker_that_hangs_for_seconds_and_one_that_is_killed_are_waited_for_by_a_resident(
    kafka: ApacheKafka, settings: Settings
) -> None:
    kafka.create_topic(TRADES, 3)
    with following(settings, "trades") as resident:
        for partition in range(3):
            send(kafka, range(100 * partition, 100 * partition + 10), partition)
        wait_for(30, settings, 40)
        kafka.signal(signal.SIGSTOP)
        threading.Timer(8.0, kafka.signal, (signal.SIGCONT,)).start()
        for partition in range(3):
            send(kafka, range(100 * partition + 10, 100 * partition + 20), partition)
        wait_for(60, settings, 40)
        kafka.kill()
        time.sleep(3)
        kafka.start()
        for partition in range(3):
            send(kafka, range(100 * partition + 20, 100 * partition + 30), partition)
        wait_for(90, settings, 60)
        resident.send_signal(signal.SIGINT)
        assert resident.wait(30) == 0
    assert landed(settings) == {
        (kafka.unit(TRADES, partition), number): 100 * partition + number
        for partition in range(3)
        for number in range(30)
    }
