"""What a copy of a publication in PostgreSQL says of itself, in its schema `ticklake`.

It commits together with the rows it speaks of, so it is never wrong about them, only behind.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from lake.files import literal, quoted

SCHEMA = "ticklake"
LOCK = "hashtext('ticklake.publication')"  # of the one who copies, until the end of its transaction
WHOLE = "all"
NO_HOUR = "none"  # the part of rows whose hour is null

STATEMENTS = (
    f"create schema if not exists {SCHEMA}",
    f"create table if not exists {SCHEMA}.publication (number bigint not null, build_id text not "
    "null, published_at timestamptz not null, revision text not null, lake text not null, "
    "choice text not null, copied_at timestamptz not null default now())",
    f"create table if not exists {SCHEMA}.tables (table_name text primary key, shape text not null,"
    " cut_by text not null, cut_column text not null, source text not null)",
    f"create table if not exists {SCHEMA}.parts (table_name text not null, part text not null, "
    "row_count bigint not null, fingerprint text not null, sums text not null, "
    "primary key (table_name, part))",
)


@dataclass(frozen=True)
class Cut:
    """How a table is cut into parts that are replaced: by the hour in a column, by the first digit
    of the md5 of a column, or not at all."""

    by: Literal["hour", "key", "all"] = "all"
    column: str = ""

    def part(self) -> str:
        """DuckDB's SQL of a row's part."""
        name = quoted(self.column)
        if self.by == "hour":
            return f"coalesce(strftime({name}, '%Y-%m-%dT%H'), '{NO_HOUR}')"
        return f"substr(md5({name}), 1, 1)" if self.by == "key" else f"'{WHOLE}'"

    def postgres_part(self) -> str:
        """PostgreSQL's SQL of the same."""
        name = quoted(self.column)
        if self.by == "hour":
            hour = f"""to_char({name} at time zone 'UTC', 'YYYY-MM-DD"T"HH24')"""
            return f"coalesce({hour}, '{NO_HOUR}')"
        return f"left(md5({name}), 1)" if self.by == "key" else f"'{WHOLE}'"

    def holds(self, part: str) -> str:
        """SQL of both: is a row of this part?"""
        name = quoted(self.column)
        if self.by == "hour":
            if part == NO_HOUR:
                return f"{name} is null"
            first = f"timestamptz '{part.replace('T', ' ')}:00:00+00'"
            return f"{name} >= {first} and {name} < {first} + interval '1 hour'"
        return f"left(md5({name}), 1) = {literal(part)}" if self.by == "key" else "true"


@dataclass(frozen=True)
class Part:
    """What a part holds: rows, exact sums of decimal columns, and a fingerprint of the rows."""

    rows: int
    fingerprint: str
    sums: Mapping[str, Decimal] = field(default_factory=dict, compare=False)

    def sums_text(self) -> str:
        """The sums as they are kept."""
        return json.dumps({name: f"{value:f}" for name, value in sorted(self.sums.items())})


@dataclass(frozen=True)
class CopiedTable:
    """A table as it was copied. `shape` is its definition, `source` what it was computed from."""

    shape: str
    cut: Cut
    source: str
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class Copy:
    """The publication that a database holds."""

    number: int
    build_id: str
    lake: str
    choice: str
    tables: Mapping[str, CopiedTable]


def read(cursor: Any) -> Copy | None:
    """What the database holds, by a cursor of any driver; None before the first copy."""
    cursor.execute(f"select to_regclass('{SCHEMA}.publication')::text")
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute(f"select number, build_id, lake, choice from {SCHEMA}.publication")
    found = cursor.fetchone()
    if found is None:
        return None
    parts: dict[str, dict[str, Part]] = {}
    cursor.execute(f"select table_name, part, row_count, fingerprint, sums from {SCHEMA}.parts")
    for key, part, rows, fingerprint, sums in cursor.fetchall():
        exact = {name: Decimal(text) for name, text in json.loads(sums).items()}
        parts.setdefault(key, {})[part] = Part(rows, fingerprint, exact)
    cursor.execute(f"select table_name, shape, cut_by, cut_column, source from {SCHEMA}.tables")
    tables = {
        key: CopiedTable(shape, Cut(by, column), source, parts.get(key, {}))
        for key, shape, by, column, source in cursor.fetchall()
    }
    number, build_id, lake, choice = found
    return Copy(number, build_id, lake, choice, tables)


def name_of(key: str) -> str:
    """A published table's name (schema.name) as SQL."""
    return ".".join(quoted(part) for part in key.split("."))
