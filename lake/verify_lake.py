"""The whole lake looked through: every table, the publication records, and rows against ledger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from contracts import registry
from lake import delta_log, ledger, pins
from lake.delta_log import LogBroken
from lake.files import literal
from lake.layout import Layout, layout
from lake.settings import Settings
from lake.verify import Finding, Problem, inspect, mend_commit, mend_table, record_problem

Progress = Callable[[str], None]  # called with the table that was looked at

MOST_NAMED = 20  # spans that a finding lists

_BROKEN_FILE = {Problem.FILE_MISSING, Problem.FILE_SIZE, Problem.FILE_BROKEN, Problem.FILE_ROWS}


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what was found."""

    tables: int
    files: int
    rows: int
    findings: list[Finding]

    @property
    def damage(self) -> list[Finding]:
        """Findings that are not for information only."""
        return [finding for finding in self.findings if finding.is_damage]


def verify(settings: Settings, *, deep: bool = False, progress: Progress | None = None) -> Verified:
    """Look through the lake. Changes nothing but the ledger, which is brought up.

    Without `deep` logs, sizes and footers are read, and rows are counted against the ledger; with
    it every page, and the rows of each batch and unit.
    """
    place = layout(settings)
    findings = [
        wrong for p in sorted(place.published.glob("*.json")) if (wrong := record_problem(p))
    ]
    files = rows = tables = 0
    broken: dict[Path, list[Finding]] = {}
    for root in _tables(place):
        found = inspect(root, deep=deep)
        broken[root] = [finding for finding in found if finding.is_damage]
        findings += found
        tables += 1
        counted = _counted(root)
        files, rows = files + counted[0], rows + counted[1]
        if progress:
            progress(f"{root.parent.name}.{root.name}")
    findings += _against_ledger(place, broken, deep)
    return Verified(tables, files, rows, findings)


def _tables(place: Layout) -> list[Path]:
    bronze = [place.bronze(name) for name in registry.all_contracts()]
    published = [
        p for schema in ("silver", "gold", "audit") for p in (place.root / schema).glob("*")
    ]
    return [
        p
        for p in [*bronze, place.ledger, place.failures, *sorted(published)]
        if delta_log.is_table(p)
    ]


def _counted(root: Path) -> tuple[int, int]:
    """Files and rows as the log has them; none where it cannot be read."""
    try:
        found = pa.table(DeltaTable(str(root)).get_add_actions()).column("num_records").to_pylist()
    except Exception:
        return 0, 0
    return len(found), sum(count or 0 for count in found)


def _against_ledger(
    place: Layout, broken: dict[Path, list[Finding]], deep: bool
) -> Iterator[Finding]:
    """Positions of each unit without gap or overlap, and as many rows as the ledger says."""
    try:
        ledger.append_new(place)
    except (LogBroken, RuntimeError):
        return  # already found: a log that cannot be read
    if not delta_log.is_table(place.ledger) or broken.get(place.ledger):
        return
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; create schema ledger")
        pins.create_ledger_view(conn, place)
        for dataset in registry.all_contracts():
            root = place.bronze(dataset)
            if not delta_log.is_table(root):
                continue
            yield from spans_that_do_not_follow(conn, place, dataset)
            of_files = [f for f in broken[root] if f.problem in _BROKEN_FILE]
            if len(of_files) == len(broken[root]):
                yield from _rows(conn, root, dataset, of_files, deep)


def spans_that_do_not_follow(
    conn: DuckDBPyConnection, place: Layout, dataset: str
) -> Iterator[Finding]:
    """Each commit of a unit starts where the one before it ended: gaps and overlaps."""
    wrong = conn.execute(
        "select unit, version, expected, first_position from (select *, lag(next_position, 1, 0) "
        "over (partition by unit order by version) as expected from ledger.commits "
        "where dataset = ? and not starts_with(unit, ?)) where first_position <> expected "
        "order by unit, version",
        [dataset, pins.REPLAY],
    ).fetchall()
    for unit, version, expected, first in wrong[:MOST_NAMED]:
        is_gap = first > expected
        low, high = (expected, first) if is_gap else (first, expected)
        yield Finding(
            Problem.POSITIONS_MISSING if is_gap else Problem.POSITIONS_TWICE,
            place.bronze(dataset),
            f"positions {low} to {high} (excluded) of {unit}, at version {version}",
            "this is a fault of ours if nobody wrote to the table by hand; keep the lake as it is",
        )


def _rows(
    conn: DuckDBPyConnection, root: Path, dataset: str, broken: Sequence[Finding], deep: bool
) -> Iterator[Finding]:
    """Rows in the files that can be read against the ledger, batch by batch if they differ."""
    version = delta_log.newest(root)
    table = DeltaTable(str(root), version=version)
    actions = pl.DataFrame(table.get_add_actions()).select("num_records")
    landed = conn.execute(
        "select coalesce(sum(ok + rejected), 0)::bigint from ledger.commits "
        "where dataset = ? and version <= ?",
        [dataset, version],
    ).fetchall()[0][0]
    if deep or broken or landed != actions["num_records"].sum():
        yield from against_ledger(conn, root, dataset, broken, version)


def against_ledger(
    conn: DuckDBPyConnection, root: Path, dataset: str, broken: Sequence[Finding], version: int
) -> Iterator[Finding]:
    """Batches of which a version of bronze has not the rows that the ledger says, counted in the
    files that are not `broken`; and batches that the ledger does not know."""
    table = DeltaTable(str(root), version=version)
    actions = pl.DataFrame(table.get_add_actions()).select("path", "num_records")
    bad = {str(finding.path) for finding in broken}
    good = [f"{root}/{path}" for path in actions["path"] if f"{root}/{path}" not in bad]
    listed = ", ".join(map(literal, good))
    counted = (
        f"select batch, unit, count(*) as n, count(distinct position) as positions, "
        f"min(position) as low, max(position) as high from read_parquet([{listed}], "
        "hive_partitioning = false, union_by_name = true) group by 1, 2"
        if good
        else "select null as batch, null as unit, 0 as n, 0 as positions, 0 as low, 0 as high"
    )
    wrong = conn.execute(
        "with landed as (select version, batch, unit, first_position, next_position, "
        "ok + rejected as expected from ledger.commits where dataset = ? and version <= ?) "
        "select unit, batch, expected, first_position, next_position, coalesce(n, 0), "
        f"coalesce(positions, 0) from landed full join ({counted}) using (batch, unit) "
        "where batch is not null and (expected is distinct from coalesce(n, 0) or "
        "n <> positions or low < first_position or high >= next_position) order by version, unit",
        [dataset, version],
    ).fetchall()
    for unit, batch, expected, first, following, count, positions in wrong[:MOST_NAMED]:
        landed = f"landed {expected} rows of {unit}, positions {first} to {following} (excluded)"
        if expected is None:
            landed = f"is not in the ledger, and has rows of {unit}"
        yield Finding(
            Problem.ROWS_DIFFER,
            root,
            f"batch {batch} {landed}; {count} are left, of {positions} positions",
            mend_table(root) if count < (expected or 0) else mend_commit(root),
        )
    if len(wrong) > MOST_NAMED:
        yield Finding(
            Problem.ROWS_DIFFER, root, f"and {len(wrong) - MOST_NAMED} more", mend_table(root)
        )
