"""Contracts -> the dbt sources file: one table per dataset, every column with type and meaning.

Run `python -m contracts.derive.dbt_sources` after a contract changes; a test fails until then.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from contracts import registry
from contracts.base import Contract
from contracts.derive.arrow import LANDING_COLUMNS, table_schema

TARGET = Path(__file__).parents[2] / "dbt/models/staging/_bronze_sources.yml"
SOURCE = "bronze"
HEADER = "# Made from contracts/ by `python -m contracts.derive.dbt_sources`; not to be edited.\n"

PARTITION_MEANING = {
    "verdict": "ok or rejected; sources show ok rows, quarantine shows the others",
    "event_date": "UTC date of the event time",
}


def sources_yml() -> str:
    """Text of the sources file for all contracts."""
    tables = [_table(contract) for contract in registry.all_contracts().values()]
    source = {
        "name": SOURCE,
        "schema": SOURCE,
        "description": "Landed rows that kept their contract, as pinned for the build.",
        "tables": tables,
    }
    content = {"version": 2, "sources": [source]}
    text: str = yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True)
    return HEADER + text


def column_meanings(contract: Contract) -> dict[str, tuple[str, str]]:
    """Column of the bronze table -> (description, unit); the unit is empty where there is none."""
    meanings = {column.name: (column.description, column.unit) for column in contract.columns}
    meanings |= {name: (text, "") for name, (_, text) in LANDING_COLUMNS.items()}
    return meanings | {name: (text, "") for name, text in PARTITION_MEANING.items()}


def duckdb_type(dtype: pa.DataType) -> str:
    """What DuckDB calls the type of a bronze column."""
    if pa.types.is_decimal(dtype):
        return f"decimal({dtype.precision},{dtype.scale})"
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
    TARGET.write_text(sources_yml(), encoding="utf-8")
