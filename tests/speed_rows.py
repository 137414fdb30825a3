"""What landed, for tests of the speed layer: prints as the engine and as the oracle take them."""

import random
from collections.abc import Sequence
from decimal import Decimal

import polars as pl

from ingestion.speed.candles import candles_of
from ingestion.speed.engine import State
from ingestion.speed.landed import ROWS, Landed
from tests.oracle_alerts import SECOND
from tests.oracle_speed import Candle, Key, Print

UNIT = "kafka:test/t/0"
START = 1_759_406_400 * SECOND  # 2025-10-02T12:00:00Z, a full minute
CONDITIONS = {(True, True): "@", (False, True): "W", (False, False): "M", (True, False): "9"}


def a_print(number: int, seconds: float | str, price: str = "100", **more: object) -> Print:
    """A print so many seconds after START that arrives in its turn."""
    event = START + int(Decimal(str(seconds)) * SECOND)
    fields: dict[str, object] = {
        "unit": UNIT,
        "position": number,
        "arrival": START + number,
        "event": event,
        "instrument": "AAPL",
        "venue": None,
        "price": Decimal(price),
        "quantity": Decimal(1),
        **more,
    }
    return Print(**fields)  # type: ignore[arg-type]


def landed(commits: Sequence[tuple[int, Sequence[Print]]], dataset: str = "trades") -> Landed:
    """Commits (version, prints) as they are read back from bronze."""
    rows = [
        {
            "unit": p.unit,
            "position": p.position,
            "event_ts_ns": p.event,
            "recv_ts_ns": p.arrival,
            "instrument_id": p.instrument,
            "venue": p.venue,
            "source": "test",
            "price": p.price,
            "quantity": p.quantity,
            "sequence": p.sequence,
            "trade_id": p.trade_id,
            "conditions": CONDITIONS[p.sets_price, p.adds_volume],
            "batch": str(version),
            "version": version,
            "is_replay": False,
        }
        for version, prints in commits
        for p in prints
    ]
    frame = pl.DataFrame(rows, schema=ROWS).sort("version", "unit", "position")
    last = commits[-1][0]
    return Landed(dataset, last, {version: START for version, _ in commits}, {}, frame)


def candles(state: State, finished: Sequence[pl.DataFrame]) -> dict[Key, Candle]:
    """Everything that finished, and what is open, as the oracle shows it; fails on a double."""
    every = pl.concat([*finished, state.unfinished()])
    frame = candles_of(every, state.dataset)
    found: dict[Key, Candle] = {}
    for row in frame.to_dicts():
        start = int(row["window_start"].timestamp())
        key = (row["width"], row["instrument_id"], row["venue"], start)
        assert key not in found, key
        found[key] = Candle(**{name: row[name] for name in Candle._fields})
    return found


def random_commits(seed: int, partitions: int) -> list[tuple[int, list[Print]]]:
    """Commits with ties, disorder, pauses that make partitions idle, and every kind of print."""
    rng = random.Random(seed)
    now, commits = START, []
    positions = dict.fromkeys(range(partitions), 0)
    number = 0
    for version in range(1, 13):
        now += rng.choice([1, 1, 3, 20, 45]) * SECOND
        prints = []
        for partition in sorted(rng.sample(range(partitions), rng.randint(1, partitions))):
            for _ in range(rng.randrange(1, 25)):
                number += 1
                arrival = now + rng.randrange(SECOND) // 1_000_000 * 1_000_000
                behind = rng.choice([0, 0, 0, 0, 50, 300, 900, 4_000, 30_000, 90_000])
                event = arrival - behind * 1_000_000 - rng.choice([0, 0, rng.randrange(10**9)])
                has_venue = rng.random() < 0.7
                prints.append(
                    Print(
                        unit=f"kafka:test/t/{partition}",
                        position=positions[partition],
                        arrival=arrival,
                        event=event // 50_000_000 * 50_000_000 if rng.random() < 0.5 else event,
                        instrument=rng.choice(["AAPL", "MSFT", "BOND_1"]),
                        venue=rng.choice(["XNYS", "BATS"]) if has_venue else None,
                        price=Decimal(rng.randrange(1, 10**18)).scaleb(-9),
                        quantity=Decimal(rng.randrange(1, 10**15)).scaleb(-8),
                        sequence=rng.choice([None, rng.randrange(5)]),
                        trade_id=rng.choice([None, str(rng.randrange(20)), f"T{number}"]),
                        sets_price=rng.random() < 0.9,
                        adds_volume=rng.random() < 0.9,
                    )
                )
                positions[partition] += 1
        commits.append((version, prints))
    return commits
