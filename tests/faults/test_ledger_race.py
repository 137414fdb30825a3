"""Two that bring the ledger up at once: neither ends before what it was asked for is there."""

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from lake import ledger
from lake.layout import Layout
from tests import bronze_rows
from tests.desk import Desk, trade


def test_who_loses_to_one_that_knew_of_fewer_commits_adds_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faster one looked at bronze two commits ago, and appends when the slower is about to."""
    desk = Desk(tmp_path / "lake", tmp_path)
    for number in range(5):
        desk.land("trades", [trade(number, f"12:00:0{number}")])
    writing, theirs = ledger._write, []

    def late(place: Layout, *given: Any) -> Any:
        if not theirs:
            theirs.append(0)
            with monkeypatch.context() as earlier:
                earlier.setattr(ledger, "bronze_version", _two_commits_ago)
                theirs.append(ledger.append_new(place))
        return writing(place, *given)

    newest = ledger.bronze_version

    def _two_commits_ago(place: Layout, dataset: str) -> int | None:
        version = newest(place, dataset)
        return None if version is None else version - 2

    monkeypatch.setattr(ledger, "_write", late)
    assert (ledger.append_new(desk.layout), theirs[1]) == (2, 3)
    rows = bronze_rows.rows(desk.layout.ledger)
    assert sorted((row["version"], row["first_position"]) for row in rows) == [
        (version, version - 1) for version in range(1, 6)
    ]
    assert DeltaTable(str(desk.layout.ledger)).transaction_version("trades") == 5
    assert ledger.append_new(desk.layout) == 0
