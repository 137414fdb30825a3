"""Airflow's pages as a person uses them, in a real browser: what to click, and where to look."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 800}
DIALOG = "[role=dialog][data-scope=dialog]"  # and no calendar, which is one, too
PATIENCE_MS = 60_000.0
LARGEST_PICTURE = 150_000
"""Bytes of a picture in the docs, at most."""


class AirflowPages:
    """One browser window on one Airflow."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        page.set_default_timeout(PATIENCE_MS)
        folder = os.environ.get("TICKLAKE_PICTURES")
        self._pictures = Path(folder) if folder else None

    def log_in(self, user: str, password: str) -> None:
        """Fill in the log-in page and wait for what comes after it."""
        self.page.goto(self.url)
        self.page.fill("input[name=username]", user)
        self.page.fill("input[name=password]", password)
        self.page.keyboard.press("Enter")
        self.page.get_by_test_id("nav-dags-link").wait_for()

    def open(self, *parts: str) -> None:
        """Go to a page by its path: "dags", "day", "runs", "<run>"."""
        self.page.goto("/".join([self.url, *(quote(part, safe="") for part in parts)]))

    def docs(self, dag_id: str) -> Locator:
        """What the DAG says of itself, opened on its page."""
        self.open("dags", dag_id)
        self.page.get_by_test_id("markdown-button").click()
        return self.page.locator(DIALOG)

    def form(self, dag_id: str) -> Locator:
        """The trigger form, opened on the DAG's page."""
        self.open("dags", dag_id)
        self.page.get_by_test_id("trigger-dag-button").first.click()
        self.page.get_by_test_id("trigger-dag-submit").wait_for()
        return self.page.locator(DIALOG)

    def type_date(self, param: str, keys: str) -> None:
        """Type into a date field of the form, digit by digit, as month, day, year."""
        self.page.locator(f"#element_{param}").press_sequentially(keys)

    def name_run(self, form: Locator, run_id: str) -> None:
        """Give the run an id of one's own."""
        form.get_by_text("Advanced Options").click()
        self.page.locator("input[name=dagRunId]").fill(run_id)

    def trigger(self, form: Locator) -> None:
        """Press Trigger and see the form close."""
        self.page.get_by_test_id("trigger-dag-submit").click()
        form.wait_for(state="hidden")

    def choose_range(self, form: Locator, first: date, last: date) -> None:
        """Choose "Backfill" in the trigger form, and the days, both included."""
        form.get_by_text("Backfill", exact=True).click()
        for day in (first, last):
            form.get_by_text("Select date and time").first.click()
            typed = self.page.get_by_placeholder("YYYY/MM/DD")
            typed.fill(f"{day:%Y/%m/%d}")
            self.page.get_by_placeholder("HH:mm").fill("00:00")
            self.page.keyboard.press("Enter")
            expect(form.get_by_text(f"{day:%b %d, %Y} 00:00")).to_be_visible()
            if typed.is_visible():
                self.page.keyboard.press("Escape")
            expect(typed).to_have_count(0)  # it fades, and the next has the same words

    def backfill(self, form: Locator) -> None:
        """Press Run Backfill and see the form close."""
        form.get_by_role("button", name="Run Backfill").click()
        form.wait_for(state="hidden")

    def wait_state(self, state: str, timeout_s: float) -> None:
        """Watch the page of a run or task until its badge shows this state."""
        badge = self.page.get_by_test_id("state-badge").first
        expect(badge).to_have_text(re.compile(state, re.I), timeout=1000 * timeout_s)

    def tab(self, name: str) -> None:
        """Choose a tab of the page."""
        self.page.get_by_role("link", name=name, exact=True).click()

    def dbt_models(self) -> Locator:
        """What the tab "dbt models" shows."""
        self.tab("dbt models")
        return self.page.frame_locator('iframe[title="dbt models"]').locator("body")

    def note(self) -> Locator:
        """The note at the end of the log of a task that failed; the traceback is folded away."""
        body = self.page.locator("body")
        body.get_by_text("Post Execute").first.click()
        for trace in reversed(body.locator("details[open] > summary").all()):
            trace.click()
        self.page.evaluate("document.querySelectorAll('*').forEach(e => { e.scrollLeft = 0 })")
        return body

    def asset_event(self, asset: str) -> Locator:
        """The newest event of an asset, unfolded."""
        self.open("assets")
        self.page.get_by_role("link", name=asset, exact=True).first.click()
        event = self.page.locator(".monaco-editor").first
        event.locator(".codicon-folding-collapsed").first.click()
        return event

    def picture(self, name: str) -> None:
        """Keep a picture of the window where TICKLAKE_PICTURES names a folder."""
        if self._pictures is None:
            return
        self.page.wait_for_timeout(1_500)  # until nothing moves any more
        self._pictures.mkdir(parents=True, exist_ok=True)
        path = self._pictures / f"{name}.png"
        self.page.screenshot(path=path)
        assert path.stat().st_size < LARGEST_PICTURE, f"{path} is too large for the docs"


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of this machine's Chromium; skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # root's Chromium has none
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        context = browser.new_context(viewport=SIZE, locale="en-US", timezone_id="UTC")
        yield context.new_page()
        browser.close()
