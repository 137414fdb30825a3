"""Airflow as people use it: a real browser on a real scheduler and api-server."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime

import httpx
import pytest
from playwright.sync_api import expect

from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests.airflow_pages import AirflowPages, browser_page
from ticklake.services import airflow, stack
from ticklake.services.airflow_api import AirflowApi, Run
from ticklake.services.kafka import free_port

pytestmark = pytest.mark.slow

PASSWORD = "correct-horse"
BY_HAND = date(2025, 9, 30)
RANGE = [date(2025, 10, day) for day in (1, 2, 3)]
GOOD, BAD = 40, 2
RUN_S = 600.0
"""Seconds that a run may take on a busy machine."""


def _deliver(settings: Settings, day: date) -> None:
    """Put a day's trades into the inbox; BAD of them are at a negative price."""
    folder = settings.inbox / "json_trades" / day.isoformat()
    folder.mkdir(parents=True)
    trades = [
        {
            "tradeId": f"{day:%d}-{n}",
            "instrumentId": "BOND_1",
            "price": -1 if n < BAD else 99.5,
            "quantity": 1000,
            "timestamp": f"{day}T14:30:{n:02}.000Z",
            "buySellIndicator": "B",
        }
        for n in range(GOOD + BAD)
    ]
    (folder / "trades.jsonl").write_text("".join(json.dumps(trade) + "\n" for trade in trades))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A lake with four days in its inbox, and Airflow up beside it, without Kafka."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKE_URI", str(tmp_path_factory.mktemp("lake")))
        patch.delenv("LAKE_LOCAL", raising=False)
        patch.delenv("TICKLAKE_INBOX", raising=False)
        patch.setenv("TICKLAKE_MODELS", "core")
        patch.setenv("TICKLAKE_KAFKA_BOOTSTRAP", "")
        patch.setenv("TICKLAKE_AIRFLOW_PORT", str(free_port()))
        patch.setenv("TICKLAKE_AIRFLOW_PASSWORD", PASSWORD)
        patch.setenv("AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE", "False")
        settings = load_settings()
        for day in (BY_HAND, *RANGE):
            _deliver(settings, day)
        try:
            stack.up(settings)
            yield settings
        finally:
            stack.down(settings)


@pytest.fixture(scope="module")
def pages(settings: Settings) -> Iterator[AirflowPages]:
    """A browser that is logged in."""
    with browser_page() as page:
        pages = AirflowPages(page, airflow.log_in(settings).url)
        pages.log_in("desk", PASSWORD)
        yield pages


@pytest.fixture
def client(settings: Settings) -> Iterator[AirflowApi]:
    """A client of the same Airflow, to count what the pages made."""
    with airflow.api(settings) as api:
        yield api


def _by_hand(client: AirflowApi) -> list[Run]:
    return client.runs("day", "manual")


def test_the_flows_are_listed_and_a_flow_says_what_it_does(pages: AirflowPages) -> None:
    pages.open("dags")
    for flow in ("day", "live", "maintain", "replay_quarantine"):
        expect(pages.page.get_by_role("link", name=flow, exact=True).first).to_be_visible()
    pages.picture("flows")
    docs = pages.docs("day")
    expect(docs).to_contain_text("Recomputes one UTC day, 00:00 to 24:00, from bronze")
    pages.picture("docs")


def test_a_day_that_is_none_is_refused_in_the_form_and_no_run_is_made(
    pages: AirflowPages, client: AirflowApi
) -> None:
    form = pages.form("day")
    pages.type_date("day", "100220255")  # a digit too many in the year
    pages.page.get_by_test_id("trigger-dag-submit").click()
    expect(form).to_contain_text("'20255-10-02'")
    expect(form).to_contain_text("is not a 'date'")
    assert _by_hand(client) == []


def test_a_range_that_ends_before_it_begins_is_refused_in_the_form(pages: AirflowPages) -> None:
    form = pages.form("day")
    pages.choose_range(form, RANGE[-1], RANGE[0])
    expect(form).to_contain_text("Start Date must be before the End Date")
    expect(form.get_by_role("button", name="Run Backfill")).to_be_disabled()


def test_a_run_triggered_with_the_form_is_followed_until_it_is_green(
    pages: AirflowPages, client: AirflowApi
) -> None:
    form = pages.form("day")
    pages.type_date("day", f"{BY_HAND:%m%d%Y}")
    pages.picture("form")
    pages.name_run(form, "by-hand")
    pages.trigger(form)
    pages.open("dags", "day", "runs", "by-hand")
    models = pages.dbt_models()
    expect(models).to_contain_text("nodes have ended", timeout=1000 * RUN_S)  # while it builds
    pages.wait_state("success", RUN_S)
    assert [run.run_id for run in _by_hand(client)] == ["by-hand"]
    assert client.xcom("day", "by-hand", "land")["start"] == BY_HAND.isoformat()


def test_the_tab_dbt_models_shows_every_model_and_its_tests(
    pages: AirflowPages, settings: Settings
) -> None:
    pages.open("dags", "day", "runs", "by-hand", "tasks", "build")
    models = pages.dbt_models()
    expect(models).to_contain_text(re.compile(r"done\s+Build"))
    expect(models).to_contain_text("publication 1")
    results = json.loads((settings.local / "dbt" / "target" / "run_results.json").read_text())
    built = {
        result["unique_id"].split(".")[2]
        for result in results["results"]
        if result["unique_id"].startswith("model.")
    }
    shown = models.locator("tr td:first-child").all_inner_texts()
    assert built <= {name.split(".")[-1] for name in shown}
    pages.open("dags", "day", "runs", "by-hand", "tasks", "land")
    expect(pages.dbt_models()).to_contain_text("No build to show")


def test_the_count_of_what_was_quarantined_is_in_the_event_of_the_asset(
    pages: AirflowPages,
) -> None:
    event = pages.asset_event("bronze")
    expect(event).to_contain_text(re.compile(rf'"rows":\s*{GOOD}\b'))
    expect(event).to_contain_text(re.compile(rf'"rejected":\s*{BAD}\b'))
    pages.picture("asset_event")


def test_three_days_backfilled_from_the_dialog_go_green_and_are_in_gold(
    pages: AirflowPages, client: AirflowApi, settings: Settings
) -> None:
    form = pages.form("day")
    pages.choose_range(form, RANGE[0], RANGE[-1])
    pages.picture("backfill")
    pages.backfill(form)
    for run in sorted(client.runs("day", "backfill"), key=lambda run: run.run_id):
        pages.open("dags", "day", "runs", run.run_id)
        pages.wait_state("success", RUN_S)
    runs = client.runs("day", "backfill")
    assert [run.interval_start for run in runs] == [
        datetime(day.year, day.month, day.day, tzinfo=UTC) for day in RANGE
    ]
    pages.open("dags", "day", "runs")
    pages.picture("runs")
    pages.open("dags", "day", "runs", runs[-1].run_id, "tasks", "build")
    expect(pages.dbt_models()).to_contain_text("publication 4")
    pages.picture("dbt_models")
    with lakehouse.connect(layout(settings)) as conn:
        counts = conn.execute(
            "select event_ts::date, count(*) from silver.trades group by all order by 1"
        ).fetchall()
    assert counts == [(day, GOOD) for day in (BY_HAND, *RANGE)]


def test_the_log_of_a_broken_run_says_what_failed_and_what_to_do(
    pages: AirflowPages, client: AirflowApi
) -> None:
    form = pages.form("day")
    pages.type_date("day", "01019990")
    pages.name_run(form, "broken")
    pages.trigger(form)
    pages.open("dags", "day", "runs", "broken")
    pages.wait_state("failed", RUN_S)
    pages.open("dags", "day", "runs", "broken", "tasks", "check")
    note = pages.note()
    for told in ("FAILED: day / check", "9990-01-01 has not begun", "airflow dags trigger day"):
        expect(note).to_contain_text(told)
    pages.picture("failure_note")


def test_whoever_is_not_logged_in_is_told_nothing(settings: Settings) -> None:
    url = airflow.log_in(settings).url
    asked = httpx.get(f"{url}/dbt-models/builds", params={"dag_id": "day", "run_id": "by-hand"})
    assert (asked.status_code, asked.json()) == (401, {"detail": "Not authenticated"})
