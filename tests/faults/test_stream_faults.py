"""What a stream may do to its reader: repeat itself, come late, be full of poison, change."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from checks.reconcile import reconcile
from lake.records import current
from tests import oracle
from tests.desk import Desk, trade
from tests.embedded_broker import Broker, Sent
from tests.faults.lander import Lander
from tests.faults.messages import START, TOPICS, messages, poison
from tests.faults.records import sound
from tests.faults.world import World
from tests.following import following, wait_for

pytestmark = pytest.mark.slow

PARTITIONS = 2
PAST_EACH, PAST = 40, 320  # trades in each of eight hours
WIDTHS = ("1s", "10s", "1m", "1h", "1d")
NOON = datetime(2025, 10, 2, 12, tzinfo=UTC)
LATE = {"an hour": timedelta(hours=1), "a day": timedelta(days=1), "40 days": timedelta(days=40)}
START_MS = int(START.timestamp() * 1000)


@pytest.fixture(scope="module")
def lander() -> Iterator[Lander]:
    with Lander() as server:
        yield server


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> World:
    """An empty topic of trades and an empty lake."""
    broker.create_topic(TOPICS["trades"], PARTITIONS)
    return World(broker, "trades", tmp_path / "lake", PARTITIONS, [])


def land(lander: Lander, world: World) -> int:
    """Land what is in the topic, and see that it is right; the number of records that were new."""
    ended = lander.land(world.environment, "trades")
    assert (ended.error, ended.killed_by) == ("", 0)
    assert world.wrong() == []
    return ended.landed


# --- a topic replayed, and records that come late -----------------------------------------------


def trades(seed: int, first: int, count: int, since: datetime, received: datetime) -> list[Sent]:
    """Trades in the hour after `since`, received at a moment."""
    rng = random.Random(seed)
    made = []
    for number in range(first, first + count):
        at = since + timedelta(milliseconds=rng.randrange(3_600_000))
        record = trade(
            number,
            f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
            price=f"{100 + rng.randrange(100) / 100:.2f}",
            quantity=rng.randrange(1, 99),
            instrument=f"BOND_{rng.randrange(3)}",
            venue=rng.choice([None, "A"]),
        )
        sent_ms = int(received.timestamp() * 1000) + number
        made.append(Sent(json.dumps(record).encode(), rng.randrange(PARTITIONS), sent_ms))
    return made


@dataclass
class Story:
    """A lake with a past, built; then everything came twice; then some of it late."""

    world: World
    desk: Desk
    built: list[dict[str, set[str]]]  # files of gold.candles_1m by hour, after each build
    facts: list[Any]  # fingerprints of what readers see, after each build
    late_hours: dict[str, set[str]]

    def build(self) -> None:
        """Build, and remember what there is."""
        self.desk.build()
        record = current(self.desk.layout)
        assert record is not None
        version = record.tables["gold.candle_windows_1m"].version
        table = DeltaTable(
            str(self.desk.layout.table("gold", "candle_windows_1m")), version=version
        )
        by_hour: dict[str, set[str]] = {}
        for uri in table.file_uris():
            by_hour.setdefault(Path(uri).parent.name.removeprefix("part="), set()).add(uri)
        self.built.append(by_hour)
        self.facts.append(self.desk.fingerprints())

    def rows(self) -> list[oracle.Row]:
        """What the oracle keeps of what was sent."""
        return oracle.kept(oracle.judge("trades", sent) for sent in self.world.sent)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, lander: Lander) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    with Broker() as broker:
        broker.create_topic(TOPICS["trades"], PARTITIONS)
        world = World(broker, "trades", folder / "lake", PARTITIONS, [])
        told = Story(world, Desk(folder / "lake", folder / "target"), [], [], {})
        days = [NOON - timedelta(days=back) for back in (40, 39, 1, 0)]
        past = []
        for number, (day, hour) in enumerate(product(days, (0, 1))):
            since, received = day + timedelta(hours=hour), day + timedelta(hours=2)
            past += trades(number, PAST_EACH * number, PAST_EACH, since, received)
        world.send(past)
        assert land(lander, world) == PAST
        told.build()
        world.send(past)
        assert land(lander, world) == PAST
        told.build()
        for number, (name, late) in enumerate(LATE.items(), start=9):
            received = NOON + timedelta(hours=3)
            since = received - late - timedelta(hours=1, minutes=30)
            commits = len(world.commits())
            world.send(trades(number, 1_000 * number, 12, since, received))
            assert land(lander, world) == 12
            told.late_hours[name] = {
                hour for commit in world.commits()[commits:] for hour in json.loads(commit["hours"])
            }
        told.build()
        yield told


def test_a_topic_sent_twice_lands_twice_and_every_copy_is_declared(story: Story) -> None:
    sent = story.world.sent[: 2 * PAST]
    rows = {(row["unit"], row["position"]) for row in story.world.rows()}
    assert {(d.unit, d.position) for d in sent} <= rows
    events, copies = oracle.deduplicate(story.rows())
    assert len(copies) == PAST
    for table, expected in (("trades", events), ("trade_duplicates", copies)):
        found = story.desk.query(f"select unit, position from silver.{table}")
        assert sorted(found) == sorted((row.unit, row.position) for row in expected)


def test_a_topic_sent_twice_changes_nothing_in_gold(story: Story) -> None:
    first, second, _ = story.facts
    gold = {name for name in first if name.startswith("gold.")}
    assert {name for name in gold if first[name] != second[name]} == set()
    assert story.built[0] == story.built[1]


@pytest.mark.parametrize("late", LATE)
def test_a_late_record_touches_the_hours_of_its_events_and_no_other(
    late: str, story: Story
) -> None:
    number = 9 + list(LATE).index(late)
    late_rows = [row for row in story.rows() if int(row["trade_id"][1:]) // 1_000 == number]
    assert len(late_rows) == 12
    hours = {f"{datetime.fromtimestamp(row['event_ts_ns'] // 10**9, UTC):%Y-%m-%dT%H}"
             for row in late_rows}  # fmt: skip
    assert story.late_hours[late] == hours


def test_only_the_hours_of_late_records_are_rebuilt(story: Story) -> None:
    _, before, after = story.built
    changed = {hour for hour in before.keys() | after.keys() if before.get(hour) != after.get(hour)}
    assert changed == set().union(*story.late_hours.values())


@pytest.mark.parametrize("width", WIDTHS)
def test_candles_after_copies_and_late_records_are_those_of_the_oracle(
    width: str, story: Story
) -> None:
    events, _ = oracle.deduplicate(story.rows())
    found = story.desk.query(
        "select instrument_id, epoch_ns(window_start), open, high, low, close, volume, "
        f"trade_count, vwap_notional from gold.candles_{width} "
        "where session_scope = 'all' and venue = 'ALL'"
    )
    assert {row[:2]: oracle.Candle(*row[2:]) for row in found} == oracle.candles(events, width)


def test_the_accounts_close_after_copies_and_late_records(story: Story) -> None:
    assert [account for account in reconcile(story.desk.settings) if account.is_open] == []


# --- poison -------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [5, 50, 100])
def test_poison_in_any_share_is_kept_apart_and_what_is_sound_lands(
    percent: int, world: World, lander: Lander
) -> None:
    rng = random.Random(percent)
    bad = set(rng.sample(range(200), 2 * percent))
    world.send(
        [
            Sent(
                poison(rng, "trades", number, START)
                if number in bad
                else sound(rng, "trades", number, START).encode(),
                number % PARTITIONS,
                START_MS,
            )
            for number in range(200)
        ]
    )
    assert land(lander, world) == 200
    verdicts = [row["verdict"] for row in world.rows()]
    assert verdicts.count("rejected") == 2 * percent
    world.send(messages(percent, "trades", 20, PARTITIONS))
    assert land(lander, world) == 20


# --- a newer producer ---------------------------------------------------------------------------


def test_a_resident_process_lives_through_messages_of_a_newer_version(world: World) -> None:
    rng = random.Random(3)
    texts = [sound(rng, "trades", number, START) for number in range(90)]
    newer = [f'{text[:-1]},"desk":"D1"}}' for text in texts[30:60]]
    parts = [texts[:30], [*newer[:15], *texts[:15], *newer[15:]], texts[60:]]
    landed = 0
    with following(world.settings, "trades") as process:
        for part in parts:
            world.send([Sent(text.encode(), landed % PARTITIONS, START_MS) for text in part])
            landed += len(part)
            wait_for(landed, world.settings, 40)
        assert process.poll() is None
    assert world.wrong() == []
    rejected = [row["reject_code"] for row in world.rows() if row["verdict"] == "rejected"]
    assert rejected == ["SCHEMA_TYPE"] * 30
