"""A SQL file put into dbt/models/custom is a gold table after the next build."""

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from lake.settings import PROJECT
from tests import desk as desks
from tests.desk import Desk, trade

Drop = Callable[[str, str], None]

TURNOVER = """
select instrument_id, session_date, sum(quantity) as shares, sum(notional) as turnover,
    sum(tie_order) as places, count(*) as trades, min(event_ts)::timestamp as first_trade
from {{ ref('trades') }}
group by all
"""
ODD_TYPES = """
select 1::hugeint as huge, 7::ubigint as unsigned, 3::utinyint as tiny, time '10:30' as at,
    interval 90 second as long, null as nothing, 'a'::enum ('a', 'b') as chosen, 1.5::float as ratio
"""
TOUCHED = """
{{ config(materialized='touched', by=['instrument_id', 'event_hour']) }}

select instrument_id, event_hour, max(price) as highest
from {{ touched(ref('trades')) }}
group by all
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the dbt project: other tests build from the checkout's at the same time."""
    copied = tmp_path_factory.mktemp("copied")
    ignored = shutil.ignore_patterns("target", "logs")
    shutil.copytree(PROJECT / "dbt", copied / "dbt", ignore=ignored)
    return copied


@pytest.fixture(scope="module")
def desk(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    lake = tmp_path_factory.mktemp("lake")
    desk = Desk(lake / "lake", lake / "target")
    desk.land("trades", [trade(1, "14:00:00", 100, 5), trade(2, "15:00:00", 101, 7)])
    return desk


@pytest.fixture
def drop(project: Path, monkeypatch: pytest.MonkeyPatch) -> Drop:
    """Puts a file into the copy's models/custom; the desk builds from that copy."""
    monkeypatch.setattr(desks, "PROJECT", project)

    def put(name: str, sql: str) -> None:
        (project / "dbt" / "models" / "custom" / f"{name}.sql").write_text(sql, encoding="utf-8")

    return put


def test_a_plain_select_is_a_gold_table_after_the_next_build(desk: Desk, drop: Drop) -> None:
    drop("turnover", TURNOVER)
    drop("odd_types", ODD_TYPES)
    drop("highest", TOUCHED)
    desk.build("--select", "+turnover", "odd_types", "highest")
    assert desk.query(
        "select instrument_id, session_date::varchar, shares, turnover, places, trades, "
        "epoch(first_trade)::bigint from gold.turnover"
    ) == [("BOND_1", "2025-10-02", 12, Decimal(1207), 2, 2, 1_759_413_600)]
    kinds = desk.query("select column_name, data_type from information_schema.columns "
                       "where table_name = 'turnover' and column_name in ('places', 'first_trade')"
                       " order by 1")  # fmt: skip
    assert kinds == [("first_trade", "TIMESTAMP WITH TIME ZONE"), ("places", "DECIMAL(38,0)")]


def test_types_that_a_published_table_lacks_are_turned_into_one_that_it_has(desk: Desk) -> None:
    assert desk.query("select * from gold.odd_types") == [
        (1, 7, 3, "10:30:00", "00:01:30", None, "a", 1.5)
    ]


def test_it_is_made_anew_with_what_arrives_and_published_only_when_it_differs(
    desk: Desk, drop: Drop
) -> None:
    drop("turnover", TURNOVER)
    chosen = ("--select", "+turnover", "highest")
    before = desk.build(*chosen)
    assert desk.build(*chosen) == before
    desk.land("trades", [trade(3, "15:30:00", 99, 1)])
    after = desk.build(*chosen)
    assert desk.query("select shares, trades from gold.turnover") == [(13, 3)]
    assert after.tables["gold.odd_types"] == before.tables["gold.odd_types"]
    assert desk.query("select highest::int from gold.highest order by event_hour") == [
        (100,),
        (101,),
    ]
