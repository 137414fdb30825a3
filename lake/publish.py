"""Publication: changed partitions go to Delta, one record makes them current (invariant 7).

Order: write data files, commit them table by table, put the record if its number is free, swap
lakehouse.duckdb. Readers follow the record, so a crash before it changes nothing they see, and
what it left in Delta is rolled back by the next publication.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError
from duckdb import DuckDBPyConnection

from lake import delta
from lake.delta_table import Table
from lake.durable import fault_point, put_if_absent
from lake.files import arrow_schema, literal, names, quoted, relation
from lake.layout import Layout
from lake.records import Published, Record, current, folder_entry, revision

PART = "part"  # the one partition column of a published table; readers do not see it
WHOLE = "all"
_CONFLICT = "another build is publishing to {}; run the build again when it has ended"


class PublishConflict(RuntimeError):
    """Another build published first; run the build again, it starts from there."""


@dataclass(frozen=True)
class Model:
    """A dbt model to publish.

    `part` is the SQL expression that names a row's partition. `dirty_part` is the same over
    audit.dirty, for models that record there what they replaced; None means: compare everything.
    """

    schema: str
    name: str
    kind: str  # table | view
    part: str = literal(WHOLE)
    dirty_part: str | None = None
    ignore: tuple[str, ...] = ()
    sql: str = ""

    @property
    def key(self) -> str:
        """Schema and name, as records and readers call it."""
        return f"{self.schema}.{self.name}"


def publish(
    conn: DuckDBPyConnection,
    layout: Layout,
    models: Sequence[Model],
    *,
    build_id: str,
    read: Mapping[str, Any],
    pin: Mapping[str, Any],
    alongside: Sequence[Model] = (),
    complete: bool = False,
) -> Record | None:
    """Publish what differs from the current record; None if nothing does.

    `alongside` are tables about the build itself: they are published with a change, and are no
    reason to publish. Where `models` are all there are (`complete`), tables of models that are gone
    are shown no more. Raises PublishConflict if another build took the next number.
    """
    last = current(layout)
    before = dict(last.tables) if last else {}
    kept = {model.key for model in [*models, *alongside]}
    tables = {key: t for key, t in before.items() if not complete or key in kept}
    for model in models:
        tables[model.key] = _published(conn, layout, model, before.get(model.key), build_id)
    if last is not None and tables == before and dict(pin) == dict(last.pin):
        return None
    for model in alongside:
        tables[model.key] = _published(conn, layout, model, before.get(model.key), build_id)
    fault_point("publish.committed")
    record = Record(
        number=last.number + 1 if last else 1,
        build_id=build_id,
        published_at=datetime.now(UTC).isoformat(),
        revision=revision(),
        read=read,
        pin=pin,
        tables=tables,
    )
    if not put_if_absent(folder_entry(layout, record.number), record.to_json()):
        raise PublishConflict(
            f"publication {record.number} was taken by another build; run the build again"
        )
    fault_point("publish.recorded")
    return record


def _published(
    conn: DuckDBPyConnection,
    layout: Layout,
    model: Model,
    before: Published | None,
    build_id: str,
) -> Published:
    if model.kind == "view":
        same = before is not None and before.kind == "view" and before.sql == model.sql
        return before if same and before else Published("view", sql=model.sql, build_id=build_id)
    return _publish_table(conn, layout, model, before, build_id)


def _publish_table(
    conn: DuckDBPyConnection,
    layout: Layout,
    model: Model,
    published: Published | None,
    build_id: str,
) -> Published:
    if published is not None and _candidates(conn, model) == []:
        return published  # nothing was replaced since the pin, so its columns are the same too
    root = layout.table(model.schema, model.name)
    schema = _schema(conn, model)
    table = delta.open_or_create(root, schema, [PART])
    if published is not None and table.version() != published.version:
        table = _rolled_back(table, root, published.version)
    live = _files_by_part(table) if published is not None else {}
    reshaped = arrow_schema(table.schema()) != schema
    wanted = None if published is None or reshaped else _candidates(conn, model)
    if wanted is not None and not wanted:
        return published or Published("table", table.version(), build_id=build_id)
    changed, gone = _differing(conn, root, model, schema, live, wanted, reshaped)
    stale = [f for part in [*changed, *gone] for f in live.get(part, [])]
    leftovers = [] if published is not None else _relative_files(table)
    if not changed and not stale and not leftovers and not reshaped and published is not None:
        return published
    files = _write(conn, root, model, changed, build_id)
    fault_point("publish.files_written")
    removed = [] if reshaped else [*stale, *leftovers]
    version = _commit(table, root, files, removed, build_id, schema if reshaped else None)
    return Published("table", version, build_id=build_id)


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


def _candidates(conn: DuckDBPyConnection, model: Model) -> list[str] | None:
    """Partitions that builds since the pin have replaced; None means: look at all of them."""
    if model.dirty_part is None:
        return None
    dirty = f"from audit.dirty where is_open and model = {literal(model.key)}"
    if conn.execute(f"select count(*) {dirty} and is_whole").fetchall()[0][0]:
        return None
    found = conn.execute(f"select distinct {model.dirty_part} {dirty}").fetchall()
    return [part for (part,) in found]


def _differing(
    conn: DuckDBPyConnection,
    root: Any,
    model: Model,
    schema: pa.Schema,
    live: Mapping[str, list[str]],
    wanted: list[str] | None,
    reshaped: bool,
) -> tuple[list[str], list[str]]:
    """Partitions whose rows differ from the published ones, and partitions that are gone."""
    among = "true" if wanted is None else f"{PART} in ({', '.join(map(literal, wanted))})"
    columns = [name for name in schema.names if name not in (PART, *model.ignore)]
    digest = f"count(*), bit_xor(hash({names(columns)})), sum(hash({names(columns)}))"
    built_sql = (
        f"select {PART}, {digest} from (select {model.part} as {PART}, * from {_relation(model)}) "
        f"where {among} group by 1"
    )
    built = {row[0]: row[1:] for row in conn.execute(built_sql).fetchall()}
    parts = sorted(live if wanted is None else set(live) & set(wanted))
    paths = [f"{root}/{path}" for part in parts for path in live[part]]
    if reshaped or not paths:
        return sorted(built), [] if reshaped else [p for p in parts if p not in built]
    shown_sql = (
        f"select {PART}, {digest} from {relation(paths, schema, partitions=[PART])} group by 1"
    )
    shown = {row[0]: row[1:] for row in conn.execute(shown_sql).fetchall()}
    changed = sorted(part for part, facts in built.items() if shown.get(part) != facts)
    return changed, sorted(part for part in parts if part not in built)


def _write(
    conn: DuckDBPyConnection, root: Any, model: Model, parts: Sequence[str], build_id: str
) -> list[delta.DataFile]:
    if not parts:
        return []
    selected = ", ".join(map(literal, parts))
    rows = conn.execute(
        f"copy (select * from (select *, {model.part} as {PART} from {_relation(model)}) "
        f"where {PART} in ({selected})) to {literal(str(root))} (format parquet, "
        f"compression zstd, partition_by ({PART}), filename_pattern '{build_id}_{{uuid}}', "
        "append, return_stats)"
    ).fetchall()
    return [
        delta.DataFile(
            path=os.path.relpath(name, root),
            size=size,
            rows=count,
            partition=keys,
            minimum={},
            maximum={},
        )
        for name, count, size, _footer, _statistics, keys, *_ in rows
    ]


def _schema(conn: DuckDBPyConnection, model: Model) -> pa.Schema:
    sql = f"select *, {model.part} as {PART} from {_relation(model)} limit 0"
    return conn.sql(sql).to_arrow_table().schema


def _relation(model: Model) -> str:
    return f"{quoted(model.schema)}.{quoted(model.name)}"


def _files_by_part(table: Table) -> dict[str, list[str]]:
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    found: dict[str, list[str]] = {}
    for path, part in actions.select("path", f"partition.{PART}").iter_rows():
        found.setdefault(part, []).append(path)
    return found


def _relative_files(table: Table) -> list[str]:
    return [path for paths in _files_by_part(table).values() for path in paths]
