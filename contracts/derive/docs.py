"""Contracts -> the reference page docs/contracts.md.

Run `python -m contracts.derive.docs` after a contract changes; a test fails until then.
"""

from collections.abc import Sequence
from pathlib import Path

from contracts import registry
from contracts.base import Column, Contract
from contracts.codes import MEANING
from contracts.derive.arrow import LANDING_COLUMNS, partition_columns, table_schema
from contracts.derive.dbt_sources import PARTITION_MEANING, duckdb_type

TARGET = Path(__file__).parents[2] / "docs/contracts.md"

INTRODUCTION = """# Contracts

<!-- Made from contracts/ by `python -m contracts.derive.docs`; not to be edited. -->

What a record must be to land, dataset by dataset. *Required*: a JSON record without that key is
rejected. *Never null*: rejected when empty, from whatever feed. Numbers are decimals, sent as JSON
numbers or as strings, and rejected rather than rounded. A record that breaks a rule is kept in
quarantine with its bytes, position and code.
"""


def docs_page() -> str:
    """Text of the page for all contracts."""
    contracts = registry.all_contracts().values()
    parts = [INTRODUCTION, *(_dataset(contract) for contract in contracts), _landing(), _codes()]
    return "\n".join(parts)


def _dataset(contract: Contract) -> str:
    names = " or ".join(f"`{topic}`" for topic in (contract.topic, *contract.aliases))
    facts = [
        f"- Topic {names}, keyed by `{contract.key}`",
        f"- Partitioned by {', '.join(f'`{name}`' for name in partition_columns(contract))}",
        f"- An integer time counts {contract.epoch_unit} since epoch UTC",
    ]
    if contract.control_totals:
        totals = ", ".join(f"`{name}`" for name in contract.control_totals)
        facts.append(f"- Control totals of every commit: rows, {totals}")
    if contract.time_from_receipt:
        facts.append("- A record without its time takes the time at which it was received")
    rows = [_column(contract, column) for column in contract.columns]
    heading = f"## {contract.dataset} (version {contract.version})\n\n{contract.description}\n"
    table = _table(("column", "on the wire", "type", "must be there", "meaning"), rows)
    return "\n".join([heading, *facts, "", table])


def _column(contract: Contract, column: Column) -> tuple[str, ...]:
    unit = f" ({column.unit})" if column.unit else ""
    must = "never null" if column.never_null else "required" if column.required else ""
    dtype = duckdb_type(table_schema(contract).field(column.name).type)
    meaning = f"{column.description}{unit}"
    return (f"`{column.name}`", f"`{column.wire}`", dtype, must, meaning)


def _landing() -> str:
    rows = [
        (f"`{name}`", duckdb_type(dtype), meaning)
        for name, (dtype, meaning) in LANDING_COLUMNS.items()
    ]
    rows += [
        (f"`{name}`", "date" if name == "event_date" else "varchar", meaning)
        for name, meaning in PARTITION_MEANING.items()
    ]
    table = _table(("column", "type", "meaning"), rows)
    return f"## What landing adds\n\n{table}"


def _codes() -> str:
    rows = [(f"`{code}`", meaning) for code, meaning in MEANING.items()]
    text = "A record that breaks several rules is filed under the first of these.\n"
    return f"## Reject codes\n\n{text}\n{_table(('code', 'meaning'), rows)}"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    TARGET.write_text(docs_page(), encoding="utf-8")
