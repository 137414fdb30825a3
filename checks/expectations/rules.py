"""What a published table is expected to be: one rule, whoever wrote it down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lake.files import literal, quoted

Kind = Literal["columns", "types", "not_null", "accepted_values", "holds", "no_rows"]
Severity = Literal["error", "warn"]


@dataclass(frozen=True)
class Rule:
    """One expectation of one table.

    `says` is a sentence for people, `source` the file where it is written. `columns` are those it
    looks at: without them it cannot be judged. `condition` is SQL that is true of a good row
    (`holds`), `rows` SQL that gives what is wrong (`no_rows`), for people to read, and `counted`
    SQL that gives as many rows for less; `values` what a column may hold and `types` the DuckDB
    type of each column.
    """

    table: str
    kind: Kind
    says: str
    source: str
    columns: tuple[str, ...]
    severity: Severity = "error"
    condition: str = ""
    rows: str = ""
    counted: str = ""
    values: tuple[Any, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def wrong_rows(self) -> str:
        """SQL that shows what breaks the rule; for the shape of a table, the shape it has."""
        if self.kind in ("columns", "types"):
            return f"describe {self.table}"
        if self.kind == "no_rows":
            return self.rows
        return f"select * from {self.table} where {self._wrong_row()}"

    def _wrong_row(self) -> str:
        if self.kind == "not_null":
            return f"{self.columns[0]} is null"
        if self.kind == "accepted_values":
            return f"not {accepted(self.columns[0], self.values)}"
        return f"({self.condition}) is distinct from true"


def not_null(column: str) -> str:
    """SQL that is true where a column has a value."""
    return f"{quoted(column)} is not null"


def accepted(column: str, values: Sequence[Any]) -> str:
    """SQL that is true where a column has one of the values, or none."""
    shown = ", ".join(sql_literal(value) for value in values)
    return f"coalesce({quoted(column)} in ({shown}), true)"


def repeated(table: str, columns: Sequence[str], where: str = "true") -> str:
    """SQL that gives every key that occurs more than once, null being a value like others."""
    key = ", ".join(quoted(column) for column in columns)
    return (
        f"select {key}, count(*) as copies from {table} where {where} "
        "group by all having count(*) > 1"
    )


def suspected(columns: Sequence[str], table: str, where: str = "true") -> str:
    """SQL that is true of every row whose key may be repeated, by hashes: they take half the memory
    of keys and are looked at first."""
    key = f"hash({', '.join(quoted(column) for column in columns)})"
    return f"{key} in (select {key} from {table} where {where} group by all having count(*) > 1)"


def strangers(table: str, column: str, other: str, field: str, where: str = "true") -> str:
    """SQL that gives the rows whose `column` is no `field` of the other table."""
    return (
        f"select * from {table} where ({where}) and {quoted(column)} is not null "
        f"and {quoted(column)} not in (select {quoted(field)} from {other} "
        f"where {quoted(field)} is not null)"
    )


def sql_literal(value: Any) -> str:
    """A value of a YAML file as SQL."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if isinstance(value, int | float) else literal(str(value))
