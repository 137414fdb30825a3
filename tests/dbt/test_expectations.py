"""Suites of expectations: what they are made of, what they catch, and the pages they leave."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandera.polars as pa
import polars as pl
import pytest
from typer.testing import CliRunner

from checks.expectations import Suite, expect
from checks.expectations.docs import write_docs
from checks.expectations.judge import judge
from checks.expectations.models import ModelUnreadable, models
from checks.expectations.suites import suites
from contracts import registry
from lake import lakehouse
from lake.layout import Layout, layout
from lake.publish import Model, publish
from lake.settings import PROJECT, load_settings
from tests.desk import Desk

TICKLAKE_MODELS = "all"

# A folder of models as dbt has them, and tables that break each rule a known number of times.
MODELS = """
models:
  - name: fills
    config: {contract: {enforced: true}}
    columns:
      - {name: id, data_type: varchar, data_tests: [not_null, unique]}
      - name: side
        data_type: varchar
        data_tests:
          - accepted_values: {arguments: {values: [B, S]}}
          - accepted_values: {arguments: {values: [B]}, config: {severity: warn}}
      - {name: venue, data_type: varchar}
      - name: price
        data_type: decimal(18,9)
        data_tests: [{not_null: {config: {where: "side = 'B'"}}}]
      - {name: at, data_type: timestamptz}
      - name: instrument
        data_type: varchar
        data_tests: [{relationships: {arguments: {to: ref('instruments'), field: name}}}]
      - {name: a, data_type: bigint}
      - {name: b, data_type: bigint}
    data_tests:
      - unique_where_touched: {arguments: {columns: [venue, at]}}
      - holds_where_touched: {arguments: {expression: a < 5}}
      - no_row_where: {arguments: {condition: "b>5"}}
      - adds_up: {arguments: {whole: a, parts: [b, b]}}
      - rolls_up_to: {arguments: {wide: ref('instruments')}}
  - name: instruments
    columns: [{name: name}]
  - name: shapes
    config: {contract: {enforced: true}}
    columns:
      - {name: kept, data_type: "decimal(18, 9)"}
      - {name: changed, data_type: timestamptz}
      - {name: lost, data_type: bigint, data_tests: [not_null]}
"""

FILLS = """
create table gold.fills as
select id, side, venue, price::decimal(18,9) as price, "at", instrument, a, b
from (values
    ('1', 'B', 'X', 1, timestamptz '2025-10-02 10:00:00Z', 'I', 2::bigint, 1::bigint),
    ('2', 'S', null, null, '2025-10-02 10:00:00Z', 'I', 4, 2),
    ('2', 'S', null, 1, '2025-10-02 10:00:00Z', 'I', null, null),  -- id; null is a venue, too; a
    (null, '<svg onload=alert(1)>', 'X', 1, '2025-10-02 10:00:01Z', 'J', 2, 1),  -- id, side, J
    ('5', 'B', 'X', null, '2025-10-02 10:00:02Z', null, 12, 6),  -- price, a, b
    ('6', null, 'X', 1, '2025-10-02 10:00:03Z', 'I', 3, 1)  -- a is not b + b
) as made(id, side, venue, price, "at", instrument, a, b)
"""

# Unexpected rows by what the rule says; the rest hold.
BROKEN = {
    "id is never null": 1,
    "no two rows have the same id": 1,
    "side is B or S, where it is known": 1,
    "side is B, where it is known": 3,
    "price is known, where side = 'B'": 1,
    "every instrument is a name of gold.instruments": 1,
    "no two rows have the same venue, at": 1,
    "a < 5": 2,
    "never b>5": 1,
    "a = b + b, where all are known": 1,
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Suite]:
    """The tables above, judged."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "gold").mkdir()
    (folder / "gold" / "_models.yml").write_text(MODELS)
    path = folder / "lakehouse.duckdb"
    with duckdb.connect(str(path)) as conn:
        conn.execute("create schema gold")
        conn.execute(FILLS)
        conn.execute("create table gold.instruments as select 'I' as name union all select null")
        conn.execute(
            "create table gold.shapes as select 1::decimal(18,9) as kept, "
            "timestamp '2025-10-02' as changed, 2 as surplus"
        )
    rules = {table: model.rules for table, model in models(folder).items()}
    return {suite.table: suite for suite in judge(path, rules)}


def test_every_kind_of_rule_counts_the_rows_that_break_it(judged: dict[str, Suite]) -> None:
    failed = {v.rule.says: v.unexpected for v in judged["gold.fills"].verdicts if not v.passed}
    assert failed == BROKEN
    assert len(judged["gold.fills"].verdicts) == len(BROKEN) + 2  # its columns and their types


def test_the_query_of_a_broken_rule_shows_as_many_rows(judged: dict[str, Suite]) -> None:
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; create schema gold")
        conn.execute(FILLS)
        conn.execute("create table gold.instruments as select 'I' as name union all select null")
        shown = {
            v.rule.says: len(conn.execute(v.rule.wrong_rows).fetchall())
            for v in judged["gold.fills"].verdicts
            if not v.passed
        }
    assert shown == BROKEN


def test_a_test_that_warns_is_a_finding_and_no_failure(judged: dict[str, Suite]) -> None:
    findings = [v.rule.says for v in judged["gold.fills"].findings]
    assert findings == ["side is B, where it is known"]
    assert len(judged["gold.fills"].broken) == len(BROKEN) - 1


def test_lost_surplus_and_changed_columns_are_named(judged: dict[str, Suite]) -> None:
    found = {v.rule.kind: (v.unexpected, v.note) for v in judged["gold.shapes"].verdicts}
    changed = "changed is TIMESTAMP, not TIMESTAMP WITH TIME ZONE"
    assert found == {
        "columns": (2, "missing: lost; surplus: surplus"),
        "types": (1, changed),
        "not_null": (None, "the table has no column lost"),
    }
    assert not any(v.passed for v in judged["gold.shapes"].verdicts)


def test_data_docs_load_nothing_and_run_nothing(judged: dict[str, Suite], tmp_path: Path) -> None:
    index = write_docs(list(judged.values()), tmp_path / "site", "Publication 1")
    pages = {path.name: path.read_text() for path in index.parent.iterdir()}
    assert set(pages) == {"index.html", *(f"{table}.html" for table in judged)}
    for name, page in pages.items():
        assert "http:" not in page and "https:" not in page and "//cdn" not in page, name
        assert not re.search(r"<(script|link rel=\"stylesheet|img|iframe)|\bsrc=", page), name
        assert "default-src 'none'" in page
        for target in re.findall(r'href="([^"#]+)"', page):
            assert target == "data:," or (index.parent / target).exists(), (name, target)
    fills = pages["gold.fills.html"]
    assert "Evaluated Expectations" in fills and "fa-times" in fills and "fa-check-circle" in fills
    assert "a &lt; 5" in fills and "no two rows have the same venue, at" in fills
    assert '<td class="n failed">9</td><td class="n found">1</td>' in pages["index.html"]


def test_every_gold_model_has_a_suite_of_its_columns_types_and_tests() -> None:
    folder = PROJECT / "dbt" / "models"
    for schema, least in (("gold", 60), ("silver", 25)):
        written = {f"{schema}.{path.stem}" for path in (folder / schema).rglob("*.sql")}
        found = {table for table in suites() if table.startswith(f"{schema}.")}
        assert len(written) > least
        assert found == written
    for table, rules in suites().items():
        if table.startswith("gold."):
            assert [rule.kind for rule in rules[:2]] == ["columns", "types"], table


def test_the_suite_of_enriched_trades_is_what_its_yml_and_the_contract_say() -> None:
    found = [(r.kind, r.columns, r.severity, r.source) for r in suites()["gold.enriched_trades"]]
    yml, contract = "dbt/models/gold/trades/_trades.yml", "contracts/trades.py"
    assert found[2:] == [
        ("accepted_values", ("quote_status",), "error", yml),
        ("accepted_values", ("is_parked",), "warn", yml),
        ("no_rows", ("trade_key",), "error", yml),
        *(
            ("not_null", (column,), "error", contract)
            for column in ("instrument_id", "price", "quantity", "event_ts_ns")
        ),
        *(
            ("holds", (column,), "error", contract)
            for column in ("event_ts_ns", "price", "quantity", "side")
        ),
    ]


def test_a_test_that_nobody_taught_the_suites_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold" / "m.yml").write_text("models: [{name: m, data_tests: [is_pretty]}]")
    with pytest.raises(ModelUnreadable, match=r"gold/m.yml, model gold.m: .*'is_pretty'"):
        models(tmp_path)


def _values(dtype: Any) -> pl.Series:
    if dtype == pl.String:
        texts = ["B", "S", "BID", "OFFER", "BUY", "SELL", "b", ""]
        return pl.Series([*texts, None], dtype=pl.String)
    edges = [-1, 0, 1, 631_151_999_999_999_999, 631_152_000_000_000_000]
    cast = dtype if dtype.is_integer() else pl.Decimal(28, 8)
    return pl.Series([*edges, None]).cast(cast)


@pytest.mark.parametrize("dataset", list(registry.all_contracts()))
def test_a_contracts_rule_in_sql_is_its_rule_in_polars(dataset: str) -> None:
    schema = registry.get(dataset).schema
    said = [check for check in schema.checks if check.statistics.get("sql")]
    assert dataset not in ("trades", "quotes") or len(said) >= 4
    for check in said:
        frame = pl.DataFrame({"start": [0]})
        for name in check.title.split(","):
            frame = frame.join(
                _values(schema.columns[name].dtype.type).alias(name).to_frame(), how="cross"
            )
        judged = check._check_fn(pa.PolarsData(frame.lazy())).collect().to_series().to_list()
        with duckdb.connect() as conn:
            conn.register("frame", frame.to_arrow())
            sql = conn.execute(f"select {check.statistics['sql']} from frame").fetchall()
        assert [row[0] for row in sql] == judged, check.statistics


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A lake that publishes ten trades, as a build would have."""
    monkeypatch.setenv("LAKE_URI", str(tmp_path))
    monkeypatch.delenv("LAKE_LOCAL", raising=False)
    place = layout(load_settings())
    columns = models()["gold.enriched_trades"].columns
    made = {
        "trade_key": "md5(i::varchar)",
        "instrument_id": "'BOND_1'",
        "price": "100 + i",
        "quantity": "1",
        "event_ts_ns": "1759399200000000000 + i",
        "quote_status": "'OK'",
        "is_parked": "i = 0",
    }
    row = ", ".join(f"({made.get(name, 'null')})::{of} as {name}" for name, of in columns.items())
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; create schema gold")
        conn.execute(f"create table gold.enriched_trades as select {row} from range(10) as r(i)")
        models_built = [Model("gold", "enriched_trades", "table")]
        record = publish(conn, place, models_built, build_id="b1", read={}, pin={})
    assert record is not None
    lakehouse.swap(place, record)
    return place


def _falsify(place: Layout) -> None:
    """Make one published trade's price negative, in its file, behind the lake's back."""
    (path,) = (place.root / "gold" / "enriched_trades").rglob("*.parquet")
    changed = path.with_suffix(".changed")
    with duckdb.connect() as conn:
        price = "case when price = 103 then -price else price end::decimal(18,9) as price"
        conn.execute(
            f"copy (select * replace ({price}) from read_parquet('{path}', "
            f"hive_partitioning = false)) to '{changed}' (format parquet)"
        )
    changed.replace(path)


def _expect(*arguments: str) -> Any:
    from ticklake.cli import app

    return CliRunner().invoke(app, ["expect", *arguments])


def test_a_lake_that_holds_what_is_expected_exits_0_and_tells_findings(lake: Layout) -> None:
    held = _expect("enriched_trades", "--json")
    assert held.exit_code == 0, held.output
    (suite,) = json.loads(held.stdout)["suites"]
    assert (suite["suite"], suite["expectations"], suite["passed"]) == (
        "gold.enriched_trades",
        13,
        12,
    )
    assert suite["failed"] == []
    assert [(found["columns"], found["unexpected"]) for found in suite["findings"]] == [
        (["is_parked"], 1)
    ]


def test_a_falsified_price_exits_1_with_the_query_that_shows_it(lake: Layout) -> None:
    _falsify(lake)
    broken = _expect("--docs")
    assert broken.exit_code == 1
    assert "1 unexpected; contracts/trades.py" in broken.output
    query = "select * from gold.enriched_trades where (coalesce(price > 0, true)) is distinct from"
    assert query in broken.output
    assert f"Data Docs: file://{lake.expectations}/index.html" in broken.output
    assert (lake.expectations / "gold.enriched_trades.html").exists()
    assert "1 expectations do not hold" in broken.stderr


def test_a_table_that_is_not_published_exits_2_and_lists_what_is(lake: Layout) -> None:
    strange = _expect("candles_2m")
    assert strange.exit_code == 2
    assert "no table candles_2m is published" in strange.stderr
    assert "gold.enriched_trades" in strange.stderr


def test_the_flow_fails_for_good_and_names_what_does_not_hold(
    lake: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "AIRFLOW_HOME" not in os.environ:  # read when Airflow is first imported
        monkeypatch.setenv("AIRFLOW_HOME", str(lake.root / "airflow"))
    from airflow.sdk.exceptions import AirflowFailException

    from ticklake.flows_expect import expect

    link = f"file://{lake.expectations}/index.html"
    assert expect() == {
        "tables": 1,
        "expectations": 13,
        "failed": 0,
        "findings": 1,
        "docs": link,
    }
    _falsify(lake)
    with pytest.raises(AirflowFailException, match=r"1 expectations do not hold:\n  gold.enriched"):
        expect(["enriched_trades"])


@pytest.mark.slow
def test_a_generated_day_holds_everything_expected_of_every_model(desk: Desk) -> None:
    environment = {**os.environ, "LAKE_URI": str(desk.root)}
    ticklake = [sys.executable, "-m", "ticklake.cli"]
    day = ["generate", "--preset", "small", "--faults", "5%", "--to", "bronze"]
    subprocess.run([*ticklake, *day], env=environment, check=True)
    desk.begins_as_empty = False
    desk.build()
    found = expect(desk.settings)
    assert {suite.table for suite in found} <= set(suites())
    assert len(found) > 80
    assert [(s.table, v.rule.says, v.note) for s in found for v in s.broken] == []
