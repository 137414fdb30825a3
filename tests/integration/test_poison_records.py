"""Every record, sound and broken in every way, lands as the oracle says: verdict, code, values."""

import ast
import random
from collections import Counter
from pathlib import Path

import pytest

from contracts import registry
from tests import bronze_rows, oracle_rules, oracle_wire
from tests.desk import Desk
from tests.faults.messages import START, damaged, every_poison, several_rules_broken
from tests.faults.records import sound
from tests.oracle import Delivered, judge

SOUND, SEVERAL, BATCHES = 300, 60, 3
EDGES = ('"2025-10-02T23:30:05Z"', '"1990-01-01T00:00:00Z"')  # 5 s ahead is not too far yet
RECV_NS = int(START.timestamp()) * 1_000_000_000
UNIT = "kafka:test/poison/0"

COMMON = {"PARSE_ERROR", "SCHEMA_MISSING_FIELD", "SCHEMA_TYPE", "NON_FINITE", "FUTURE_TS",
          "TS_OUT_OF_RANGE"}  # fmt: skip
PRICE, TRADED, QUOTED = "PRICE_NOT_POSITIVE", "QTY_NOT_POSITIVE", "QTY_NEGATIVE"
SIDE, TYPE = "UNKNOWN_SIDE", "UNKNOWN_MSG_TYPE"
CODES = {  # the codes that a record can get, by analytics.md 1.1
    "trades": COMMON | {PRICE, TRADED, SIDE},
    "quotes": COMMON | {PRICE, QUOTED, SIDE},
    "securities": COMMON | {PRICE},
    "orders": COMMON | {PRICE, TRADED, QUOTED, SIDE, TYPE},
    "market_data": COMMON | {PRICE, QUOTED},
    "positions": COMMON | {PRICE},
    "book_updates": COMMON | {PRICE, TRADED, SIDE, TYPE},
    "posts": COMMON,
    "bars": COMMON | {PRICE, QUOTED},
    "alerts": COMMON,
}


def drawn(dataset: str) -> tuple[list[bytes], list[bytes]]:
    """Sound records; and poison, a record for every way to break one, and some broken thrice."""
    rng = random.Random(dataset)
    good = [sound(rng, dataset, number, START).encode() for number in range(SOUND)]
    good += [damaged(rng, dataset, SOUND, START, {oracle_wire.TIME[dataset]: edge}) or b""
             for edge in EDGES]  # fmt: skip
    broken = [several_rules_broken(rng, dataset, number, START) for number in range(SEVERAL)]
    return good, [value or b"" for value in (*every_poison(rng, dataset, START), *broken)]


def delivered(raw: list[bytes]) -> list[Delivered]:
    return [Delivered(UNIT, place, RECV_NS, value, "test") for place, value in enumerate(raw)]


def test_the_oracle_knows_the_members_of_every_record() -> None:
    assert {name: {column.wire for column in contract.columns}
            for name, contract in registry.all_contracts().items()} == \
        {name: set(wire) for name, wire in oracle_wire.WIRE.items()}  # fmt: skip


def test_the_oracle_of_records_imports_nothing_of_what_it_judges() -> None:
    for module in (oracle_rules, oracle_wire):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        named = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert named <= {"collections.abc", "decimal", "typing"}
        assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


@pytest.mark.parametrize("dataset", CODES)
def test_by_the_oracle_sound_records_are_sound_and_poison_is_poison(dataset: str) -> None:
    good, poison = drawn(dataset)
    codes = [judge(dataset, record).code for record in delivered([*good, *poison])]
    assert set(codes[: len(good)]) == {None}
    assert set(codes[len(good) :]) == CODES[dataset]
    assert {key for raw in good for key in oracle_wire.WIRE[dataset] if key in raw.decode()} == {
        *oracle_wire.WIRE[dataset]
    }


@pytest.mark.parametrize("dataset", CODES)
def test_every_record_lands_as_the_oracle_says(dataset: str, tmp_path: Path) -> None:
    good, poison = drawn(dataset)
    raw = [*good, *poison]
    random.Random(2).shuffle(raw)
    desk, size = Desk(tmp_path / "lake", tmp_path), -(-len(raw) // BATCHES)
    for first in range(0, len(raw), size):
        desk.land(dataset, raw[first : first + size], unit=UNIT, recv_ns=RECV_NS)
    rows = bronze_rows.rows(desk.layout.bronze(dataset))
    assert bronze_rows.differences(dataset, rows, delivered(raw)) == []
    assert Counter(row["verdict"] for row in rows) == {"ok": len(good), "rejected": len(poison)}
    assert all(row["reject_message"] for row in rows if row["verdict"] == "rejected")
