"""Dead letters: rejected records of Kafka, sent to a topic of their own once they are durable.

Bronze is where they are kept; the topic is a copy for those who listen. Sending comes after
landing, reads the table and may fail at any time: what was not sent is sent the next time.
docs/quarantine.md says what holds.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5
from typing import Any

import duckdb
import pyarrow as pa
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from contracts import registry
from contracts.base import Contract
from contracts.derive.arrow import REJECTED
from ingestion.dead_letter_marks import PARTITION, Mark, load, save, told_by_topic
from lake import commits
from lake.commits import Rejecting
from lake.durable import fault_point
from lake.files import data_files, literal, relation
from lake.kafka_client import BrokerUnreachable, ask, client_config
from lake.layout import layout
from lake.ledger import bronze_version
from lake.locks import Busy, held
from lake.settings import Settings

log = structlog.get_logger()

KAFKA = "kafka:"
SECONDS = 5.0  # between two looks of a resident
GROUP_LETTERS = 10_000  # in one transaction; never less than a commit's
POLL_SECONDS = 0.1
MILLISECOND = timedelta(milliseconds=1)  # a compaction's log cuts the rest of a moment off
LARGEST_BYTES = 1_000_000_000  # it is the broker that says what is too large

_LETTER = pa.schema(
    [
        ("batch", pa.string()),
        ("unit", pa.string()),
        ("position", pa.int64()),
        ("reject_code", pa.string()),
        ("reject_message", pa.string()),
        ("contract_version", pa.int32()),
        ("raw", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Delivery:
    """What was sent for one dataset; `trouble` says why it stopped, if it did."""

    dataset: str
    topic: str
    sent: int
    trouble: str = ""


@dataclass(frozen=True)
class _Letter:
    """A rejected record with the version of the commit that landed it."""

    version: int
    batch: str
    unit: str
    position: int
    code: str
    message: str
    contract_version: int
    raw: bytes

    def headers(self) -> dict[str, Any]:
        """What stands beside the record's own bytes."""
        return {
            "unit": self.unit,
            "position": str(self.position),
            "code": self.code,
            "message": self.message or "",
            "contract_version": str(self.contract_version),
            "batch": self.batch,
        }


def topic_of(settings: Settings, contract: Contract) -> str:
    """Where a dataset's letters go: `<topic>.dlq`, or what TICKLAKE_DEAD_LETTER_TOPICS says."""
    return settings.dead_letter_names.get(contract.dataset, f"{contract.topic}.dlq")


def send_new(settings: Settings, datasets: Sequence[str] = ()) -> list[Delivery]:
    """Send what was rejected since the last letter, of the datasets (all, if none is named).

    Does nothing unless TICKLAKE_DEAD_LETTERS is on. A broker in trouble is a warning and no error:
    landing has done its part, and the next call sends what this one could not. A dataset that
    another process is sending is left to it. One entry per dataset with letters or in trouble.
    """
    if not settings.dead_letters or not settings.kafka_bootstrap:
        return []
    found = []
    for name in datasets or registry.all_contracts():
        try:
            with held(layout(settings).lock(f"dead_letters.{name}")):
                found.append(_Postman(settings, registry.get(name)).deliver())
        except Busy:
            continue
    return [delivery for delivery in found if delivery.sent or delivery.trouble]


@contextmanager
def sending(settings: Settings, datasets: Sequence[str] = ()) -> Iterator[None]:
    """Send every few seconds, aside, for as long as the block lasts."""
    if not settings.dead_letters:
        yield
        return
    ended = threading.Event()

    def go_round() -> None:
        while not ended.wait(SECONDS):
            try:
                send_new(settings, datasets)
            except Exception:  # landing goes on, whatever becomes of the letters
                log.warning("dead letters wait", exc_info=True)

    thread = threading.Thread(target=go_round, name="dead letters", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(SECONDS)


class _Postman:
    """Sends one dataset's letters in their order: version of the commit, unit, position."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self.settings = settings
        self.dataset = contract.dataset
        self.layout = layout(settings)
        self.topic = topic_of(settings, contract)
        self.sent = 0
        self._in_batches = True

    def deliver(self) -> Delivery:
        """Send everything there is, as far as the broker takes it."""
        trouble = ""
        try:
            self._deliver()
        except (KafkaException, BrokerUnreachable) as error:
            trouble = error.args[0].str() if isinstance(error, KafkaException) else str(error)
            log.warning("dead letters wait", topic=self.topic, sent=self.sent, why=trouble)
        return Delivery(self.dataset, self.topic, self.sent, trouble)

    def _deliver(self) -> None:
        mark = load(self.layout, self.dataset, self.topic)
        news = commits.rejecting(self.layout, self.dataset, max(mark.version, 0), KAFKA)
        news = [commit for commit in news if not mark.covers(commit.version)]
        if not news:
            return
        cluster = self._cluster()
        self._producer = self._new_producer()
        versions = {commit.batch: commit.version for commit in news}
        mark = told_by_topic(self.settings, self.topic, cluster, mark, versions)
        for group in _groups([commit for commit in news if not mark.covers(commit.version)]):
            letters = [
                letter
                for letter in self._letters(group)
                if mark.is_before(letter.version, letter.unit, letter.position)
            ]
            offset = self._send(letters) if letters else mark.offset
            self.sent += len(letters)
            fault_point("dead_letters.sent")
            mark = Mark(group[-1].version, None, cluster, offset)
            save(self.layout, self.dataset, self.topic, mark)
            fault_point("dead_letters.marked")

    def _cluster(self) -> str:
        """The cluster that is sent to. The topic is there when this returns."""
        admin = AdminClient(client_config(self.settings))
        known = ask(admin, self.settings)
        if self.topic not in known.topics:
            _create(admin, self.topic, self.settings.kafka_timeout_s)
        return known.cluster_id or ""

    def _new_producer(self) -> Producer:
        """A producer that shuts out any before it."""
        lake = md5(str(self.layout.root).encode()).hexdigest()[:8]
        facts = {
            **client_config(self.settings),
            "transactional.id": f"{self.settings.kafka_group}.dead.{self.dataset}.{lake}",
            "compression.codec": self.settings.kafka_compression,
            "message.max.bytes": LARGEST_BYTES,
            "linger.ms": 5,
        }
        producer = Producer(facts if self._in_batches else {**facts, "batch.num.messages": 1})
        producer.init_transactions(self.settings.kafka_timeout_s)
        return producer

    def _letters(self, group: list[Rejecting]) -> list[_Letter]:
        """The letters of some commits that follow each other, in their order."""
        earliest = min(commit.committed_at for commit in group)
        version = bronze_version(self.layout, self.dataset)
        assert version is not None
        files = data_files(self.layout.bronze(self.dataset), version)
        files = files.filter(
            (files["partition.verdict"] == REJECTED)
            & (files["max.ingest_ts"].fill_null(earliest) >= earliest - MILLISECOND)
        )
        landed = ", ".join(f"({literal(c.batch)}, {c.version})" for c in group)
        with duckdb.connect() as conn:
            found = conn.execute(
                f"select c.version, {', '.join(f'r.{name}' for name in _LETTER.names)} "
                f"from {relation(files['path'].to_list(), _LETTER)} as r "
                f"join (values {landed}) as c (batch, version) on r.batch = c.batch "
                f"where starts_with(r.unit, '{KAFKA}') order by c.version, r.unit, r.position"
            ).fetchall()
        return [_Letter(*row) for row in found]

    def _send(self, letters: list[_Letter]) -> int:
        """Send them in one transaction; returns the offset of the last.

        A record that the broker finds too large goes without its bytes, which bronze keeps. It
        judges batches, so which one that is shows only when each is sent alone.
        """
        too_large: set[int] = set()
        for _ in range(3):
            answers = self._transaction(self._producer, letters, too_large)
            refused = {place: error for place, (error, _) in answers.items() if error}
            if not refused:
                self._producer.commit_transaction(self.settings.kafka_delivery_timeout_s)
                return max(offset for _, offset in answers.values())
            self._producer.abort_transaction(self.settings.kafka_timeout_s)
            sizes = {place for place, error in refused.items()
                     if error.code() == KafkaError.MSG_SIZE_TOO_LARGE}  # fmt: skip
            if sizes and self._in_batches:
                self._in_batches = False
                self._producer = self._new_producer()
            else:
                too_large |= sizes
        raise KafkaException(next(iter(refused.values())))

    def _transaction(
        self, producer: Producer, letters: list[_Letter], too_large: set[int]
    ) -> dict[int, tuple[KafkaError | None, int]]:
        """Begin a transaction and send; returns the broker's answer to each letter."""
        answers: dict[int, tuple[KafkaError | None, int]] = {}
        producer.begin_transaction()
        for place, letter in enumerate(letters):

            def note(error: KafkaError | None, sent: Message, place: int = place) -> None:
                answers[place] = (error, sent.offset())

            headers, value = letter.headers(), letter.raw
            if place in too_large:
                headers, value = {**headers, "bytes": str(len(value))}, b""
            while True:
                try:
                    producer.produce(
                        self.topic, value, None, PARTITION, note, headers=list(headers.items())
                    )
                    break
                except BufferError:
                    producer.poll(POLL_SECONDS)
            fault_point("dead_letters.produced")
        unanswered = producer.flush(self.settings.kafka_delivery_timeout_s)
        if unanswered:
            raise BrokerUnreachable(
                f"{unanswered} dead letters were not confirmed by {self.settings.kafka_bootstrap} "
                f"within {self.settings.kafka_delivery_timeout_s:g} s; they are sent the next time"
            )
        return answers


def _groups(found: list[Rejecting]) -> Iterator[list[Rejecting]]:
    """Commits that follow each other, with about GROUP_LETTERS letters together."""
    group: list[Rejecting] = []
    for commit in found:
        group.append(commit)
        if sum(one.rejected for one in group) >= GROUP_LETTERS:
            yield group
            group = []
    if group:
        yield group


def _create(admin: AdminClient, topic: str, seconds: float) -> None:
    """Make the topic, of one partition; another process may be faster."""
    try:
        admin.create_topics([NewTopic(topic, 1)])[topic].result(timeout=seconds)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
