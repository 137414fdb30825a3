"""The record of a topic: written once, read as it was, told apart by cluster and incarnation."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lake import origins
from lake.layout import layout
from lake.origins import Origin, OriginBroken
from lake.settings import Settings

TRADES = Origin("a-b_c", "market.trades.v1", "id-1", {0: 5, 2: 7})


def test_the_first_to_write_a_topic_down_is_believed(lake: Settings) -> None:
    assert origins.newest(layout(lake), TRADES.cluster, TRADES.topic) is None
    first = origins.record(layout(lake), TRADES)
    assert replace(first, first_read_at="") == TRADES
    assert datetime.fromisoformat(first.first_read_at).tzinfo == UTC
    assert origins.record(layout(lake), replace(TRADES, topic_id="id-2")) == first
    assert origins.newest(layout(lake), TRADES.cluster, TRADES.topic) == first


def test_clusters_and_topics_have_records_of_their_own(lake: Settings) -> None:
    for other in (replace(TRADES, cluster="a-b"), replace(TRADES, topic="market.trades")):
        origins.record(layout(lake), other)
    assert origins.newest(layout(lake), TRADES.cluster, TRADES.topic) is None


def test_of_eleven_incarnations_the_eleventh_is_the_newest(lake: Settings) -> None:
    for number in range(1, 12):
        origins.record(layout(lake), replace(TRADES, incarnation=number, topic_id=f"id-{number}"))
    newest = origins.newest(layout(lake), TRADES.cluster, TRADES.topic)
    assert newest is not None
    assert (newest.incarnation, newest.topic_id) == (11, "id-11")
    assert newest.unit(3) == "kafka:a-b_c/market.trades.v1~11/3"


def test_the_first_incarnation_counts_under_the_topics_bare_name() -> None:
    assert TRADES.unit(0) == "kafka:a-b_c/market.trades.v1/0"


def test_a_forgotten_cluster_takes_no_other_with_it(lake: Settings) -> None:
    kept = origins.record(layout(lake), replace(TRADES, cluster="kept"))
    origins.record(layout(lake), TRADES)
    origins.forget(layout(lake), TRADES.cluster)
    assert origins.newest(layout(lake), TRADES.cluster, TRADES.topic) is None
    assert origins.newest(layout(lake), "kept", TRADES.topic) == kept


def test_a_record_that_cannot_be_understood_is_named(lake: Settings) -> None:
    origins.record(layout(lake), TRADES)
    (path,) = layout(lake).root.glob("ledger/topics/**/*.json")
    for content in (b"", b"{}", b'{"starts": 3}'):
        path.write_bytes(content)
        with pytest.raises(OriginBroken, match=f"^{path}: not the record of a topic"):
            origins.newest(layout(lake), TRADES.cluster, TRADES.topic)
