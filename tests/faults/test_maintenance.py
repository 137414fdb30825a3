"""Compaction, vacuum and log clean-up: no row lost, no reader and no writer disturbed."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable

from contracts import registry
from lake import delta_log, delta_table, holds, lakehouse, ledger, pins, published_table, rebuild
from lake.bronze import BronzeWriter, PositionTaken
from lake.build_end import DIRTY
from lake.lakehouse import connect
from lake.layout import layout
from lake.locks import held
from lake.maintenance import Done, MaintenanceBusy, maintain
from lake.publish import Model, publish
from lake.records import current
from lake.retention import removable
from lake.session import STATE_SQL
from tests.faults.landed import UNIT, Landed, another_lake, entry, rows_of, with_settings


@pytest.fixture
def landed(tmp_path: Path) -> Landed:
    """Twelve batches: 120 good rows, 12 rejected, in 24 files."""
    made = Landed(tmp_path / "lake", tmp_path / "dbt")
    made.land_batches(12)
    return made


def tomorrow() -> datetime:
    """When the retention of everything that is here now is over."""
    return datetime.now(UTC) + timedelta(hours=25)


def of_trades(done: list[Done]) -> Done:
    return next(one for one in done if one.table == "bronze.trades")


def test_small_files_become_one_for_each_partition_with_the_same_rows(landed: Landed) -> None:
    before = landed.rows()
    done = of_trades(maintain(landed.settings))
    assert (done.compacted, done.into, done.rows) == (24, 2, 132)
    assert len(landed.files()) == 2
    assert landed.rows() == before
    actions = DeltaTable(str(landed.table)).get_add_actions(flatten=True)
    assert sorted(actions.column("num_records").to_pylist()) == [12, 120]
    for version in (13, 14):
        swapped = delta_log.read(landed.table, version)
        files = [*delta_log.files_of(swapped, "add"), *delta_log.files_of(swapped, "remove")]
        assert {file["dataChange"] for file in files} == {False}


def test_a_second_run_does_nothing(landed: Landed) -> None:
    maintain(landed.settings)
    before = landed.on_disk()
    assert [done for done in maintain(landed.settings) if not done.is_nothing] == []
    assert landed.on_disk() == before


def test_a_file_that_is_large_enough_is_left(landed: Landed) -> None:
    done = of_trades(maintain(with_settings(landed, TICKLAKE_COMPACT_ROWS=30)))
    # 12 files of 10 good rows: four times three; 12 rejected rows in 12 files: one
    assert (done.compacted, done.into) == (24, 5)
    again = of_trades(maintain(with_settings(landed, TICKLAKE_COMPACT_ROWS=30)))
    assert again.is_nothing


def test_a_dry_run_says_the_same_and_changes_nothing(landed: Landed) -> None:
    ledger.append_new(landed.layout)
    before = landed.on_disk()
    said = of_trades(maintain(landed.settings, dry_run=True))
    assert landed.on_disk() == before
    assert said == of_trades(maintain(landed.settings))


def test_a_writer_that_slept_through_the_clean_up_of_its_log_goes_on(landed: Landed) -> None:
    """The entry that would follow its version is gone: its number must not look free."""
    sleeping = BronzeWriter(registry.get("trades"), landed.layout)
    for _ in range(2):
        maintain(landed.settings)
        maintain(landed.settings, now=tomorrow())
    assert not entry(landed.table, 13).exists()
    landed.land_batches(1, writer=sleeping)
    assert sleeping.next_position(UNIT) == 143
    assert landed.rows().total() == 143
    assert not entry(landed.table, 13).exists()


def test_a_zombie_that_slept_through_the_clean_up_of_its_log_is_refused(landed: Landed) -> None:
    zombie = BronzeWriter(registry.get("trades"), landed.layout)
    assert zombie.next_position(UNIT) == 132
    landed.land_batches(2)
    for _ in range(2):
        maintain(landed.settings)
        maintain(landed.settings, now=tomorrow())
    with pytest.raises(PositionTaken):
        landed.land_batches(1, writer=zombie)
    assert landed.rows().total() == 14 * 11


def test_batches_land_while_files_are_put_together(landed: Landed) -> None:
    """Without a pause, until maintenance has run ten times; each finds something to do."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def land() -> None:
        try:
            while not stop.is_set():
                landed.land_batches(1)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=land)
    thread.start()
    compacted = 0
    try:
        for _ in range(10):
            compacted += of_trades(maintain(landed.settings)).compacted
    finally:
        stop.set()
        thread.join()
    assert failed == []
    assert compacted > 24
    rows = landed.rows()
    assert rows.total() == landed.batches * 11
    assert set(rows.values()) == {1}


@pytest.mark.parametrize(
    "fault",
    [
        "maintain.files_written",
        "maintain.files_synced:2",
        "maintain.committed",
        "maintain.log_synced",
    ],
)
def test_killed_at_any_step_it_harms_nothing_and_is_taken_up_again(
    landed: Landed, fault: str
) -> None:
    before = landed.rows()
    assert landed.maintain_killed_at(fault)
    assert landed.rows() == before
    landed.land_batches(1)
    maintain(landed.settings)
    assert landed.rows().total() == 143
    assert of_trades(maintain(landed.settings, now=tomorrow())).removed > 0
    assert {*landed.table.rglob("verdict=*/**/*.parquet")} == {*landed.files()}


def test_what_is_young_stays_and_what_is_old_and_unnamed_goes(landed: Landed) -> None:
    old = set(landed.files())
    maintain(landed.settings)
    assert all(path.exists() for path in old)
    done = of_trades(maintain(landed.settings, now=tomorrow()))
    assert done.removed == 24
    assert done.removed_bytes > 0
    assert not any(path.exists() for path in old)
    assert landed.rows().total() == 132


def test_a_file_whose_commit_may_still_come_stays(landed: Landed) -> None:
    uncommitted = landed.table / "verdict=ok" / "written.zstd.parquet"
    uncommitted.write_bytes(b"not yet named")
    maintain(landed.settings)
    assert uncommitted.exists()
    maintain(landed.settings, now=tomorrow())
    assert not uncommitted.exists()


def test_the_log_is_shortened_only_to_what_the_ledger_has(landed: Landed) -> None:
    landed.land_batches(60)  # over a checkpoint
    before = ledger.append_new(landed.layout)
    maintain(landed.settings, now=tomorrow())
    maintain(landed.settings, now=tomorrow())
    assert before == 72
    assert not entry(landed.table, 1).exists()
    assert BronzeWriter(registry.get("trades"), landed.layout).next_position(UNIT) == 72 * 11
    landed.land_batches(1)
    assert ledger.append_new(landed.layout) == 1
    with duckdb.connect() as conn:
        conn.execute("create schema ledger")
        pins.create_ledger_view(conn, landed.layout)
        told = conn.execute("select count(*), sum(consumed), max(version) from ledger.commits")
        # 72 batches, then a version for each partition that was put together, then one batch
        assert told.fetchall() == [(73, 73 * 11, 75)]


def test_of_the_log_nothing_is_removed_that_the_ledger_has_not(landed: Landed) -> None:
    maintain(landed.settings)
    versions = delta_log.versions(landed.table)
    old = removable(landed.table, tomorrow(), (), log_until=5)
    assert [delta_log.version_of(path) for path in old.log] == versions[:5] == [0, 1, 2, 3, 4]


def test_a_pin_that_is_held_keeps_its_files_whatever_their_age(landed: Landed) -> None:
    with duckdb.connect() as conn:
        now = pins.newest(landed.layout)
        pins.create_views(conn, landed.layout, now, {})
        maintain(landed.settings)
        for _ in range(2):
            assert of_trades(maintain(landed.settings, now=tomorrow())).removed == 0
            assert conn.execute("select count(*) from bronze.trades_all").fetchall() == [(132,)]
            assert conn.execute("select count(*) from ledger.commits").fetchall() == [(12,)]
        assert holds.held(landed.layout) == [{**now, holds.LEDGER: 1}]
    del conn
    assert holds.held(landed.layout) == []
    assert of_trades(maintain(landed.settings, now=tomorrow())).removed == 24


def test_after_compaction_a_build_finds_the_same_news_and_no_more(landed: Landed) -> None:
    before = pins.newest(landed.layout)
    time.sleep(2)  # times of landing tell to the second
    landed.land_batches(1)
    maintain(landed.settings)
    now = pins.newest(landed.layout)
    maintain(landed.settings, now=tomorrow())
    assert news(landed, now, before) == 11
    assert news(landed, now, now) == 0
    assert news(landed, now, {}) == 143


def news(landed: Landed, now: pins.Pin, before: pins.Pin) -> int:
    with duckdb.connect() as conn:
        pins.create_views(conn, landed.layout, now, before)
        return int(conn.execute("select count(*) from bronze.trades_fresh").fetchall()[0][0])


def test_bronze_can_be_laid_out_as_it_was_after_compaction_vacuum_and_more(
    landed: Landed, tmp_path: Path
) -> None:
    versions, rows = pins.newest(landed.layout), landed.rows()
    landed.land_batches(3)
    for _ in range(2):
        maintain(landed.settings)
        maintain(landed.settings, now=tomorrow())
    target = another_lake(tmp_path / "again")
    assert rebuild.as_of(landed.layout, versions, target) == 132
    assert rows_of(target.bronze("trades")) == rows
    assert pins.newest(target) == versions
    assert BronzeWriter(registry.get("trades"), target).next_position(UNIT) == 132


def test_two_at_once_are_one_and_a_refusal(landed: Landed) -> None:
    with (
        held(landed.layout.lock("maintain")),
        pytest.raises(MaintenanceBusy, match="maintained already"),
    ):
        maintain(landed.settings)


def test_a_commit_reads_no_state_of_the_table(
    landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes it cost the same after ten commits and after ten thousand."""
    opened: list[int] = []

    def watched(*arguments: object, **more: object) -> DeltaTable:
        opened.append(1)
        return DeltaTable(*arguments, **more)

    writer = BronzeWriter(registry.get("trades"), landed.layout)
    monkeypatch.setattr(delta_table, "DeltaTable", watched)
    from lake import delta

    for number in range(100):
        delta.commit(writer.table, landed.table, [], transactions={"other": number})
    assert len(opened) == 2  # checkpoints, at fifty and at a hundred
    assert writer.table.version() == 112


# --- published tables ---------------------------------------------------------------------------

PRICES = Model("gold", "prices", "table", part="strftime(hour, '%Y-%m-%dT%H')")


@pytest.fixture
def published(landed: Landed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Landed]:
    """gold.prices, 200 rows of two hours, in many files for each hour."""
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; set threads = 1")
        conn.execute("set global partitioned_write_max_open_files = 1")
        monkeypatch.setattr(published_table, "SORTED_AT_ONCE", 1)
        conn.execute(STATE_SQL + "create schema gold;")
        conn.execute(
            "create table gold.prices as select timestamptz '2025-10-02 10:00:00+00' + "
            "interval (n % 2) hour as hour, n as price from range(20000) as r (n)"
        )
        read = {
            name: {"version": v, "positions": {}} for name, v in pins.newest(landed.layout).items()
        }
        publish(conn, landed.layout, [PRICES], build_id="b", read=read, pin=read, alongside=[DIRTY])
        lakehouse.refresh(landed.layout)
        yield landed


def shown(landed: Landed) -> tuple[int, int, int]:
    with connect(landed.layout) as conn:
        (row,) = conn.execute(
            "select count(*), count(distinct price), sum(price) from gold.prices"
        ).fetchall()
    return int(row[0]), int(row[1]), int(row[2])


def test_published_tables_are_put_together_and_published_again(published: Landed) -> None:
    before, first = shown(published), current(published.layout)
    old = DeltaTable(str(published.layout.table("gold", "prices"))).file_uris()
    assert len(old) > 2
    done = {one.table: one for one in maintain(published.settings)}["gold.prices"]
    assert (done.compacted, done.into, done.rows) == (len(old), 2, 20_000)
    second = current(published.layout)
    assert first is not None
    assert second is not None
    assert (second.number, second.build_id, second.pin) == (2, first.build_id, first.pin)
    assert shown(published) == before
    maintain(published.settings, now=tomorrow())
    assert shown(published) == before
    assert [
        done for done in maintain(published.settings, now=tomorrow()) if not done.is_nothing
    ] == []


def test_while_a_build_runs_published_tables_are_left_alone(published: Landed) -> None:
    with held(published.layout.lock("build")):
        done = {one.table: one for one in maintain(published.settings)}
    assert done["gold.prices"].note.startswith("not compacted: a build runs")
    assert done["gold.prices"].compacted == 0
    assert done["bronze.trades"].compacted == 24
    assert current(published.layout) is not None


def test_killed_before_it_publishes_again_readers_have_what_they_had(published: Landed) -> None:
    before = shown(published)
    assert published.maintain_killed_at("maintain.publishing")
    record = current(published.layout)
    assert record is not None
    assert record.number == 1
    assert shown(published) == before
    done = {one.table: one for one in maintain(published.settings, now=tomorrow())}["gold.prices"]
    assert done.note.startswith("not compacted: a build left it half published")
    assert shown(published) == before


def test_quarantine_and_ledger_can_be_read_after_everything_old_is_gone(published: Landed) -> None:
    maintain(published.settings)
    maintain(published.settings, now=tomorrow())
    with connect(published.layout) as conn:
        assert conn.execute("select count(*) from quarantine.trades").fetchall() == [(12,)]
        assert conn.execute("select count(*) from ledger.commits").fetchall() == [(12,)]
    assert layout(published.settings).lakehouse.exists()
