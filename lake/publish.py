"""Publication: changed partitions go to Delta, one record makes them current (invariant 7).

Order: write data files, commit them table by table, put the record if its number is free, swap
lakehouse.duckdb. Readers follow the record, so a crash before it changes nothing they see, and
what it left in Delta is rolled back by the next publication.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import polars as pl
from duckdb import DuckDBPyConnection

from lake import control_totals
from lake.control_totals import Look
from lake.durable import fault_point, put_if_absent
from lake.files import data_files, relation
from lake.layout import Layout
from lake.published_table import PART, Model, PublishConflict, publish_table
from lake.records import Published, Record, current, folder_entry, revision

_AT_ONCE = 3  # tables: while one waits for the disk, DuckDB works on another


def publish(
    conn: DuckDBPyConnection,
    layout: Layout,
    models: Sequence[Model],
    *,
    build_id: str,
    read: Mapping[str, Any],
    pin: Mapping[str, Any],
    alongside: Sequence[Model] = (),
    all_models: Collection[str] | None = None,
) -> Record | None:
    """Publish what differs from the current record; None if nothing does.

    `alongside` are tables about the build itself: they are published with a change, and are no
    reason to publish. Tables of models that are not among `all_models`, if that is given, are shown
    no more. Raises PublishConflict if another build took the next number.
    """
    last = current(layout)
    before = dict(last.tables) if last else {}
    kept = {control_totals.KEY, *(model.key for model in alongside), *(all_models or ())}
    tables = {key: t for key, t in before.items() if all_models is None or key in kept}
    looks: dict[str, Look] = {}

    def publish_all(models: Sequence[Model]) -> None:
        def publish_one(model: Model) -> Published:
            with conn.cursor() as own:
                own.execute("set TimeZone = 'UTC'")
                return _published(own, layout, model, before.get(model.key), build_id, looks)

        with ThreadPoolExecutor(_AT_ONCE) as threads:
            found = threads.map(publish_one, models)
        tables.update(zip((model.key for model in models), found, strict=True))

    publish_all(models)
    if last is not None and tables == before and dict(pin) == dict(last.pin):
        return None
    publish_all(alongside)
    for key, table in before.items():
        if table.totals and (key not in tables or tables[key].kind != "table"):
            looks[key] = Look(None, {})  # it is gone, or a view now
    publish_all([_control_totals(conn, layout, before, looks)])
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
    looks: dict[str, Look],
) -> Published:
    if model.kind == "view":
        same = before is not None and before.kind == "view" and before.sql == model.sql
        return before if same and before else Published("view", sql=model.sql, build_id=build_id)
    return publish_table(conn, layout, model, before, build_id, looks)


def _control_totals(
    conn: DuckDBPyConnection,
    layout: Layout,
    before: Mapping[str, Published],
    looks: Mapping[str, Look],
) -> Model:
    """Table audit.control_totals, of the days that `looks` speak of: what was published before, but
    for the parts that were looked at."""
    published = before.get(control_totals.KEY)
    days = control_totals.days_of(looks)
    if published is None or published.totals != control_totals.method():
        days = None
    kept = "select * from looked where false"
    if published is not None and not control_totals.are_all(looks, before):
        files = _published_files(layout, published, days)
        kept = f"select * from {files} where not ({control_totals.replaced(looks)})"
    conn.execute(f"create schema if not exists {control_totals.SCHEMA_NAME}")
    conn.register("looked", control_totals.rows_of(looks))
    conn.execute(
        f"create or replace table {control_totals.KEY} as "
        f"{kept} union all select * from looked order by all"
    )
    conn.unregister("looked")
    return Model(
        control_totals.SCHEMA_NAME,
        control_totals.TABLE_NAME,
        "table",
        part=control_totals.DAY,
        parts=None if days is None else tuple(sorted(days)),
    )


def _published_files(layout: Layout, published: Published, days: set[str] | None) -> str:
    """SQL of the published control totals of these days, None: of all."""
    root = layout.table(control_totals.SCHEMA_NAME, control_totals.TABLE_NAME)
    files = data_files(root, published.version)
    if days is not None:
        files = files.filter(pl.col(f"partition.{PART}").is_in(list(days)))
    return relation(files["path"].to_list(), control_totals.SCHEMA)
