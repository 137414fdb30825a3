"""Great Expectations over DuckDB: a data source, and the expectations that it lacks.

What is different from its SQL data source, and why:
- a query is fetched before its connection is given back: giving it back drops the answer;
- the connection is `lake.lakehouse.connect`'s: one file cannot be opened with two configurations
  in a process;
- the columns of a table come from `describe`: the library looks views up without their schema;
- a compound key is counted with null as a value: the library joins on `=` and never sees a copy
  whose key has a null in it.

Importing this imports the library, which takes seconds: import it where it is used.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # nothing leaves this machine

import duckdb_engine
import great_expectations as gx
import sqlalchemy as sa
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.datasource.fluent import SQLDatasource
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from lake.lakehouse import open_file


class DuckDBExecutionEngine(SqlAlchemyExecutionEngine):  # type: ignore[misc]
    """Runs every query of a batch inside one connection."""

    @contextmanager
    def get_connection(self) -> Iterator[sa.Connection]:
        """The one connection, kept until the engine is closed."""
        if self._connection is None:  # type: ignore[has-type]
            self._connection = self.engine.connect()
        yield self._connection


_Engines = type[DuckDBExecutionEngine]  # `type` is a field below


class DuckDBDatasource(SQLDatasource):  # type: ignore[misc]
    """A DuckDB file, read-only; `connection_string` is its path after duckdb:///."""

    type: Literal["duckdb"] = "duckdb"

    @property
    def execution_engine_type(self) -> _Engines:
        """What computes the metrics."""
        return DuckDBExecutionEngine

    def _create_engine(self) -> sa.Engine:
        path = Path(str(self.connection_string).removeprefix("duckdb:///"))
        return sa.create_engine(
            "duckdb://",
            creator=lambda: duckdb_engine.ConnectionWrapper(open_file(path)),
        )

    def get_execution_engine(self) -> DuckDBExecutionEngine:
        """The engine over the data source's one connection."""
        if self._execution_engine is None:  # type: ignore[has-type]
            self._execution_engine = DuckDBExecutionEngine(
                engine=self.get_engine(), create_temp_table=False
            )
        return self._execution_engine


@contextmanager
def opened(lakehouse: Path) -> Iterator[DuckDBDatasource]:
    """A file of views as a data source, in a context that leaves nothing behind."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    found = context.data_sources.add_duckdb("lake", connection_string=f"duckdb:///{lakehouse}")
    try:
        yield found
    finally:
        found.get_execution_engine().close()


def _table_of(engine: DuckDBExecutionEngine, domain: dict[str, Any]) -> str:
    batch = engine.batch_manager.batch_data_cache[domain["batch_id"]]
    return f"{batch.source_schema_name}.{batch.source_table_name}"


class DescribedColumns(TableMetricProvider):  # type: ignore[misc]
    """Names and types of a table's columns, as DuckDB describes them."""

    metric_name = "table.column_types"
    value_keys = ("include_nested",)
    default_kwarg_values: ClassVar = {"include_nested": True}

    @metric_value(engine=DuckDBExecutionEngine)  # type: ignore[untyped-decorator]
    def _duckdb(
        cls,  # noqa: N805 (the library binds the class)
        execution_engine: DuckDBExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        **_: Any,
    ) -> list[dict[str, Any]]:
        table = _table_of(execution_engine, metric_domain_kwargs)
        described = execution_engine.execute_query(sa.text(f"describe {table}")).fetchall()
        return [{"name": row[0], "type": row[1]} for row in described]


class RowsThatBreak(TableMetricProvider):  # type: ignore[misc]
    """How many rows a condition is not true of: an aggregate, counted together with the others."""

    metric_name = "ticklake.rows_that_break"
    value_keys = ("condition",)

    @metric_partial(  # type: ignore[untyped-decorator]
        engine=DuckDBExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )
    def _duckdb(
        cls,  # noqa: N805
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> Any:
        breaks = f"(({metric_value_kwargs['condition']}) is distinct from true)"
        return sa.literal_column(f"count(*) filter (where {breaks})"), metric_domain_kwargs, {}


class RowsFound(TableMetricProvider):  # type: ignore[misc]
    """How many rows a query gives."""

    metric_name = "ticklake.rows_found"
    value_keys = ("rows",)

    @metric_value(engine=DuckDBExecutionEngine)  # type: ignore[untyped-decorator]
    def _duckdb(
        cls,  # noqa: N805
        execution_engine: DuckDBExecutionEngine,
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> int:
        query = f"select count(*) from ({metric_value_kwargs['rows']})"
        return int(execution_engine.execute_query(sa.text(_plain(query))).scalar_one())


def _plain(query: str) -> str:
    """SQL in which no colon is taken for a parameter."""
    return query.replace("\\", "\\\\").replace(":", "\\:")


class _Counted(BatchExpectation):  # type: ignore[misc]
    """An expectation that one metric is 0."""

    metric: ClassVar[str]
    domain_keys = ("batch_id",)

    def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
        found = int(metrics[self.metric])
        return {"success": found == 0, "result": {"observed_value": found}}


class ExpectEveryRowToHold(_Counted):
    """A condition, SQL over the columns, is true of every row."""

    condition: str
    metric = "ticklake.rows_that_break"
    metric_dependencies = (metric,)
    success_keys = ("condition",)


class ExpectNoRows(_Counted):
    """A query that looks for what must not be finds nothing."""

    rows: str
    metric = "ticklake.rows_found"
    metric_dependencies = (metric,)
    success_keys = ("rows",)


class ExpectColumnTypes(BatchExpectation):  # type: ignore[misc]
    """Columns have the DuckDB types that are given; columns that are missing are not looked at."""

    types: dict[str, str]
    metric_dependencies = ("table.column_types",)
    success_keys = ("types",)
    domain_keys = ("batch_id",)

    def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
        has = {column["name"]: column["type"] for column in metrics["table.column_types"]}
        wrong = [
            f"{name} is {has[name]}, not {wanted}"
            for name, wanted in self.types.items()
            if name in has and has[name] != wanted
        ]
        observed = ", ".join(wrong) or f"{len(has)} columns"
        return {"success": not wrong, "result": {"observed_value": observed, "wrong": wrong}}
