"""The disk is full: what was committed stays, nothing is half there, and it goes on with space."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable

from lake import lakehouse
from lake.layout import Layout, layout
from lake.publish import Model, publish
from lake.records import current
from lake.settings import PROJECT, load_settings
from tests.embedded_broker import Broker
from tests.faults.lander import Lander
from tests.faults.messages import TOPICS, messages
from tests.faults.small_disk import MayNotMount, SmallDisk, small_disk
from tests.faults.world import BATCH_ROWS, World
from tests.oracle import Delivered

TRADES = TOPICS["trades"]
MESSAGES, PARTITIONS = 2 * BATCH_ROWS, 2
PAGE_KIB = 4
ENOUGH_KIB = 400  # more than any of these tests writes
PRICES = Model("gold", "prices", "table", part="strftime(hour, '%Y-%m-%dT%H')")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    try:
        with small_disk(tmp_path_factory.mktemp("mounted") / "disk") as mounted:
            yield mounted
    except MayNotMount as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def lander() -> Iterator[Lander]:
    with Lander() as server:
        yield server


@pytest.fixture(scope="module")
def topic() -> Iterator[tuple[Broker, list[Delivered]]]:
    """A broker with the trades of these tests, and where each of them lies."""
    with Broker() as broker:
        broker.create_topic(TRADES, PARTITIONS)
        sender = World(broker, "trades", Path(), PARTITIONS, [])
        sender.send(messages(21, "trades", MESSAGES, PARTITIONS))
        yield broker, sender.sent


@pytest.fixture
def world(disk: SmallDisk, topic: tuple[Broker, list[Delivered]], tmp_path: Path) -> World:
    """A lake of its own on the small disk, beside the topic."""
    disk.clear()
    broker, sent = topic
    return World(broker, "trades", disk.folder / tmp_path.name, PARTITIONS, sent)


def files(world: World, version: int | None = None) -> set[Path]:
    """Data files that the table names, at its newest version or another."""
    return {Path(uri) for uri in DeltaTable(str(world.table), version=version).file_uris()}


def lands_what_fits(disk: SmallDisk, world: World, lander: Lander, free_kib: int) -> str:
    """Land with so little space, then with enough.

    Says what was being written when the disk was full, the table, data files or a log entry:
    the latter if every file of the batch was there already. Empty if the space was enough.
    """
    disk.leave(free_kib)
    ended = lander.land(world.environment, "trades")
    assert ended.killed_by == 0
    is_there = DeltaTable.is_deltatable(str(world.table))
    landed = len(world.rows())
    version = DeltaTable(str(world.table)).version() if is_there else -1
    orphans = set(world.table.rglob("*.parquet")) - (files(world) if is_there else set())
    assert landed == BATCH_ROWS * max(version, 0)
    disk.clear()
    rest = lander.land(world.environment, "trades")
    assert rest.error == ""
    assert rest.landed == MESSAGES - landed
    assert world.wrong() == []
    if not ended.error:
        return ""
    if not is_there:
        return "table"
    batch = files(world, version + 1) - files(world, version)
    is_whole = {path.parent for path in batch} == {path.parent for path in orphans}
    return "log" if is_whole else "data"


@pytest.fixture(scope="module")
def fails_at(disk: SmallDisk, topic: tuple[Broker, list[Delivered]]) -> dict[str, int]:
    """KiB of space with which a landing fails at a stage: a page less than it takes."""
    disk.clear()
    broker, sent = topic
    world = World(broker, "trades", disk.folder / "measured", PARTITIONS, sent)
    with Lander() as lander:
        assert lander.land(world.environment, "trades", fault="land.acknowledged").killed_by
    table = sum(map(pages_kib, world.table.glob("_delta_log/*0.json")))
    data = sum(map(pages_kib, world.table.rglob("*.parquet")))
    log = sum(map(pages_kib, world.table.glob("_delta_log/*1.json")))
    shutil.rmtree(world.root)
    return {
        "table": table - PAGE_KIB,
        "data": table + data - PAGE_KIB,
        "log": table + data + log - PAGE_KIB,
    }


def pages_kib(path: Path) -> int:
    return -(-path.stat().st_size // (PAGE_KIB * 1024)) * PAGE_KIB


@pytest.mark.parametrize("what", ["table", "data", "log"])
def test_a_landing_that_fills_the_disk_goes_on_exactly_when_there_is_space(
    what: str, disk: SmallDisk, world: World, lander: Lander, fails_at: dict[str, int]
) -> None:
    """The lock takes a page, too, and a batch may be a page larger or smaller than another."""
    met = []
    for off in (PAGE_KIB, 0, 2 * PAGE_KIB):
        met.append(lands_what_fits(disk, world, lander, fails_at[what] + off))
        shutil.rmtree(world.root)
        if what in met:
            break
    assert what in met


@pytest.mark.slow
def test_a_landing_goes_on_exactly_wherever_the_disk_was_full(
    disk: SmallDisk, world: World, lander: Lander
) -> None:
    met = [""]
    for free_kib in range(PAGE_KIB, ENOUGH_KIB, PAGE_KIB):
        met.append(lands_what_fits(disk, world, lander, free_kib))
        shutil.rmtree(world.root)
        if not met[-1]:
            break
    assert set(met) == {"table", "data", "log", ""}


@pytest.mark.parametrize("what", ["data", "log"])
def test_a_full_disk_is_named_with_what_to_do(
    what: str, disk: SmallDisk, world: World, tmp_path: Path, fails_at: dict[str, int]
) -> None:
    """As a person sees it; locks and logs lie elsewhere and have space."""
    disk.leave(fails_at[what])
    done = subprocess.run(
        [sys.executable, "-m", "ticklake.cli", "ingest", "--dataset", "trades"],
        cwd=PROJECT,
        env={**os.environ, **world.environment, "LAKE_LOCAL": str(tmp_path / "local")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: the disk is full" in done.stderr
    for said in (str(world.root), "was not committed", "free space"):
        assert said in done.stderr


# --- publication --------------------------------------------------------------------------------


class Publisher:
    """Publishes gold.prices, three hours of 800 rows, without dbt."""

    def __init__(self, where: Layout) -> None:
        self.layout = where
        self.conn = duckdb.connect()
        self.conn.execute("set TimeZone = 'UTC'; create schema gold")

    def publish(self, price: int) -> None:
        """Make and publish the hours at a price, and show them to readers."""
        self.conn.execute(
            "create or replace table gold.prices as select timestamptz '2025-10-02 10:00:00+00' + "
            f"to_hours(n % 3) as hour, md5(n || '/{price}') as trade_id, {price} as price "
            "from range(2400) as r (n)"
        )
        publish(self.conn, self.layout, [PRICES], build_id=f"build-{price}", read={}, pin={})
        lakehouse.refresh(self.layout)

    def shown(self) -> list[tuple[int, int]]:
        """(price, rows) as readers see it."""
        with lakehouse.connect(self.layout) as conn:
            return conn.execute("select price, count(*) from gold.prices group by 1").fetchall()

    def stands(self) -> tuple[int, int]:
        """The current publication, and the newest version of its table."""
        record = current(self.layout)
        table = DeltaTable(str(self.layout.table("gold", "prices")))
        return (record.number if record else 0), table.version()


SIZES_KIB = (4, 32, 64, 128, 512)


@pytest.mark.parametrize(
    "sizes_kib", [SIZES_KIB, pytest.param(range(4, 512, 12), marks=pytest.mark.slow)]
)
def test_a_publication_that_fills_the_disk_shows_readers_what_they_had_or_all_that_is_new(
    sizes_kib: Sequence[int], disk: SmallDisk, tmp_path: Path
) -> None:
    disk.clear()
    where = layout(load_settings({"LAKE_URI": str(disk.folder / tmp_path.name)}))
    publisher = Publisher(where)
    publisher.publish(1)
    met = set()
    for new, free_kib in enumerate(sizes_kib, start=2):
        number, version = publisher.stands()
        disk.leave(free_kib)
        failed = failure(publisher, new)
        if failed:
            assert "No space left" in failed
            recorded, committed = publisher.stands()
            at = "shown" if recorded > number else "record" if committed > version else "table"
            met.add(at)
            assert publisher.shown() == [(new - 1, 2400)]
        disk.clear()
        publisher.publish(new)
        assert publisher.shown() == [(new, 2400)]
        assert publisher.stands()[0] == new
        if not failed:
            break
    publisher.conn.close()
    assert not failed
    assert met >= {"table", "shown"}


def failure(publisher: Publisher, price: int) -> str:
    """What publishing said when it failed; empty if it did not."""
    try:
        publisher.publish(price)
    except Exception as error:
        return str(error)
    return ""
