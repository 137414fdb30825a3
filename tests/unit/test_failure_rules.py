"""The table of causes and remedies: each error of ours has its rule, and each rule its error."""

import builtins
import re
from typing import Any

import deltalake.exceptions
import pytest
import typer.main

from checks.drift import DriftNotBuilt
from contracts.registry import UnknownDataset
from ingestion.check import ContractsDisabled
from ingestion.feeds.mapping import FeedError
from ingestion.sources.kafka_origin import RecordsLost, TopicGone, TopicRecreated
from ingestion.sources.kafka_watch import PositionAhead
from ingestion.sources.vendor import VendorAway, VendorRefused
from lake.bronze import PositionTaken
from lake.build import BuildBusy, BuildFailed
from lake.damage import Damaged
from lake.delta_log import LogBroken
from lake.kafka_client import BrokerRefused, BrokerUnreachable
from lake.lakehouse import NothingPublished
from lake.locks import Busy
from lake.maintenance import MaintenanceBusy
from lake.project import PROJECT
from lake.published_table import PublishConflict
from lake.settings import SettingsError
from ticklake.cli import app
from ticklake.failures.rules import everything, rule_of
from ticklake.flow_errors import AccountsOpen, CandlesDrift, ExpectationsBroken

RETRIED, FINAL = True, False
BUILD = "build 20251002T000000: {}\nReaders keep the last publication."

TABLE: list[tuple[BaseException, str, str, bool]] = [
    (BuildFailed(BUILD.format("1 models or tests failed")), "build_failed", "reconcile", FINAL),
    (BuildBusy("another build is still running"), "build_busy", "status", RETRIED),
    (MaintenanceBusy("maintained already"), "build_busy", "status", RETRIED),
    (Busy("build is held by process 1"), "build_busy", "status", RETRIED),
    (AccountsOpen("2 accounts do not close"), "accounts_open", "reconcile", FINAL),
    (CandlesDrift("1 runs drift"), "candles_drift", "drift", FINAL),
    (ExpectationsBroken("1 do not hold"), "expectations_broken", "expect", FINAL),
    (Damaged("x.parquet: data file missing"), "damage", "verify", FINAL),
    (LogBroken("00.json: log entry empty or cut off"), "damage", "verify", FINAL),
    (BrokerUnreachable("no Kafka broker answers"), "broker_away", "doctor", RETRIED),
    (BrokerRefused("does not let us in"), "broker_refused", "doctor", FINAL),
    (TopicRecreated("t was deleted and made anew"), "topic_recreated", "ingest", FINAL),
    (RecordsLost("deleted records"), "records_lost", "ingest", FINAL),
    (PositionAhead("not in the topic"), "another_broker", "doctor", FINAL),
    (TopicGone("t was deleted while it was read"), "broker_changed", "doctor", RETRIED),
    (VendorAway("later"), "vendor_away", "status", RETRIED),
    (VendorRefused("401"), "vendor_refused", "doctor", FINAL),
    (ContractsDisabled("switched off"), "contracts_off", "make", FINAL),
    (SettingsError("wrong settings:\n  LAKE_URI: no"), "settings", "doctor", FINAL),
    (FeedError("no such column"), "file_refused", "ingest", FINAL),
    (NothingPublished("nothing is published"), "not_built", "build", FINAL),
    (DriftNotBuilt("gold.drift_runs is not published"), "not_built", "build", FINAL),
    (PositionTaken("another writer landed it"), "overtaken", "status", RETRIED),
    (PublishConflict("was taken by another build"), "overtaken", "status", RETRIED),
    (UnknownDataset("tradez"), "parameter", "trigger", FINAL),
    (ValueError("9999-01-01 has not begun (it is 2025-10-02 UTC)"), "parameter", "trigger", FINAL),
    (OSError(28, "No space left on device"), "disk_full", "df -h", RETRIED),
    (MemoryError(), "memory_limit", "doctor", FINAL),
    (ModuleNotFoundError("No module named 'dbt'"), "not_installed", "make setup", FINAL),
    (PermissionError(13, "Permission denied"), "not_allowed", "ls -la", FINAL),
    (TypeError("unsupported operand"), "mistake", "doctor", FINAL),
    (RuntimeError("something else"), "unknown", "doctor", RETRIED),
]


@pytest.mark.parametrize(
    ("error", "rule", "command", "retry"), TABLE, ids=[type(row[0]).__name__ for row in TABLE]
)
def test_an_error_has_its_cause_its_command_and_is_retried_where_that_can_mend_it(
    error: BaseException, rule: str, command: str, retry: bool
) -> None:
    found = rule_of(error)
    assert found.name == rule
    assert command in found.command
    assert found.retry is retry


@pytest.mark.parametrize(
    ("said", "rule", "retry"),
    [
        ("IO Error: Could not write: No space left on device", "disk_full", RETRIED),
        ("Out of Memory Error: could not allocate block", "memory_limit", FINAL),
        ("dbt stopped before its end\n  exit code -9", "process_killed", RETRIED),
        ("/lake/bronze/a.parquet has 100 bytes, the log says 3841", "damage", FINAL),
        ("publication 7 was taken by another build; run the build again", "overtaken", RETRIED),
        ("Compilation Error\n  Model 'mine' depends on a node 'nix'", "model_broken", FINAL),
        ("Runtime Error in model mine (models/custom/mine.sql)", "model_broken", FINAL),
        ("contract checks are switched off by PANDERA_VALIDATION_ENABLED", "contracts_off", FINAL),
        ("1 models or tests failed (test.ticklake.accounts_close)", "build_failed", FINAL),
        ("exit code -91 rows", "build_failed", FINAL),
    ],
)
def test_what_dbt_says_before_it_ends_tells_why_a_build_failed(
    said: str, rule: str, retry: bool
) -> None:
    found = rule_of(BuildFailed(BUILD.format(said)))
    assert (found.name, found.retry) == (rule, retry)


def test_the_cause_of_an_error_counts_not_what_it_is_wrapped_in() -> None:
    wrapped = RuntimeError("AirflowFailException")
    wrapped.__cause__ = Damaged("x is gone")
    assert rule_of(wrapped).name == "damage"


def test_no_error_means_that_the_process_was_killed() -> None:
    assert rule_of(None).name == "process_lost"
    assert "killed process" in rule_of(None).command


def test_an_error_that_is_its_own_cause_is_judged() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert rule_of(first).name == "unknown"


def test_every_rule_has_a_name_of_its_own_a_cause_a_remedy_and_a_command() -> None:
    names = [rule.name for rule in everything()]
    assert len(set(names)) == len(names)
    assert all(rule.cause and rule.remedy and rule.command for rule in everything())


def test_every_class_that_a_rule_names_exists() -> None:
    known = set(dir(builtins)) | set(dir(deltalake.exceptions)) | {"AirflowTaskTimeout"}
    for room in ("contracts", "lake", "ingestion", "checks", "ticklake"):
        for file in (PROJECT / room).rglob("*.py"):
            known |= set(re.findall(r"^class (\w+)\(", file.read_text("utf-8"), re.MULTILINE))
    named = {name for rule in everything() for name in rule.errors}
    assert named - known == set()


def test_every_command_of_ticklake_that_a_rule_names_exists() -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for rule in everything():
        words = rule.command.split()
        if "ticklake" in words:
            name, *rest = words[words.index("ticklake") + 1 :]
            options = {opt for parameter in commands[name].params for opt in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= options, rule.command


def test_the_page_on_failures_has_a_line_for_every_rule_and_no_other() -> None:
    page = (PROJECT / "docs" / "failures.md").read_text(encoding="utf-8")
    table = page.partition("## Causes")[2].partition("##")[0]
    lines = re.findall(r"^\| `(\w+)` \| (.+) \| `(.+)` \| (\w*) \|$", table, re.MULTILINE)
    assert [line[0] for line in lines] == [rule.name for rule in everything()]
    blank = re.compile(r"[{<]\w+[}>]")
    for rule, (_, cause, command, again) in zip(everything(), lines, strict=True):
        assert blank.sub("", cause) == blank.sub("", rule.cause)
        assert blank.sub("", command.replace("\\|", "|")) == blank.sub("", rule.command)
        assert again in ("", "yes" if rule.retry or rule.name == "process_lost" else "no")
