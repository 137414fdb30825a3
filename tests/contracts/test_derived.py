"""What is derived from the contracts and committed is what the contracts say today."""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from contracts import registry
from contracts.codes import MEANING, RejectCode
from contracts.derive import dbt_sources, docs
from contracts.derive.arrow import LANDING_COLUMNS, file_schema, partition_columns, table_schema
from contracts.derive.wire import struct

DATASETS = sorted(registry.all_contracts())


def committed_tables() -> dict[str, dict[str, object]]:
    text = (dbt_sources.PROJECT / dbt_sources.SOURCES).read_text(encoding="utf-8")
    bronze, landed = yaml.safe_load(text)["sources"]
    assert (bronze["name"], landed["name"]) == ("bronze", "landed")
    return {table["name"]: table for table in bronze["tables"]}


@pytest.mark.parametrize("name", dbt_sources.generated())
def test_the_committed_dbt_files_are_what_the_contracts_give(name: Path) -> None:
    committed = (dbt_sources.PROJECT / name).read_text(encoding="utf-8")
    assert committed == dbt_sources.generated()[name]


def test_the_committed_docs_page_is_what_the_contracts_give() -> None:
    assert docs.TARGET.read_text(encoding="utf-8") == docs.docs_page()


def test_there_is_a_dbt_source_for_every_contract() -> None:
    assert sorted(committed_tables()) == DATASETS


@pytest.mark.parametrize("dataset", DATASETS)
def test_columns_of_a_dbt_source_are_those_of_the_bronze_table_in_its_order(dataset: str) -> None:
    columns = committed_tables()[dataset]["columns"]
    assert isinstance(columns, list)
    names = [column["name"] for column in columns]
    assert names == table_schema(registry.get(dataset)).names
    assert all(column["description"] for column in columns)


def test_types_in_the_dbt_sources_are_those_that_the_money_rules_ask_for() -> None:
    columns = committed_tables()["trades"]["columns"]
    assert isinstance(columns, list)
    types = {column["name"]: column["data_type"] for column in columns}
    assert types["price"] == "decimal(18,9)"
    assert types["quantity"] == "decimal(28,8)"
    assert types["event_ts_ns"] == "bigint"
    assert types["raw"] == "blob"


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_float_stands_in_a_bronze_table(dataset: str) -> None:
    schema = table_schema(registry.get(dataset))
    assert not [field.name for field in schema if pa.types.is_floating(field.type)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_bronze_table_is_its_files_and_its_partitions(dataset: str) -> None:
    contract = registry.get(dataset)
    files, table = file_schema(contract).names, table_schema(contract).names
    assert table == [*files, *partition_columns(contract)]
    assert files == [*contract.names(), *LANDING_COLUMNS]


def test_a_list_of_texts_is_a_list_in_every_derivation() -> None:
    schema = table_schema(registry.get("posts"))
    assert schema.field("tickers").type == pa.list_(pa.string())
    columns = committed_tables()["posts"]["columns"]
    assert isinstance(columns, list)
    (tickers,) = [column for column in columns if column["name"] == "tickers"]
    assert tickers["data_type"] == "varchar[]"


def test_every_reject_code_has_a_meaning_on_the_docs_page() -> None:
    page = docs.TARGET.read_text(encoding="utf-8")
    assert set(MEANING) == set(RejectCode)
    for code in RejectCode:
        assert f"| `{code}` |" in page


@pytest.mark.parametrize(
    ("dataset", "wire_names"),
    [
        ("trades", "tradeId instrumentId price quantity timestamp buySellIndicator"),
        ("quotes", "instrumentId dealerId bidPrice offerPrice bidSize offerSize timestamp"),
        ("securities", "instrumentId securityName cusip isin marketSegment issuer"),
        ("orders", "msgId instrumentId timestamp price volume side msgType sequence orderId venue"),
        (
            "market_data",
            "symbol exchange price bid_price ask_price bid_size ask_size volume timestamp",
        ),
        ("positions", "trader_id symbol position_size avg_price current_pnl timestamp"),
        ("book_updates", "symbol exchange side order_type price quantity timestamp"),
        ("posts", "platform post_id created author text score tickers"),
        ("bars", "symbol interval window_start open high low close volume"),
        ("alerts", "symbol price_change_pct price prev_price detection_time"),
    ],
)
def test_the_wire_format_has_the_names_that_producers_send(dataset: str, wire_names: str) -> None:
    contract = registry.get(dataset)
    assert set(wire_names.split()) <= set(contract.by_wire)
    assert set(struct(contract).__struct_encode_fields__) == set(contract.by_wire)


@pytest.mark.parametrize("dataset", DATASETS)
def test_control_totals_and_key_are_columns_of_the_contract(dataset: str) -> None:
    contract = registry.get(dataset)
    kinds = {column.name: column.kind for column in contract.columns}
    assert contract.key in kinds
    assert {kinds[name] for name in contract.control_totals} <= {"decimal"}
