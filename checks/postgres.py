"""Postgres = published: what a database holds against the publication that it says it holds.

Rows are counted and decimals summed by the server, part by part, and compared with the control
totals of the lake. For views, which have none, it is with what was computed when they were copied.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

import duckdb

from checks.account import Account, line, unreadable
from checks.published import MOST_NAMED, built_totals, summed_up
from lake import postgres_copy
from lake.control_totals import Totals
from lake.files import quoted
from lake.layout import Layout
from lake.postgres import PostgresError, connect, of_settings
from lake.postgres_copy import WHOLE, CopiedTable, Copy, name_of
from lake.records import Record, folder_entry, load
from lake.settings import Settings, SettingsError

NAME = "Postgres = published"
_LOOK = "ticklake postgres publish --full-refresh"
_EXACT_DIGITS = 28  # of a decimal that control totals add up whatever its size


def postgres(
    settings: Settings, place: Layout, record: Record, *, quick: bool = False
) -> list[Account]:
    """The lines of a database that is published to; none where TICKLAKE_POSTGRES is not set.

    That it is some publications behind is said and is not open. With `quick` no table is read: what
    the copy says that it holds is compared.
    """
    if settings.postgres is None:
        return []
    import psycopg2

    try:
        url = of_settings(settings)
        with closing(connect(url)) as conn, conn, conn.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read, read only")
            found = postgres_copy.read(cursor)
            if found is None:
                what = f"{url.where} holds no publication yet; run `ticklake postgres publish`"
                return [line(NAME, "publication", record.number, record.number, what)]
            lines = list(_tables(cursor, place, found, quick))
    except (PostgresError, SettingsError, psycopg2.Error) as error:
        return [unreadable(NAME, "publication", str(error).strip())]
    return [_publication(record, found), *lines]


def _publication(record: Record, found: Copy) -> Account:
    """Which publication stands there; one that this lake does not have yet is another's."""
    if found.number > record.number:
        what = f"it holds publication {found.number} of another lake, {found.lake}"
        return line(NAME, "publication", record.number, found.number, what)
    behind = record.number - found.number
    what = f"{behind} behind; `ticklake postgres publish` catches up" if behind else ""
    return line(NAME, f"publication {found.number}", found.number, found.number, what)


def _tables(cursor: Any, place: Layout, found: Copy, quick: bool) -> Iterator[Account]:
    built = _built(place, found)
    closed: list[Account] = []
    for key, table in sorted(found.tables.items()):
        cursor.execute(f"select to_regclass('{name_of(key)}')::text")
        if cursor.fetchone()[0] is None:
            rows = sum(part.rows for part in table.parts.values())
            yield line(NAME, key, rows, 0, "the table is gone", _LOOK)
            continue
        stated = {n: Totals(part.rows, 0, part.sums) for n, part in table.parts.items()}
        parts = stated if quick else _held(cursor, key, table)
        lines = list(_parts(key, _left(built.get(key), stated), parts))
        wrong = [account for account in lines if account.is_open]
        yield from wrong[:MOST_NAMED]
        if rest := wrong[MOST_NAMED:]:
            yield line(NAME, f"{key}, and more parts that differ", 0, len(rest))
        closed += [account for account in lines if not account.is_open]
    yield from summed_up(closed, NAME)


def _built(place: Layout, found: Copy) -> Mapping[str, Mapping[str, Totals]]:
    """Control totals of the publication that stands there, as far as the lake still has them."""
    if not folder_entry(place, found.number).exists():
        return {}
    record = load(place, found.number)
    if record.build_id != found.build_id:
        return {}
    with duckdb.connect() as conn:
        try:
            return built_totals(conn, place, record)
        except Exception:  # an old publication whose files were removed
            return {}


def _left(built: Mapping[str, Totals] | None, stated: Mapping[str, Totals]) -> dict[str, Totals]:
    """What should be there: as built where the lake says so, as it was copied otherwise."""
    if built is None:
        return dict(stated)
    if set(stated) == {WHOLE} and set(built) != {WHOLE}:
        sums: dict[str, Decimal] = {}
        for part in built.values():
            for name, value in part.sums.items():
                sums[name] = sums.get(name, Decimal(0)) + value
        return {WHOLE: Totals(sum(part.rows for part in built.values()), 0, sums)}
    return dict(built)


def _held(cursor: Any, key: str, table: CopiedTable) -> dict[str, Totals]:
    """What the database holds, part by part."""
    schema, name = key.split(".")
    cursor.execute(
        "select column_name, numeric_precision, numeric_scale from information_schema.columns "
        "where table_schema = %s and table_name = %s and data_type = 'numeric' "
        "order by ordinal_position",
        [schema, name],
    )
    columns = cursor.fetchall()
    sums = [_sum(*column) for column in columns]
    part = table.cut.postgres_part()
    cursor.execute(f"select {', '.join([part, 'count(*)', *sums])} from {name_of(key)} group by 1")
    return {
        row[0]: Totals(
            row[1],
            0,
            {c[0]: v for c, v in zip(columns, row[2:], strict=True) if v is not None},
        )
        for row in cursor.fetchall()
    }


def _sum(name: str, precision: int, scale: int) -> str:
    """The sum as control totals have it: without values too large for theirs."""
    column = quoted(name)
    if precision <= _EXACT_DIGITS:
        return f"sum({column})"
    return f"sum({column}) filter (where abs({column}) <= 1e{_EXACT_DIGITS - scale})"


def _parts(key: str, left: Mapping[str, Totals], right: Mapping[str, Totals]) -> Iterator[Account]:
    nothing = Totals(0, 0)
    for part in sorted(left.keys() | right.keys()):
        yield _part(key, part, left.get(part, nothing), right.get(part, nothing))


def _part(key: str, part: str, left: Totals, right: Totals) -> Account:
    scope = f"{key} {part}"
    told = [
        f"{name}: published {left.sums[name]:f}, in PostgreSQL {right.sums[name]:f}"
        for name in sorted(left.sums.keys() & right.sums.keys())
        if left.sums[name] != right.sums[name]
    ]
    if left.rows != right.rows:
        return line(NAME, scope, left.rows, right.rows, "; ".join(told), _LOOK)
    for name in sorted(left.sums.keys() & right.sums.keys()):
        a, b = left.sums[name], right.sums[name]
        if a != b:
            return Account(f"{NAME}, {name}", scope, a, b, a - b, "; ".join(told), _LOOK)
    return line(NAME, key, left.rows, right.rows)
