"""What all flows have in common."""

import subprocess
import sys
from datetime import timedelta

from ticklake.flow_defaults import flow_defaults


def test_a_flow_is_tagged_with_its_name() -> None:
    made = flow_defaults("replay", run_timeout=timedelta(hours=1), tags=["quarantine"])
    assert made["dag_id"] == "replay"
    assert made["tags"] == ["replay", "quarantine", "market-data"]


def test_a_weight_counts_alone_whatever_comes_after_the_task() -> None:
    made = flow_defaults("live", run_timeout=timedelta(hours=1), priority_weight=100)
    assert made["default_args"]["priority_weight"] == 100
    assert made["default_args"]["weight_rule"] == "absolute"


def test_without_a_weight_airflows_rule_stands() -> None:
    tasks = flow_defaults("day", run_timeout=timedelta(hours=1))["default_args"]
    assert not {"priority_weight", "weight_rule"} & set(tasks)


def test_reading_the_defaults_loads_nothing_heavy() -> None:
    heavy = "{'airflow', 'polars', 'pandera', 'duckdb', 'deltalake', 'dbt', 'httpx', 'pydantic'}"
    script = f"import sys, ticklake.flow_defaults; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"
