"""When the resident builder builds, without building."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lake import resident
from lake.build import BuildBusy, BuildFailed, BuildResult
from lake.resident import Round, follow
from lake.settings import Settings, load_settings
from lake.warm_dbt import state_of_code

DONE = BuildResult("b", False, None, True, "nothing changed")


class Stop(Exception):
    """Ends a test's follower."""


class Looks:
    """What the follower finds at each look, and what comes of each build."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        looks: Sequence[int | dict[str, int]],
        builds: Sequence[Any],
    ) -> None:
        self.now, self.told, self.began = 0.0, [], []
        found, ends = iter(looks), iter(builds)

        def versions(_: object) -> dict[str, int]:
            try:
                seen = next(found)
            except StopIteration:
                raise Stop from None
            return seen if isinstance(seen, dict) else {"trades": seen}

        def build(*_: object, **__: object) -> BuildResult:
            self.began.append(self.now)
            self.now += 1.0
            end = next(ends, DONE)
            if isinstance(end, Exception):
                raise end
            assert isinstance(end, BuildResult)
            return end

        monkeypatch.setattr(resident.pins, "versions", versions)
        monkeypatch.setattr(resident, "build", build)
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        monkeypatch.setattr(resident, "time", clock)

    told: list[Round]
    began: list[float]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def follow(self, tmp_path: Path) -> None:
        settings: Settings = load_settings({"LAKE_URI": str(tmp_path)})
        with pytest.raises(Stop):
            follow(settings, self.told.append, every_s=5.0)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Looks]:
    class NoDbt:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> "NoDbt":
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(resident, "WarmDbt", NoDbt)
    return lambda seen, ends=(): Looks(monkeypatch, seen, ends)


def test_the_first_round_needs_no_news_and_the_next_does(
    looks: Callable[..., Looks], tmp_path: Path
) -> None:
    seen = looks([1, 1, 1, 2, 2])
    seen.follow(tmp_path)
    assert len(seen.told) == 2


def test_rounds_begin_no_closer_than_asked(looks: Callable[..., Looks], tmp_path: Path) -> None:
    seen = looks([1, 2, 2, 3, 3])
    seen.follow(tmp_path)
    assert seen.began == pytest.approx([0.0, 6.2, 11.2])


def test_what_lands_in_a_burst_is_built_in_one_round(
    looks: Callable[..., Looks], tmp_path: Path
) -> None:
    seen = looks([1, 2, 3, 3, 3])
    seen.follow(tmp_path)
    assert len(seen.told) == 2


def test_what_lands_on_and_on_is_not_waited_for(
    looks: Callable[..., Looks], tmp_path: Path
) -> None:
    seen = looks(range(1, 7))
    seen.follow(tmp_path)
    assert seen.began == pytest.approx([0.0, 8.6])


def test_what_the_speed_layer_stores_is_not_waited_for(
    looks: Callable[..., Looks], tmp_path: Path
) -> None:
    found = [
        {"trades": landed, "speed.candles": stored} for landed, stored in ((1, 1), (2, 1), (2, 2))
    ]
    seen = looks(found)
    seen.follow(tmp_path)
    assert seen.began == pytest.approx([0.0, 6.2])


def test_a_failure_is_told_once_and_tried_again_at_the_next_news(
    looks: Callable[..., Looks], tmp_path: Path
) -> None:
    seen = looks([1, 2, 2, 2, 3, 3, 3], [DONE, BuildFailed("a test failed"), DONE])
    seen.follow(tmp_path)
    assert [done.why for done in seen.told] == ["", "a test failed", ""]


def test_a_failure_is_tried_again_after_five_minutes_without_news(
    looks: Callable[..., Looks], tmp_path: Path
) -> None:
    seen = looks([1] * 1600, [BuildFailed("the disk was full"), DONE])
    seen.follow(tmp_path)
    assert [done.why for done in seen.told] == ["the disk was full", ""]
    assert 300 <= seen.began[1] - seen.began[0] < 303


def test_while_another_builds_nothing_is_told_and_it_is_looked_at_again(
    looks: Callable[..., Looks], tmp_path: Path
) -> None:
    seen = looks([1, 2, 2, 2, 2], [DONE, BuildBusy("another"), DONE])
    seen.follow(tmp_path)
    assert len(seen.began) == 3
    assert len(seen.told) == 2


def test_a_changed_file_of_the_project_changes_its_state(tmp_path: Path) -> None:
    model = tmp_path / "dbt" / "models" / "a.sql"
    model.parent.mkdir(parents=True)
    model.write_text("select 1")
    first = state_of_code(tmp_path)
    (tmp_path / "dbt" / "target").mkdir()
    (tmp_path / "dbt" / "target" / "manifest.json").write_text("{}")
    assert state_of_code(tmp_path) == first
    model.write_text("select 12")
    assert state_of_code(tmp_path) != first
