"""What a publication holds that a copy of it does not: tables, their parts, and where rows lie."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256

import pyarrow as pa
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from lake import control_totals
from lake.control_totals import Totals
from lake.files import arrow_schema, relation
from lake.layout import Layout
from lake.postgres_copy import WHOLE, CopiedTable, Cut, Part, name_of
from lake.published_table import PART, files_by_part
from lake.records import Published, Record
from lake.settings import SettingsError

_HOUR = re.compile(r"^\d{4}-\d\d-\d\dT\d\d$")
_KEY = re.compile(r"^[0-9a-f]$")
_TZ = "TIMESTAMP WITH TIME ZONE"
_BESIDE = re.compile(r"\b(ledger|quarantine|bronze)\.")  # what no table of a publication names


class ChoiceError(SettingsError):
    """TICKLAKE_POSTGRES_TABLES chooses what is not there."""


@dataclass(frozen=True)
class Wanted:
    """A table as a publication has it. `columns` are names and DuckDB's types; `files` the data
    files of each part, None for what is computed from other tables."""

    key: str
    columns: Sequence[tuple[str, str]]
    cut: Cut
    source: str
    parts: Mapping[str, Part] = field(repr=False)
    files: Mapping[str, Sequence[str]] | None = field(default=None, repr=False)
    schema: pa.Schema | None = field(default=None, repr=False)

    def rows_of(self, parts: Sequence[str]) -> str:
        """SQL of a relation of the rows of these parts."""
        if self.files is not None:
            paths = [path for part in parts for path in self.files.get(part, ())]
            return relation(paths, self.schema)
        if len(parts) == len(self.parts):
            return name_of(self.key)
        among = " or ".join(f"({self.cut.holds(part)})" for part in parts)
        return f"(select * from {name_of(self.key)} where {among or 'false'})"


def chosen(choice: str, record: Record) -> list[str]:
    """The tables of a publication that patterns choose: schema.name with * and ?, with commas; -
    leaves out what was chosen. Raises ChoiceError where a name is not there, or nothing is left."""
    patterns = [pattern.strip() for pattern in choice.split(",") if pattern.strip()]
    found: set[str] = set()
    for pattern in patterns:
        matching = {key for key in record.tables if fnmatchcase(key, pattern.removeprefix("-"))}
        if not matching and not set("-*?") & set(pattern):
            raise ChoiceError(
                f"TICKLAKE_POSTGRES_TABLES names {pattern}, which publication {record.number} "
                "does not hold; `ticklake status` lists its tables"
            )
        found = found - matching if pattern.startswith("-") else found | matching
    if not found:
        raise ChoiceError(
            f"TICKLAKE_POSTGRES_TABLES ({choice}) chooses no table of publication {record.number}; "
            "for example gold.*"
        )
    return sorted(found)


def source_of(key: str, record: Record) -> str:
    """Names what a table's rows follow from: the same name, the same rows."""
    table = record.tables[key]
    if table.kind == "table":
        return f"version {table.version}, build {table.build_id}"
    digest, seen = sha256(), {key}
    waiting = [key]
    while waiting:
        name = waiting.pop()
        told = record.tables[name]
        digest.update(f"{name} {told.version} {told.build_id} {told.sql}\n".encode())
        if _BESIDE.search(told.sql):
            digest.update(repr(sorted(record.read.items())).encode())
        words = set(re.findall(r"\w+\.\w+", told.sql.replace('"', "")))
        waiting += sorted((words & record.tables.keys()) - seen)
        seen |= words
    return f"view {digest.hexdigest()[:32]}"


def columns_of(conn: DuckDBPyConnection, key: str) -> list[tuple[str, str]]:
    """Names and DuckDB's types of a table's columns."""
    return [(row[0], row[1]) for row in conn.execute(f"describe {name_of(key)}").fetchall()]


def wanted(
    conn: DuckDBPyConnection,
    layout: Layout,
    record: Record,
    key: str,
    built: Mapping[str, Mapping[str, Totals]],
) -> Wanted:
    """A table as the publication has it. `built` are its control totals: table -> part -> totals;
    what they do not speak of is computed. `conn` has the views of the publication."""
    table, columns = record.tables[key], columns_of(conn, key)
    if table.kind == "table" and table.totals and key not in control_totals.UNCOUNTED:
        return _stored(conn, layout, record, key, columns, built.get(key, {}))
    cut = _computed_cut(columns)
    schema = conn.sql(f"select * from {name_of(key)} limit 0").to_arrow_table().schema
    found = control_totals.totals(conn, name_of(key), cut.part(), schema)
    parts = {name: _part(told, control_totals.method()) for name, told in found.items()}
    return Wanted(key, columns, cut, source_of(key, record), parts)


def _stored(
    conn: DuckDBPyConnection,
    layout: Layout,
    record: Record,
    key: str,
    columns: Sequence[tuple[str, str]],
    built: Mapping[str, Totals],
) -> Wanted:
    table: Published = record.tables[key]
    root = layout.table(*key.split("."))
    at = DeltaTable(str(root), version=table.version)
    schema = arrow_schema(at.schema())
    files = {
        part: [f"{root}/{file.path}" for file in of_part]
        for part, of_part in files_by_part(at).items()
    }
    parts = {part: _part(told, table.totals) for part, told in built.items()}
    cut = _stored_cut(conn, columns, schema, files)
    if cut is None:
        cut, parts = Cut(), _together(parts)
        files = {WHOLE: [path for of_part in files.values() for path in of_part]}
    shown = pa.schema([field for field in schema if field.name != PART])
    return Wanted(key, columns, cut, source_of(key, record), parts, files, shown)


def _part(told: Totals, method: str) -> Part:
    return Part(told.rows, f"{method} {told.rows} {told.checksum}", told.sums)


def _together(parts: Mapping[str, Part]) -> dict[str, Part]:
    """All parts as one, for a table that cannot be cut in PostgreSQL."""
    if not parts:
        return {}
    told = "\n".join(f"{name} {part.fingerprint}" for name, part in sorted(parts.items()))
    columns = {name for part in parts.values() for name in part.sums}
    sums = {
        name: sum(part.sums[name] for part in parts.values() if name in part.sums)
        for name in columns
    }
    rows = sum(part.rows for part in parts.values())
    return {WHOLE: Part(rows, sha256(told.encode()).hexdigest()[:32], sums)}  # type: ignore[arg-type]


def _computed_cut(columns: Sequence[tuple[str, str]]) -> Cut:
    """How a view is cut: by the first column that names an hour, or begins a window."""
    times = [name for name, kind in columns if kind == _TZ]
    hours = [name for name in times if name.endswith("_hour")]
    found = hours or [name for name in times if name == "window_start"]
    return Cut("hour", found[0]) if found else Cut()


def _stored_cut(
    conn: DuckDBPyConnection,
    columns: Sequence[tuple[str, str]],
    schema: pa.Schema,
    files: Mapping[str, Sequence[str]],
) -> Cut | None:
    """The column by which the parts of a stored table can be told; None where there is none.

    A record says what parts there are and not how they were cut, so the rows are asked.
    """
    if set(files) <= {WHOLE}:
        return Cut()
    if all(_HOUR.match(part) for part in files):
        cuts = [Cut("hour", n) for n, kind in columns if kind == _TZ and n.endswith("_hour")]
    elif all(_KEY.match(part) for part in files):
        cuts = [Cut("key", name) for name, kind in columns if kind == "VARCHAR"]
    else:
        return None
    if not cuts:
        return None
    paths = [path for of_part in files.values() for path in of_part]
    rows = relation(paths, schema, partitions=[PART])
    tested = ", ".join(f"bool_and({cut.part()} is not distinct from {PART})" for cut in cuts)
    holds = conn.execute(f"select {tested} from {rows}").fetchall()[0]
    return next((cut for cut, right in zip(cuts, holds, strict=True) if right), None)


@dataclass(frozen=True)
class Difference:
    """What is to be done with one table: `made` anew, or `changed` and `gone` parts replaced."""

    table: Wanted
    shape: str
    made: bool
    changed: Sequence[str]
    gone: Sequence[str]

    @property
    def rows(self) -> int:
        """Rows to copy."""
        return sum(self.table.parts[part].rows for part in self.changed)


def difference(table: Wanted, shape: str, copied: CopiedTable | None) -> Difference:
    """Compare a table with its copy."""
    if copied is None or copied.shape != shape or copied.cut != table.cut:
        return Difference(table, shape, True, sorted(table.parts), ())
    changed = [name for name, part in table.parts.items() if copied.parts.get(name) != part]
    gone = sorted(copied.parts.keys() - table.parts.keys())
    return Difference(table, shape, False, sorted(changed), gone)
