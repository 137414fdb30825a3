"""Is every file of a table there, whole, and as its log says? What is not is named.

Two depths: the log and the footers of the data files, or every page of them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from lake import delta_log
from lake.delta_log import LAST_CHECKPOINT, LOG, LogBroken


class Problem(StrEnum):
    """What can be found. All but ORPHANS are damage."""

    ENTRY_MISSING = "log entry missing"
    ENTRY_BROKEN = "log entry empty or cut off"
    CHECKPOINT_BROKEN = "checkpoint unreadable"
    LAST_CHECKPOINT_BROKEN = "pointer to the last checkpoint unreadable"
    LOG_BROKEN = "log unreadable"
    FILE_MISSING = "data file missing"
    FILE_SIZE = "data file of another size"
    FILE_BROKEN = "data file unreadable"
    FILE_ROWS = "data file with another number of rows"
    POSITIONS_MISSING = "positions missing"
    POSITIONS_TWICE = "positions landed twice"
    ROWS_DIFFER = "rows differ from the ledger"
    RECORD_BROKEN = "publication record unreadable"
    ORPHANS = "files that no version names"


@dataclass(frozen=True)
class Finding:
    """One problem: where it is, what exactly is wrong, and what to do."""

    problem: Problem
    path: Path
    detail: str
    mend: str

    @property
    def is_damage(self) -> bool:
        """Is anything lost or wrong?"""
        return self.problem is not Problem.ORPHANS

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}: {self.detail}; {self.mend}"


def inspect(root: Path, *, deep: bool = False) -> list[Finding]:
    """Everything that is wrong with one Delta table, and files that belong to no version."""
    found = [*_log(root)]
    try:
        table = DeltaTable(str(root))
        files = table.get_add_actions().select(["path", "size_bytes", "num_records"])
        active = [tuple(row.values()) for row in pa.table(files).to_pylist()]
    except Exception as error:
        if not found:
            found.append(Finding(Problem.LOG_BROKEN, root / LOG, str(error), mend_table(root)))
        return found
    for path, size, rows in active:
        if wrong := inspect_file(root, root / path, size, rows, deep):
            found.append(wrong)
    return [*found, *_orphans(root, {path for path, *_ in active})]


@dataclass(frozen=True)
class Files:
    """The data files of a table: how many rows are left in them, and what is wrong with some."""

    rows: int
    findings: list[Finding]

    @property
    def unreadable(self) -> list[Finding]:
        """The findings about files that are gone or cannot be read."""
        return [found for found in self.findings if not _rows_left(found.path)]


def inspect_files(root: Path, version: int) -> Files:
    """Are the data files of a version there, as long as the log says? Only those that are not are
    opened.

    Raises what delta-rs raises where the log cannot be read.
    """
    table = DeltaTable(str(root), version=version)
    actions = table.get_add_actions().select(["path", "size_bytes", "num_records"])
    rows, findings = 0, []
    for path, size, count in (tuple(row.values()) for row in pa.table(actions).to_pylist()):
        wrong = None
        try:
            is_whole = (root / path).stat().st_size == size
        except FileNotFoundError:
            is_whole = False
        if count is None or not is_whole:
            wrong = inspect_file(root, root / path, size, count)
        rows += count if count is not None and is_whole else _rows_left(root / path)
        findings += [wrong] if wrong else []
    return Files(rows, findings)


def _rows_left(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0


def _log(root: Path) -> Iterator[Finding]:
    whole = [*_checkpoints(root)]
    good = [version for version, finding in whole if finding is None]
    yield from (finding for _, finding in whole if finding is not None)
    try:
        delta_log.last_checkpoint(root)
    except LogBroken as error:
        yield Finding(
            Problem.LAST_CHECKPOINT_BROKEN,
            root / LOG / LAST_CHECKPOINT,
            str(error).partition(": ")[2].partition(";")[0],
            "delete this file; the log is read instead",
        )
    entries = delta_log.versions(root)
    last = max(entries, default=0)
    for version in range(min(entries, default=0), last + 1):
        try:
            delta_log.read(root, version)
        except LogBroken as error:
            path = delta_log.entry(root, version)
            is_last = version == last and version > max(good, default=-1)
            missing = not path.exists()
            yield Finding(
                Problem.ENTRY_MISSING if missing else Problem.ENTRY_BROKEN,
                path,
                str(error).partition(": ")[2].partition(";")[0],
                mend_last_entry(root) if is_last else mend_table(root),
            )
    if entries and min(entries) > 0 and not any(c >= min(entries) - 1 for c in good):
        yield Finding(
            Problem.ENTRY_MISSING,
            delta_log.entry(root, min(entries) - 1),
            "this log entry is missing, and no checkpoint stands for it",
            mend_table(root),
        )


def _checkpoints(root: Path) -> Iterator[tuple[int, Finding | None]]:
    for path in sorted((root / LOG).glob("*.checkpoint*.parquet")):
        version = delta_log.version_of(path)
        if version is None:
            continue
        try:
            pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            yield (
                version,
                Finding(
                    Problem.CHECKPOINT_BROKEN,
                    path,
                    _first_line(error),
                    _mend_checkpoint(root, version),
                ),
            )
        else:
            yield version, None


def _mend_checkpoint(root: Path, version: int) -> str:
    entries = set(delta_log.versions(root))
    if set(range(version + 1)) <= entries:
        return f"delete it and {root / LOG / LAST_CHECKPOINT}; the log entries say the same"
    return mend_table(root)


def inspect_file(
    root: Path, path: Path, size: int, rows: int | None, deep: bool = False
) -> Finding | None:
    """What is wrong with a data file, held against its size and rows in the log."""
    mend = mend_table(root)
    try:
        there = path.stat().st_size
    except FileNotFoundError:
        return Finding(Problem.FILE_MISSING, path, f"the log names it, with {rows} rows", mend)
    if there != size:
        detail = f"it has {there} bytes, the log says {size}: it was cut off or written over"
        return Finding(Problem.FILE_SIZE, path, detail, mend)
    try:
        with pq.ParquetFile(path) as file:
            found = file.metadata.num_rows
            if deep:
                found = sum(batch.num_rows for batch in file.iter_batches(65_536))
    except (pa.ArrowException, OSError) as error:
        return Finding(Problem.FILE_BROKEN, path, _first_line(error), mend)
    if rows is not None and found != rows:
        detail = f"it holds {found} rows, the log says {rows}"
        return Finding(Problem.FILE_ROWS, path, detail, mend)
    return None


def _orphans(root: Path, active: set[str]) -> Iterator[Finding]:
    """Files that no version in the log names; those of older versions are not meant."""
    named = set(active)
    for version in delta_log.versions(root):
        try:
            actions = delta_log.read(root, version)
        except LogBroken:
            continue
        for kind in ("add", "remove"):
            named |= {unquote(file["path"]) for file in delta_log.files_of(actions, kind)}
    there = [
        path
        for path in sorted(root.rglob("*.parquet"))
        if LOG not in path.parts and path.relative_to(root).as_posix() not in named
    ]
    if there:
        total = sum(path.stat().st_size for path in there)
        yield Finding(
            Problem.ORPHANS,
            there[0],
            f"{len(there)} files, {total} bytes, written by commits that never came about",
            "nothing: nobody reads them, and `ticklake maintain` removes them in time",
        )


def mend_table(root: Path) -> str:
    """What to do about damage to a table, by what it is made from."""
    schema, lake = root.parent.name, root.parent.parent
    if schema in ("silver", "gold", "audit"):
        return (
            f"restore it from a backup, or move silver, gold, audit, published and "
            f"lakehouse.duckdb out of {lake} and run `ticklake build`: they are made from bronze"
        )
    if schema == "ledger":
        return (
            f"restore it from a backup, or move {root} away: it is made again from the logs of "
            "bronze, as far as these go back"
        )
    return "restore it from a backup: bronze is made from nothing else"


def mend_commit(root: Path) -> str:
    """What to do about rows that something else than `ticklake` put into bronze."""
    return (
        "take back the commit that did it: "
        f"deltalake.DeltaTable('{root}').restore(<the version before it>), or use a backup"
    )


def mend_last_entry(root: Path) -> str:
    """What to do about a broken entry that nothing follows."""
    if root.parent.name == "bronze":
        return "restore it from a backup, or delete it: its batch is landed again from its source"
    if root.parent.name == "ledger":
        return "restore it from a backup, or delete it: the ledger is brought up again"
    return mend_table(root)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def record_problem(path: Path) -> Finding | None:
    """What is wrong with a publication record."""
    try:
        json.loads(path.read_bytes())["tables"]
    except (ValueError, KeyError, TypeError) as error:
        return Finding(
            Problem.RECORD_BROKEN, path, f"it is no publication record ({error})",
            "restore it from a backup; if it is the newest one, delete it and build again",
        )  # fmt: skip
    return None
