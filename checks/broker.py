"""Broker = bronze + lag: what a Kafka broker has of each topic-partition against what has landed.

The lake knows what it consumed; whether that is all, only the broker can say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from checks.account import Account
from lake import delta_log, origins, pins
from lake.kafka_client import (
    BrokerRefused,
    BrokerUnreachable,
    Partition,
    Topics,
)
from lake.kafka_ends import WAIT_S, ends_where_read
from lake.layout import Layout, layout
from lake.settings import Settings

NAME = "broker = bronze + lag"

_POSITIONS = """
select dataset, unit, max(next_position) from ledger.commits
where regexp_full_match(unit, 'kafka:.+/.+/[0-9]+') group by all order by all
"""


@dataclass(frozen=True)
class Landed:
    """What has landed of a topic-partition: `position` is the next offset to land."""

    dataset: str
    where: Partition
    position: int
    starts: int  # the first offset that the broker had when the topic was first read


def broker(settings: Settings) -> list[Account]:
    """A line for each topic-partition that landed from the broker that settings name.

    What waits there is lag, and closes. Open are a position beyond the broker's end, records that
    the broker deleted before they landed, and a topic that was made anew. Where no broker answers
    one closed line says so.
    """
    units = _units(layout(settings))
    if not units or not settings.kafka_bootstrap:
        return []
    asking = settings.model_copy(update={"kafka_timeout_s": min(settings.kafka_timeout_s, WAIT_S)})
    topics = Topics(asking)
    try:
        landed = _landed(layout(settings), units, topics.known.cluster)
        there = [one for one in landed if one.where[1] in _partitions(topics, one.where[0])]
        firsts = topics.first_offsets([one.where for one in there]) if there else {}
        ends = topics.end_offsets([one.where for one in there]) if there else {}
        anew = _made_anew(layout(settings), topics, landed)
    except (BrokerUnreachable, BrokerRefused) as error:
        return [Account(NAME, "not asked", Decimal(0), Decimal(0), Decimal(0), str(error))]
    ahead = {o.where: o.position for o in there if ends[o.where] < o.position}
    ends |= ends_where_read(asking, ahead)
    return [line_of(one, firsts, ends, anew) for one in landed]


def _units(place: Layout) -> list[tuple[str, str, int]]:
    if not delta_log.is_table(place.ledger):
        return []
    with duckdb.connect() as conn:
        conn.execute("create schema ledger")
        pins.create_ledger_view(conn, place)
        return conn.execute(_POSITIONS).fetchall()


def _landed(place: Layout, units: Sequence[tuple[str, str, int]], cluster: str) -> list[Landed]:
    """The units that count in this cluster's topics as they were last accepted."""
    found = []
    for dataset, unit, position in units:
        topic, number = unit.removeprefix(f"kafka:{cluster}/").rsplit("/", 1)
        topic = topic.partition("~")[0]
        origin = origins.newest(place, cluster, topic)
        if origin is not None and origin.unit(int(number)) == unit:
            starts = origin.starts.get(int(number), 0)
            found.append(Landed(dataset, (topic, int(number)), position, starts))
    return found


def _partitions(topics: Topics, topic: str) -> list[int]:
    return topics.known.partitions.get(topic, [])


def _made_anew(place: Layout, topics: Topics, landed: Sequence[Landed]) -> set[str]:
    """Topics whose id is not the one that was landed."""
    names = {one.where[0] for one in landed}
    now = topics.ids(names) if names else {}
    known = {name: origins.newest(place, topics.known.cluster, name) for name in names}
    return {
        name
        for name, origin in known.items()
        if origin and origin.topic_id and now.get(name) and now[name] != origin.topic_id
    }


def line_of(
    one: Landed,
    firsts: Mapping[Partition, int],
    ends: Mapping[Partition, int],
    anew: set[str],
) -> Account:
    """The line of a topic-partition, by what the broker says of its offsets; `anew` are topics that
    are not those that were landed."""
    scope = f"{one.dataset} {one.where[0]}/{one.where[1]}"
    if one.where not in ends:
        return _open(scope, 0, one.position, "the broker has no such topic-partition any more")
    first, end = firsts[one.where], ends[one.where]
    missed = first - max(one.position, one.starts)
    if one.where[0] in anew:
        why = "the topic was deleted and made anew; see `ticklake ingest --accept-recreated`"
        return _open(scope, end, one.position, why)
    if end < one.position:
        why = f"bronze is ahead of the broker: next is {one.position}, the topic ends at {end}"
        return _open(scope, end, one.position, why)
    if missed > 0:
        lost = f"{one.where[0]}/{one.where[1]}:{first - missed}-{first}"
        why = (
            f"the broker deleted {missed} records before they landed; to go on without them: "
            f"ticklake ingest --accept-loss {lost}"
        )
        return Account(NAME, scope, Decimal(end), Decimal(end - missed), Decimal(missed), why)
    lag = end - max(one.position, one.starts)
    told = f"lag {lag:,}: `ticklake ingest` lands it" if lag else ""
    return Account(NAME, scope, Decimal(end), Decimal(end), Decimal(0), told)


def _open(scope: str, end: int, position: int, why: str) -> Account:
    difference = Decimal(end - position) or Decimal(1)
    return Account(NAME, scope, Decimal(end), Decimal(position), difference, why)
