"""Speed candles against batch candles: what differs, why, and whether a run passes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.desk import Desk, trade
from tests.speed_layer import SpeedLayer

TICKLAKE_MODELS = "all"
MODELS = ("--select", "+drift_runs", "--exclude", "test_type:data,tag:none")


def build(desk: Desk, *more: str) -> None:
    desk.build("--select", "+drift_runs", *more)


def test_first(desk: Desk) -> None:
    speed = SpeedLayer(desk.layout)
    rows = [trade(n, f"12:00:{n:02}.5", 100, 1) for n in range(20)]
    rows += [trade(100, "12:00:05.7", 101, 3), trade(101, "13:00:00", 100, 1)]
    commit = desk.land("trades", rows)
    speed.take(rows)
    speed.flush(0)
    build(desk)
    print(desk.query("select * from gold.candle_drift"))
    print(desk.query("select * from gold.drift_hours"))
    print(desk.query("select * from gold.drift_runs"))
    assert 0
