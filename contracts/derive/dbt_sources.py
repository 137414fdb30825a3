"""Contracts -> what dbt has to know of them: its sources, and the list of datasets.

Run `python -m contracts.derive.dbt_sources` after a contract changes; a test fails until then.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from contracts import registry
from contracts.base import Contract
from contracts.derive.arrow import LANDING_COLUMNS, table_schema

PROJECT = Path(__file__).parents[2] / "dbt"
SOURCES = Path("models/staging/_bronze_sources.yml")
DATASETS = Path("macros/build/datasets.sql")
MADE_BY = "Made from contracts/ by `python -m contracts.derive.dbt_sources`; not to be edited."

PARTITION_MEANING = {
    "verdict": "ok or rejected; sources show ok rows, quarantine shows the others",
    "event_date": "UTC date of the event time",
}


def generated() -> dict[Path, str]:
    """File in the dbt project -> its text, for all contracts."""
    return {SOURCES: sources_yml(), DATASETS: datasets_sql()}


def write(project: Path = PROJECT) -> None:
    """Write the generated files into a dbt project."""
    for name, text in generated().items():
        (project / name).write_text(text, encoding="utf-8")


def sources_yml() -> str:
    """Text of the sources file: bronze rows with their columns, and landed rows to count."""
    contracts = registry.all_contracts().values()
    bronze = {
        "name": "bronze",
        "schema": "bronze",
        "description": "Landed rows that kept their contract, as pinned for the build.",
        "tables": [_table(contract) for contract in contracts],
    }
    landed = {
        "name": "landed",
        "schema": "bronze",
        "description": "Every landed row of both verdicts, to count them: `_all` whole, `_landed` "
        "since the hour of the first commit that the last build did not have.",
        "tables": [
            {"name": f"{c.dataset}_{part}"} for c in contracts for part in ("all", "landed")
        ],
    }
    content = {"version": 2, "sources": [bronze, landed]}
    text: str = yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True)
    return f"# {MADE_BY}\n{text}"


def datasets_sql() -> str:
    """Text of the macro `datasets()`: the name of every dataset, in alphabetical order."""
    names = "".join(f"        '{dataset}',\n" for dataset in registry.all_contracts())
    return (
        f"{{# {MADE_BY} #}}\n{{% macro datasets() %}}\n    {{% do return([\n{names}    ]) %}}\n"
        "{% endmacro %}\n"
    )


def column_meanings(contract: Contract) -> dict[str, tuple[str, str]]:
    """Column of the bronze table -> (description, unit); the unit is empty where there is none."""
    meanings = {column.name: (column.description, column.unit) for column in contract.columns}
    meanings |= {name: (text, "") for name, (_, text) in LANDING_COLUMNS.items()}
    return meanings | {name: (text, "") for name, text in PARTITION_MEANING.items()}


def duckdb_type(dtype: pa.DataType) -> str:
    """What DuckDB calls the type of a bronze column."""
    if pa.types.is_decimal(dtype):
        return f"decimal({dtype.precision},{dtype.scale})"
    if pa.types.is_list(dtype):
        return f"{duckdb_type(dtype.value_type)}[]"
    names = {
        pa.string(): "varchar",
        pa.int64(): "bigint",
        pa.int32(): "integer",
        pa.bool_(): "boolean",
        pa.binary(): "blob",
        pa.date32(): "date",
        pa.timestamp("us", "UTC"): "timestamp with time zone",
    }
    return names[dtype]


def _table(contract: Contract) -> dict[str, Any]:
    meanings = column_meanings(contract)
    return {
        "name": contract.dataset,
        "description": contract.description,
        "config": {
            "meta": {
                "contract_version": contract.version,
                "topic": contract.topic,
                "key": contract.key,
                "control_totals": list(contract.control_totals),
            }
        },
        "columns": [_column(field, *meanings[field.name]) for field in table_schema(contract)],
    }


def _column(field: pa.Field, description: str, unit: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": field.name,
        "description": description,
        "data_type": duckdb_type(field.type),
    }
    if unit:
        entry["config"] = {"meta": {"unit": unit}}
    return entry


if __name__ == "__main__":
    write()
