"""After a build of everything, `ticklake build` runs what news can reach, and no more."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lake import standing
from lake.build import BuildFailed, build, dbt_process
from tests.desk import Desk, trade
from tests.empty_lake import begin_as_empty

QUOTE = {
    "instrumentId": "BOND_1", "dealerId": "D1", "bidPrice": 99, "offerPrice": 101, "bidSize": 1,
    "offerSize": 1, "timestamp": "2025-10-02T15:00:00Z",
}  # fmt: skip


class Spy:
    """dbt, and what it was told."""

    def __init__(self, ends_with: int | None = None) -> None:
        self.told: list[Sequence[str]] = []
        self.ends_with = ends_with

    def __call__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> int:
        self.told.append(arguments)
        if self.ends_with is not None:
            return self.ends_with
        return dbt_process(arguments, environment, on_line)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A lake with a trade and a quote, built whole."""
    folder = tmp_path_factory.mktemp("standing")
    desk = Desk(folder / "lake", folder / "target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKLAKE_MODELS", desk.models)
        desk.land("trades", [trade(1, "15:01:00")], unit="kafka:trades/0")
        desk.land("quotes", [QUOTE], unit="kafka:quotes/0")
        begin_as_empty(desk.root, desk.target, desk.models)
        own = desk.settings.local / "dbt"
        own.mkdir(parents=True)
        (own / "target").symlink_to(desk.target)
        assert build(desk.settings).advanced
        yield desk


def looks_at_everything(desk: Desk) -> bool:
    spy = Spy(ends_with=1)
    with pytest.raises(BuildFailed):
        build(desk.settings, dbt=spy)
    return "--select" not in spy.told[0]


def test_a_build_runs_what_news_can_reach_and_a_full_refresh_finds_nothing_else(
    desk: Desk,
) -> None:
    spy = Spy()
    idle = build(desk.settings, dbt=spy)
    assert (spy.told, idle.published, idle.advanced, idle.models) == ([], False, True, [])

    desk.land("trades", [trade(2, "15:02:00"), trade(3, "16:00:01")], unit="kafka:trades/0")
    built = build(desk.settings, dbt=spy)
    ran = {node.name for node in built.models}
    assert {"trades_history", "candle_windows_1m", "enriched_trades", "account_landing"} <= ran
    assert not ran & {"quotes", "quotes_history", "best_quotes", "security_versions"}
    assert not ran & {"trades", "candles_1m", "calendars"}  # views and seeds
    assert built.advanced
    assert desk.query("select count(*), sum(volume) from gold.candles_1m "
                      "where session_scope = 'all' and venue = 'ALL'") == [(3, 3)]  # fmt: skip
    assert build(desk.settings, dbt=Spy(ends_with=1)).publication == built.publication

    assert desk.build("--full-refresh").number == built.publication
    assert looks_at_everything(desk), "a build in a shell leaves no mark"


def test_what_a_build_in_a_shell_left_half_done_is_not_taken_to_stand(desk: Desk) -> None:
    open_marks = "select count(*) from audit.dirty where is_open and model = 'gold.best_quotes'"

    def dbt(arguments: Sequence[str], *more: Any) -> int:
        """A build in a shell dies just before this one begins."""
        with duckdb.connect(str(desk.layout.warehouse)) as conn:
            conn.execute("insert into audit.dirty values ('x', 'gold.best_quotes', 'BOND_1', "
                         "'2025-10-02 15:00:00+00', null, false, true)")  # fmt: skip
        return dbt_process(arguments, *more)

    assert build(desk.settings).advanced
    desk.land("trades", [trade(9, "15:09:00")], unit="kafka:trades/0")
    assert not build(desk.settings, dbt=dbt).advanced
    assert desk.query(open_marks, "warehouse") == [(1,)]
    assert build(desk.settings).advanced
    assert desk.query(open_marks, "warehouse") == [(0,)]


def test_what_computes_otherwise_looks_at_everything(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing.mark(desk.settings)
    assert standing.look(desk.settings) is not None
    with monkeypatch.context() as patch:
        patch.setenv("TICKLAKE_UNIT_TESTS", "1")
        assert looks_at_everything(desk)
    with monkeypatch.context() as patch:
        patch.setattr(standing, "code_files", lambda: [Path(__file__)])  # as if one had changed
        assert looks_at_everything(desk)
    wal = desk.layout.warehouse.with_name("warehouse.duckdb.wal")
    wal.write_bytes(b"left by a killed build")
    assert looks_at_everything(desk)
    wal.unlink()
    assert standing.look(desk.settings) is not None
    desk.layout.warehouse.touch()
    assert looks_at_everything(desk)
