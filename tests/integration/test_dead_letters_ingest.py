"""Dead letters of `ticklake ingest`, once and resident, to the embedded broker and a real one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Message, Producer

from tests.apache_kafka import ApacheKafka, require_kafka
from tests.embedded_broker import Broker
from tests.kafka_log import messages_of
from tests.listening import trade

REPOSITORY = Path(__file__).resolve().parents[2]
TOPIC = "market.trades.v1"
LETTERS = f"{TOPIC}.dlq"
PATIENCE_SECONDS = 90.0


@pytest.fixture(
    params=["embedded", pytest.param("apache", marks=pytest.mark.slow)], ids=["embedded", "apache"]
)
def kafka(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker | ApacheKafka]:
    """Both kinds of broker, without topics."""
    if request.param == "apache":
        require_kafka()
    made = Broker() if request.param == "embedded" else ApacheKafka(tmp_path / "kafka")
    with made as started:
        yield started


class House:
    """A lake that lands trades from a broker by the command, letters switched on."""

    def __init__(self, root: Path, broker: Broker | ApacheKafka) -> None:
        self.broker = broker
        self.command = [sys.executable, "-m", "ticklake.cli", "ingest", "-d", "trades"]
        self.environment = {
            **os.environ,
            "LAKE_URI": str(root),
            "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap,
            "TICKLAKE_BATCH_SECONDS": "0.2",
            "TICKLAKE_DEAD_LETTERS": "on",
        }

    def send(self, *values: bytes) -> None:
        client = {"bootstrap.servers": self.broker.bootstrap, "message.max.bytes": 10_000_000}
        producer = Producer({**client, "log_level": 0})
        for value in values:
            producer.produce(TOPIC, value, partition=0)
        assert producer.flush(30) == 0

    def ingest(self) -> None:
        """Land what there is, and end."""
        done = subprocess.run(
            self.command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def following(self) -> Iterator[None]:
        """A resident, stopped in order at the end."""
        command = [*self.command, "--follow"]
        process = subprocess.Popen(command, cwd=REPOSITORY, env=self.environment)
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()

    def letters(self) -> list[Message]:
        """What is in the topic of letters, aborted transactions left out."""
        return messages_of(self.broker.bootstrap, LETTERS)

    def wait_for(self, letters: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found := self.letters()) < letters:
            assert time.monotonic() < deadline, f"{len(found)} of {letters} letters"
            time.sleep(0.2)


def headers(letter: Message) -> Mapping[str, str]:
    return {name: value.decode() for name, value in letter.headers() or ()}


def places(letters: list[Message]) -> list[tuple[int, bytes]]:
    """Position and bytes of each, in the order of the topic."""
    return [(int(headers(letter)["position"]), letter.value() or b"") for letter in letters]


def test_each_rejected_record_arrives_once_whether_it_was_landed_by_the_resident_or_not(
    kafka: Broker | ApacheKafka, tmp_path: Path
) -> None:
    house = House(tmp_path / "lake", kafka)
    kafka.create_topic(TOPIC)
    house.send(trade(0), b"one", trade(2))
    house.ingest()
    assert places(house.letters()) == [(1, b"one")]
    with house.following():
        house.send(trade(3), b"two", b"three")
        house.wait_for(3)
    house.send(b"four")  # nobody is there
    house.ingest()
    found = house.letters()
    assert places(found) == [(1, b"one"), (4, b"two"), (5, b"three"), (6, b"four")]
    assert {headers(letter)["unit"] for letter in found} == {kafka.unit(TOPIC, 0)}
    assert {headers(letter)["code"] for letter in found} == {"PARSE_ERROR"}


@pytest.mark.slow
@pytest.mark.parametrize("largest", [20_000, 1_048_588])
def test_of_a_record_too_large_for_the_topic_its_length_arrives_and_all_of_its_neighbours(
    tmp_path: Path, largest: int
) -> None:
    """A topic may take less than one batch of the client holds, and still most of its records."""
    require_kafka()
    rng = random.Random(largest)
    small = [b"?" + rng.randbytes(largest // 20) for _ in range(40)]
    large = b"?" + rng.randbytes(largest * 2)
    sent = [*small[:20], large, *small[20:]]
    with ApacheKafka(tmp_path / "kafka") as kafka:
        house = House(tmp_path / "lake", kafka)
        kafka.create_topic(TOPIC, config={"max.message.bytes": "10000000"})
        kafka.create_topic(LETTERS, config={"max.message.bytes": str(largest)})
        house.send(*sent)
        house.ingest()
        house.ingest()
        found = house.letters()
    expected = [(n, b"" if value is large else value) for n, value in enumerate(sent)]
    assert [n for n, _ in places(found)] == list(range(41))
    assert [n for n, value in places(found) if not value] == [20]
    assert places(found) == expected
    assert [headers(one).get("bytes") for one in found if "bytes" in headers(one)] == [
        str(len(large))
    ]
