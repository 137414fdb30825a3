"""The resident process: lands records as they come, in one process or many.

Several of them, on one machine or more, divide the topic-partitions among themselves (a Kafka
consumer group per dataset). What a batch starts from is always the table: one that was given a
partition reads on from where the table stands, and one that slept while another took over is
refused by the table, forgets what it had, and joins again.
"""

import time
from collections.abc import Generator
from contextlib import ExitStack, closing

import structlog

from contracts.base import Contract
from ingestion.dead_letters import sending
from ingestion.land import Landing, Progress, steps
from ingestion.sources.kafka import KafkaSource
from ingestion.sources.kafka_origin import TopicGone
from ingestion.speed.hearing import Taken
from ingestion.speed.resident import SpeedLayer
from lake.bronze import BronzeWriter, PositionTaken
from lake.kafka_client import BrokerUnreachable, Topics
from lake.layout import layout
from lake.locks import Busy, held
from lake.settings import Settings

log = structlog.get_logger()

# Between looks at the topics when none of them had a batch ready: while records come, and else.
BUSY_SECONDS = 0.005
IDLE_SECONDS = 0.02
ONE_SHOT_SECONDS = 600.0  # a landing that only catches up is waited for
LONGEST_PAUSE_SECONDS = 30.0

# What passes, or is the business of others: start again from where the table stands.
PASSING = (PositionTaken, BrokerUnreachable, TopicGone)


def follow_topics(
    settings: Settings,
    contracts: list[Contract],
    progress: Progress | None,
    taken: Taken | None = None,
) -> list[Landing]:
    """Land all topics as records come, until interrupted; a turn for each dataset in a circle.

    Beside it the speed layer makes candles, and calls `taken` when records are in them.

    Raises BrokerUnreachable when no broker answers at the start; later on it is waited for.
    """
    topics = Topics(settings)
    with ExitStack() as stack:
        for contract in contracts:
            _share_lock(stack, settings, contract)
        buffer_mb = settings.kafka_buffer_mb / len(contracts)
        speed = stack.enter_context(SpeedLayer(settings, contracts, taken))
        turns = [
            _Turn(settings, contract, topics, buffer_mb, progress, speed) for contract in contracts
        ]
        for turn in turns:
            stack.enter_context(closing(turn))
        known = topics.known
        log.info("following", cluster=known.cluster, datasets=len(contracts))
        stack.enter_context(sending(settings, [contract.dataset for contract in contracts]))
        try:
            while True:
                landed = [turn.take() for turn in turns]
                if not any(landed):
                    is_busy = any(turn.source.pending for turn in turns)
                    time.sleep(BUSY_SECONDS if is_busy else IDLE_SECONDS)
                topics.refresh()
        except KeyboardInterrupt:
            log.info("stopped", reason="interrupted")
    return [turn.landing for turn in turns]


def _share_lock(stack: ExitStack, settings: Settings, contract: Contract) -> None:
    """Keep landings that only catch up away from the dataset; other residents may share it."""
    lock = layout(settings).lock(f"ingest.{contract.dataset}")
    try:
        stack.enter_context(held(lock, shared=True))
    except Busy as busy:
        log.info("waiting", reason=str(busy))
        stack.enter_context(held(lock, wait_s=ONE_SHOT_SECONDS, shared=True))


class _Turn:
    """One dataset of the resident process, with the handle on its table."""

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        topics: Topics,
        buffer_mb: float,
        progress: Progress | None,
        speed: SpeedLayer,
    ) -> None:
        self.landing = Landing(contract.dataset)
        self.writer = BronzeWriter(contract, layout(settings), speed.watermarks(contract.dataset))
        self.source = KafkaSource(
            contract,
            settings,
            follow=True,
            topics=topics,
            buffer_mb=buffer_mb,
            hear=speed.hear(contract.dataset),
        )
        self._progress = progress
        self._steps = self._begin()
        self._failures = 0  # since a batch last landed
        self._started_over = 0
        self._not_before = 0.0

    def take(self) -> bool:
        """Land a batch if one is due; returns whether it did."""
        if time.monotonic() < self._not_before:
            return False
        try:
            landed = next(self._steps)
        except PASSING as error:
            self._start_over(error)
            return False
        if landed:
            self._failures = 0
        return landed

    def _begin(self) -> Generator[bool, None, None]:
        return steps(self.source, self.writer, self.landing, self._progress)

    def close(self) -> None:
        """Wait for the batch under way, then leave the group."""
        try:
            self._steps.close()
        except PASSING as error:
            log.warning("not landed", dataset=self.landing.dataset, why=str(error))
        self.source.close()

    def _start_over(self, error: Exception) -> None:
        self._failures += 1
        self._started_over += 1
        pause_s = min(LONGEST_PAUSE_SECONDS, 2.0 ** (self._failures - 1))
        log.warning(
            "starting over from where the table stands",
            dataset=self.landing.dataset,
            why=str(error),
            times=self._started_over,
            pause_s=pause_s,
        )
        self._not_before = time.monotonic() + pause_s
        self.source.start_over()
        self._steps = self._begin()
