"""Adding a record is adding one file to contracts/."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from lake.settings import PROJECT

# No instrument, no key that another record has, a list, and no control totals: as odd as it gets.
FILE = '''"""Funding rates."""

import polars as pl

from contracts.base import RATIO, TEXTS, Contract, Record, event_time_rules, field


class Funding(Record):
    """Canonical columns of a funding rate."""

    symbol: pl.String = field("symbol", "perpetual contract", never_null=True)
    event_ts_ns: pl.Int64 = field("created", "from when", never_null=True, kind="time")
    rate: RATIO = field("rate", "funding rate", never_null=True)
    tags: TEXTS = field("tags", "labels")

    in_range, not_future = event_time_rules()


CONTRACT = Contract(
    dataset="funding",
    version=1,
    model=Funding,
    topic="reference.funding.v1",
    aliases=(),
    key="symbol",
    control_totals=(),
    partition_by_date=True,
    description="Funding rates of perpetual contracts.",
)
'''


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process saw that had this one file more."""
    folder, scratch = tmp_path_factory.mktemp("contract"), tmp_path_factory.mktemp("scratch")
    (folder / "funding.py").write_text(FILE)
    told = subprocess.run(
        [sys.executable, "-m", "tests.newcomer", str(folder), str(scratch)],
        cwd=PROJECT,
        env={**os.environ, "LAKE_URI": str(scratch / "lake")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-3_000:] + told.stderr[-3_000:]
    found: dict[str, Any] = json.loads((scratch / "seen.json").read_text())
    return found


def test_its_topic_is_known_and_its_table_has_its_columns(seen: dict[str, Any]) -> None:
    assert seen["dataset"] == "funding"
    types = {name: seen["columns"][name] for name in ("symbol", "event_ts_ns", "rate", "tags")}
    assert types == {
        "symbol": "string",
        "event_ts_ns": "int64",
        "rate": "decimal128(38, 18)",
        "tags": "list<item: string>",
    }
    assert sorted(seen["decodes"]) == ["created", "rate", "symbol", "tags"]


def test_it_has_feeds_sources_and_a_place_on_the_docs_page(seen: dict[str, Any]) -> None:
    assert seen["feeds"] == ["generic_funding", "json_funding"]
    assert seen["sources"] == 3  # the kept rows, and the landed ones whole and recent
    assert seen["documented"]


def test_its_records_land_good_and_rejected_and_can_be_read(seen: dict[str, Any]) -> None:
    assert seen["landed"] == [1, 2, {"SCHEMA_TYPE": 1, "PARSE_ERROR": 1}]
    assert seen["quarantine"] == [["SCHEMA_TYPE"], ["PARSE_ERROR"]]
    assert seen["bronze"] == [[["perp"], "0.000100000000000000"]]


def test_its_landing_is_accounted_for_by_a_build(seen: dict[str, Any]) -> None:
    assert seen["account"] == [["kafka:test/funding/0", 3, 1, 2, 0, True]]
