"""Control totals of published tables: what each part held when it was built.

They are computed from the built rows, and published with them as `audit.control_totals`. Whoever
reads the files later can tell by them whether these hold what was built, without the warehouse.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from hashlib import sha256

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection

from lake.files import literal, names, quoted
from lake.records import Published

SCHEMA_NAME, TABLE_NAME = "audit", "control_totals"
KEY = f"{SCHEMA_NAME}.{TABLE_NAME}"

# Tables that say something of the publication itself: they have none.
UNCOUNTED = frozenset({KEY, "audit.dirty"})

SCHEMA = pa.schema(
    [
        ("table_name", pa.string()),  # schema.name
        ("table_part", pa.string()),
        ("row_count", pa.int64()),
        ("checksum", pa.decimal128(38, 0)),
        ("sums", pa.string()),  # JSON: column -> exact sum, as text
    ]
)

_DAY = len("2025-10-02")
DAY = f"substr(table_part, 1, {_DAY})"  # SQL of a row's part: the day, where its part has one

_DIGITS = 38  # of DuckDB's widest decimal
_ROOM = 10  # digits that are left for the number of rows


@dataclass(frozen=True)
class Totals:
    """What a part holds: rows, their checksum, and the sums of its decimal columns.

    The checksum is the sum of a hash of each row, columns by name, so that neither the order of
    rows nor that of columns matters. A value too large
    for ten thousand million of its kind to be added up is in the checksum and in no sum.
    """

    rows: int
    checksum: int
    sums: Mapping[str, Decimal] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Look:
    """What a publication found built of a table; `parts` None means that it looked at all."""

    parts: Sequence[str] | None
    totals: Mapping[str, Totals]


@cache
def method() -> str:
    """Names the checksum by what it gives for values of many kinds.

    Checksums are comparable where the name is the same. DuckDB may change its hash; then tables are
    looked at whole by the next build, and until then only rows and sums can be compared.
    """
    probe = (
        "select hash(1::bigint), hash(1::integer), hash('short'), hash('longer than twelve'), "
        "hash(1.5::decimal(18, 9)), hash(1.5::decimal(38, 12)), hash(null::varchar), hash(true), "
        "hash(1.5::double), hash(date '2025-10-02'), hash(timestamptz '2025-10-02 00:00:00+00'), "
        "hash(['a', null]), hash('a', 1.5::decimal(28, 8), null::bigint)"
    )
    with duckdb.connect() as conn:
        found = conn.execute(probe).fetchall()
    return f"duckdb-hash-by-name-{sha256(str(found).encode()).hexdigest()[:12]}"


def totals(
    conn: DuckDBPyConnection,
    source: str,
    part: str,
    schema: pa.Schema,
    ignore: Iterable[str] = (),
    where: str = "true",
) -> dict[str, Totals]:
    """Totals of the rows of `source` (SQL), by the SQL expression `part`.

    `schema` names the columns that count, but for `ignore`.
    """
    counted = [f for f in schema if f.name not in set(ignore)]
    summed = [f for f in counted if pa.types.is_decimal(f.type)]
    select = ", ".join(
        [
            f"{part} as part",
            "count(*)",
            f"sum(hash({names(sorted(f.name for f in counted))}))",
            *(_sum(f) for f in summed),
        ]
    )
    rows = conn.execute(f"select {select} from {source} where {where} group by 1").fetchall()
    return {
        key: Totals(
            rows=count,
            checksum=int(checksum),
            sums={f.name: s for f, s in zip(summed, sums, strict=True) if s is not None},
        )
        for key, count, checksum, *sums in rows
    }


def _sum(column: pa.Field) -> str:
    name, kind = quoted(column.name), column.type
    if kind.precision <= _DIGITS - _ROOM:
        return f"sum({name})"
    largest = f"cast(1e{_DIGITS - _ROOM - kind.scale} as decimal({_DIGITS}, {kind.scale}))"
    return f"sum(case when {name} between -{largest} and {largest} then {name} end)"


def days_of(looks: Mapping[str, Look]) -> set[str] | None:
    """The parts of `audit.control_totals` that looks can have changed; None: all of them."""
    if any(look.parts is None for look in looks.values()):
        return None
    return {part[:_DAY] for look in looks.values() for part in look.parts or ()}


def are_all(looks: Mapping[str, Look], before: Mapping[str, Published]) -> bool:
    """Has every table that was published before been looked at whole?"""
    with_totals = {key for key, table in before.items() if table.totals} - UNCOUNTED
    return with_totals <= {key for key, look in looks.items() if look.parts is None}


def rows_of(looks: Mapping[str, Look]) -> pa.Table:
    """What publications found, as rows of `audit.control_totals`."""
    return pa.Table.from_pylist(
        [
            {
                "table_name": key,
                "table_part": part,
                "row_count": found.rows,
                "checksum": Decimal(found.checksum),
                "sums": json.dumps({k: f"{v:f}" for k, v in sorted(found.sums.items())}),
            }
            for key, look in looks.items()
            for part, found in look.totals.items()
        ],
        schema=SCHEMA,
    )


def replaced(looks: Mapping[str, Look]) -> str:
    """SQL condition on a row of `audit.control_totals`: a look at its part has been taken."""
    taken = []
    for key, look in looks.items():
        of_table = f"table_name = {literal(key)}"
        if look.parts is not None:
            of_table += f" and table_part in ({', '.join(map(literal, ['', *look.parts]))})"
        taken.append(f"({of_table})")
    return " or ".join(taken) or "false"
