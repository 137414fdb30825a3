"""The profile as a person gets it: one page, and the figures of a real day."""

import csv
import io
import os
import re
import zipfile
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from checks.profile.facts import NoProfile, facts
from checks.profile.page import page
from checks.profile.pictures import pictures
from ingestion.land import land_file
from tests.desk import Desk, trade

TICKLAKE_MODELS = "all"
MODELS = ("+dataset_condition", "+freshness", "+profile_days", "+candles_1m")

REAL_DATA = os.environ.get("TICKLAKE_REAL_DATA")
TRADES = Path(REAL_DATA or "") / "lean" / "lean_aig_20131008_tick_trade.zip"
NAME = 'A<b id="x">&'


@pytest.fixture(scope="module")
def traded(shared_desk: Desk) -> Desk:
    """30 trades in 30 minutes with one ten times too dear, one rejected, one that came late."""
    records = [
        trade(n, f"2025-10-02T14:{n:02}:00Z", 1000 if n == 25 else 100, instrument=NAME)
        for n in range(30)
    ]
    late = trade(40, "2025-10-02T14:00:30Z", instrument=NAME)
    shared_desk.land("trades", [*records, late, trade(41, "15:00:00", -1, instrument=NAME)])
    shared_desk.build("--select", *MODELS)
    return shared_desk


@pytest.fixture(scope="module")
def html(traded: Desk) -> str:
    """The page of the newest day."""
    found = facts(traded.settings)
    assert found.day == date(2025, 10, 2)
    return page(found, pictures(found))


def test_a_page_holds_the_facts_and_its_names_are_escaped(html: str) -> None:
    body = html.partition("<script>")[0]
    (row,) = re.findall(r"<tr><td>A&lt;b id=&#34;x&#34;&gt;&amp;</td>(.*?)</tr>", body)
    cells = re.findall(r"<td>(.*?)</td>", row)
    # trades, quotes, 30 of 390 minutes, quoted, gaps (28 of 60 s and two of 30 s, which do not
    # exceed the third threshold), the longest, outliers, copies ..., late
    assert cells == [
        "31",
        "0",
        "7.7",
        "",
        "30",
        "30",
        "28",
        "60,000.0",
        "1",
        "0",
        "0",
        "0",
        "0",
        "1",
    ]
    assert "<b id=" not in html
    assert "PRICE_NOT_POSITIVE" in body
    assert "pending" in body
    assert 'id="picture-conditions"' in body
    assert body.count("<svg") == 9


def test_a_page_asks_no_network_for_anything(html: str) -> None:
    body, _, script = html.partition("<script>")
    asked = r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//|@import|url\(\s*[\"']?(?!#)"
    assert re.findall(asked, body) == []
    assert "<link" not in body
    assert re.findall(r"(?:src|href)\s*=\s*[\"']https?://", script) == []
    assert html.count("<script") == 1
    assert html.count("</script>") == 1


def test_a_day_without_rows_is_refused_with_the_days_there_are(traded: Desk) -> None:
    with pytest.raises(NoProfile, match="days go from 2025-10-02 to 2025-10-02"):
        facts(traded.settings, date(2025, 10, 3))


def raw_day() -> list[tuple[int, int]]:
    """(milliseconds since midnight in New York, shares) of every row of the file."""
    with zipfile.ZipFile(TRADES) as file, file.open(file.namelist()[0]) as rows:
        return [(int(r[0]), int(r[2])) for r in csv.reader(io.TextIOWrapper(rows))]


@pytest.mark.slow
@pytest.mark.skipif(
    not REAL_DATA, reason="TICKLAKE_REAL_DATA does not name a folder with real ticks"
)
def test_the_aig_day_has_the_profile_that_its_file_says(desk: Desk) -> None:
    rows = raw_day()
    regular = sorted(ms for ms, _ in rows if 34_200_000 <= ms < 57_600_000)
    gaps = [after - before for before, after in pairwise(regular)]
    # over every print, as the reference has them; the default filter leaves out a few
    assert [sum(gap > limit for gap in gaps) for limit in (500, 5_000, 30_000)] == [7_570, 1_234, 5]
    minutes = len({ms // 60_000 for ms in regular})
    assert minutes == 390
    land_file(desk.settings, TRADES, "lean_trades")
    desk.build("--select", *MODELS)
    assert desk.query(
        "select trades, volume::bigint, expected_minutes, minutes_traded, completeness_pct, "
        "hft_gaps, fast_gaps, standard_gaps, outliers, trade_duplicates from audit.profile_days"
    ) == [
        # 3 rows of 1,400 shares add no volume
        (len(rows), sum(shares for _, shares in rows) - 1_400, 390, minutes, 100.0,
         7_555, 1_233, 5, 0, 0)
    ]  # fmt: skip
    assert desk.query("select day, condition, reasons from gold.dataset_condition") == [
        (date(2013, 10, 8), "available", "")
    ]
