"""Every model and column says what it is, gold keeps its contracts, and the docs are one file."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.desk import Desk

LAYERS = ("staging", "silver", "gold", "audit")


def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """schema.name -> model, of the project's own."""
    return {
        f"{node['schema']}.{node['alias']}": node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] in LAYERS
    }


@pytest.fixture(scope="module")
def manifest(shared_desk: Desk) -> dict[str, Any]:
    shared_desk.dbt("parse")
    found: dict[str, Any] = json.loads((shared_desk.target / "manifest.json").read_text())
    return found


def test_every_model_and_every_column_that_is_listed_has_a_description(
    manifest: dict[str, Any],
) -> None:
    found = models(manifest)
    assert len(found) > 20
    holes = [name for name, node in found.items() if not node["description"].strip()]
    holes += [
        f"{name}.{column['name']}"
        for name, node in found.items()
        for column in node["columns"].values()
        if not column["description"].strip()
    ]
    assert sorted(holes) == []


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


@pytest.mark.slow
def test_the_documentation_is_one_file_and_knows_every_column_of_every_table(
    shared_desk: Desk, tmp_path: Path
) -> None:
    shared_desk.build()
    shared_desk.dbt("docs", "generate", "--static")
    assert (shared_desk.target / "static_index.html").stat().st_size > 1_000_000
    catalog = json.loads((shared_desk.target / "catalog.json").read_text())
    manifest = json.loads((shared_desk.target / "manifest.json").read_text())
    holes = []
    for name, node in models(manifest).items():
        listed = {column.lower() for column in node["columns"]}
        there = catalog["nodes"][node["unique_id"]]["columns"]
        holes += [f"{name}.{column}" for column in there if column.lower() not in listed]
    assert sorted(holes) == []
