"""Every contract there is, found by looking into this folder, and their versions.

A published version is frozen as `versions/<dataset>.v<N>.json`; the current model must equal its
newest version, and a newer version may only add optional fields.
"""

import json
import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

import contracts
from contracts.base import Contract
from contracts.names import VERSIONS


class UnknownDataset(KeyError):
    """No contract has that dataset name or topic."""


@cache
def all_contracts() -> dict[str, Contract]:
    """Dataset name -> contract, in alphabetical order. A module with a `CONTRACT` is a dataset."""
    modules = (
        import_module(f"contracts.{m.name}") for m in pkgutil.iter_modules(contracts.__path__)
    )
    found = [module.CONTRACT for module in modules if hasattr(module, "CONTRACT")]
    return {contract.dataset: contract for contract in sorted(found, key=lambda c: c.dataset)}


def get(dataset: str) -> Contract:
    """The contract of a dataset. Raises UnknownDataset with the names that exist."""
    try:
        return all_contracts()[dataset]
    except KeyError:
        known = ", ".join(all_contracts())
        raise UnknownDataset(f"no contract for dataset '{dataset}'; there are: {known}") from None


def for_topic(topic: str) -> Contract:
    """The contract of a Kafka topic, by its name or an alias."""
    for contract in all_contracts().values():
        if topic in (contract.topic, *contract.aliases):
            return contract
    raise UnknownDataset(f"no contract reads topic '{topic}'")


def snapshot(contract: Contract) -> dict[str, Any]:
    """The contract's columns as plain data: what a version file holds."""
    return {
        "dataset": contract.dataset,
        "version": contract.version,
        "columns": {
            column.name: {
                "wire": column.wire,
                "type": str(column.dtype),
                "required": column.required,
                "never_null": column.never_null,
            }
            for column in contract.columns
        },
    }


def load_version(dataset: str, version: int) -> dict[str, Any]:
    """A frozen version. Raises FileNotFoundError when it was never published."""
    loaded: dict[str, Any] = json.loads((VERSIONS / f"{dataset}.v{version}.json").read_text())
    return loaded


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What in `new` would reject or reinterpret a record that `old` took; empty if compatible."""
    before, after = old["columns"], new["columns"]
    broken = [f"column {name} was removed" for name in before if name not in after]
    for name, facts in after.items():
        known = before.get(name)
        if known is None:
            if facts["required"]:
                broken.append(f"new column {name} is required")
            continue
        broken += [
            f"column {name}: {fact} was {known[fact]}, is {facts[fact]}"
            for fact in ("wire", "type")
            if known[fact] != facts[fact]
        ]
        if facts["required"] and not known["required"]:
            broken.append(f"column {name} became required")
    return broken
