"""What does a published lake hold of what is expected of it?"""

from collections.abc import Callable, Sequence
from pathlib import Path

from checks.expectations.docs import write_docs
from checks.expectations.judge import Suite, judge
from checks.expectations.suites import suites
from lake import lakehouse
from lake.layout import layout
from lake.settings import Settings

SCHEMAS = ("gold", "silver")


class UnknownTable(ValueError):
    """No such table is published; the message says which are."""


def published(settings: Settings) -> list[str]:
    """Every published table and view of gold and silver as schema.name, gold first.

    Raises lake.lakehouse.NothingPublished.
    """
    with lakehouse.connect(layout(settings)) as conn:
        rows = conn.execute(
            "select table_schema || '.' || table_name from information_schema.tables "
            "where table_schema in ? order by 1",
            [SCHEMAS],
        ).fetchall()
    return [table for (table,) in rows]


def chosen(settings: Settings, tables: Sequence[str] = ()) -> list[str]:
    """The tables that are meant: all that are published, or those named, with or without schema.

    Raises UnknownTable and lake.lakehouse.NothingPublished.
    """
    known = published(settings)
    by_name = {table.split(".")[1]: table for table in reversed(known)}
    wanted = [by_name.get(name, name) for name in tables]
    strange = [name for name in wanted if name not in known]
    if strange:
        raise UnknownTable(
            f"no table {', '.join(strange)} is published in {' or '.join(SCHEMAS)}; there are: "
            f"{', '.join(known)}"
        )
    return list(dict.fromkeys(wanted)) or known


def expect(
    settings: Settings,
    tables: Sequence[str] = (),
    *,
    docs: bool = False,
    on_table: Callable[[str], None] | None = None,
) -> list[Suite]:
    """Judge published tables (all, or those named) by their suites; `docs` writes the site.

    A table without a yml entry has an empty suite. `on_table` is told each table before it is
    looked at. Raises UnknownTable, checks.expectations.models.ModelUnreadable and
    lake.lakehouse.NothingPublished.
    """
    wanted = chosen(settings, tables)
    rules = suites()
    place = layout(settings)
    with lakehouse.connect(place) as conn:  # while it is open, all looks are at one publication
        number, at = conn.execute(
            "select number, published_at::varchar from audit.publication"
        ).fetchall()[0]
        expected = {table: rules.get(table, ()) for table in wanted}
        found = judge(place.lakehouse, expected, on_table)
    if docs:
        write_docs(found, site(settings), f"Publication {number} of {at}, {place.root}")
    return found


def site(settings: Settings) -> Path:
    """Folder of Data Docs."""
    return layout(settings).expectations
