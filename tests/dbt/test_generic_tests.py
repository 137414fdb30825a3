"""Every generic test passes on what is right and is seen to fail on what is not.

A small dbt project of its own: the checkout's macros and generic tests over tables of a few rows.
"""

import json
import shutil
from typing import Any

import pytest

from lake.settings import PROJECT
from tests import desk as desks
from tests.desk import Desk

pytestmark = pytest.mark.slow

INTERVALS = "key, valid_from, valid_to, kind"
CANDLE = (
    "instrument_id, venue, window_start, event_hour, open, high, low, close, volume, trade_count, "
    "notional, vwap_notional, vwap_quantity"
)
HOUR = "timestamptz '2025-10-02 14:00:00+00'"
NEXT_HOUR = "timestamptz '2025-10-02 15:00:00+00'"


def values(columns: str, *rows: str) -> str:
    return f"select * from (values {', '.join(f'({row})' for row in rows)}) as t ({columns})"


def candle(second: int, open: Any, high: Any, low: Any, close: Any, volume: int) -> str:
    start = f"timestamptz '2025-10-02 14:00:{second:02}+00'"
    return (
        f"'A', 'ALL', {start}, {HOUR}, {open}, {high}, {low}, {close}, {volume}, 1, 5, 5, {volume}"
    )


# An empty window (no price, but volume) first: the roll-up takes the first open there is.
CHILDREN = (candle(0, "null", "null", "null", "null", 1), candle(1, 10, 12, 9, 11, 2),
            candle(9, 11, 13, 8, 8, 4))  # fmt: skip
TEN = f"'A', 'ALL', {HOUR}, {HOUR}, 10, 13, 8, 8, 7, 3, 15, 15, 7"

MODELS = {
    "whole_history": values(INTERVALS, "'a', 1, 5, 'x'", "'a', 5, null, 'x'", "'b', 2, null, 'x'"),
    "with_overlap": values(INTERVALS, "'a', 1, 6, 'x'", "'a', 5, null, 'x'"),
    "with_gap": values(INTERVALS, "'a', 1, 4, 'DELETE'", "'a', 5, null, 'BACK'"),
    "with_open_middle": values(INTERVALS, "'a', 1, null, 'x'", "'a', 5, null, 'x'"),
    "with_closed_end": values(INTERVALS, "'a', 1, 4, 'x'"),
    "with_empty_interval": values(INTERVALS, "'a', 1, 1, 'x'", "'a', 1, null, 'x'"),
    "sums_a": values("key, amount", "'a', 0.1", "'a', 0.2", "null, 1.0", "'zero', 0.0"),
    "sums_b": values("key, amount", "'a', 0.3", "null, 1.0"),
    "sums_other": values("key, amount", "'a', 0.3"),
    "narrow": values(CANDLE, *CHILDREN),
    "wide": values(CANDLE, TEN),
    "wide_wrong_open": values(CANDLE, TEN.replace("10, 13, 8, 8", "9, 13, 8, 8")),
    "wide_wrong_sum": values(CANDLE, TEN.replace("8, 7, 3", "8, 8, 3")),
    "wide_surplus": values(CANDLE, TEN, TEN.replace("'ALL'", "'X'")),
    "wide_empty": values(CANDLE, TEN) + " where false",
    "twice": values("id, event_hour", f"1, {HOUR}", f"1, {HOUR}", f"2, {NEXT_HOUR}"),
    "closed": values("rows_difference, has_right_positions", "0, true"),
    "open_account": values("rows_difference, has_right_positions", "1, true"),
    "wrong_positions": values("rows_difference, has_right_positions", "0, false"),
}
ROLLED = {"seconds": 10}
SUM = {"columns": ["amount"]}
HOURLY = "date_trunc('hour', window_start)"
# (model, test, arguments, failing rows)
EXPECTED: list[tuple[str, str, dict[str, Any], int]] = [
    ("whole_history", "no_overlap", {"key": "key"}, 0),
    ("with_overlap", "no_overlap", {"key": ["key"]}, 1),
    ("with_gap", "no_overlap", {"key": "key"}, 1),
    ("with_gap", "no_overlap", {"key": "key", "gap_after": "kind = 'DELETE'"}, 0),
    ("with_gap", "no_overlap", {"key": "key", "gap_before": "kind = 'BACK'"}, 0),
    ("with_gap", "no_overlap", {"key": "key", "gap_before": "kind = 'x'"}, 1),
    ("with_open_middle", "no_overlap", {"key": "key", "gap_after": "true"}, 1),
    ("with_closed_end", "no_overlap", {"key": "key"}, 1),
    ("with_closed_end", "no_overlap", {"key": "key", "gap_after": "true"}, 0),
    ("with_empty_interval", "no_overlap", {"key": "key"}, 1),
    ("whole_history", "contiguous", {"key": "key"}, 0),
    ("with_closed_end", "contiguous", {"key": "key"}, 0),
    ("with_overlap", "contiguous", {"key": "key"}, 1),
    ("with_gap", "contiguous", {"key": ["key"]}, 1),
    ("with_open_middle", "contiguous", {"key": "key"}, 1),
    ("with_empty_interval", "contiguous", {"key": "key"}, 1),
    ("sums_a", "sums_match", {"other": "ref('sums_b')", "key": "key", "columns": ["amount"]}, 0),
    ("sums_a", "sums_match", {"other": "ref('sums_other')", "key": "key", **SUM}, 1),
    ("sums_other", "sums_match", {"other": "ref('sums_a')", "key": "key", **SUM}, 1),
    ("sums_a", "sums_match", {"other": "ref('sums_other')", "key": "key", "where": "key = 'a'",
                              "columns": {"amount": ["amount", "amount"]}}, 0),
    ("sums_a", "sums_match", {"other": "ref('sums_other')", "key": "key", "where": "key = 'a'",
                              "columns": {"n": ["1", "1"]}}, 1),
    ("narrow", "rolls_up_to", {"wide": "ref('wide')", **ROLLED}, 0),
    ("narrow", "rolls_up_to", {"wide": "ref('wide')", "window": HOURLY}, 0),
    ("narrow", "rolls_up_to", {"wide": "ref('wide_wrong_open')", **ROLLED}, 1),
    ("narrow", "rolls_up_to", {"wide": "ref('wide_wrong_sum')", **ROLLED}, 1),
    ("narrow", "rolls_up_to", {"wide": "ref('wide_surplus')", **ROLLED}, 1),
    ("narrow", "rolls_up_to", {"wide": "ref('wide_empty')", **ROLLED}, 1),
    ("wide_empty", "rolls_up_to", {"wide": "ref('wide')", **ROLLED}, 1),
    ("twice", "unique_where_touched", {"columns": ["id"]}, 1),
    ("twice", "unique_where_touched", {"columns": ["id", "event_hour"], "parent": "gold.quiet"}, 0),
    ("closed", "closes", {}, 0),
    ("open_account", "closes", {}, 1),
    ("wrong_positions", "closes", {}, 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Failing rows of every test of EXPECTED, by the name it was given."""
    top = tmp_path_factory.mktemp("project")
    dbt = top / "dbt"
    shutil.copytree(PROJECT / "dbt", dbt, ignore=shutil.ignore_patterns("target", "logs", "models"))
    for path in (*dbt.glob("tests/*.sql"), *dbt.glob("seeds/*")):
        path.unlink()
    (dbt / "models" / "gold").mkdir(parents=True)
    tested: dict[str, list[dict[str, Any]]] = {name: [] for name in MODELS}
    for place, (model, test, arguments, _) in enumerate(EXPECTED):
        tested[model].append({test: {"name": f"case_{place}", "arguments": arguments}})
    for name, sql in MODELS.items():
        touched = (
            "{{ config(by=['event_hour']) }}" if "event_hour" in sql else "{{ config(by=[]) }}"
        )
        (dbt / "models" / "gold" / f"{name}.sql").write_text(f"{touched}\n{sql}\n")
    listed = [{"name": name, "data_tests": tests} for name, tests in tested.items() if tests]
    (dbt / "models" / "gold" / "_gold.yml").write_text(json.dumps({"version": 2, "models": listed}))
    desk = Desk(top / "lake", top / "target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desks, "PROJECT", top)
        found = desk.dbt("build", "--exclude-resource-type", "unit_test", expect=False)
    return {r.node.name: r.failures for r in found.result.results if r.node.resource_type == "test"}


@pytest.mark.parametrize("place", range(len(EXPECTED)), ids=[f"{e[0]}-{e[1]}" for e in EXPECTED])
def test_a_generic_test_finds_what_is_wrong_and_nothing_else(
    outcomes: dict[str, int], place: int
) -> None:
    assert outcomes[f"case_{place}"] == EXPECTED[place][3]
