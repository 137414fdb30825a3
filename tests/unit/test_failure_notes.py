"""A note: what it shows, what it hides, and when a failure counts as settled."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lake.failures import Failure, settled
from lake.settings import SettingsError, load_settings, secrets_in
from ticklake.failures.note import filled, of_params, text, words
from ticklake.failures.rules import rule_of

AT = datetime(2025, 10, 3, 0, 5, tzinfo=UTC)
DAY = datetime(2025, 10, 2, tzinfo=UTC), datetime(2025, 10, 3, tzinfo=UTC)
NOTE = Failure(
    failure_id="day/r1/failed/build/-1/2",
    noted_at=AT,
    kind="failed",
    flow="day",
    task="build",
    run_id="r1",
    try_number=2,
    tries=4,
    interval_start=DAY[0],
    interval_end=DAY[1],
    params=of_params({"full_refresh": True, "day": None}),
    error="BuildFailed: build 1: 1 models or tests failed\n  silver.trades",
    log="http://desk:8080/dags/day/runs/r1/tasks/build",
    rule="build_failed",
    cause="an invariant does not hold",
    remedy="see which",
    command="ticklake reconcile",
)


def test_a_note_says_what_failed_for_which_day_why_and_what_to_type() -> None:
    assert text(NOTE).splitlines() == [
        f"{' FAILED: day / build ':=^100}",
        "run     r1, try 2 of 4",
        "for     2025-10-02 00:00 to 2025-10-03 00:00 UTC; full_refresh = true",
        "error",
        "    BuildFailed: build 1: 1 models or tests failed",
        "      silver.trades",
        "cause   an invariant does not hold",
        "do      see which",
        "type    ticklake reconcile",
        "log     http://desk:8080/dags/day/runs/r1/tasks/build",
        "=" * 100,
    ]


def test_a_late_run_has_neither_task_nor_try() -> None:
    late = replace(NOTE, kind="late", task="", try_number=0, tries=0)
    assert text(late).splitlines()[:2] == [f"{' LATE: day ':=^100}", "run     r1"]


def test_a_rules_blanks_are_filled_in() -> None:
    found = filled(rule_of(OSError(28, "No space left on device")), lake="/srv/lake")
    assert found["command"] == "df -h /srv/lake"
    assert "the disk that holds /srv/lake is full" in found["cause"]


def test_braces_in_a_path_are_left_as_they_are() -> None:
    found = filled(rule_of(RuntimeError("?")), log="/{odd}/{flow}")
    assert found["remedy"].endswith("/{odd}/{flow}")


def test_an_error_is_told_without_airflows_wrapping() -> None:
    assert words("AirflowFailException: Damaged: x is gone") == "Damaged: x is gone"
    assert words(ValueError("no")) == "ValueError: no"


def test_an_endless_error_keeps_its_beginning_and_its_end() -> None:
    said = words("a" * 9_000 + "b" * 9_000)
    assert len(said) < 4_100
    assert said.startswith("aaa") and said.endswith("bbb") and "[...]" in said


def test_secrets_are_taken_out_of_an_error() -> None:
    environment = {
        "TICKLAKE_KAFKA_SASL_PASSWORD": "hunter22",
        "TICKLAKE_ALERT_WEBHOOK": "https://chat/hooks/T0/hunter22",
        "TICKLAKE_ALPACA_KEY": "k",
        "LAKE_URI": "/srv/lake",
    }
    said = words(
        "login hunter22 at https://chat/hooks/T0/hunter22 in /srv/lake, k", secrets_in(environment)
    )
    assert said == "login *** at *** in /srv/lake, k"


@pytest.mark.parametrize("given", ["chat.example/hook/T0", "ftp://chat/T0", "https:///T0"])
def test_a_webhook_that_is_no_address_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(SettingsError, match=r"ALERT_WEBHOOK: .*must be an address") as told:
        load_settings({"TICKLAKE_ALERT_WEBHOOK": given})
    assert given not in str(told.value)


def test_an_empty_webhook_is_none() -> None:
    assert load_settings({"TICKLAKE_ALERT_WEBHOOK": ""}).alert_webhook is None


def test_settings_do_not_show_the_webhook() -> None:
    made = load_settings({"TICKLAKE_ALERT_WEBHOOK": "https://chat/hooks/T0"})
    assert "T0" not in repr(made)


def _done(**other: object) -> Failure:
    later = {"kind": "succeeded", "noted_at": AT + timedelta(minutes=5), "run_id": "r2"}
    return replace(NOTE, **(later | other))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("done", "is_settled"),
    [
        (_done(run_id="r1"), True),
        (_done(), True),
        (_done(interval_start=DAY[1], interval_end=DAY[1] + timedelta(days=1)), False),
        (_done(params="{}"), False),
        (_done(task="land"), False),
        (_done(flow="live"), False),
        (_done(noted_at=AT - timedelta(minutes=1)), False),
    ],
    ids=["same run", "same day", "other day", "other params", "other task", "other flow", "before"],
)
def test_a_failure_is_settled_once_its_task_has_done_the_same_work(
    done: Failure, is_settled: bool
) -> None:
    assert settled([NOTE, done]) == [(NOTE, done.noted_at if is_settled else None)]


def test_of_a_flow_whose_runs_are_for_a_moment_any_later_run_settles() -> None:
    live = replace(NOTE, flow="live", interval_start=AT, interval_end=AT)
    moment = AT + timedelta(minutes=5)
    done = _done(flow="live", interval_start=moment, interval_end=moment)
    assert settled([live, done]) == [(live, moment)]
