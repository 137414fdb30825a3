"""Published versions of the contracts and what may change between them."""

import copy
from typing import Any

import pytest

from contracts import registry
from contracts.registry import breaking_changes, load_version, snapshot

DATASETS = sorted(registry.all_contracts())


TOPICS = {  # features.md, records and V7
    "quotes": "market.quotes.v1 inventory-rows",
    "securities": "reference.securities.v1 master-security",
    "trades": "market.trades.v1 trax-trades trade-events",
    "orders": "market.orders.v1",
    "market_data": "market.data.v1 market_data",
    "positions": "risk.positions.v1 trading_positions",
    "book_updates": "market.book.v1 order_book_updates",
    "posts": "social.posts.v1",
    "bars": "market.bars.v1",
    "alerts": "price_alerts volume_spikes risk_alerts order_imbalance_alerts "
    "arbitrage_opportunities",
}


def test_the_ten_records_have_contracts_and_every_topic_finds_its_own() -> None:
    assert set(DATASETS) == set(TOPICS)
    for dataset, topics in TOPICS.items():
        contract = registry.get(dataset)
        assert [contract.topic, *contract.aliases] == topics.split()
        for topic in topics.split():
            assert registry.for_topic(topic) is contract


def test_no_two_records_share_a_topic() -> None:
    contracts = registry.all_contracts().values()
    topics = [topic for c in contracts for topic in (c.topic, *c.aliases)]
    assert len(set(topics)) == len(topics)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_model_is_its_newest_published_version(dataset: str) -> None:
    contract = registry.get(dataset)
    assert load_version(dataset, contract.version) == snapshot(contract)


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_version_is_published_beyond_the_model(dataset: str) -> None:
    published = {path.name for path in registry.VERSIONS.glob(f"{dataset}.v*.json")}
    version = registry.get(dataset).version
    assert published == {f"{dataset}.v{number}.json" for number in range(1, version + 1)}


@pytest.mark.parametrize("dataset", DATASETS)
def test_each_version_takes_every_record_of_the_one_before(dataset: str) -> None:
    for version in range(2, registry.get(dataset).version + 1):
        before, after = load_version(dataset, version - 1), load_version(dataset, version)
        assert breaking_changes(before, after) == []


@pytest.fixture
def trades() -> dict[str, Any]:
    return load_version("trades", 1)


def changed(trades: dict[str, Any], column: str, **facts: Any) -> dict[str, Any]:
    new = copy.deepcopy(trades)
    new["columns"].setdefault(column, {}).update(facts)
    return new


def test_a_removed_column_breaks(trades: dict[str, Any]) -> None:
    new = copy.deepcopy(trades)
    del new["columns"]["venue"]
    assert breaking_changes(trades, new) == ["column venue was removed"]


def test_a_changed_type_breaks(trades: dict[str, Any]) -> None:
    new = changed(trades, "sequence", type="String")
    assert breaking_changes(trades, new) == ["column sequence: type was Int64, is String"]


def test_a_new_name_on_the_wire_breaks(trades: dict[str, Any]) -> None:
    new = changed(trades, "venue", wire="exchange")
    assert breaking_changes(trades, new) == ["column venue: wire was venue, is exchange"]


def test_a_new_required_column_breaks(trades: dict[str, Any]) -> None:
    new = changed(trades, "channel", wire="channel", type="String", required=True, never_null=False)
    assert breaking_changes(trades, new) == ["new column channel is required"]


def test_an_optional_column_that_becomes_required_breaks(trades: dict[str, Any]) -> None:
    new = changed(trades, "venue", required=True)
    assert breaking_changes(trades, new) == ["column venue became required"]


def test_a_new_optional_column_and_a_loosened_one_do_not_break(trades: dict[str, Any]) -> None:
    new = changed(trades, "trade_id", required=False)
    new = changed(new, "channel", wire="channel", type="String", required=False, never_null=False)
    assert breaking_changes(trades, new) == []


def test_a_topic_finds_its_contract_by_name_and_by_alias() -> None:
    assert registry.for_topic("market.trades.v1").dataset == "trades"
    assert registry.for_topic("trax-trades").dataset == "trades"
    with pytest.raises(registry.UnknownDataset, match="no contract reads topic 'nothing'"):
        registry.for_topic("nothing")


def test_an_unknown_dataset_is_answered_with_those_that_exist() -> None:
    with pytest.raises(registry.UnknownDataset, match="quotes, securities, trades"):
        registry.get("swaps")
