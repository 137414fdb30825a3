"""The log of a build, and the page that shows it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake.build import STARTED, BuildResult, ModelResult
from lake.build_log import DONE, FAILED, KEPT, KILLED, RUNNING, Asked, build_log, build_logs
from lake.settings import Settings, load_settings
from ticklake.services.dbt_models.page import page, view
from ticklake.task_builds import summary

ASKED = Asked("live", "manual__1", "build", 1)
BEGAN = datetime(2025, 10, 2, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty lake."""
    return load_settings({"LAKE_URI": str(tmp_path)})


def node(name: str, status: str = "success", seconds: float = 1.0, **facts: str) -> ModelResult:
    """A model of gold; a test where `judges` is given."""
    kind = "test" if "judges" in facts else "model"
    facts = {"schema": "gold", "started": BEGAN.isoformat(), **facts}
    return ModelResult(name, kind, status, seconds, **facts)


def result(**facts: object) -> BuildResult:
    """A build that published."""
    return BuildResult("b1", True, 7, True, "published")


def test_a_build_that_runs_is_seen_with_what_has_ended_and_what_has_not(settings: Settings) -> None:
    with build_log(settings, ASKED) as told:
        told.node(node("candles", STARTED, 0.0), 3)
        told.node(node("candles", "success", 2.5), 3)
        told.node(node("quotes", STARTED, 0.0), 3)
        (log,) = build_logs(settings, "live", "manual__1")
        told.done(result())
    assert (log.state, log.total) == (RUNNING, 3)
    assert [(n.name, n.seconds) for n in log.nodes] == [("candles", 2.5)]
    assert list(log.running) == ["quotes"]
    (log,) = build_logs(settings, "live", "manual__1", "build")
    assert (log.state, log.build_id, log.outcome) == (DONE, "b1", "publication 7, published")


def test_an_error_is_the_last_word_of_a_build(settings: Settings) -> None:
    with pytest.raises(RuntimeError), build_log(settings, ASKED):
        raise RuntimeError("a model failed")
    (log,) = build_logs(settings, "live", "manual__1")
    assert (log.state, log.outcome) == (FAILED, "a model failed")


def test_a_build_that_was_killed_does_not_look_as_if_it_ran(settings: Settings) -> None:
    with build_log(settings, ASKED) as told:
        told.node(node("candles"), 2)
    (path,) = (settings.local / "dbt" / "builds").glob("*.jsonl")
    with path.open("a") as file:
        file.write('{"node": {"name": "hal')  # died while it wrote
    (log,) = build_logs(settings, "live", "manual__1")
    assert (log.state, len(log.nodes)) == (KILLED, 1)


def test_of_many_builds_the_newest_are_kept(settings: Settings) -> None:
    for n in range(KEPT + 5):
        with build_log(settings, Asked("live", f"run-{n}", "build", 1)) as told:
            told.done(result())
    assert len(list((settings.local / "dbt" / "builds").glob("*"))) == KEPT
    assert build_logs(settings, "live", "run-4") == []
    assert len(build_logs(settings, "live", "run-5")) == 1


def test_a_run_sees_its_own_builds_the_newest_first(settings: Settings) -> None:
    for dag_id, try_number in (("live", 1), ("day", 1), ("live", 2)):
        with build_log(settings, Asked(dag_id, "manual__1", "build", try_number)) as told:
            told.done(result())
    found = build_logs(settings, "live", "manual__1")
    assert [log.asked.try_number for log in found] == [2, 1]
    assert build_logs(settings, "live", "manual__1", "land") == []


def test_ids_do_not_lead_to_files(settings: Settings) -> None:
    secret = settings.local / "secret.jsonl"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text(json.dumps({"asked": {}, "began": BEGAN.isoformat()}))
    with build_log(settings, ASKED):
        pass
    for id_ in ("../../secret", "..", "/", "*", str(secret), "\0"):
        assert build_logs(settings, "live", id_) == []
        assert build_logs(settings, id_, "manual__1") == []


def test_nothing_in_a_message_becomes_markup(settings: Settings) -> None:
    bad = '<script>alert("x")</script>'
    with build_log(settings, Asked("live", bad, bad, 1)) as told:
        told.node(node(bad, "error"), 1)
        told.failed(RuntimeError(bad))
    shown = page(build_logs(settings, "live", bad))
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_what_failed_comes_first_then_findings_then_the_slowest(settings: Settings) -> None:
    with build_log(settings, ASKED) as told:
        for one in (
            node("slow", seconds=9.0),
            node("quick", seconds=0.1),
            node("found", seconds=0.2),
            node("broken", "error", 0.3),
            node("finding_of_found", "warn", 0.1, judges="found"),
            node("fine_of_found", "pass", 0.1, judges="found"),
        ):
            told.node(one, 6)
        told.done(result())
    (log,) = build_logs(settings, "live", "manual__1")
    shown = view(log, BEGAN)
    assert [row.node.name for row in shown.rows] == ["broken", "found", "slow", "quick"]
    assert [row.tests for row in shown.rows] == ["", "1 of 2: warn", "", ""]
    assert [n.name for n in shown.odd] == ["broken", "finding_of_found"]


def test_bars_stand_where_nodes_ran_in_as_many_lanes_as_ran_at_once(settings: Settings) -> None:
    with build_log(settings, ASKED) as told:
        for name, start in (("a", 2), ("b", 3), ("c", 5)):  # seconds; each takes 2
            started = (BEGAN + timedelta(seconds=start)).isoformat()
            told.node(node(name, seconds=2.0, started=started), 3)
        told.done(result())
    (log,) = build_logs(settings, "live", "manual__1")
    log.began, log.ended = BEGAN, BEGAN + timedelta(seconds=10)
    lanes = view(log, BEGAN).lanes
    bars = [[(bar.label, bar.left, bar.width) for bar in lane] for lane in lanes]
    assert bars == [
        [
            ("waiting, starting dbt", 0.0, 20.0),
            ("publishing", 70.0, 30.0),
            ("a", 20.0, 20.0),
            ("c", 50.0, 20.0),
        ],
        [("b", 30.0, 20.0)],
    ]


def test_a_page_follows_only_what_may_still_change(settings: Settings) -> None:
    with build_log(settings, ASKED) as told:
        assert "refresh" in page(build_logs(settings, "live", "manual__1"))
        told.done(result())
    assert "refresh" not in page(build_logs(settings, "live", "manual__1"))
    assert "refresh" in page([])  # its build may come


def test_a_summary_names_what_is_odd_and_then_the_slowest() -> None:
    nodes = [node(f"m{n}", seconds=float(n)) for n in range(20)]
    lines = summary([*nodes, node("odd", "fail", 0.0, judges="m1", message="3 rows")]).splitlines()
    assert lines[0] == "20 models (20 success), 1 test (1 fail)"
    assert [line.split()[0] for line in lines[2:]] == ["odd", *(f"m{n}" for n in range(19, 10, -1))]
    assert lines[2].endswith("3 rows")
