"""Published = built: the files that readers get against the control totals of what was built."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from checks.account import Account, line, unreadable
from lake import control_totals, delta_log
from lake.control_totals import Totals
from lake.files import arrow_schema, literal, relation
from lake.layout import Layout
from lake.published_table import PART, PublishedFile, files_by_part
from lake.records import Published, Record
from lake.verify import inspect_file

Progress = Callable[[str, int], None]  # a table that was looked at, and how many there are

NAME = "published = built"
_OURS = ("ticklake.build_id", "ticklake.maintain")
_RESHAPED = "SET TBLPROPERTIES"  # follows a commit of ours that changes columns
MOST_NAMED = 20  # parts of a table


def published(
    place: Layout, record: Record, *, quick: bool = False, progress: Progress | None = None
) -> list[Account]:
    """Every table of the publication against its control totals, part by part.

    Closed parts are summed up by schema. With `quick` rows are taken from the logs, and no file is
    read: then a changed value is not found.
    """
    tables = {k: t for k, t in record.tables.items() if t.kind == "table"}
    looked: list[Account] = []
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        try:
            built = built_totals(conn, place, record)
        except Exception as error:  # a broken log fails in many ways
            return [unreadable(NAME, control_totals.KEY, str(error))]
        for key, table in sorted(tables.items()):
            root = place.table(*key.split("."))
            try:
                looked += _table(conn, root, key, table, built.get(key, {}), quick)
            except Exception as error:
                looked.append(unreadable(NAME, key, str(error)))
            if progress:
                progress(key, len(tables))
    return [*summed_up(looked), *(account for account in looked if account.is_open)]


def built_totals(
    conn: DuckDBPyConnection, place: Layout, record: Record
) -> dict[str, dict[str, Totals]]:
    """Table -> part -> what was built, as the publication states it."""
    stated = record.tables.get(control_totals.KEY)
    if stated is None:
        return {}
    root = place.table(control_totals.SCHEMA_NAME, control_totals.TABLE_NAME)
    uris = DeltaTable(str(root), version=stated.version).file_uris()
    rows = conn.execute(f"select * from {relation(uris, control_totals.SCHEMA)}").fetchall()
    found: dict[str, dict[str, Totals]] = {}
    for key, part, count, checksum, sums in rows:
        exact = {name: Decimal(text) for name, text in json.loads(sums).items()}
        found.setdefault(key, {})[part] = Totals(count, int(checksum), exact)
    return found


def _table(
    conn: DuckDBPyConnection,
    root: Path,
    key: str,
    table: Published,
    built: Mapping[str, Totals],
    quick: bool,
) -> Iterator[Account]:
    yield from _version(root, key, table)
    at = DeltaTable(str(root), version=table.version)
    files = files_by_part(at)
    by_log = quick or key in control_totals.UNCOUNTED
    if key in control_totals.UNCOUNTED:  # only the log says what they hold
        built = {part: Totals(sum(f.rows for f in of_part), 0) for part, of_part in files.items()}
    elif not table.totals:
        yield unreadable(NAME, key, "it has no control totals; run `ticklake build`")
        return
    found = _left(root, files) if by_log else _read(conn, root, arrow_schema(at.schema()), files)
    is_full = not by_log and table.totals == control_totals.method()
    lines = [
        _part(root, key, part, built.get(part, _NONE), found.get(part, _NONE), files, is_full)
        for part in sorted(set(built) | set(found))
    ]
    wrong = [account for account in lines if account.is_open]
    yield from wrong[:MOST_NAMED]
    if rest := wrong[MOST_NAMED:]:
        yield line(NAME, f"{key}, and more parts that differ", 0, len(rest))
    yield from (account for account in lines if not account.is_open)


_NONE = Totals(0, 0)


def _version(root: Path, key: str, table: Published) -> Iterator[Account]:
    """Is the published version the newest, but for what builds left that did not end?"""
    newest = delta_log.newest(root)
    foreign: dict[int, str] = {}
    for version in range(table.version + 1, newest + 1):
        info = delta_log.commit_info(delta_log.read(root, version))
        if info.get("operation") == "RESTORE":
            foreign.clear()  # a publication took them back
        elif info.get("operation") != _RESHAPED and not any(name in info for name in _OURS):
            foreign[version] = str(info.get("engineInfo") or info.get("clientVersion") or "others")
    for version, who in foreign.items():
        yield line(
            "published version = newest version", key, table.version, version,
            f"version {version} was written by {who}; lakehouse.duckdb does not show it, and "
            "`ticklake build --full-refresh` takes it back",
        )  # fmt: skip
    if newest < table.version:
        yield line("published version = newest version", key, table.version, newest,
                   "the log ends before the version that is published")  # fmt: skip


def _left(root: Path, files: Mapping[str, Sequence[PublishedFile]]) -> dict[str, Totals]:
    """Rows as the log says, of the files that are there."""
    return {
        part: Totals(sum(f.rows for f in of_part if (root / f.path).exists()), 0)
        for part, of_part in files.items()
    }


def _read(
    conn: DuckDBPyConnection,
    root: Path,
    schema: pa.Schema,
    files: Mapping[str, Sequence[PublishedFile]],
) -> dict[str, Totals]:
    """Totals of what the files hold; a part whose files cannot be read has none."""

    def read(parts: Mapping[str, Sequence[PublishedFile]]) -> dict[str, Totals]:
        paths = [root / f.path for of_part in parts.values() for f in of_part]
        there = [str(path) for path in paths if path.exists()]
        if not there:
            return {}
        source = relation(there, schema, partitions=[PART])
        return control_totals.totals(conn, source, PART, schema, [PART])

    try:
        return read(files)
    except duckdb.Error:
        found: dict[str, Totals] = {}
        for part, of_part in files.items():
            try:
                found |= read({part: of_part})
            except duckdb.Error:
                continue
        return found


def _part(
    root: Path,
    key: str,
    part: str,
    built: Totals,
    found: Totals,
    files: Mapping[str, Sequence[PublishedFile]],
    is_full: bool,
) -> Account:
    """The line of a part: its rows, or what else differs first."""
    scope = f"{key} {part}"
    told = [
        str(wrong)
        for f in files.get(part, [])
        if not f.is_whole(root) and (wrong := inspect_file(root, root / f.path, f.size, f.rows))
    ]
    told += [
        f"{name}: built {built.sums[name]:f}, published {found.sums[name]:f}"
        for name in sorted(set(built.sums) & set(found.sums))
        if built.sums[name] != found.sums[name]
    ]
    detail, look = "; ".join(told), _look(key, part)
    if built.rows != found.rows:
        return line(NAME, scope, built.rows, found.rows, detail, look)
    for name in sorted(set(built.sums) & set(found.sums)):
        left, right = built.sums[name], found.sums[name]
        if left != right:
            return Account(f"{NAME}, {name}", scope, left, right, left - right, detail, look)
    if is_full and built.checksum != found.checksum:
        same = "rows and sums are the same, the rows are not"
        return line(f"{NAME}, checksum", scope, built.checksum, found.checksum, same, look)
    return line(NAME, key, built.rows, found.rows)


def _look(key: str, part: str) -> str:
    """A command that shows the rows of a part."""
    if "T" not in part:
        return f'ticklake sql "from {key}"'
    hour = "landed_hour" if key.startswith("audit.") else "event_hour"
    moment = literal(f"{part.replace('T', ' ')}:00:00+00")
    return f'ticklake sql "from {key} where {hour} = timestamptz {moment}"'


def summed_up(lines: Sequence[Account], name: str = NAME) -> list[Account]:
    """Closed lines of tables (their scopes are schema.table), a line for each schema."""
    closed = [account for account in lines if not account.is_open]
    if not closed:
        return []
    frame = pl.DataFrame(
        {
            "schema": [account.scope.split(".")[0] for account in closed],
            "table": [account.scope for account in closed],
            "rows": [int(account.left) for account in closed],
        }
    )
    return [
        line(name, f"{schema}: {tables} tables, {parts} parts", rows, rows)
        for schema, tables, parts, rows in frame.group_by("schema", maintain_order=True)
        .agg(pl.col("table").n_unique(), pl.len(), pl.col("rows").sum())
        .iter_rows()
    ]
