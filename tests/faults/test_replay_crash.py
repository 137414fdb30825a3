"""A replay is killed at every step, and so is the sending of dead letters: each record once."""

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.trades import CONTRACT
from tests import bronze_rows
from tests.desk import Desk, trade
from tests.embedded_broker import Broker
from tests.faults.replayer import Ended, Job, Replayer
from tests.kafka_log import messages_of

SEEDS = int(os.environ.get("TICKLAKE_SEEDS", "1"))
REPLAY_POINTS = ("bronze.committed", "replay.judged", "bronze.files_synced")
MORE_POINTS = ("replay.read", "bronze.files_written", "bronze.log_synced", "replay.landed")
LETTER_POINTS = ("dead_letters.sent", "dead_letters.produced", "dead_letters.marked")


def first_of(*points: Any) -> list[Any]:
    """The first of them is for every day, the others are slow."""
    return [points[0], *(pytest.param(*one, marks=pytest.mark.slow) if isinstance(one, tuple)
                         else pytest.param(one, marks=pytest.mark.slow)
                         for one in points[1:])]  # fmt: skip


TOPIC = "market.trades.v1"
LETTERS = f"{TOPIC}.dlq"
RECV_NS = int(datetime(2025, 10, 2, 12, 30, tzinfo=UTC).timestamp()) * 10**9
PARTITIONS, ROUNDS, RECORDS, BATCH_ROWS = 3, 4, 25, 20

Place = tuple[str, int]


@pytest.fixture(scope="module")
def replayer() -> Iterator[Replayer]:
    """Processes to kill."""
    with Replayer() as server:
        yield server


class Waiting:
    """A lake with seeded trades of which some wait for a later contract, some for ever."""

    def __init__(self, root: Path, seed: str) -> None:
        self.rng = random.Random(seed)
        self.desk = Desk(root / "lake", root / "target")
        self.root = root
        self.kinds: dict[Place, str] = {}
        self.raw: dict[Place, bytes] = {}
        self.next: Counter[str] = Counter()
        for _ in range(ROUNDS):
            self.land()

    def land(self) -> None:
        """Land a few records of a random partition."""
        unit = f"kafka:test/{TOPIC}/{self.rng.randrange(PARTITIONS)}"
        records = []
        for _ in range(RECORDS):
            place = (unit, self.next[unit])
            self.next[unit] += 1
            kind = self.kinds[place] = self.rng.choice(["sound", "desk", "book", "poison"])
            more = {"desk": {"desk": "D"}, "book": {"book": "B"}}.get(kind, {})
            number = len(self.kinds)
            sent = {**trade(number, f"12:{number // 60:02d}:{number % 60:02d}"), **more}
            self.raw[place] = b"poison" if kind == "poison" else json.dumps(sent).encode()
            records.append(self.raw[place])
        self.desk.land("trades", records, unit=unit, source=TOPIC, recv_ns=RECV_NS)

    def job(self, contract: str, fault: str = "", machine: str = "here") -> Job:
        """A replay by a machine of its own: machines share the lake and no lock."""
        environment = {
            "LAKE_URI": str(self.desk.root),
            "LAKE_LOCAL": str(self.root / machine),
            "TICKLAKE_BATCH_ROWS": str(BATCH_ROWS),
        }
        return Job("replay", environment, contract, fault)

    def rows(self) -> list[dict[str, Any]]:
        return bronze_rows.rows(self.desk.layout.bronze("trades"))

    def wrong(self, *understood: str) -> list[str]:
        """What is not as it must be when what is understood was replayed: places and values."""
        landed = Counter((row["verdict"], row["unit"], row["position"]) for row in self.rows())
        must: Counter[tuple[str, str, int]] = Counter()
        for (unit, position), kind in self.kinds.items():
            must["ok" if kind == "sound" else "rejected", unit, position] += 1
            if kind in understood:
                must["ok", f"replay:{unit}", position] += 1
        found = [
            f"{place}: {landed[place]}, must be {must[place]}"
            for place in landed.keys() | must.keys()
            if landed[place] != must[place]
        ]
        for row in self.rows():
            if row["unit"].startswith("replay:"):
                sent = json.loads(self.raw[row["unit"].removeprefix("replay:"), row["position"]])
                is_ = (row["trade_id"], row["desk"], row["recv_ts_ns"], row["source"])
                if is_ != (sent["tradeId"], sent.get("desk"), RECV_NS, TOPIC):
                    found.append(f"{is_} is not of {sent}")
        return found

    def waiting(self, kind: str) -> int:
        """Records that one kind has."""
        return sum(1 for one in self.kinds.values() if one == kind)


def killed(ended: Ended) -> bool:
    assert ended.error == ""
    return ended.killed_by == signal.SIGKILL


def well(ended: Ended) -> int:
    assert (ended.error, ended.killed_by) == ("", 0)
    return ended.done


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("point", first_of(*REPLAY_POINTS, *MORE_POINTS))
def test_nothing_is_lost_or_doubled_when_a_replay_is_killed(
    point: str, seed: int, replayer: Replayer, tmp_path: Path
) -> None:
    world = Waiting(tmp_path, f"{point}/{seed}")
    (first,) = replayer.run(world.job("desk", f"{point}:{world.rng.randint(1, 2)}"))
    assert killed(first)
    world.land()  # new rejects arrive before anybody tries again
    (second,) = replayer.run(world.job("book", world.rng.choice(REPLAY_POINTS)))
    assert killed(second)
    (third,) = replayer.run(world.job("book"))
    well(third)
    assert world.wrong("desk", "book") == []
    (again,) = replayer.run(world.job("book"))
    assert well(again) == 0


@pytest.mark.slow  # threads race in tests/integration/test_quarantine_replay.py
def test_of_replays_on_several_machines_at_once_each_record_lands_once(
    replayer: Replayer, tmp_path: Path
) -> None:
    world = Waiting(tmp_path, "machines")
    jobs = [world.job("book", machine=f"machine{number}") for number in range(4)]
    ended = replayer.run(*jobs)
    assert sum(map(well, ended)) == world.waiting("desk") + world.waiting("book")
    assert world.wrong("desk", "book") == []


@pytest.mark.slow
def test_a_machine_killed_in_a_race_takes_nothing_from_the_others(
    replayer: Replayer, tmp_path: Path
) -> None:
    world = Waiting(tmp_path, "killed in a race")
    faults = ["bronze.committed:1", "bronze.files_synced:2", ""]
    jobs = [world.job("desk", fault, f"machine{n}") for n, fault in enumerate(faults)]
    *_, last = replayer.run(*jobs)
    well(last)
    assert world.wrong("desk") == []
    (rest,) = replayer.run(world.job("book"))
    assert well(rest) == world.waiting("book")
    assert world.wrong("desk", "book") == []
    versions = {row["trade_id"]: row["contract_version"] for row in world.rows()
                if row["unit"].startswith("replay:")}  # fmt: skip
    assert Counter(versions.values()) == {
        CONTRACT.version + 1: world.waiting("desk"),
        CONTRACT.version + 2: world.waiting("book"),
    }


# --- dead letters -------------------------------------------------------------------------------


def letters(broker: Broker) -> list[Place]:
    """Where the records in the topic came from, in its order."""
    found = []
    for message in messages_of(broker.bootstrap, LETTERS):
        headers = dict(message.headers() or ())
        found.append((headers["unit"].decode(), int(headers["position"])))
    return found


def postman(world: Waiting, broker: Broker, fault: str = "") -> Job:
    environment = {
        "LAKE_URI": str(world.desk.root),
        "TICKLAKE_KAFKA_BOOTSTRAP": broker.bootstrap,
        "TICKLAKE_DEAD_LETTERS": "on",
        "TICKLAKE_KAFKA_TIMEOUT": "5",
    }
    return Job("send", environment, fault=fault)


def rejected(world: Waiting) -> Counter[Place]:
    return Counter(place for place, kind in world.kinds.items() if kind != "sound")


@pytest.mark.parametrize(
    ("point", "is_mark_lost"),
    first_of(*((point, False) for point in LETTER_POINTS), (LETTER_POINTS[0], True)),
)
def test_a_letter_is_sent_once_when_its_sender_is_killed(
    point: str, is_mark_lost: bool, replayer: Replayer, tmp_path: Path, broker: Broker
) -> None:
    world = Waiting(tmp_path, f"letters/{point}")
    nth = world.rng.randint(1, 40) if point == "dead_letters.produced" else 1
    (first,) = replayer.run(postman(world, broker, f"{point}:{nth}"))
    assert killed(first)
    world.land()
    if is_mark_lost:
        for mark in (world.desk.root / "ledger" / "dead_letters").glob("*"):
            mark.unlink()
    (second,) = replayer.run(postman(world, broker))
    well(second)
    assert Counter(letters(broker)) == rejected(world)
    (again,) = replayer.run(postman(world, broker))
    assert well(again) == 0


def test_of_two_senders_one_sends_and_the_other_leaves_it_to_that_one(
    replayer: Replayer, tmp_path: Path, broker: Broker
) -> None:
    world = Waiting(tmp_path, "two senders")
    ended = replayer.run(*[postman(world, broker)] * 3)
    assert sum(map(well, ended)) == rejected(world).total()
    assert Counter(letters(broker)) == rejected(world)
