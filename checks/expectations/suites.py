"""The suites of all tables: what models say, what contracts say of columns carried, and the rest.

Nothing is said twice: a rule that a model's yml has already is not taken from a contract again.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from checks.expectations.models import Model, ModelUnreadable, holding, models
from checks.expectations.rules import Rule
from contracts import registry
from contracts.base import Contract, sql_rules

EXTRA = Path(__file__).with_name("extra.yml")


@cache
def suites() -> dict[str, tuple[Rule, ...]]:
    """Rules by published name (schema.name), for every model that has a yml entry.

    Raises ModelUnreadable if a yml file, extra.yml among them, says what cannot be understood.
    """
    described = models()
    found: dict[str, list[Rule]] = {table: list(m.rules) for table, m in described.items()}
    extra = yaml.safe_load(EXTRA.read_text())
    for rule in [*_carried(described, extra["carried"]), *_written(described, extra["holds"])]:
        said = {(other.kind, other.columns) for other in found[rule.table]}
        if rule.kind != "not_null" or (rule.kind, rule.columns) not in said:
            found[rule.table].append(rule)
    return {table: tuple(rules) for table, rules in found.items()}


def _carried(
    described: Mapping[str, Model], carried: Mapping[str, Mapping[str, Any]]
) -> Iterator[Rule]:
    for dataset, entry in carried.items():
        contract = registry.get(dataset)
        for table in entry["tables"]:
            yield from _from_contract(_known(described, table), contract)


def _from_contract(model: Model, contract: Contract) -> Iterator[Rule]:
    source = f"contracts/{contract.dataset}.py"
    for column in contract.columns:
        if column.never_null and column.name in model.columns:
            says = f"{column.name} is never null: {column.description}"
            yield Rule(model.table, "not_null", says, source, (column.name,))
    for columns, condition in sql_rules(contract):
        if set(columns) <= set(model.columns):
            yield holding(model, condition, condition, source)


def _written(
    described: Mapping[str, Model], entries: Sequence[Mapping[str, Any]]
) -> Iterator[Rule]:
    for entry in entries:
        condition = " ".join(entry["condition"].split())
        for table in entry["tables"]:
            model = _known(described, table)
            yield holding(model, entry["says"], condition, "checks/expectations/extra.yml")


def _known(described: Mapping[str, Model], table: str) -> Model:
    if table not in described:
        raise ModelUnreadable(f"{EXTRA} speaks of {table}, which no yml under dbt/models describes")
    return described[table]
