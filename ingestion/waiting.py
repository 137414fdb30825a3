"""What waits to be landed: rows of inbox files, records of topics. Looking changes nothing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from contracts import registry
from contracts.base import Contract
from ingestion.feeds.mapping import FileRefused
from ingestion.sources.files import inbox_sources
from lake import delta_log, locks, origins
from lake.delta_table import Table
from lake.kafka_client import Partition, Topics
from lake.kafka_ends import ends_where_read
from lake.layout import Layout, layout
from lake.settings import Settings


@dataclass(frozen=True)
class Waiting:
    """What a landing would take up from one place, a file or a topic-partition.

    `records` are rows of a file; of a topic they are offsets, which a broker may have left holes
    in. `note` says who holds the dataset, or why the file would be refused.
    """

    dataset: str
    where: str
    records: int
    note: str = ""


class Positions:
    """The positions of one dataset's bronze table, which need not be there yet."""

    def __init__(self, place: Layout, dataset: str) -> None:
        root = place.bronze(dataset)
        self._table = Table(root) if delta_log.is_table(root) else None

    def __call__(self, unit: str) -> int:
        """The first position of `unit` that is not landed; 0 for a new unit."""
        return (self._table.transaction_version(unit) or 0) if self._table else 0


def waiting_files(
    settings: Settings, day: date | None = None, datasets: Collection[str] = ()
) -> list[Waiting]:
    """Files of the inbox (of one day, or all) that are not landed, or not to their end.

    Reads every file as landing does. Raises FeedError for a folder that is no feed.
    """
    found = []
    for contract, source in inbox_sources(settings, day):
        if datasets and contract.dataset not in datasets:
            continue
        where, positions = str(source.path), Positions(layout(settings), contract.dataset)
        try:
            rows = source.waiting(positions)
        except FileRefused as refused:
            found.append(Waiting(contract.dataset, where, 0, f"would be refused: {refused}"))
            continue
        if rows:
            found.append(Waiting(contract.dataset, where, rows))
    return found


def waiting_topics(settings: Settings, datasets: Iterable[str] = ()) -> list[Waiting]:
    """Topic-partitions with records that are not landed. Without a broker in the settings: none.

    Raises BrokerUnreachable and BrokerRefused.
    """
    if not settings.kafka_bootstrap:
        return []
    contracts = [registry.get(name) for name in datasets] or list(registry.all_contracts().values())
    topics = Topics(settings)
    of = {where: contract for contract in contracts for where in topics.of(contract)}
    firsts = topics.first_offsets(of) if of else {}
    begins = {
        where: max(_position(settings, contract, topics.known.cluster, where), firsts[where])
        for where, contract in of.items()
    }
    ends = ends_where_read(settings, begins)
    found = []
    for where, contract in of.items():
        records = ends.get(where, begins[where]) - begins[where]
        if records > 0:
            held_by = locks.holder(layout(settings).lock(f"ingest.{contract.dataset}"))
            note = f"left to another process: {held_by}" if held_by else ""
            found.append(Waiting(contract.dataset, f"{where[0]}/{where[1]}", records, note))
    return found


def _position(settings: Settings, contract: Contract, cluster: str, where: Partition) -> int:
    origin = origins.newest(layout(settings), cluster, where[0])
    if origin is None:
        return 0
    return Positions(layout(settings), contract.dataset)(origin.unit(where[1]))
