"""Suites of expectations for published tables: run with Great Expectations, inside DuckDB."""

from checks.expectations.judge import Suite, Verdict, told
from checks.expectations.published import UnknownTable, chosen, expect, site
from checks.expectations.rules import Rule

__all__ = ["Rule", "Suite", "UnknownTable", "Verdict", "chosen", "expect", "site", "told"]
