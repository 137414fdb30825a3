"""Every model at once: its goldens, and that late rows give what a full refresh gives."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from checks.reconcile import reconcile
from tests.desk import Desk
from tests.generating import DAY, generate

TICKLAKE_MODELS = "all"

SIZES = (
    "--trades", "600", "--quotes", "1200", "--securities", "120", "--orders", "600",
    "--market-data", "300", "--book-updates", "300", "--snapshot-minutes", "60", "--posts", "6",
    "--faults", "5%", "--day", DAY, "--day", "2025-10-03",
)  # fmt: skip


def test_every_golden_beside_the_models_holds(desk: Desk) -> None:
    desk.build("--select", "sessions")
    done = desk.dbt("test", "--select", "test_type:unit", TICKLAKE_UNIT_TESTS="1").result.results
    ran = [result for result in done if result.node.resource_type == "unit_test"]
    assert {result.status for result in ran} == {"pass"}
    beside = Path(__file__).parents[2] / "dbt" / "models"
    goldens = sum(
        line.startswith("  - name: ")
        for path in beside.rglob("*_units.yml")
        for line in path.read_text().splitlines()
    )
    assert len(ran) == goldens


def lines(folder: Path) -> dict[str, list[bytes]]:
    """Raw records of a small generated market, by dataset."""
    done = generate(
        folder, "--to", "files", "--format", "jsonl", "--out", str(folder / "out"), *SIZES
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[bytes]] = {}
    for path in sorted((folder / "out").rglob("*.jsonl")):
        dataset = next((part for part in reversed(path.parts[:-1]) if part in DATASETS), None)
        dataset = dataset or next(name for name in DATASETS if path.name.startswith(name))
        found.setdefault(dataset, []).extend(path.read_bytes().splitlines())
    return found


DATASETS = (
    "trades", "quotes", "securities", "orders", "market_data", "book_updates", "positions", "posts",
)  # fmt: skip


SILVER = (
    "trades", "orders", "quotes", "market_data", "securities", "last_prices", "position_snapshots",
    "posts", "order_book",
)  # fmt: skip
GOLD = (
    "candles_1s", "candles_10s", "candles_1m", "candles_1h", "enriched_trades", "positions",
    "trade_pnl",
)  # fmt: skip


def corrections(trades: list[bytes], rng: random.Random) -> list[dict[str, Any]]:
    """Messages that correct or cancel some of the trades."""
    made = []
    for number, raw in enumerate(rng.sample(trades, 40)):
        try:
            one = json.loads(raw)
            ref = one["tradeId"]
        except (ValueError, KeyError, TypeError):
            continue
        status = rng.choice(["CORRECT", "CANCEL"])
        made.append({**one, "tradeId": f"L{number}", "refTradeId": ref, "status": status})
    return made


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory, dbt_target: Path) -> Desk:
    """A market of which a tenth lands after the first build, with corrections and cancels."""
    folder = tmp_path_factory.mktemp("every")
    desk = Desk(folder / "lake", dbt_target, models=TICKLAKE_MODELS)
    rng = random.Random(5)
    later: dict[str, list[Any]] = {}
    for dataset, records in lines(folder).items():
        held = set(rng.sample(range(len(records)), len(records) // 10))
        first = [record for place, record in enumerate(records) if place not in held]
        later[dataset] = [records[place] for place in sorted(held)]
        desk.land(dataset, first, unit=f"kafka:{dataset}/0")
    later["trades"] += corrections(later["trades"] * 5, rng)
    desk.build()
    for dataset, records in later.items():
        desk.land(dataset, records, unit=f"kafka:{dataset}/0")
    desk.build()
    return desk


def test_late_rows_corrections_and_cancels_give_every_table_that_a_full_refresh_gives(
    late: Desk,
) -> None:
    kept = late.fingerprints()
    assert set(DATASETS) <= {path.name for path in (late.root / "bronze").iterdir()}
    late.build("--full-refresh")
    fresh = late.fingerprints()
    assert {name: (kept[name], fresh[name]) for name in kept if kept[name] != fresh[name]} == {}
    filled = {name for name, (rows, *_) in kept.items() if rows}
    assert {"gold.alerts", "gold.positions", "gold.best_quotes", "gold.trade_quality"} <= filled


def test_every_account_of_every_layer_has_lines_and_all_of_them_close(late: Desk) -> None:
    accounts = reconcile(late.settings)
    assert [account for account in accounts if account.is_open] == []
    assert {(a.name, a.scope) for a in accounts} >= {
        *(("consumed = ok + rejected", dataset) for dataset in DATASETS),
        *(("ledger = bronze", dataset) for dataset in DATASETS),
        *(("ok = silver + duplicates + filtered", scope) for scope in SILVER),
        *(("silver = gold + excluded, notional", scope) for scope in GOLD),
        ("silver = gold + excluded, quantity", "position_change"),
        ("hours = day, notional", "candles_1d, all"),
        ("hours = day, notional", "candles_1d, regular"),
    }
