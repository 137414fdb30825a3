"""Rules from the models' yml: what dbt enforces and tests is what readers may expect.

The yml files are read as they lie in the repository, so that no `dbt` run is needed to judge a
published lake. What a test looks at only where a build touched is looked at in all rows here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from checks.expectations.rules import Rule, accepted, not_null, repeated, strangers, suspected
from lake.project import PROJECT

MODELS = PROJECT / "dbt" / "models"

# Folder of a model -> schema it is published in, as dbt_project.yml says.
_SCHEMAS = {"gold": "gold", "custom": "gold", "silver": "silver", "audit": "audit"}

# Tests that compare tables, or rows with their neighbours: builds judge them, before publication.
LEFT_TO_BUILDS = frozenset(
    {"closes", "contiguous", "meets_every_row", "no_overlap", "rolls_up_to", "steps_follow",
     "sums_match"}
)  # fmt: skip

# libyaml's parser where it is built in: ten times as fast, and as safe.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_REF = re.compile(r"""^\s*ref\(\s*['"](\w+)['"]\s*\)\s*$""")


class ModelUnreadable(ValueError):
    """A model's yml says what cannot be understood; the message names file, model and test."""


@dataclass(frozen=True)
class Model:
    """A model as its yml describes it: `columns` maps names to types, empty where none is given.

    `key` are columns that no two rows share, of the first test of the whole table that says so.
    """

    table: str
    source: str
    columns: Mapping[str, str]
    is_enforced: bool
    rules: tuple[Rule, ...]
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Test:
    """One test of a model or of a column of it, as the yml has it."""

    kind: str
    arguments: Mapping[str, Any]
    config: Mapping[str, Any]
    column: str | None

    @property
    def where(self) -> str | None:
        return self.config.get("where")


@cache
def models(folder: Path = MODELS) -> dict[str, Model]:
    """Every described model under its published name (schema.name). Raises ModelUnreadable."""
    found = list(_described(folder))
    tables = {entry["name"]: table for table, _, entry in found}
    return {table: _model(table, source, entry, tables) for table, source, entry in found}


def _described(folder: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
        schema = _SCHEMAS.get(path.relative_to(folder).parts[0])
        if schema is None:
            continue
        try:
            entries = (yaml.load(path.read_text(), _LOADER) or {}).get("models") or []
        except (yaml.YAMLError, AttributeError) as error:
            raise ModelUnreadable(f"{path} is no YAML that describes models: {error}") from error
        for entry in entries:
            yield f"{schema}.{entry['name']}", f"dbt/models/{path.relative_to(folder)}", entry


def _model(table: str, source: str, entry: Mapping[str, Any], tables: Mapping[str, str]) -> Model:
    columns = {c["name"]: c.get("data_type", "") for c in entry.get("columns") or []}
    contract = (entry.get("config") or {}).get("contract") or {}
    model = Model(table, source, columns, bool(contract.get("enforced")), ())
    rules = (*_shape(model), *_tested(model, entry, tables))
    return replace(model, rules=rules, key=_key(entry))


def _key(entry: Mapping[str, Any]) -> tuple[str, ...]:
    of_columns = [t for c in entry.get("columns") or [] for t in _tests(c, c["name"])]
    for test in [*_tests(entry, None), *of_columns]:
        is_whole = test.where is None and test.config.get("severity", "error") == "error"
        if test.kind.startswith("unique") and is_whole:
            return tuple(test.arguments.get("columns") or (_column(test),))
    return ()


def _shape(model: Model) -> Iterator[Rule]:
    """A contract that dbt enforces: these columns and no others, of these types."""
    if not model.is_enforced:
        return
    names = tuple(model.columns)
    says = f"the table has exactly the {len(names)} columns of its contract"
    yield Rule(model.table, "columns", says, model.source, names)
    says = "every column has the type of its contract"
    yield Rule(model.table, "types", says, model.source, names, types=tuple(model.columns.values()))


def _tested(model: Model, entry: Mapping[str, Any], tables: Mapping[str, str]) -> Iterator[Rule]:
    for column in entry.get("columns") or []:
        for test in _tests(column, column["name"]):
            yield from _rule(model, test, tables)
    for test in _tests(entry, None):
        yield from _rule(model, test, tables)


def _tests(entry: Mapping[str, Any], column: str | None) -> Iterator[_Test]:
    for item in [*(entry.get("data_tests") or []), *(entry.get("tests") or [])]:
        kind, body = (item, {}) if isinstance(item, str) else next(iter(item.items()))
        body = dict(body or {})
        config = body.pop("config", None) or {}
        arguments = body.pop("arguments", None) or body
        if config.get("enabled", True):
            yield _Test(kind, arguments, config, column)


def _rule(model: Model, test: _Test, tables: Mapping[str, str]) -> Iterable[Rule]:
    if test.kind in LEFT_TO_BUILDS or "{{" in repr(test.arguments):
        return ()  # what Jinja writes into a test is known to dbt alone
    try:
        rule = _MADE[test.kind](model, test, tables)
    except KeyError as error:
        raise ModelUnreadable(
            f"{model.source}, model {model.table}: no expectation can be made of test "
            f"'{test.kind}' ({error} is unknown or missing); teach it to "
            "checks/expectations/models.py, or name it in LEFT_TO_BUILDS"
        ) from error
    warns = str(test.config.get("severity", "error")).lower() == "warn"
    return (replace(rule, severity="warn" if warns else "error"),)


def _not_null(model: Model, test: _Test, _: Mapping[str, str]) -> Rule:
    column = _column(test)
    if test.where:
        return _holds(model, f"{column} is known", not_null(column), test.where)
    return Rule(model.table, "not_null", f"{column} is never null", model.source, (column,))


def _accepted_values(model: Model, test: _Test, _: Mapping[str, str]) -> Rule:
    column, values = _column(test), tuple(test.arguments["values"])
    says = f"{column} is {' or '.join(map(str, values))}, where it is known"
    if test.where:
        return _holds(model, says, accepted(column, values), test.where)
    return Rule(model.table, "accepted_values", says, model.source, (column,), values=values)


def _unique(model: Model, test: _Test, _: Mapping[str, str]) -> Rule:
    columns = tuple(test.arguments.get("columns") or (_column(test),))
    says = f"no two rows have the same {', '.join(columns)}"
    where = test.where or "true"
    first = suspected(columns, model.table, where)
    return Rule(
        model.table,
        "no_rows",
        says,
        model.source,
        columns,
        rows=repeated(model.table, columns, where),
        counted=repeated(model.table, columns, f"({where}) and {first}"),
    )


def _related(model: Model, test: _Test, tables: Mapping[str, str]) -> Rule:
    column, field = _column(test), test.arguments["field"]
    named = _REF.match(test.arguments["to"])
    other = tables[named.group(1)] if named else test.arguments["to"]
    rows = strangers(model.table, column, other, field, test.where or "true")
    says = f"every {column} is a {field} of {other}"
    return Rule(model.table, "no_rows", says, model.source, (column,), rows=rows)


def _holds_where(model: Model, test: _Test, _: Mapping[str, str]) -> Rule:
    expression = " ".join(test.arguments["expression"].split())
    return _holds(model, expression, expression, test.where)


def _no_row_where(model: Model, test: _Test, _: Mapping[str, str]) -> Rule:
    condition = " ".join(test.arguments["condition"].split())
    return _holds(model, f"never {condition}", f"({condition}) is distinct from true", test.where)


def _adds_up(model: Model, test: _Test, _: Mapping[str, str]) -> Rule:
    whole, parts = test.arguments["whole"], " + ".join(test.arguments["parts"])
    says = f"{whole} = {parts}, where all are known"
    return _holds(model, says, f"coalesce({whole} = {parts}, true)", test.where)


_MADE: dict[str, Callable[[Model, _Test, Mapping[str, str]], Rule]] = {
    "not_null": _not_null,
    "accepted_values": _accepted_values,
    "unique": _unique,
    "unique_where_touched": _unique,
    "unique_where_key_touched": _unique,
    "relationships": _related,
    "holds_where_touched": _holds_where,
    "no_row_where": _no_row_where,
    "adds_up": _adds_up,
}


def _column(test: _Test) -> str:
    found = test.column or test.arguments["column_name"]
    return str(found)


def _holds(model: Model, says: str, condition: str, where: str | None) -> Rule:
    if where:
        says, condition = (
            f"{says}, where {where}",
            f"({where}) is distinct from true or ({condition})",
        )
    return holding(model, says, condition, model.source)


def holding(model: Model, says: str, condition: str, source: str) -> Rule:
    """The rule that a condition is true of every row; it needs the columns that it speaks of."""
    words = set(re.findall(r"\w+", condition))
    spoken_of = tuple(column for column in model.columns if column in words)
    return Rule(model.table, "holds", says, source, spoken_of, condition=condition)
