"""Publication to PostgreSQL beside the bare ADBC ingest of the same rows.

    python -m benchmarks.postgres [--rows 1000000] [--json]

Makes a server and a lake of its own with one published table cut by 240 hours, and copies it: the
first time, again with nothing new, and with the rows of one hour changed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from lake.layout import layout
from lake.publish import publish
from lake.published_table import Model
from lake.session import STATE_SQL
from lake.settings import load_settings
from serving.postgres import publish_postgres
from tests.postgres_server import Postgres, require_postgres

HOURS = 240
MODEL = Model(
    "gold",
    "enriched",
    "table",
    part="strftime(event_hour, '%Y-%m-%dT%H')",
    dirty_part="strftime(hour, '%Y-%m-%dT%H')",
    hour="event_hour",
)
ROWS = """
create or replace table gold.enriched as
select
    'T' || i as trade_id,
    'INST_' || (i % 1000) as instrument_id,
    1759363200000000000 + i * 1000::bigint as event_ts_ns,
    timestamptz '2025-10-02 00:00:00+00' + to_hours((i % {hours})::integer) as event_hour,
    timestamptz '2025-10-02 00:00:00+00' + to_microseconds(i) as event_ts,
    (100 + i % 977 / 100)::decimal(18, 9) as price,
    (i % 5000)::decimal(28, 8) as quantity,
    ((100 + i % 977 / 100) * (i % 5000))::decimal(38, 12) as notional,
    case when i % 2 = 0 then 'B' else 'S' end as side,
    i % 3 / 7 as spread_bps,
    i % 2 = 0 as is_two_sided
from range({rows}) as t(i)
"""


def measure(rows: int) -> dict[str, Any]:
    """Seconds of each way."""
    require_postgres()
    with (
        tempfile.TemporaryDirectory(prefix="ticklake-benchmark-") as folder,
        Postgres() as server,
        duckdb.connect() as conn,
    ):
        url = server.create("market")
        settings = load_settings({"LAKE_URI": folder, "TICKLAKE_POSTGRES": url})
        place = layout(settings)
        conn.execute(f"set TimeZone = 'UTC'; {STATE_SQL}; create schema gold")

        def build(build_id: str) -> None:
            publish(conn, place, [MODEL], build_id=build_id, read={}, pin={})

        conn.execute(ROWS.format(rows=rows, hours=HOURS))
        build("1")
        told: dict[str, Any] = {"rows": rows, "bare": _bare(conn, url)}
        told["first"] = _timed(lambda: publish_postgres(settings).rows)
        told["nothing"] = _timed(lambda: publish_postgres(settings).rows)
        hour = "timestamptz '2025-10-02 07:00:00+00'"
        conn.execute(f"update gold.enriched set price = price + 1 where event_hour = {hour}")
        conn.execute(
            "insert into audit.dirty values "
            f"('2', 'gold.enriched', null, {hour}, {hour}, false, true)"
        )
        build("2")
        told["one hour"] = _timed(lambda: publish_postgres(settings).rows)
    return told


def _bare(conn: duckdb.DuckDBPyConnection, url: str) -> dict[str, float]:
    """ADBC alone: the same rows into a table without a key, from Arrow in memory."""
    from adbc_driver_postgresql import dbapi

    arrow = conn.sql("from gold.enriched").to_arrow_table()

    def ingest() -> int:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("bare", arrow.to_reader(100_000), mode="create")
            connection.commit()
        return arrow.num_rows

    return _timed(ingest)


def _timed(work: Callable[[], int]) -> dict[str, float]:
    clock, cpu = time.perf_counter(), time.process_time()
    rows = work()
    return {
        "rows": rows,
        "seconds": time.perf_counter() - clock,
        "cpu_seconds": time.process_time() - cpu,
    }


def main() -> None:
    """Measure, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    told = measure(given.rows)
    if given.json:
        print(json.dumps(told))
        return
    table = Table(title=f"{told['rows']:,} rows to PostgreSQL on this machine")
    for place, name in enumerate(("", "rows", "seconds", "CPU seconds here", "rows/s", "of bare")):
        table.add_column(name, justify="right" if place else "left")
    bare = told["bare"]["seconds"]
    for name in ("bare", "first", "nothing", "one hour"):
        run = told[name]
        rate = f"{run['rows'] / run['seconds']:,.0f}" if run["rows"] else ""
        shown = [f"{run['rows']:,}", f"{run['seconds']:.2f}", f"{run['cpu_seconds']:.2f}", rate]
        table.add_row(name, *shown, f"{run['seconds'] / bare:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
