"""The step of a flow that judges speed candles against batch candles."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from checks.drift import Drift, DriftNotBuilt, Run
from ticklake import flows

RUN = Run(
    width="1m",
    day=date(2025, 10, 2),
    windows=200,
    missing=1,
    extra=0,
    price_alerts=0,
    batch_volume=Decimal(1000),
    volume_difference=Decimal(5),
    limit_pct=Decimal("0.5"),
    passed_volume=True,
    passed_windows=True,
    passed_prices=True,
)
BEYOND = replace(RUN, width="1s", volume_difference=Decimal(6), passed_volume=False)


def asked(monkeypatch: pytest.MonkeyPatch, *runs: Run) -> list[Any]:
    """Lets the check find these runs; the days that it is asked for."""
    days: list[Any] = []

    def found(_: Any, day: date | None) -> Drift:
        days.append(day)
        return Drift(list(runs), [], [], [])

    monkeypatch.setattr("checks.drift.drift", found)
    return days


def test_runs_within_their_limits_pass_and_so_does_a_lake_without_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days = asked(monkeypatch, RUN)
    assert flows.drift(["2025-10-02"]) == {"runs": 1, "failed": 0, "windows": 0}
    assert days == [date(2025, 10, 2)]
    asked(monkeypatch)
    assert flows.drift() == {"runs": 0, "failed": 0, "windows": 0}


def test_a_run_beyond_a_limit_fails_the_step_and_is_named_with_its_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    asked(monkeypatch, RUN, BEYOND)
    with pytest.raises(AirflowFailException, match=r"(?s)1 runs drift.*2025-10-02 1s.*0\.600000 %"):
        flows.drift()


def test_only_the_days_that_are_asked_for_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    asked(
        monkeypatch,
        RUN,
        replace(RUN, day=date(2025, 10, 3)),
        replace(BEYOND, day=date(2025, 10, 4)),
    )
    assert flows.drift(["2025-10-02", "2025-10-03"]) == {"runs": 2, "failed": 0, "windows": 0}
    with pytest.raises(AirflowFailException, match="2025-10-04 1s"):
        flows.drift(["2025-10-03", "2025-10-04"])


def test_a_lake_built_without_drift_tables_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: Any) -> Drift:
        raise DriftNotBuilt("gold.drift_runs is not published")

    monkeypatch.setattr("checks.drift.drift", found)
    assert flows.drift() == {"runs": 0, "failed": 0, "windows": 0}
