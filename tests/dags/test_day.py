"""The `day` flow: its intervals, its params, and which day a run is for."""

from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from ticklake import flows_asked
from ticklake.flows_asked import days_of

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

TODAY = date(2025, 10, 6)
NOTHING = (None, None)
NONE_NAMED = (None, None, None)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def test_a_backfill_has_one_whole_day_per_run(scheduled: dict[str, Any]) -> None:
    first, last = date(2025, 10, 1), date(2025, 10, 5)
    infos = scheduled["day"].iter_dagrun_infos_between(_midnight(first), _midnight(last))
    found = [(info.data_interval.start, info.data_interval.end) for info in infos]
    days = [first + timedelta(days=n) for n in range(5)]
    assert found == [(_midnight(day), _midnight(day + timedelta(days=1))) for day in days]


@pytest.mark.parametrize("day", [date(2025, 3, 9), date(2025, 11, 2), date(2024, 2, 29)])
def test_a_day_is_24_hours_also_when_new_york_changes_its_clocks(
    scheduled: dict[str, Any], day: date
) -> None:
    infos = scheduled["day"].iter_dagrun_infos_between(_midnight(day), _midnight(day))
    intervals = [info.data_interval for info in infos]
    assert [interval.end - interval.start for interval in intervals] == [timedelta(hours=24)]


def test_the_first_real_day_lies_after_the_start_date(scheduled: dict[str, Any]) -> None:
    assert scheduled["day"].start_date <= datetime(2013, 10, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    [
        {"day": "2013-13-08"},
        {"day": "8 October 2013"},
        {"day": "2013-10-08T00:00:00"},
        {"day": 20131008},
        {"full_refresh": "yes"},
        {"datasets": "trades"},
        {"datasets": [1]},
        {"datasets": ["trades", "trades"]},
        {"datasets": ["trads"]},
        {"from": "2013-13-08"},
        {"to": "tomorrow"},
        {"dry_run": 1},
    ],
)
def test_a_bad_param_is_refused(bag: "DagBag", given: dict[str, Any]) -> None:
    params = deepcopy(bag.dags["day"].params)
    with pytest.raises(ParamValidationError):
        params.update(given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"day": None},
        {"day": "2013-10-08"},
        {"full_refresh": True},
        {"datasets": ["trades", "quotes"]},
        {"from": "2013-10-08", "to": "2013-10-11", "dry_run": True},
    ],
)
def test_a_good_param_is_taken(bag: "DagBag", given: dict[str, Any]) -> None:
    params = deepcopy(bag.dags["day"].params)
    params.update(given)
    assert given.items() <= params.validate().items()


def day_named(day: str) -> tuple[str | None, str | None, str | None]:
    return day, None, None


def test_a_run_started_by_hand_is_for_the_day_it_names() -> None:
    found = days_of(day_named("2013-10-08"), NOTHING, "manual", TODAY)
    assert found == (date(2013, 10, 8), date(2013, 10, 9))


def test_a_range_named_by_hand_includes_both_ends() -> None:
    found = days_of((None, "2025-10-01", "2025-10-05"), NOTHING, "manual", TODAY)
    assert found == (date(2025, 10, 1), date(2025, 10, 6))


def test_a_range_of_one_day_is_that_day() -> None:
    found = days_of((None, "2025-10-01", "2025-10-01"), NOTHING, "manual", TODAY)
    assert found == (date(2025, 10, 1), date(2025, 10, 2))


def test_a_range_may_end_today() -> None:
    found = days_of((None, "2025-10-01", "2025-10-06"), NOTHING, "manual", TODAY)
    assert found == (date(2025, 10, 1), date(2025, 10, 7))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ((None, "2025-10-05", "2025-10-01"), "`to` 2025-10-01 lies before `from` 2025-10-05"),
        ((None, "2025-10-01", None), "`from` without `to`"),
        ((None, None, "2025-10-01"), "`to` without `from`"),
        (("2025-10-01", "2025-10-01", "2025-10-02"), "give one of them"),
        ((None, "2025-10-01", "2025-10-07"), "2025-10-07 has not begun"),
        ((None, "2025-10-01", "soon"), "`to` must be a date, YYYY-MM-DD"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_saying_why(
    named: tuple[str | None, str | None, str | None], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        days_of(named, NOTHING, "manual", TODAY)


@pytest.mark.parametrize("named", [("2013-10-08", None, None), (None, "2013-10-08", "2013-10-09")])
def test_the_days_named_by_hand_win_over_the_interval(
    named: tuple[str | None, str | None, str | None],
) -> None:
    interval = (datetime(2025, 10, 1, tzinfo=UTC), datetime(2025, 10, 2, tzinfo=UTC))
    assert days_of(named, interval, "manual", TODAY)[0] == date(2013, 10, 8)


def test_a_run_started_by_hand_with_nothing_named_is_for_yesterday() -> None:
    assert days_of(NONE_NAMED, NOTHING, "manual", TODAY) == (date(2025, 10, 5), date(2025, 10, 6))


def test_today_may_be_recomputed() -> None:
    found = days_of(day_named("2025-10-06"), NOTHING, "manual", TODAY)
    assert found == (date(2025, 10, 6), date(2025, 10, 7))


@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "manual"])
def test_a_run_with_an_interval_is_for_that_interval(run_type: str) -> None:
    interval = (datetime(2025, 10, 1, tzinfo=UTC), datetime(2025, 10, 2, tzinfo=UTC))
    found = days_of(NONE_NAMED, interval, run_type, TODAY)
    assert found == (date(2025, 10, 1), date(2025, 10, 2))


def test_an_interval_that_ends_within_a_day_reaches_to_its_end() -> None:
    interval = (datetime(2025, 10, 1, 6, tzinfo=UTC), datetime(2025, 10, 2, 6, tzinfo=UTC))
    found = days_of(NONE_NAMED, interval, "manual", TODAY)
    assert found == (date(2025, 10, 1), date(2025, 10, 3))


def test_an_interval_of_no_length_is_for_its_day() -> None:
    moment = datetime(2025, 10, 1, tzinfo=UTC)
    found = days_of(NONE_NAMED, (moment, moment), "manual", TODAY)
    assert found == (date(2025, 10, 1), date(2025, 10, 2))


def test_a_day_that_has_not_begun_is_refused() -> None:
    with pytest.raises(ValueError, match="2025-10-07 has not begun"):
        days_of(day_named("2025-10-07"), NOTHING, "manual", TODAY)


@pytest.mark.parametrize("day", ["2013-13-08", "yesterday", ""])
def test_a_day_that_is_no_date_is_refused(day: str) -> None:
    with pytest.raises(ValueError, match="must be a date, YYYY-MM-DD"):
        days_of(day_named(day), NOTHING, "manual", TODAY)


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
@pytest.mark.parametrize("named", [("2013-10-08", None, None), (None, "2013-10-08", "2013-10-09")])
def test_a_backfill_takes_no_days_of_its_own(
    run_type: str, named: tuple[str | None, str | None, str | None]
) -> None:
    with pytest.raises(ValueError, match="leave `day`, `from` and `to` empty"):
        days_of(named, NOTHING, run_type, TODAY)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"day": "9999-01-01"}, "9999-01-01 has not begun"),
        ({"from": "2025-10-02", "to": "2025-10-01"}, "swap them"),
        ({"datasets": ["trades", "trads"]}, "no dataset trads; there are: alerts"),
    ],
)
def test_the_first_task_refuses_at_once_and_is_not_tried_again(
    params: dict[str, Any], says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        flows_asked.days(params, NOTHING, "manual", TODAY)


def test_the_first_task_says_which_days_the_run_is_for() -> None:
    asked = {"from": "2025-10-01", "to": "2025-10-03", "dry_run": True}
    assert flows_asked.days(asked, NOTHING, "manual", TODAY) == {
        "start": "2025-10-01",
        "end": "2025-10-04",
        "days": "2025-10-01 to 2025-10-03",
        "dry_run": True,
    }
