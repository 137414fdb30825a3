"""One table of a publication: its changed partitions, written and committed to Delta."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from duckdb import DuckDBPyConnection

from lake import control_totals, delta
from lake.control_totals import Look, Totals
from lake.delta_table import Table
from lake.durable import fault_point
from lake.files import arrow_schema, literal, quoted, relation
from lake.layout import Layout
from lake.records import Published

PART = "part"  # the one partition column of a published table; readers do not see it
WHOLE = "all"
_FEW = 24  # partitions that are copied one by one
# Rows that a thread sorts into folders before it writes them. DuckDB's half a million leave the
# processor's cache: ten million securities took 45 s of CPU time, and with this 27.
SORTED_AT_ONCE = 32_768
_CONFLICT = "another build is publishing to {}; run the build again when it has ended"


class PublishConflict(RuntimeError):
    """Another build published first; run the build again, it starts from there."""


@dataclass(frozen=True)
class Model:
    """A dbt model to publish.

    `part` is the SQL expression that names a row's partition. `dirty_part` is the same over
    audit.dirty, for models that record there what they replaced; None means: compare everything.
    `parts` are the only partitions that can differ, where that is known beforehand. `also` are
    partitions to compare in any case. `hour` is the column that `part` tells the hour of, if it is
    nothing else.
    """

    schema: str
    name: str
    kind: str  # table | view
    part: str = literal(WHOLE)
    dirty_part: str | None = None
    ignore: tuple[str, ...] = ()
    sql: str = ""
    parts: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()
    hour: str = ""

    @property
    def key(self) -> str:
        """Schema and name, as records and readers call it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class PublishedFile:
    """A data file as the log of its table has it; the path is relative to the table."""

    path: str
    size: int
    rows: int

    def is_whole(self, root: Path) -> bool:
        """Is it there, and as long as the log says?"""
        try:
            return (root / self.path).stat().st_size == self.size
        except FileNotFoundError:
            return False


def publish_table(
    conn: DuckDBPyConnection,
    layout: Layout,
    model: Model,
    published: Published | None,
    build_id: str,
    looks: dict[str, Look],
) -> Published:
    """Commit what differs from what is published; `looks` takes up what was found built.

    A partition whose file is gone or of another size counts as one that differs. Raises
    PublishConflict.
    """
    wanted = _candidates(conn, model, published)
    if published is not None and wanted == []:
        return published  # nothing was replaced since the pin, so its columns are the same too
    root = layout.table(model.schema, model.name)
    schema = _schema(conn, model)
    table = delta.open_or_create(root, schema, [PART])
    if published is not None and table.version() != published.version:
        table = _rolled_back(table, root, published.version)
    live = files_by_part(table) if published is not None else {}
    reshaped = arrow_schema(table.schema()) != schema
    wanted = None if reshaped else wanted
    built = _built(conn, model, schema, wanted)
    if model.key not in control_totals.UNCOUNTED:
        looks[model.key] = Look([WHOLE] if model.part == literal(WHOLE) else wanted, built)
    if reshaped:
        changed, gone = sorted(built), list[str]()
    else:
        changed, gone = _differing(conn, root, model, schema, live, wanted, built)
    stale = [f.path for part in [*changed, *gone] for f in live.get(part, [])]
    leftovers = [] if published is not None else _relative_files(table)
    is_same = not (changed or stale or leftovers or reshaped)
    if is_same and published is not None:
        return replace(published, totals=control_totals.method())
    files = _write(conn, root, model, changed, build_id)
    fault_point("publish.files_written")
    removed = [] if reshaped else [*stale, *leftovers]
    version = _commit(table, root, files, removed, build_id, schema if reshaped else None)
    return Published("table", version, build_id=build_id, totals=control_totals.method())


def _rolled_back(table: Table, root: Path, version: int) -> Table:
    """The table as a record names it: a build died between its commits and its record, and nobody
    was shown them."""
    try:
        table.restore(version)
    except DeltaError as error:
        raise PublishConflict(_CONFLICT.format(root)) from error
    rolled_back = Table(root)
    delta.sync_log(root, version, rolled_back.version())
    return rolled_back


def _commit(
    table: Table,
    root: Path,
    files: Sequence[delta.DataFile],
    removed: Sequence[str],
    build_id: str,
    new_schema: pa.Schema | None,
) -> int:
    """Commit on top of exactly the version that was compared with; returns the new version.

    Delta would put a commit that removes nothing on top of another build's, and the version would
    then hold the rows of both.
    """
    expected = table.version() + (2 if new_schema else 1)  # a new schema sets properties again
    try:
        version = delta.commit(
            table,
            root,
            files,
            removed,
            metadata={"ticklake.build_id": build_id},
            new_schema=new_schema,
            fault="publish.table",
        )
    except CommitFailedError as error:
        raise PublishConflict(_CONFLICT.format(root)) from error
    if version != expected:
        raise PublishConflict(_CONFLICT.format(root))
    return version


def _candidates(
    conn: DuckDBPyConnection, model: Model, published: Published | None
) -> list[str] | None:
    """Partitions that builds since the pin have replaced; None means: look at all of them.

    So it is also where there are no control totals yet, or none that can be compared.
    """
    if published is None or published.totals != control_totals.method():
        return None
    if model.parts is not None:
        return list(model.parts)
    if model.dirty_part is None:
        return None
    dirty = f"from audit.dirty where is_open and model = {literal(model.key)}"
    if conn.execute(f"select count(*) {dirty} and is_whole").fetchall()[0][0]:
        return None
    found = conn.execute(f"select distinct {model.dirty_part} {dirty}").fetchall()
    return sorted({part for (part,) in found} | set(model.also))


def _built(
    conn: DuckDBPyConnection, model: Model, schema: pa.Schema, wanted: list[str] | None
) -> dict[str, Totals]:
    """Control totals of the partitions as they were built."""
    source = f"(select {model.part} as {PART}, * from {_relation(model)})"
    among = "true" if wanted is None else f"{PART} in ({', '.join(map(literal, ['', *wanted]))})"
    return control_totals.totals(conn, source, PART, schema, [PART, *model.ignore], among)


def _differing(
    conn: DuckDBPyConnection,
    root: Path,
    model: Model,
    schema: pa.Schema,
    live: Mapping[str, list[PublishedFile]],
    wanted: list[str] | None,
    built: Mapping[str, Totals],
) -> tuple[list[str], list[str]]:
    """Partitions whose rows differ from the published ones, and partitions that are gone."""
    parts = sorted(live if wanted is None else set(live) & set(wanted))
    whole = [part for part in parts if all(file.is_whole(root) for file in live[part])]
    paths = [f"{root}/{file.path}" for part in whole for file in live[part]]
    shown: dict[str, Totals] = {}
    if paths:
        source = relation(paths, schema, partitions=[PART])
        shown = control_totals.totals(conn, source, PART, schema, [PART, *model.ignore])
    changed = sorted(part for part, facts in built.items() if shown.get(part) != facts)
    return changed, sorted(part for part in parts if part not in built)


def _write(
    conn: DuckDBPyConnection, root: Path, model: Model, parts: Sequence[str], build_id: str
) -> list[delta.DataFile]:
    """The rows of `parts` as data files.

    A few hours are copied one by one: to sort rows into folders costs as much as to write them.
    """
    if not parts:
        return []
    if len(parts) > _FEW or not (model.hour or model.part == literal(WHOLE)):
        selected = ", ".join(map(literal, parts))
        rows = f"(select *, {model.part} as {PART} from {_relation(model)})"
        conn.execute(f"set partitioned_write_flush_threshold = {SORTED_AT_ONCE}")
        sorted_out = f"partition_by ({PART}), filename_pattern '{build_id}_{{uuid}}', append"
        return _copy(conn, root, f"{rows} where {PART} in ({selected})", root, sorted_out)
    files = []
    for part in parts:
        folder = root / f"{PART}={part}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = _relation(model)
        if model.hour:
            rows += f" where {quoted(model.hour)} = timestamptz {literal(f'{part}:00:00+00')}"
        path = folder / f"{build_id}_{uuid4()}.parquet"
        files += [replace(f, partition={PART: part}) for f in _copy(conn, root, rows, path)]
    return files


def _copy(
    conn: DuckDBPyConnection, root: Path, rows: str, to: Path, *options: str
) -> list[delta.DataFile]:
    how = ", ".join(("format parquet", "compression zstd", "return_stats", *options))
    written = conn.execute(f"copy (select * from {rows}) to {literal(str(to))} ({how})").fetchall()
    return [
        delta.DataFile(
            path=os.path.relpath(name, root),
            size=size,
            rows=count,
            partition=keys,
            minimum={},
            maximum={},
        )
        for name, count, size, _footer, _statistics, keys, *_ in written
    ]


def _schema(conn: DuckDBPyConnection, model: Model) -> pa.Schema:
    sql = f"select *, {model.part} as {PART} from {_relation(model)} limit 0"
    return conn.sql(sql).to_arrow_table().schema


def _relation(model: Model) -> str:
    return f"{quoted(model.schema)}.{quoted(model.name)}"


def files_by_part(table: Table | DeltaTable) -> dict[str, list[PublishedFile]]:
    """The data files of a published table, by the partition that they hold."""
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    found: dict[str, list[PublishedFile]] = {}
    columns = actions.select("path", "size_bytes", "num_records", f"partition.{PART}")
    for path, size, rows, part in columns.iter_rows():
        found.setdefault(part, []).append(PublishedFile(path, size, rows))
    return found


def _relative_files(table: Table) -> list[str]:
    return [file.path for files in files_by_part(table).values() for file in files]
