"""Publication to PostgreSQL: what readers of the lake see, readers of a database see too.

One transaction per publication: rows of the parts that differ are replaced in all tables, and the
copy says which publication it holds. A reader sees the publication before or the one after, and
whoever copies may be killed at any moment: nothing has happened then.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from checks.published import built_totals
from lake import lakehouse
from lake.control_totals import Totals
from lake.durable import fault_point
from lake.files import literal
from lake.layout import Layout, layout
from lake.postgres import PostgresUrl, connect, of_settings
from lake.postgres_copy import SCHEMA, CopiedTable, Copy, name_of
from lake.records import Record, current
from lake.settings import Settings
from serving import postgres_tables as tables
from serving.postgres_plan import Difference, chosen, difference, source_of, wanted
from serving.postgres_transaction import CopyRefused, begin, state, transaction

__all__ = ["Copied", "CopyRefused", "TableCopied", "publish_postgres"]

DRAFT = "_ticklake_new"  # the end of a table's name until it is whole


@dataclass(frozen=True)
class TableCopied:
    """What was done with one table. `how`: made, changed, removed."""

    table: str
    how: str
    rows: int
    parts: int
    gone: int


@dataclass(frozen=True)
class Copied:
    """What a publication to PostgreSQL came to; `copied` is False where it was there already."""

    publication: int
    where: str
    copied: bool
    tables: Sequence[TableCopied]
    standing: int  # tables that the database holds

    @property
    def rows(self) -> int:
        """Rows that were copied."""
        return sum(table.rows for table in self.tables)


def publish_postgres(
    settings: Settings,
    *,
    full_refresh: bool = False,
    take_over: bool = False,
    progress: tables.Progress | None = None,
) -> Copied:
    """Make the database that TICKLAKE_POSTGRES names hold the current publication.

    Where it does already, nothing is read and nothing written. `full_refresh` copies all tables
    anew; `take_over` replaces what another lake put there. Raises PostgresError, CopyRefused,
    ChoiceError, NothingPublished.
    """
    url, place = of_settings(settings), layout(settings)
    record = current(place)
    if record is None:
        raise lakehouse.NothingPublished(
            f"nothing is published under {place.root}; land data and run `ticklake build`"
        )
    keys = chosen(settings.postgres_tables, record)
    connection = connect(url)  # says in clear words what is in the way
    version = int(connection.server_version)
    connection.close()
    with transaction(url) as cursor:
        before = begin(cursor, place, record, url, take_over)
        choice = " ".join(keys)
        same = before is not None and (before.number, before.choice) == (record.number, choice)
        if same and before is not None and not full_refresh and not take_over:
            return Copied(record.number, url.where, False, (), len(before.tables))
        if not take_over:
            _refuse_strangers(cursor, keys, before, url)
        trusted = {} if before is None or take_over else before.tables
        if full_refresh:  # tables stay, with what others made of them; their rows do not
            trusted = {
                key: replace(table, source="", parts={})
                for key, table in trusted.items()
                if tables.exists(cursor, key)
            }
        with _source(settings, place, record) as conn:
            run = _Run(cursor, conn, place, record, version, progress or (lambda *_: None))
            done = run.copy(keys, trusted, before)
        state(cursor, place, record, choice)
        fault_point("postgres.stated")
        cursor.connection.commit()
        fault_point("postgres.committed")
    return Copied(record.number, url.where, True, done, len(keys))


def _refuse_strangers(
    cursor: Any, keys: Sequence[str], before: Copy | None, url: PostgresUrl
) -> None:
    """Raise CopyRefused where a table would be replaced that was not published from here."""
    known = before.tables if before else {}
    strangers = [key for key in keys if key not in known and tables.exists(cursor, key)]
    if strangers:
        raise CopyRefused(
            f"{url.where} has tables of others where ours would be ({', '.join(strangers[:3])}); "
            "rename them, name another database, or replace them: "
            "ticklake postgres publish --take-over"
        )


@dataclass
class _Run:
    """One publication on its way."""

    cursor: Any
    conn: DuckDBPyConnection
    place: Layout
    record: Record
    version: int
    progress: tables.Progress

    def copy(
        self, keys: Sequence[str], trusted: Mapping[str, CopiedTable], before: Copy | None
    ) -> list[TableCopied]:
        """Bring every table to this publication; those that are new take their names at the end,
        so that readers wait for no more than a rename. `trusted` is what may be left standing."""
        built = built_totals(self.conn, self.place, self.record)
        news = [
            self._table(key, trusted.get(key), built)
            for key in keys
            if key not in trusted or trusted[key].source != source_of(key, self.record)
        ]
        standing = before.tables if before else {}
        removed = sorted(standing.keys() - set(keys))
        for key in removed:
            self.cursor.execute(f"drop table if exists {name_of(key)}")
            self._forget(key)
        for what in news:
            if what.made:
                tables.put_in_place(self.cursor, what.table.key, _draft(what))
        told = [
            TableCopied(
                what.table.key,
                "made" if what.made else "changed",
                what.rows,
                len(what.changed),
                len(what.gone),
            )
            for what in news
            if what.made or what.changed or what.gone
        ]
        return [*told, *(TableCopied(key, "removed", 0, 0, 0) for key in removed)]

    def _table(
        self, key: str, known: CopiedTable | None, built: Mapping[str, Mapping[str, Totals]]
    ) -> Difference:
        """Bring one table to this publication; one that is made anew has its draft's name."""
        found = wanted(self.conn, self.place, self.record, key, built)
        unique = tables.key_of(found)
        is_null = tables.has_nulls(self.conn, found, unique, known)
        shape = tables.shape_of(found, unique, is_null, self.version)
        what = difference(found, str(shape), known)
        if what.made:
            tables.make(self.cursor, key, shape, _draft(what))
            self._load(what, _draft(what))
            tables.finish(self.cursor, key, shape, _draft(what), found.cut)
        elif known is not None and (what.changed or what.gone):
            tables.delete(self.cursor, what, len(known.parts))
            fault_point("postgres.deleted")
            self._load(what, key.split(".")[1])
        self._remember(what)
        return what

    def _load(self, what: Difference, into: str) -> None:
        key = what.table.key
        copied = tables.load(self.cursor, self.conn, what.table, what.changed, into, self.progress)
        if copied != what.rows:
            raise CopyRefused(
                f"{key}: its files hold {copied} rows, and {what.rows} were built; nothing was "
                "copied: see `ticklake reconcile`"
            )
        fault_point("postgres.loaded")

    def _forget(self, key: str) -> None:
        for table in ("tables", "parts"):
            self.cursor.execute(f"delete from {SCHEMA}.{table} where table_name = {literal(key)}")

    def _remember(self, what: Difference) -> None:
        """Write down what the table holds from here on."""
        key, cut = what.table.key, what.table.cut
        self._forget(key)
        values = (key, what.shape, cut.by, cut.column, what.table.source)
        row = ", ".join(map(literal, values))
        self.cursor.execute(f"insert into {SCHEMA}.tables values ({row})")
        parts = [(name, part) for name, part in sorted(what.table.parts.items())]
        columns = {
            "table_name": [key] * len(parts),
            "part": [name for name, _ in parts],
            "row_count": pa.array([part.rows for _, part in parts], pa.int64()),
            "fingerprint": [part.fingerprint for _, part in parts],
            "sums": [part.sums_text() for _, part in parts],
        }
        if parts:
            told = pa.table(columns)
            self.cursor.adbc_ingest("parts", told, mode="append", db_schema_name=SCHEMA)


def _draft(what: Difference) -> str:
    return f"{what.table.key.split('.')[1]}{DRAFT}"


@contextmanager
def _source(settings: Settings, place: Layout, record: Record) -> Iterator[DuckDBPyConnection]:
    """The views of exactly this publication, whatever is published meanwhile."""
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'")
        conn.execute("set preserve_insertion_order = false")
        conn.execute("set disabled_optimizers = 'top_n_window_elimination'")
        conn.execute(f"set memory_limit = '{settings.build_memory}'")
        conn.execute(f"set threads = {settings.build_threads}")
        lakehouse.write_views(conn, place, record)
        yield conn
