"""What holds for every dataset that is made of the stocks' market, whatever it says."""

import os
import subprocess
import sys
from datetime import date
from hashlib import sha256
from types import ModuleType

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ingestion.check import check
from ingestion.decode import decode_json
from ingestion.generate import bars, book_updates, encode, market_data, positions, posts
from ingestion.generate.plan import BLOCK_ROWS, Plan

PLAN = Plan(
    seed=11,
    quotes=6_000,
    trades=6_001,
    securities=200,
    market_data=10_001,
    book_updates=10_003,
    snapshot_minutes=30,
    posts=40,
    bars=True,
)
MODULES = (market_data, book_updates, positions, posts, bars)


def frame_of(module: ModuleType, day: date, plan: Plan = PLAN) -> pl.DataFrame:
    return pl.concat(list(module.rows(plan, day)))


def digest(module: ModuleType, plan: Plan) -> str:
    found = sha256()
    for day in plan.days:
        for value in encode.json_values(module.FORM, frame_of(module, day, plan)):
            found.update(value)
    return found.hexdigest()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.FORM.dataset)
class TestEveryDataset:
    def test_every_message_keeps_its_contract(self, module: ModuleType) -> None:
        for day in PLAN.days:
            frame = frame_of(module, day)
            values = encode.json_values(module.FORM, frame).to_list()
            decoded = decode_json(module.FORM.contract, values, 1_000_000)
            received = (frame["recv_ms"] * 1_000_000).alias("recv_ts_ns")
            checked = check(module.FORM.contract, decoded.frame.with_columns(received))
            assert decoded.rejects.is_empty(), decoded.rejects
            assert checked.rejects.is_empty(), checked.rejects
            assert len(checked.good) == len(frame) > 0

    def test_canonical_columns_are_what_the_json_decodes_to(self, module: ModuleType) -> None:
        frame = frame_of(module, PLAN.days[0])
        values = encode.json_values(module.FORM, frame).to_list()
        decoded = decode_json(module.FORM.contract, values, 1_000_000).frame.drop("i")
        assert_frame_equal(encode.typed(module.FORM, frame), decoded)

    def test_another_seed_gives_other_bytes(self, module: ModuleType) -> None:
        other = Plan(**{**vars(PLAN), "seed": 12})
        assert digest(module, PLAN) != digest(module, other)

    def test_a_day_made_first_is_the_day_made_in_its_turn(self, module: ModuleType) -> None:
        turn = [frame_of(module, day) for day in PLAN.days][1]
        positions._closings.cache_clear()
        assert_frame_equal(frame_of(module, PLAN.days[1]), turn)

    def test_messages_arrive_in_order_and_never_before_they_happen(
        self, module: ModuleType
    ) -> None:
        for day in PLAN.days:
            frame = frame_of(module, day)
            assert frame["recv_ms"].is_sorted()
            assert (frame["recv_ms"] * 1000 >= frame["event_us"]).all()
            assert (frame["event_us"] % 1000 == 0).all()


def test_another_process_makes_the_same_bytes() -> None:
    script = (
        "from tests.unit.test_generate_datasets import MODULES, PLAN, digest\n"
        "print(*(digest(module, PLAN) for module in MODULES))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [digest(module, PLAN) for module in MODULES]


def test_counts_are_exact_and_blocks_are_no_longer_than_they_may_be() -> None:
    plan = Plan(
        quotes=300, trades=0, securities=100, market_data=BLOCK_ROWS * 2 + 5, book_updates=7
    )
    blocks = [[len(block) for block in market_data.rows(plan, day)] for day in plan.days]
    assert blocks == [[BLOCK_ROWS, 3], [BLOCK_ROWS, 2]]
    assert [len(frame_of(book_updates, day, plan)) for day in plan.days] == [4, 3]


def test_a_plan_that_asks_for_none_gets_none() -> None:
    plan = Plan(quotes=300, trades=100, securities=100)
    for module in MODULES:
        assert [len(block) for day in plan.days for block in module.rows(plan, day)] == []
