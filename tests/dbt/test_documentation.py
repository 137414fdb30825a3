"""Every model and column says what it is, gold keeps its contracts, and the docs are one file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.desk import Desk
from tests.empty_lake import begin_as_empty

TICKLAKE_MODELS = "all"

DOCS = Path(__file__).resolve().parents[2] / "docs"
LAYERS = ("staging", "silver", "gold", "audit")


def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """schema.name -> model, of the project's own."""
    return {
        f"{node['schema']}.{node['alias']}": node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] in LAYERS
    }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """An empty lake, built, and the project as it was parsed for that."""
    folder = tmp_path_factory.mktemp("documented")
    desk = Desk(folder / "lake", folder / "target", models=TICKLAKE_MODELS)
    begin_as_empty(desk.root, desk.target, desk.models)
    return desk


@pytest.fixture(scope="module")
def manifest(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((desk.target / "manifest.json").read_text())
    return found


def described(manifest: dict[str, Any]) -> dict[str, dict[str, str]]:
    """schema.name -> column -> description, of models and seeds."""
    return {
        f"{node['schema']}.{node['alias']}": {
            name.lower(): column["description"].strip() for name, column in node["columns"].items()
        }
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed") and node["schema"] in (*LAYERS, "reference")
    }


def test_every_model_seed_and_column_has_a_description(
    desk: Desk, manifest: dict[str, Any]
) -> None:
    documented = described(manifest)
    there = dict(
        desk.query(
            """
            select table_schema || '.' || table_name, list(lower(column_name))
            from information_schema.columns
            group by all
            """,
            "warehouse",
        )
    )
    assert len(documented) > 100
    holes = [
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed") and not node["description"].strip()
    ]
    for table, columns in documented.items():
        holes += [f"{table}.{name}" for name in there[table] if not columns.get(name)]
        holes += [f"{table}.{name} is no column" for name in columns if name not in there[table]]
    assert sorted(holes) == []


def test_a_column_whose_name_bears_a_unit_says_the_unit(manifest: dict[str, Any]) -> None:
    words = {
        "ns": r"\bns\b",
        "ms": r"\bms\b|milliseconds",
        "bps": r"\bbps\b|basis points",
        "pct": r"per cent",
        "notional": r"currency|money",
    }
    silent = [
        f"{table}.{name}: {text}"
        for table, columns in described(manifest).items()
        for name, text in columns.items()
        for unit, word in words.items()
        if name.endswith(f"_{unit}") and not re.search(word, text, re.IGNORECASE)
    ]
    assert sorted(silent) == []


def test_every_table_and_view_of_gold_keeps_an_enforced_contract(manifest: dict[str, Any]) -> None:
    loose = [
        name
        for name, node in models(manifest).items()
        if node["schema"] == "gold" and not node["config"]["contract"]["enforced"]
    ]
    assert sorted(loose) == []


def test_every_exposure_says_who_reads_what(manifest: dict[str, Any]) -> None:
    exposures = manifest["exposures"].values()
    assert {e["name"] for e in exposures} >= {
        "duckdb_desk",
        "parquet_export",
        "status",
        "reconcile",
    }
    assert [
        e["name"] for e in exposures if not e["description"] or not e["depends_on"]["nodes"]
    ] == []


@pytest.mark.parametrize("page", ["README.md", *sorted(p.name for p in DOCS.glob("*.md"))])
def test_every_query_that_a_page_shows_can_be_asked(desk: Desk, page: str) -> None:
    path = DOCS.parent / page if page == "README.md" else DOCS / page
    for block in re.findall(r"^```sql\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        if re.search(r"\{\{|read_parquet|gold\.recipe_", block):
            continue  # a model, a file of the reader's own, a table that is built on demand
        for query in filter(str.strip, block.split(";")):
            desk.query(query)


@pytest.mark.slow
def test_the_documentation_is_one_file(desk: Desk) -> None:
    desk.build()
    desk.dbt("docs", "generate", "--static")
    assert (desk.target / "static_index.html").stat().st_size > 1_000_000
