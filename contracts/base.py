"""What a contract is: a pandera model of the canonical columns and the facts around it.

Everything else (decoder, Arrow schema, dbt sources, docs) is derived from these two, so that
adding a dataset is writing one file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import pandera.polars as pa
import polars as pl

from contracts.codes import RejectCode

Kind = Literal["text", "texts", "decimal", "integer", "boolean", "time"]

PRICE = Annotated[pl.Decimal, 18, 9]
QUANTITY = Annotated[pl.Decimal, 28, 8]
MONEY = Annotated[pl.Decimal, 28, 8]
RATIO = Annotated[pl.Decimal, 38, 18]  # a share, a percentage, basis points
TEXTS = Annotated[pl.List, pl.String]

SESSION = "session the price belongs to; a generated stream starts a new one each cycle"

EARLIEST_NS = 631_152_000_000_000_000  # 1990-01-01T00:00:00Z
CLOCK_SKEW_NS = 5_000_000_000  # how far ahead of its reception an event may claim to be


def field(
    wire: str,
    description: str,
    *,
    required: bool = False,
    never_null: bool = False,
    unit: str = "",
    kind: Kind | None = None,
) -> Any:
    """A canonical column: its name on the wire, what must be there, and its unit.

    `required` speaks of the wire: a JSON record without that key is rejected. `never_null` speaks
    of the column: no feed, JSON or file, may leave it empty. A trade id is required but not
    never_null, because an exchange tape has none and its mapping says so.
    """
    return pa.Field(
        nullable=not never_null,
        description=description,
        metadata={
            "wire": wire,
            "required": required or never_null,
            "unit": unit,
            "kind": kind,
        },
    )


class Record(pa.DataFrameModel):
    """The one column that every record has and no producer sends."""

    recv_ts_ns: pl.Int64 = field("", "when it was received", unit="ns since epoch UTC")


@dataclass(frozen=True)
class Column:
    """One canonical column as the derivations see it."""

    name: str
    wire: str
    dtype: pl.DataType
    kind: Kind
    required: bool
    never_null: bool
    unit: str
    description: str


@dataclass(frozen=True)
class Contract:
    """A dataset under contract: the pandera model plus the facts that are not columns.

    `control_totals` are decimal columns whose sums go into every commit and must reconcile.
    `partition_by_date` adds the event date below the verdict in bronze. `time_from_receipt`: a
    record without an event time takes the time it was received. `epoch_unit`: what an integer
    timestamp counts in; declared, because guessing it per row would let one bad row decide.
    """

    dataset: str
    version: int
    model: type[pa.DataFrameModel]
    topic: str
    aliases: tuple[str, ...]
    key: str
    control_totals: tuple[str, ...]
    partition_by_date: bool
    description: str
    time_from_receipt: bool = False
    epoch_unit: Literal["s", "ms", "us", "ns"] = "ms"

    @cached_property
    def schema(self) -> pa.DataFrameSchema:
        """The compiled pandera schema (built once: building costs more than a small batch)."""
        return self.model.to_schema()

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The canonical columns in the contract's order."""
        return tuple(
            _column(name, column)
            for name, column in self.schema.columns.items()
            if column.metadata["wire"]
        )

    @cached_property
    def by_wire(self) -> dict[str, Column]:
        """The same columns by their name on the wire."""
        return {column.wire: column for column in self.columns}

    def names(self) -> list[str]:
        """Names of the canonical columns."""
        return [column.name for column in self.columns]


def _column(name: str, column: Any) -> Column:
    facts = column.metadata
    dtype = column.dtype.type
    return Column(
        name=name,
        wire=facts["wire"],
        dtype=dtype,
        kind=facts["kind"] or _kind_of(dtype),
        required=facts["required"],
        never_null=not column.nullable,
        unit=facts["unit"],
        description=column.description,
    )


def _kind_of(dtype: pl.DataType) -> Kind:
    if isinstance(dtype, pl.Decimal):
        return "decimal"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype == pl.List(pl.String):
        return "texts"
    return "integer" if dtype.is_integer() else "text"


def rule(code: RejectCode, holds: pl.Expr, says: str = "", sql: str = "") -> Any:
    """A dataframe check that files the rows where `holds` is false under `code`.

    A null result passes: absence is `never_null`'s business, a rule speaks of what is there. The
    reject's message is `says`, where given, and the values of the columns that the rule looks at.
    `sql` says the same for those who have the columns in a table (`sql_rules`).
    """
    columns = ",".join(dict.fromkeys(holds.meta.root_names()))

    def check(_: type, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(holds.fill_null(True))

    # pandera hands the check back with an error; title and description are its free texts.
    declare = pa.dataframe_check(
        name=code.value,
        error=code.value,
        title=columns,
        description=says,
        statistics={"sql": sql, "holds": holds},
    )
    return declare(check)


def keeps(contract: Contract) -> pl.Expr:
    """Does a row keep the contract? Every rule of it as one, without the reasons."""
    rules = [check.statistics["holds"].fill_null(True) for check in contract.schema.checks]
    filled = [pl.col(c.name).is_not_null() for c in contract.columns if c.never_null]
    return pl.all_horizontal(*rules, *filled)


def sql_rules(contract: Contract) -> list[tuple[tuple[str, ...], str]]:
    """The rules that are said in SQL, too: the columns of each, and what is true of a good row."""
    return [
        (tuple(check.title.split(",")), check.statistics["sql"])
        for check in contract.schema.checks
        if check.statistics.get("sql")
    ]


def event_time_rules() -> tuple[Any, Any]:
    """The two rules every event obeys: not before 1990, not ahead of its own reception."""
    event, received = pl.col("event_ts_ns"), pl.col("recv_ts_ns")
    return (
        rule(
            RejectCode.TS_OUT_OF_RANGE,
            event >= EARLIEST_NS,
            sql=f"coalesce(event_ts_ns >= {EARLIEST_NS}, true)",
        ),
        rule(
            RejectCode.FUTURE_TS,
            event <= received + CLOCK_SKEW_NS,
            sql=f"coalesce(event_ts_ns <= recv_ts_ns + {CLOCK_SKEW_NS}, true)",
        ),
    )


def known_side(column: str, sides: Sequence[str]) -> Any:
    """A rule that `column` is one of `sides` where it is given."""
    among = ", ".join(f"'{side}'" for side in sides)
    holds = pl.col(column).is_in(list(sides))
    return rule(RejectCode.UNKNOWN_SIDE, holds, sql=f"coalesce({column} in ({among}), true)")


def positive(code: RejectCode, *columns: str) -> Any:
    """A rule that each of `columns` is above zero where it is given."""
    holds = pl.all_horizontal(pl.col(name).fill_null(1) > 0 for name in columns)
    return rule(code, holds, sql=" and ".join(f"coalesce({c} > 0, true)" for c in columns))


def not_negative(code: RejectCode, *columns: str) -> Any:
    """A rule that each of `columns` is zero or above where it is given."""
    holds = pl.all_horizontal(pl.col(name).fill_null(0) >= 0 for name in columns)
    return rule(code, holds, sql=" and ".join(f"coalesce({c} >= 0, true)" for c in columns))


def product_fits(price: str, quantity: str) -> Any:
    """A rule that price x quantity stays far enough below what 38 digits hold to be summed.

    The bound is far above any market, so comparing as floats decides nothing that matters.
    """
    product = pl.col(price).cast(pl.Float64) * pl.col(quantity).cast(pl.Float64)
    return rule(RejectCode.SCHEMA_TYPE, product.abs() < 1e18, f"{price} x {quantity} is too large")
