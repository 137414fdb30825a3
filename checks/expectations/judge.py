"""Judge published tables against their rules, with Great Expectations, inside DuckDB."""

import html
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from checks.expectations.rules import Rule
from lake.lakehouse import open_file

# What one query may hold: the rest of a process needs half a gigabyte.
MEMORY = "1GB"


@dataclass(frozen=True)
class Verdict:
    """What became of one rule. `unexpected` counts rows (or columns, for the shape of a table);
    None where it could not be judged, and `note` says why."""

    rule: Rule
    passed: bool
    unexpected: int | None
    note: str = ""


@dataclass(frozen=True)
class Suite:
    """One table and what became of its expectations."""

    table: str
    verdicts: tuple[Verdict, ...]
    seconds: float
    result: Any = None  # Great Expectations' own, None where there was nothing to judge

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """What failed and must not."""
        return tuple(v for v in self.verdicts if not v.passed and v.rule.severity == "error")

    @property
    def findings(self) -> tuple[Verdict, ...]:
        """What failed and is only told."""
        return tuple(v for v in self.verdicts if not v.passed and v.rule.severity == "warn")


def told(suite: Suite) -> dict[str, Any]:
    """A suite as plain data, for programs: counts, and what does not hold."""
    return {
        "suite": suite.table,
        "expectations": len(suite.verdicts),
        "passed": sum(verdict.passed for verdict in suite.verdicts),
        "failed": [_told(verdict) for verdict in suite.broken],
        "findings": [_told(verdict) for verdict in suite.findings],
        "seconds": round(suite.seconds, 3),
    }


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "expected": verdict.rule.says,
        "kind": verdict.rule.kind,
        "columns": verdict.rule.columns,
        "unexpected": verdict.unexpected,
        "note": verdict.note,
        "source": verdict.rule.source,
        "query": verdict.rule.wrong_rows,
    }


def judge(
    lakehouse: Path,
    rules: Mapping[str, Sequence[Rule]],
    on_table: Callable[[str], None] | None = None,
) -> list[Suite]:
    """Judge tables of a file of views; `rules` maps each to its expectations.

    `on_table` is told each table before it is looked at.
    """
    from checks.expectations.library import opened

    suites = []
    with opened(lakehouse) as datasource, closing(open_file(lakehouse)) as conn:
        conn.execute(f"set memory_limit = '{MEMORY}'")
        for table, expected in rules.items():
            if on_table:
                on_table(table)
            suites.append(_suite(datasource, conn, table, expected))
    return suites


def _suite(datasource: Any, conn: Any, table: str, rules: Sequence[Rule]) -> Suite:
    import great_expectations as gx

    started = time.monotonic()
    there = [row[0] for row in conn.execute(f"describe {table}").fetchall()]
    lost = {rule: sorted(set(rule.columns) - set(there)) for rule in rules if _is_of_rows(rule)}
    judged = [rule for rule in rules if not lost.get(rule)]
    verdicts = {
        rule: Verdict(rule, False, None, f"the table has no column {', '.join(missing)}")
        for rule, missing in lost.items()
        if missing
    }
    result = None
    if judged:
        schema, name = table.split(".")
        asset = datasource.add_table_asset(table, table_name=name, schema_name=schema)
        batch = asset.add_batch_definition_whole_table("published").get_batch()
        expectations = [_expectation(rule, place) for place, rule in enumerate(judged)]
        suite = gx.ExpectationSuite(name=table, expectations=expectations)
        result = batch.validate(suite, result_format="SUMMARY")
        for found in result.results:
            rule = judged[found.expectation_config.meta["place"]]
            verdicts[rule] = _verdict(rule, found)
    ordered = tuple(verdicts[rule] for rule in rules)
    return Suite(table, ordered, time.monotonic() - started, result)


def _is_of_rows(rule: Rule) -> bool:
    return rule.kind not in ("columns", "types")


def _expectation(rule: Rule, place: int) -> Any:
    import great_expectations.expectations as gxe

    from checks.expectations import library

    shown = {
        "description": html.escape(rule.says, quote=False),  # goes into a page as it is
        "severity": "critical" if rule.severity == "error" else "warning",
        "meta": {"place": place, "source": rule.source},
    }
    match rule.kind:
        case "columns":
            return gxe.ExpectTableColumnsToMatchSet(
                column_set=list(rule.columns), exact_match=True, **shown
            )
        case "types":
            types = dict(zip(rule.columns, _described(rule.types), strict=True))
            return library.ExpectColumnTypes(types=types, **shown)
        case "not_null":
            return gxe.ExpectColumnValuesToNotBeNull(column=rule.columns[0], **shown)
        case "accepted_values":
            return gxe.ExpectColumnValuesToBeInSet(
                column=rule.columns[0], value_set=list(rule.values), **shown
            )
        case "holds":
            return library.ExpectEveryRowToHold(condition=rule.condition, **shown)
        case "no_rows":
            return library.ExpectNoRows(rows=rule.counted or rule.rows, **shown)


def _described(types: Sequence[str]) -> list[str]:
    """Types as DuckDB names them: timestamptz is TIMESTAMP WITH TIME ZONE."""
    columns = ", ".join(f"null::{name} as c{place}" for place, name in enumerate(types))
    with duckdb.connect() as conn:
        return [row[1] for row in conn.execute(f"describe select {columns}").fetchall()]


def _verdict(rule: Rule, found: Any) -> Verdict:
    if message := _raised(found.exception_info):
        return Verdict(rule, False, None, message)
    result = found.result
    if rule.kind == "columns":
        differs = (result.get("details") or {}).get("mismatched") or {}
        lost, surplus = differs.get("missing", []), differs.get("unexpected", [])
        parts = [f"missing: {', '.join(lost)}"] if lost else []
        parts += [f"surplus: {', '.join(surplus)}"] if surplus else []
        return Verdict(rule, found.success, len(lost) + len(surplus), "; ".join(parts))
    if rule.kind == "types":
        wrong = result["wrong"]
        return Verdict(rule, found.success, len(wrong), "; ".join(wrong))
    count = result.get("unexpected_count", result.get("observed_value"))
    return Verdict(rule, found.success, None if count is None else int(count))


def _raised(info: Any) -> str:
    """The first exception that kept an expectation from being judged, in one line."""
    for raised in [info, *(v for v in (info or {}).values() if isinstance(v, dict))]:
        if raised and raised.get("raised_exception"):
            lines = str(raised.get("exception_message")).strip().splitlines()
            return lines[0] if lines else "it could not be judged"
    return ""
