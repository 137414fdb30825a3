"""People query while builds run: never an error, never half a build, never a failed one."""

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import duckdb
import pytest

from checks.reconcile import reconcile
from lake.records import current
from lake.settings import PROJECT
from tests.desk import Desk, trade

ONE_TRUTH = """
select
    (select number from audit.publication) as publication,
    (select count(*) from silver.trades) as silver_rows,
    (select sum(trade_count) from gold.candles_1s
     where session_scope = 'all' and venue = 'ALL') as candle_rows,
    (select sum(trade_count) from gold.candles_1d
     where session_scope = 'all' and venue = 'ALL') as day_rows,
    (select count(*) from gold.enriched_trades) as enriched_rows,
    (select sum(notional) from silver.trades) as silver_notional,
    (select sum(notional) from gold.candles_1h
     where session_scope = 'all' and venue = 'ALL') as candle_notional
"""


def read_until(stop: Event, path: str, found: "Queue[object]") -> None:
    """Open, query, close, again and again; report every distinct answer and the first error."""
    seen: set[tuple[object, ...]] = set()
    reads = 0
    try:
        while not stop.is_set():
            with duckdb.connect(path, read_only=True) as conn:
                seen.add(conn.execute(ONE_TRUTH).fetchall()[0])
            reads += 1
            time.sleep(0.8)  # a person's pace: the builds need the cores, too
    except Exception as error:
        found.put(error)
        return
    found.put((reads, seen))


def batch(first: int, count: int, hour: int) -> list[dict[str, object]]:
    return [
        trade(
            n,
            f"{hour:02}:{n % 60:02}:{n % 59:02}.{n % 1000:03}",
            price=f"{100 + n % 7}.25",
            quantity=n % 90 + 1,
            instrument=f"BOND_{n % 5}",
        )
        for n in range(first, first + count)
    ]


def dbt_build(desk: Desk, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`dbt build` as a process of its own, as a second shell would run it."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "dbt"), "build", *arguments],
        cwd=PROJECT / "dbt",
        env={
            **os.environ,
            "LAKE_URI": str(desk.root),
            "DBT_TARGET_PATH": str(desk.target),
            "TICKLAKE_MODELS": desk.models,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def tamper(desk: Desk) -> None:
    """Falsify a candle in the warehouse, behind the build's back."""
    with duckdb.connect(str(desk.layout.warehouse)) as conn:
        conn.execute("update gold.candle_windows_1s set volume = volume + 1 where venue = 'ALL'")


def test_three_readers_through_four_builds_see_whole_publications_only(desk: Desk) -> None:
    desk.land("trades", batch(0, 500, 13))
    desk.build()
    context = multiprocessing.get_context("spawn")
    stop, found = context.Event(), context.Queue()
    path = str(desk.layout.lakehouse)
    readers = [context.Process(target=read_until, args=(stop, path, found)) for _ in range(3)]
    patient = duckdb.connect(path, read_only=True)
    first = patient.execute(ONE_TRUTH).fetchall()
    for reader in readers:
        reader.start()
    try:
        desk.land("trades", batch(500, 500, 14))
        assert dbt_build(desk).returncode == 0
        tamper(desk)
        desk.land("trades", batch(1000, 500, 15))
        assert dbt_build(desk, "--select", "account_gold", "--full-refresh").returncode == 1
        assert dbt_build(desk, "--full-refresh").returncode == 0
        desk.land("trades", batch(1500, 500, 13))
        assert dbt_build(desk).returncode == 0
    finally:
        stop.set()
    answers = [found.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join(60)
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    seen = set[tuple[object, ...]]().union(*(answer[1] for answer in answers))
    counts = {row[0]: row[1] for row in seen}
    assert counts.items() <= {2: 500, 3: 1000, 4: 1500, 5: 2000}.items(), counts
    for _, silver, candles, days, enriched, silver_notional, candle_notional in seen:
        assert silver == candles == days == enriched
        assert silver_notional == candle_notional
    assert patient.execute(ONE_TRUTH).fetchall() == first
    patient.close()  # a process has one instance per file: while it is open it is the old one
    assert desk.query(ONE_TRUTH)[0][:2] == (5, 2000)


def test_a_build_whose_account_is_open_publishes_nothing_and_is_named_by_reconcile(
    desk: Desk,
) -> None:
    desk.land("trades", batch(0, 50, 13))
    before = desk.build()
    assert [a for a in reconcile(desk.settings) if a.is_open] == []
    tamper(desk)
    desk.dbt("build", "--select", "account_gold", "--full-refresh", expect=False)
    assert current(desk.layout) == before
    wrong = [a for a in reconcile(desk.settings) if a.is_open]
    candles = desk.query(
        "select count(*) from gold.candles_1s where session_scope = 'all' and venue = 'ALL'"
    )[0][0]
    hours = desk.query("select count(distinct instrument_id) from gold.candles_1h")[0][0]
    assert len(wrong) == hours
    assert sum(a.difference for a in wrong) == -candles
    done = subprocess.run(
        [sys.executable, "-m", "ticklake.cli", "reconcile"],
        env={**os.environ, "LAKE_URI": str(desk.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{hours} accounts are open" in done.stderr
    desk.build("--full-refresh")
    assert [a for a in reconcile(desk.settings) if a.is_open] == []


@pytest.mark.parametrize("arguments", [("run",), ("build", "--exclude-resource-type", "test")])
def test_what_was_not_tested_is_not_published(desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.land("trades", batch(0, 50, 13))
    desk.dbt(*arguments)
    assert desk.query("select count(*) from silver.trades") == [(0,)]
    desk.build()
    assert desk.query("select count(*) from silver.trades") == [(50,)]


def test_the_file_people_open_has_the_format_of_duckdb_1_2(desk: Desk) -> None:
    desk.land("trades", batch(0, 5, 13))
    desk.build()
    with duckdb.connect() as conn:
        conn.execute(f"attach '{desk.layout.lakehouse}' as lakehouse (read_only)")
        tags = conn.execute(
            "select tags['storage_version'] from duckdb_databases() "
            "where database_name = 'lakehouse'"
        ).fetchall()
    assert tags[0][0].startswith("v1.2")
