"""The flow `reconcile`: what starts it, which days it judges, and what its red tasks say."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from checks.account import Account
from lake.settings import load_settings
from tests.empty_lake import begin_as_empty
from ticklake import flows, flows_asked

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

TODAY = date(2025, 10, 6)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lake that was built and published once."""
    begin_as_empty(tmp_path / "lake", tmp_path / "target", "core")
    monkeypatch.setenv("LAKE_URI", str(tmp_path / "lake"))
    return tmp_path / "lake"


def test_each_judgment_is_a_task_that_no_other_can_hold_up(bag: "DagBag") -> None:
    dag = bag.dags["reconcile"]
    judgments = {"accounts", "drift", "expectations", "condition", "profile"}
    edges = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert edges == {"check": judgments, **{name: set() for name in judgments}}
    assert dag.max_active_runs == 1  # days that close meanwhile are judged together


def test_days_that_were_closed_since_the_last_run_are_judged_once_each(lake: Path) -> None:
    closed = [
        {"from": "2025-10-02", "to": "2025-10-03"},
        {"from": "2025-10-03", "to": "2025-10-03"},
        {"from": "2025-09-30", "to": "2025-09-30"},
        {"made": "by hand"},
    ]
    assert flows_asked.judged_days(None, [], closed, TODAY) == {
        "days": ["2025-09-30", "2025-10-02", "2025-10-03"],
        "tables": [],
    }


def test_a_day_named_by_hand_is_the_one_that_is_judged(lake: Path) -> None:
    closed = [{"from": "2025-10-02", "to": "2025-10-03"}]
    asked = flows_asked.judged_days("2013-10-08", ["candles_1m"], closed, TODAY)
    assert asked == {"days": ["2013-10-08"], "tables": ["candles_1m"]}


@pytest.mark.parametrize(
    ("day", "tables", "says"),
    [
        ("2025-10-07", [], "2025-10-07 has not begun"),
        (None, ["gold.depth"], "no table gold.depth is published"),
    ],
)
def test_what_cannot_be_judged_is_refused_at_once(
    lake: Path, day: str | None, tables: list[str], says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        flows_asked.judged_days(day, tables, (), TODAY)


def test_a_lake_without_a_publication_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_URI", str(tmp_path))
    with pytest.raises(AirflowFailException, match="nothing is published"):
        flows_asked.judged_days(None, today=TODAY)


def test_the_tables_offered_are_those_of_gold_and_silver(bag: "DagBag", lake: Path) -> None:
    from checks.expectations.published import published

    offered = bag.dags["reconcile"].params.get_param("tables").schema["items"]["enum"]
    assert set(published(load_settings())) <= set(offered)


def test_an_account_that_does_not_close_is_named_with_its_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(*_: Any, **__: Any) -> list[Account]:
        closed = Account("silver = gold", "quotes", Decimal(3), Decimal(3), Decimal(0))
        lost = Account("ok = silver", "trades 2025-10-02T12", Decimal(5), Decimal(4), Decimal(1))
        return [closed, lost]

    monkeypatch.setattr("checks.reconcile.reconcile", found)
    says = r"1 accounts do not close:\n  ok = silver \(trades 2025-10-02T12\): 5 against 4"
    with pytest.raises(AirflowFailException, match=says) as red:
        flows.reconcile()
    assert "`ticklake reconcile`" in str(red.value)
    assert "quotes" not in str(red.value)
