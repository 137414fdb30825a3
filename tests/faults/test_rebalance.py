"""Two and three residents share a topic; they come, go, die and sleep: each record lands once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ingestion.land import land_topics
from lake.settings import PROJECT
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS, messages
from tests.faults.world import World
from tests.following import following, wait_for, wait_for_line

PARTITIONS = 6
SESSION_SECONDS = 6.0  # of silence, after which the broker gives a resident's partitions away
SEEDS = min(2, int(os.environ.get("TICKLAKE_SEEDS", "1")))  # a minute each
READ_AND_SLEEP = """
import os, signal
from contracts import registry
from ingestion.land import land_batch
from ingestion.sources.kafka import KafkaSource
from lake.bronze import BronzeWriter, PositionTaken
from lake.layout import layout
from lake.settings import load_settings

settings = load_settings()
writer = BronzeWriter(registry.get("trades"), layout(settings))
source = KafkaSource(registry.get("trades"), settings, follow=False)
batch = next(batch for batch in source.batches(writer.next_position) if batch is not None)
os.kill(os.getpid(), signal.SIGSTOP)
try:
    land_batch(writer, batch)
    print("landed")
except PositionTaken as refused:
    print("refused:", refused)
"""


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> World:
    """An empty topic of six partitions and an empty lake."""
    broker.create_topic(TOPICS["trades"], PARTITIONS)
    return World(broker, "trades", tmp_path / "lake", PARTITIONS, [])


class Residents:
    """Resident processes over one topic that a test feeds bit by bit."""

    def __init__(self, world: World, stack: ExitStack, seed: int) -> None:
        self.world = world
        self.stack = stack
        self.seed = seed
        self.living: list[subprocess.Popen[str]] = []

    def join(self) -> None:
        """One more; it has its share when this returns."""
        process = self.stack.enter_context(following(self.world.settings, "trades"))
        wait_for_line(process, "partitions assigned", 60)
        self.living.append(process)

    def feed(self, count: int = 60) -> None:
        """Send more records, to every partition."""
        self.seed += 1
        self.world.send(messages(self.seed, "trades", count, PARTITIONS))

    def land(self, seconds: float = 60) -> None:
        """Wait until all that was sent is in bronze, and see that it is right."""
        wait_for(len(self.world.sent), self.world.settings, seconds)
        assert self.world.wrong() == []

    def take(self, place: int) -> "subprocess.Popen[str]":
        """One of them, who is on his own from now on."""
        return self.living.pop(place)

    def send_home(self) -> int:
        """Stop them in order; the number of records that those who lived to the end landed."""
        for process in self.living:
            process.send_signal(signal.SIGINT)
        landed = 0
        for process in self.living:
            out, _ = process.communicate(timeout=30)
            assert process.returncode == 0
            landed += int(out.splitlines()[-1])
        return landed


@pytest.fixture
def residents(world: World) -> Iterator[Residents]:
    with ExitStack() as stack:
        yield Residents(world, stack, 40)


@pytest.mark.slow
def test_a_second_resident_takes_its_share_and_the_first_goes_on_when_it_leaves(
    residents: Residents,
) -> None:
    residents.join()
    residents.feed()
    residents.land()
    residents.join()
    residents.feed()
    residents.land()
    leaving = residents.take(1)
    leaving.send_signal(signal.SIGINT)
    residents.feed()
    out, _ = leaving.communicate(timeout=30)
    residents.feed()
    residents.land()
    second = int(out.splitlines()[-1])
    assert second > 0
    assert residents.send_home() + second == len(residents.world.sent)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_three_residents_that_come_go_die_and_sleep_land_each_record_once(
    seed: int, residents: Residents
) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        residents.join()
    residents.feed()
    residents.land()
    blows = ["kill", "sleep", "leave", "join"]
    rng.shuffle(blows)
    for blow in blows:
        residents.feed()
        if blow == "join":
            residents.join()
            continue
        while len(residents.living) < 2:  # somebody has to take over
            residents.join()
        struck = residents.take(rng.randrange(len(residents.living)))
        number = {"kill": signal.SIGKILL, "sleep": signal.SIGSTOP, "leave": signal.SIGINT}[blow]
        struck.send_signal(number)
        residents.feed()
        if blow == "sleep":
            residents.land()  # by the others: longer than the session
            time.sleep(SESSION_SECONDS / 2)
            struck.send_signal(signal.SIGCONT)
            residents.living.append(struck)
            residents.feed()
        elif blow == "leave":
            assert struck.wait(30) == 0
        residents.land()
    residents.send_home()
    assert land_topics(residents.world.settings, ("trades",))[0].batches == 0


def test_a_stopped_writer_woken_after_another_took_over_is_refused(world: World) -> None:
    world.send(messages(5, "trades", 40, PARTITIONS))
    process = subprocess.Popen(
        [sys.executable, "-c", READ_AND_SLEEP],
        cwd=PROJECT,
        env={**os.environ, **world.environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    (landing,) = land_topics(world.settings, ("trades",))
    assert landing.ok + landing.rejected == 40
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=30)
    assert out.startswith("refused: ")
    assert "trades" in out
    assert world.wrong() == []
