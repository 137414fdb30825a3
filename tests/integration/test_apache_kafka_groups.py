"""Residents that share the partitions of a topic, against Apache Kafka: come, go, die and wake."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from contracts import registry
from ingestion.land import land_topics
from ingestion.produce import Sender
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.apache_kafka import ApacheKafka, require_kafka
from tests.following import following, wait_for

pytestmark = pytest.mark.slow

TRADES = registry.get("trades").topic
PARTITIONS = 6
SENT_MS = 1_759_406_400_000
SESSION_SECONDS = 6.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    require_kafka()
    with ApacheKafka(tmp_path_factory.mktemp("kafka")) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, kafka: ApacheKafka) -> Iterator[Settings]:
    kafka.create_topic(TRADES, PARTITIONS)
    yield load_settings(
        {"LAKE_URI": str(tmp_path / "lake"), "TICKLAKE_KAFKA_BOOTSTRAP": kafka.bootstrap}
    )
    kafka.delete_topic(TRADES)


class Flow:
    """A producer that goes on sending trades, each with a number of its own."""

    def __init__(self, settings: Settings) -> None:
        self.sent = 0
        self._settings = settings
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)

    @contextmanager
    def flowing(self) -> Iterator["Flow"]:
        self._thread.start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> int:
        """Send no more; returns how many were sent in all."""
        self._enough.set()
        self._thread.join()
        return self.sent

    def _send(self) -> None:
        text = (
            '{{"tradeId":"{0}","instrumentId":"I{1}","price":1,"quantity":1,'
            '"timestamp":"2025-10-02T12:00:00Z","buySellIndicator":"B"}}'
        )
        with Sender(self._settings) as sender:
            while not self._enough.wait(0.02):
                numbers = range(self.sent, self.sent + 40)
                sender.send(
                    TRADES,
                    [b"%d" % number for number in numbers],
                    [text.format(number, number % 7).encode() for number in numbers],
                    [SENT_MS] * len(numbers),
                )
                self.sent += len(numbers)


def landed_in(settings: Settings, units: set[str]) -> int:
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    return sum(row["unit"] in units for row in rows)


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def test_three_residents_of_which_one_is_killed_and_one_sleeps_land_each_record_once(
    settings: Settings, kafka: ApacheKafka
) -> None:
    """The sleeper wakes after another took its partitions over, with a batch in its hands."""
    with ExitStack() as stack:
        flow = stack.enter_context(Flow(settings).flowing())
        first, killed, sleeper = (
            stack.enter_context(following(settings, "trades")) for _ in range(3)
        )
        wait_for(2_000, settings, 60)
        time.sleep(SESSION_SECONDS)  # all three have joined
        killed.kill()
        time.sleep(2 * SESSION_SECONDS)
        sleeper.send_signal(signal.SIGSTOP)
        time.sleep(2 * SESSION_SECONDS)
        sleeper.send_signal(signal.SIGCONT)
        time.sleep(SESSION_SECONDS)
        sent = flow.stop()
        wait_for(sent, settings, 30)
        said = []
        for process in (first, sleeper):
            process.send_signal(signal.SIGINT)
            said.append(process.communicate(timeout=30)[0])
            assert process.returncode == 0
    print(*said, sep="\n=====\n")
    rows = bronze_rows.rows(layout(settings).bronze("trades"))
    assert sorted(int(row["trade_id"]) for row in rows) == list(range(sent))
    assert len({(row["unit"], row["position"]) for row in rows}) == sent
    assert sum(landing.ok for landing in land_topics(settings)) == 0
