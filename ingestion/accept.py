"""Going on after a loss, or with a topic that was made anew: only when somebody says so.

What is accepted is checked against the table and the broker first, and is written where it stays:
a loss as a commit of no rows over the offsets that are gone, a new topic beside the old record.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from contracts import registry
from contracts.base import Contract
from ingestion.batch import Batch
from ingestion.land import land_batch
from ingestion.sources.kafka_origin import starts_of
from ingestion.sources.kafka_records import Pending
from ingestion.wire import decode_wire
from lake import origins
from lake.bronze import BronzeWriter, Commit, Span
from lake.kafka_client import Topics
from lake.layout import layout
from lake.locks import held
from lake.settings import Settings

log = structlog.get_logger()

LOST = "lost:"  # before the topic's name, it is the source of a commit that records a loss
WAIT_SECONDS = 10.0


class NotAccepted(RuntimeError):
    """What was to be accepted is not so; nothing was changed."""


@dataclass(frozen=True)
class Loss:
    """Offsets [first, next) of a topic-partition that the broker no longer has."""

    topic: str
    partition: int
    first: int
    next: int

    @classmethod
    def of(cls, text: str) -> "Loss":
        """From TOPIC/PARTITION:FROM-TO, TO excluded. Raises NotAccepted."""
        found = re.fullmatch(r"([\w.-]+)/(\d+):(\d+)-(\d+)", text)
        if found is None or int(found[3]) >= int(found[4]):
            raise NotAccepted(
                f"{text}: a loss is written TOPIC/PARTITION:FROM-TO with TO behind the last lost "
                "offset, as the message of the landing that stopped has it"
            )
        return cls(found[1], int(found[2]), int(found[3]), int(found[4]))


def accept_losses(settings: Settings, losses: Sequence[Loss]) -> list[Commit]:
    """Record that offsets are gone for good; the next landing goes on behind them.

    Raises NotAccepted where the table does not stand at the first of them, or where the broker
    still has one: what is there is never skipped.
    """
    topics = Topics(settings)
    commits = []
    for loss in losses:
        contract = _contract_of(loss.topic)
        with held(layout(settings).lock(f"ingest.{contract.dataset}"), wait_s=WAIT_SECONDS):
            commits.append(_accept(settings, contract, topics, loss))
        log.warning("loss recorded", topic=loss.topic, partition=loss.partition,
                    first=loss.first, next=loss.next)  # fmt: skip
    return commits


def accept_recreated(settings: Settings, topic: str) -> None:
    """Let a topic that was deleted and made anew land from its beginning, as units of its own.

    What was landed of the old one stays. Raises NotAccepted where the topic is not a new one.
    """
    _contract_of(topic)
    topics = Topics(settings)
    cluster, now = topics.known.cluster, topics.ids([topic])
    known = origins.newest(layout(settings), cluster, topic)
    if topic not in now:
        raise NotAccepted(f"{topic}: the broker has no such topic")
    if known is None:
        raise NotAccepted(f"{topic} was never landed: nothing has to be accepted")
    if now[topic] in ("", known.topic_id):
        raise NotAccepted(f"{topic} is the topic that is landed already (id {known.topic_id})")
    anew = replace(
        known,
        topic_id=now[topic],
        incarnation=known.incarnation + 1,
        starts=starts_of(topics, topic),
    )
    origins.record(layout(settings), anew)
    log.warning("new topic accepted", topic=topic, was=known.topic_id, now=anew.topic_id)


def _accept(settings: Settings, contract: Contract, topics: Topics, loss: Loss) -> Commit:
    where = (loss.topic, loss.partition)
    known = origins.newest(layout(settings), topics.known.cluster, loss.topic)
    if known is None or topics.ids([loss.topic]).get(loss.topic) != known.topic_id:
        raise NotAccepted(f"{loss.topic} is not the topic that was landed; nothing was recorded")
    writer = BronzeWriter(contract, layout(settings))
    unit = known.unit(loss.partition)
    stands = writer.next_position(unit)
    if max(stands, known.starts.get(loss.partition, 0)) != loss.first:
        raise NotAccepted(f"{where}: the table stands at {stands}, not at {loss.first}")
    kept = topics.first_offsets([where])[where]
    if loss.next > kept:
        raise NotAccepted(
            f"{loss.topic}/{loss.partition}: the broker still has the records from {kept} on; "
            f"only {loss.first}-{kept} can be given up"
        )
    return land_batch(writer, _nothing(contract, loss, Span(unit, stands, loss.next, 0), settings))


def _nothing(contract: Contract, loss: Loss, span: Span, settings: Settings) -> Batch:
    pending = Pending()
    pending.add([])
    records = pending.records()
    return Batch(
        contract=contract,
        source=f"{LOST}{loss.topic}",
        provenance=pending.provenance({loss.partition: span.unit}),
        spans=[span],
        raw=lambda places: [records[place] for place in places],
        decode=lambda: decode_wire(contract, records, settings.max_record_bytes),
    )


def _contract_of(topic: str) -> Contract:
    for contract in registry.all_contracts().values():
        if topic in (contract.topic, *contract.aliases):
            return contract
    raise NotAccepted(f"{topic} is no topic of a dataset; docs/contracts.md lists them")
