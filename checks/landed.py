"""Bronze against its ledger, from the logs: rows, files and positions of each dataset."""

from collections.abc import Iterator
from decimal import Decimal

import duckdb
from duckdb import DuckDBPyConnection

from checks.account import Account, line, unreadable
from lake import pins, speed
from lake.layout import Layout
from lake.verify import Finding, inspect_files
from lake.verify_lake import against_ledger, spans_that_do_not_follow

_LEDGER = """
select coalesce(sum(ok + rejected), 0)::bigint from ledger.commits
where dataset = ? and version <= ?
"""
_POSITIONS = f"""
select coalesce(sum(until), 0)::bigint, coalesce(sum(taken), 0)::bigint from (
    select max(next_position) as until, sum(next_position - first_position) as taken
    from ledger.commits where dataset = ? and not starts_with(unit, '{pins.REPLAY}') group by unit
)
"""


def bronze(place: Layout) -> list[Account]:
    """`ledger = bronze` and `positions follow each other`, of each dataset that has landed."""
    try:
        versions = pins.newest(place)  # what lands meanwhile is left to the next time
    except RuntimeError as error:
        return [unreadable("ledger = bronze", "ledger.commits", str(error))]
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; create schema ledger")
        try:
            pins.create_ledger_view(conn, place)
        except RuntimeError as error:
            return [unreadable("ledger = bronze", "ledger.commits", str(error))]
        return [
            account
            for dataset, version in versions.items()
            if dataset not in speed.TABLES  # they are derived: the ledger knows nothing of them
            for account in _dataset(conn, place, dataset, version)
        ]


def _dataset(
    conn: DuckDBPyConnection, place: Layout, dataset: str, version: int
) -> Iterator[Account]:
    """Files are opened only where their size is not what the log says, or rows are missing."""
    root = place.bronze(dataset)
    expected = conn.execute(_LEDGER, [dataset, version]).fetchall()[0][0]
    try:
        files = inspect_files(root, version)
    except Exception as error:  # a log that cannot be read fails in many ways
        yield unreadable("ledger = bronze", dataset, str(error))
        return
    findings: list[Finding] = list(files.findings)
    if findings or files.rows != expected:
        findings += against_ledger(conn, root, dataset, files.unreadable, version)
    look = f"ticklake sql \"from ledger.commits where dataset = '{dataset}' order by version desc\""
    told = "\n".join(map(str, findings))
    yield line("ledger = bronze", dataset, expected, files.rows, told, look if told else "")
    wrong = [*spans_that_do_not_follow(conn, place, dataset)]
    until, taken = conn.execute(_POSITIONS, [dataset]).fetchall()[0]
    difference = (until - taken) or len(wrong)
    yield Account(
        "positions follow each other",
        dataset,
        Decimal(until),
        Decimal(taken),
        Decimal(difference),
        "\n".join(map(str, wrong)),
        look if wrong else "",
    )
