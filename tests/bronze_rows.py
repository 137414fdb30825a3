"""What bronze holds, read without the lake's own readers: the files of the newest version."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from tests.oracle import Delivered, Row, judge, wrong_positions


def rows(table: Path) -> list[dict[str, Any]]:
    """Every row of a bronze table, none if it was never made."""
    if not DeltaTable.is_deltatable(str(table)):
        return []
    files = DeltaTable(str(table)).file_uris()
    if not files:
        return []
    with duckdb.connect() as conn:
        conn.execute("set timezone = 'UTC'")
        found = conn.execute(
            "select * from read_parquet($files, hive_partitioning = true, hive_types_autocast = "
            "false, union_by_name = true)",
            {"files": files},
        )
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, values, strict=True)) for values in found.fetchall()]


def differences(dataset: str, landed: list[dict[str, Any]], sent: list[Delivered]) -> list[str]:
    """What is wrong with bronze, in words: positions, verdicts, codes, values, bytes.

    `sent` holds every record that was delivered, `landed` the rows of bronze. Empty is right.
    """
    count: dict[str, int] = {}
    for delivered in sent:
        count[delivered.unit] = max(count.get(delivered.unit, 0), delivered.position + 1)
    places = [(row["unit"], row["position"]) for row in landed]
    wrong = [
        f"{unit}: missing {missing[:5]}, surplus {surplus[:5]}"
        for unit, (missing, surplus) in wrong_positions(places, count).items()
    ]
    by_place = dict(zip(places, landed, strict=True))
    for delivered in sent:
        row = by_place.get((delivered.unit, delivered.position))
        if row is not None:
            wrong += _wrong_in(dataset, row, delivered)
    return wrong


def _wrong_in(dataset: str, row: dict[str, Any], delivered: Delivered) -> list[str]:
    truth = judge(dataset, delivered)
    expected: dict[str, Any] = {
        "verdict": "ok" if truth.code is None else "rejected",
        "reject_code": truth.code,
        "raw": None if truth.code is None else delivered.raw,
        "recv_ts_ns": delivered.recv_ts_ns,
        "delivery_unit": delivered.delivery_unit,
        "source": delivered.source,
        **(_values(dataset, truth.row) if truth.row else {}),
    }
    where = f"{delivered.unit} {delivered.position}"
    return [
        f"{where}: {name} is {row[name]!r}, must be {value!r}: {delivered.raw[:200]!r}"
        for name, value in expected.items()
        if row[name] != value
    ]


def _values(dataset: str, row: Row) -> dict[str, Any]:
    values = dict(row.values)
    if dataset != "securities":  # the one table that is not partitioned by date
        moment = datetime.fromtimestamp(row["event_ts_ns"] // 10**9, UTC)
        values["event_date"] = moment.date().isoformat()
    return values
