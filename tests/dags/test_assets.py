"""What the events of the assets say, and which flows they tie together."""

from typing import TYPE_CHECKING, Any

from ticklake.flow_assets import (
    CLOSED_DAYS,
    GOLD,
    MOST_HOURS,
    of_build,
    of_days,
    of_landing,
    of_replay,
)

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


def landing(dataset: str, rows: int, rejected: int = 0, *hours: str) -> dict[str, Any]:
    return {"dataset": dataset, "ok": rows, "rejected": rejected, "hours": list(hours)}


def test_the_flows_are_tied_together_by_assets_with_names(bag: "DagBag") -> None:
    made = {
        (name, task.task_id): [outlet.name for outlet in task.outlets]
        for name, dag in bag.dags.items()
        for task in dag.tasks
        if task.outlets
    }
    assert made == {
        ("live", "land"): ["bronze"],
        ("live", "build"): ["gold"],
        ("day", "land"): ["bronze"],
        ("day", "build"): ["gold"],
        ("day", "reconcile"): ["closed_days"],
        ("replay_quarantine", "replay"): ["bronze"],
    }
    read = {
        (name, task.task_id): [inlet.name for inlet in task.inlets]
        for name, dag in bag.dags.items()
        for task in dag.tasks
        if task.inlets
    }
    assert read == {
        ("live", "build"): ["bronze", "gold"],
        ("day", "build"): ["bronze", "gold"],
        ("day", "reconcile"): ["gold"],
        ("publish_postgres", "publish"): ["gold"],
    }
    assert bag.dags["reconcile"].schedule == [CLOSED_DAYS]
    assert bag.dags["publish_postgres"].schedule == [GOLD]


def test_a_landing_is_told_in_all_and_by_dataset_over_every_way_in() -> None:
    told = of_landing(
        [
            landing("trades", 3, 1, "2025-10-02T12"),
            landing("quotes", 5, 0, "2025-10-02T12", "2025-10-02T13"),
            landing("trades", 2, 4, "2025-10-02T14"),
            landing("orders", 0),
        ]
    )
    assert told == {
        "rows": 10,
        "rejected": 5,
        "hours": 3,
        "datasets": {
            "trades": {"rows": 5, "rejected": 5, "hours": ["2025-10-02T12", "2025-10-02T14"]},
            "quotes": {"rows": 5, "rejected": 0, "hours": ["2025-10-02T12", "2025-10-02T13"]},
        },
    }


def test_rejected_records_are_news_too() -> None:
    told = of_landing([landing("trades", 0, 2)])
    assert told is not None
    assert (told["rows"], told["rejected"], told["hours"]) == (0, 2, 0)


def test_nothing_landed_nothing_published_and_nothing_passed_are_no_events() -> None:
    assert of_landing([]) is None
    assert of_landing([landing("trades", 0)]) is None
    assert of_landing([{"dataset": "trades", "where": "a file", "waiting": 3, "note": ""}]) is None
    assert of_build({"dry_run": True, "published": False}, {}) is None
    assert of_build({"current": None, "news": []}, {}) is None
    assert of_replay([{"dataset": "trades", "passed": 0, "hours": []}]) is None
    assert of_days({"landed": []}, {"accounts": 0, "dry_run": True}) is None


def test_of_many_hours_an_event_names_the_ends() -> None:
    hours = [f"2025-10-{n // 24 + 1:02}T{n % 24:02}" for n in range(MOST_HOURS + 1)]
    told = of_landing([landing("trades", 1, 0, *hours)])
    assert told is not None
    assert told["hours"] == MOST_HOURS + 1
    ends = {"count": MOST_HOURS + 1, "first": "2025-10-01T00", "last": "2025-10-03T00"}
    assert told["datasets"]["trades"]["hours"] == ends


def test_a_publication_is_announced_once_whoever_built_it() -> None:
    # Nothing was left for the flow's own build: a resident one had built the news.
    news = [{"dataset": "trades", "rows": 2, "rejected": 1, "hours": ["2025-10-02T12"]}]
    built = {
        "published": False,
        "build_id": "ours",
        "current": {"publication": 7, "build_id": "theirs"},
        "days": None,
        "news": news,
    }
    told = of_build(built, {"publication": 6, "build_id": "before"})
    assert told is not None
    assert (told["publication"], told["build_id"], told["rows"]) == (7, "theirs", 2)
    assert of_build(built, told) is None
    # Maintenance publishes the same rows of the same build under another number.
    compacted = {**built, "current": {"publication": 8, "build_id": "theirs"}}
    assert of_build(compacted, told) is None
