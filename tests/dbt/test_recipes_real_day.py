"""The cleaning recipes on AIG of 2013-10-08, step by step against a second computation."""

import os
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import land_file
from tests import oracle_recipes as truth
from tests.desk import Desk

DATA = os.environ.get("TICKLAKE_REAL_DATA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="TICKLAKE_REAL_DATA names no folder of real ticks"),
]
OPENS = 1_381_239_000 * 10**9  # 2013-10-08T09:30 in New York
CLOSES = OPENS + 23_400 * 10**9
RECIPES = ["bn2009", "highfrequency", "brownlees_gallo", "holden_jacobsen", "sip_conditions",
           "dick_nielsen", "luld"]  # fmt: skip
VARS = f"{{cleaning_recipes: [{', '.join(RECIPES)}]}}"

TRADES = """
select event_ts_ns as ts, tie_order as tie, price, quantity, venue, conditions, status, revision,
    is_price_eligible as sets_price, is_volume_eligible as adds_volume
from silver.trades
"""
TICKLAKE_MODELS = "all"
QUOTES = """
select event_ts_ns as ts, tie_order as tie, side, price, size from silver.quotes
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("aig")
    desk = Desk(folder / "lake", folder / "target", models=TICKLAKE_MODELS)
    for kind in ("trade", "quote"):
        path = Path(DATA or "") / "lean" / f"lean_aig_20131008_tick_{kind}.zip"
        land_file(desk.settings, path, f"lean_{kind}s")
    desk.build("--vars", VARS, "--select", "+recipe_steps", "cleaned_trades", "cleaned_quotes")
    return desk


def rows(desk: Desk, sql: str) -> list[dict[str, Any]]:
    import duckdb

    with duckdb.connect(str(desk.layout.lakehouse), read_only=True) as conn:
        found = conn.execute(sql)
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture(scope="module")
def states(desk: Desk) -> list[dict[str, Any]]:
    """Best bid and offer as they stood after each one-sided row; no size or price: withdrawn."""
    now: dict[str, Any] = {"bid": None, "offer": None, "bid_size": None, "offer_size": None}
    found = []
    for row in sorted(rows(desk, QUOTES), key=lambda r: (r["ts"], r["tie"])):
        side = row["side"].lower()
        now[side] = row["price"] if row["size"] else None
        now[f"{side}_size"] = row["size"]
        found.append({**now, "venue": "consolidated", "ts": row["ts"], "tie": row["tie"]})
    return found


def report(desk: Desk, recipe: str, dataset: str) -> list[tuple[str, int]]:
    return desk.query(  # type: ignore[return-value]
        "select step, rows_removed from gold.recipe_steps "
        f"where recipe = '{recipe}' and dataset = '{dataset}' order by step_number"
    )


@pytest.mark.parametrize("recipe", ["bn2009", "highfrequency"])
def test_quotes_and_trades_of_bn2009_and_its_r_variant(
    desk: Desk, states: list[dict[str, Any]], recipe: str
) -> None:
    clean = truth.quotes_bn2009 if recipe == "bn2009" else truth.quotes_highfrequency
    quotes = clean(states, OPENS, CLOSES)
    assert report(desk, recipe, "quotes") == quotes.steps
    trades = truth.trades_bn2009(rows(desk, TRADES), OPENS, CLOSES, quotes.rows, recipe)
    assert report(desk, recipe, "trades") == trades.steps
    found = desk.query(
        "select event_ts_ns, price, quantity from gold.cleaned_trades "
        f"where recipe = '{recipe}' order by 1"
    )
    assert found == [(r["ts"], truth.as_decimal(r["price"]), r["quantity"]) for r in trades.rows]


def test_holden_and_jacobsen(desk: Desk, states: list[dict[str, Any]]) -> None:
    quotes = truth.quotes_holden_jacobsen(states, OPENS, CLOSES)
    assert report(desk, "holden_jacobsen", "quotes") == quotes.steps


def test_brownlees_gallo_sip_conditions_and_price_bands(desk: Desk) -> None:
    trades = rows(desk, TRADES)
    for recipe, cleaned in {
        "brownlees_gallo": truth.trades_brownlees_gallo(trades, OPENS, CLOSES),
        "sip_conditions": truth.trades_sip(trades),
        "luld": truth.trades_luld(trades, OPENS, CLOSES),
    }.items():
        assert report(desk, recipe, "trades") == cleaned.steps, recipe


def test_what_one_step_leaves_the_next_one_meets_and_the_first_meets_everything(desk: Desk) -> None:
    broken = desk.query(
        "select * from (select *, lag(rows_out) over (partition by recipe, dataset, instrument_id, "
        "session_date order by step_number) as before from gold.recipe_steps) "
        "where rows_out <> rows_in - rows_removed or before <> rows_in"
    )
    assert broken == []
    firsts = desk.query(
        "select dataset, rows_in, count(*) from gold.recipe_steps where step_number = 1 "
        "group by all order by all"
    )
    assert firsts == [("quotes", 1_118_140, 3), ("trades", 43_342, 7)]
