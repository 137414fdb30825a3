"""A model is rebuilt whole when its SQL changed, or that of a view between it and its inputs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lake.settings import PROJECT
from tests import desk as desks
from tests.desk import Desk, trade

Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Replaces text in a model of a copied project, which the desk then builds."""
    project = tmp_path / "project"
    shutil.copytree(
        PROJECT / "dbt", project / "dbt", ignore=shutil.ignore_patterns("target", "logs")
    )
    monkeypatch.setattr(desks, "PROJECT", project)

    def replace(model: str, old: str, new: str) -> None:
        path = project / "dbt" / "models" / model
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")

    return replace


@pytest.fixture
def traded(tmp_path: Path) -> Desk:
    """A desk of a parsed project of its own, with two trades landed."""
    desk = Desk(tmp_path / "lake", tmp_path / "target")
    desk.land("trades", [trade(1, "14:00:00"), trade(2, "15:00:00")])
    return desk


def rebuilt_whole(desk: Desk) -> set[str]:
    """Tables that the last build made anew."""
    rows = desk.query(
        "select model from audit.dirty where is_whole and build_id = "
        "(select max(build_id) from audit.dirty)",
        "warehouse",
    )
    return {model for (model,) in rows}


def test_a_changed_view_rebuilds_whole_what_reads_it_and_nothing_else(
    traded: Desk, edit: Edit
) -> None:
    traded.build()
    edit("staging/stg_trades.sql", "'trades' as dataset,", "'deals' as dataset,")
    traded.build("--exclude", "account_silver")  # which looks for the old name
    named = "select distinct dataset from silver.trades_history"
    assert traded.query(named) == [("deals",)]
    rebuilt = rebuilt_whole(traded)
    assert {"silver.trades_history", "gold.candle_windows_1s", "audit.account_gold"} <= rebuilt
    assert not {"silver.quotes_history", "gold.enriched_quotes"} & rebuilt
