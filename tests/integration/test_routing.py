"""Every fault of a generated market ends where its truth table says, and the comparison itself
tells a truth that is wrong and a lake that holds something else."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from checks.routing import Route, TruthUnreadable, routing
from contracts import registry
from ingestion.generate.plan import Plan
from ingestion.generate.stream import Block, blocks, datasets, truth
from ingestion.land import land, land_generated
from ingestion.sources.generator import GeneratorSource, Unit
from lake.bronze import BronzeWriter
from tests.desk import Desk

pytestmark = pytest.mark.slow

PLAN = Plan(
    seed=31,
    days=(date(2025, 10, 2), date(2025, 10, 3)),
    quotes=6_000,
    trades=6_000,
    securities=500,
    orders=6_000,
    market_data=1_000,
    book_updates=1_000,
    snapshot_minutes=60,
    posts=10,
    bars=True,
)
# analytics.md 23.3: per mille of the 6,000 trade messages, and where each kind ends
FAULTS = {
    "negative_price": (8, "quarantine"),
    "zero_quantity": (4, "quarantine"),
    "future_date": (6, "quarantine"),
    "malformed_json": (6, "quarantine"),
    "missing_field": (4, "quarantine"),
    "wrong_type": (3, "quarantine"),
    "unknown_instrument": (4, "parked"),
    "duplicate": (7, "duplicate"),
    "late": (6, "late"),
    "fat_finger": (2, "outlier"),
}
INJECTED = {kind: (share * 6, destination) for kind, (share, destination) in FAULTS.items()}
EXACT = {
    Route(kind, destination, injected, injected, missing=0, false=0)
    for kind, (injected, destination) in INJECTED.items()
}
STRAY = "(not injected)"
CANDLES = [f"gold.candles_{width}" for width in ("1s", "10s", "1m", "1h", "1d")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("routing")
    made = Desk(folder / "lake", folder / "target")
    for day in PLAN.days:
        for dataset in datasets(PLAN):
            land_generated(made.settings, dataset, PLAN, day)
    made.build()
    return made


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("told") / "truth.parquet"
    truth(PLAN).write_parquet(path)
    return path


def routes_of(desk: Desk, told: pl.DataFrame, folder: Path) -> list[Route]:
    """The routes by another truth table."""
    told.write_parquet(folder / "other.parquet")
    return routing(desk.settings, [folder / "other.parquet"])


def wrong(routes: list[Route]) -> set[Route]:
    return {route for route in routes if not route.is_exact}


def command(desk: Desk, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`ticklake routing` as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "ticklake.cli", "routing", *arguments],
        env={**os.environ, "LAKE_URI": str(desk.root), "TICKLAKE_KAFKA_BOOTSTRAP": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_ten_kinds_are_found_in_full_and_nothing_else_is(desk: Desk, told: Path) -> None:
    routes = routing(desk.settings, [told])
    assert sum(route.injected for route in routes) == 300  # 5 % of 6,000
    assert len(routes) == len(EXACT)
    assert set(routes) == EXACT


def test_every_quote_and_trade_joins_the_master_but_those_told_as_unknown(
    desk: Desk, told: Path
) -> None:
    unknown = pl.read_parquet(told).filter(kind="unknown_instrument")["trade_id"].sort().to_list()
    parked = desk.query("select trade_id from silver.trades where security_sk is null order by 1")
    assert [trade_id for (trade_id,) in parked] == unknown
    assert len(unknown) == 24
    joined = "select count(*), count(security_sk) from silver.quotes where dataset = 'quotes'"
    assert desk.query(joined) == [(6_000, 6_000)]
    by_dataset = desk.query("select dataset, count(*) from silver.trades group by 1 order by 1")
    # 5 % of rejects and copies less, and the trades among the orders
    assert by_dataset == [("orders", 120), ("trades", 6_000 - 6 * 31 - 6 * 7)]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_the_truth_does_not_tell_of_is_false(
    kind: str, desk: Desk, told: Path, tmp_path: Path
) -> None:
    rows = pl.read_parquet(told).with_row_index()
    without = rows.filter(pl.col("index") != rows.filter(kind=kind)["index"][0])
    injected, destination = INJECTED[kind]
    routes = routes_of(desk, without, tmp_path)
    assert wrong(routes) == {Route(STRAY, destination, 0, 0, missing=0, false=1)}
    assert Route(kind, destination, injected - 1, injected - 1, 0, 0) in routes


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_the_lake_does_not_hold_is_missing(
    kind: str, desk: Desk, told: Path, tmp_path: Path
) -> None:
    rows = pl.read_parquet(told)
    invented = rows.filter(kind=kind).head(1).with_columns(
        trade_id=pl.lit("TRD_NEVER"), digest=pl.lit("0" * 32)
    )  # fmt: skip
    injected, destination = INJECTED[kind]
    routes = routes_of(desk, pl.concat([rows, invented]), tmp_path)
    assert wrong(routes) == {Route(kind, destination, injected + 1, injected, missing=1, false=0)}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_is_told_twice_is_found_once(
    kind: str, desk: Desk, told: Path, tmp_path: Path
) -> None:
    rows = pl.read_parquet(told)
    injected, destination = INJECTED[kind]
    routes = routes_of(desk, pl.concat([rows, rows.filter(kind=kind)]), tmp_path)
    assert wrong(routes) == {
        Route(kind, destination, 2 * injected, injected, missing=injected, false=0)
    }


def test_a_fault_under_another_code_is_missing_there_and_false_here(
    desk: Desk, told: Path, tmp_path: Path
) -> None:
    negative = pl.col("kind") == "negative_price"
    other = pl.when(negative).then(pl.lit("QTY_NOT_POSITIVE")).otherwise("code")
    routes = routes_of(desk, pl.read_parquet(told).with_columns(code=other), tmp_path)
    assert wrong(routes) == {
        Route("negative_price", "quarantine", 48, 0, missing=48, false=0),
        Route(STRAY, "quarantine", 0, 0, missing=0, false=48),
    }


def test_a_fault_at_another_destination_is_missing_there_and_false_here(
    desk: Desk, told: Path, tmp_path: Path
) -> None:
    late = pl.col("kind") == "late"
    other = pl.when(late).then(pl.lit("parked")).otherwise("destination")
    routes = routes_of(desk, pl.read_parquet(told).with_columns(destination=other), tmp_path)
    assert wrong(routes) == {
        Route("late", "parked", 36, 0, missing=36, false=0),
        Route(STRAY, "late", 0, 0, missing=0, false=36),
    }


def test_the_truth_of_each_day_may_lie_in_a_file_of_its_own(
    desk: Desk, told: Path, tmp_path: Path
) -> None:
    paths = []
    for day in PLAN.days:
        paths.append(tmp_path / f"{day}.parquet")
        pl.read_parquet(told).filter(day=day).write_parquet(paths[-1])
    assert set(routing(desk.settings, paths)) == EXACT


def test_what_is_no_truth_table_is_named(desk: Desk, told: Path, tmp_path: Path) -> None:
    text, other = tmp_path / "truth.txt", tmp_path / "other.parquet"
    text.write_text("not Parquet")
    pl.DataFrame({"kind": ["late"]}).write_parquet(other)
    for path in (text, other, tmp_path / "absent.parquet", tmp_path):
        with pytest.raises(TruthUnreadable, match=f"{path} is no truth table"):
            routing(desk.settings, [told, path])


def test_the_command_ends_well_where_all_is_exact(desk: Desk, told: Path) -> None:
    done = command(desk, str(told), "--json")
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)
    assert all(line.pop("is_exact") for line in lines)
    assert {Route(**line) for line in lines} == EXACT


def test_the_command_says_what_to_name_where_there_is_no_truth(desk: Desk, tmp_path: Path) -> None:
    done = command(desk, str(tmp_path / "truth.parquet"))
    assert done.returncode == 1
    assert "truth.parquet is no truth table" in done.stderr
    assert "`ticklake generate` wrote" in done.stderr
    assert "Traceback" not in done.stderr


def test_candles_are_the_same_with_and_without_the_generated_order_noise(
    desk: Desk, tmp_path: Path
) -> None:
    quiet = Desk(tmp_path / "lake", desk.target)
    landed: Counter[str] = Counter()
    for day in PLAN.days:
        for dataset in ("securities", "trades"):
            landed[dataset] += land_generated(quiet.settings, dataset, PLAN, day).ok
        landed["orders"] += land_trades_among_orders(quiet, day)
    assert landed["orders"] == 120  # 2 % of the messages
    quiet.build()
    for table in CANDLES:
        with_noise = desk.query(f"select * from {table} order by all")
        assert with_noise == quiet.query(f"select * from {table} order by all"), table
    volume = desk.query(
        "select sum(volume) from gold.candles_1d join (select distinct instrument_id, session_date "
        "from silver.trades where dataset = 'orders') using (instrument_id, session_date) "
        "where venue = 'ALL' and session_scope = 'all'"
    )
    assert volume == desk.query("select sum(quantity) from silver.trades where dataset = 'orders'")


def land_trades_among_orders(desk: Desk, day: date) -> int:
    """Land what a feed without orders would have sent, each message when it really came."""
    contract = registry.get("orders")
    made = list(blocks(PLAN, "orders", day))
    trades = pl.concat([block.frame.filter(msg_type="T") for block in made])
    unit = Unit(f"generator:quiet/orders/{day}", lambda: iter([Block(made[0].form, trades)]))
    source = GeneratorSource(contract, desk.settings, PLAN, day, unit)
    return land(source, BronzeWriter(contract, desk.layout)).ok


def test_a_stray_reject_is_false_and_the_command_ends_with_1(desk: Desk, told: Path) -> None:
    desk.land("orders", [b"no record"], unit="kafka:stray/0")
    desk.build()
    stray = Route(STRAY, "quarantine", 0, 0, missing=0, false=1)
    assert set(routing(desk.settings, [told])) == EXACT | {stray}
    done = command(desk, str(told))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if STRAY in line]
    assert [cell.strip() for cell in line.strip("│┃").split("│")] == [
        STRAY, "quarantine", "0", "0", "0", "1", "no",
    ]  # fmt: skip
    assert sum("no │" in line for line in done.stdout.splitlines()) == 1
