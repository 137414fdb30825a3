"""The endless stream: every cycle new in ids, times and level, and each made again alone."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from contracts import registry
from ingestion.decode import decode_json
from ingestion.generate.arrivals import chunks, cycles, slice_ms
from ingestion.generate.organic import CYCLIC, Cycle, level
from ingestion.generate.plan import Plan, session_us
from ingestion.generate.stream import Stream, stream
from ingestion.generate.universe import universe
from ingestion.sources.generator import GeneratorSource, Unit
from lake.settings import load_settings

PLAN = Plan(
    seed=29,
    days=Plan().days[:1],
    quotes=6_000,
    trades=6_000,
    securities=300,
    orders=4_000,
    market_data=2_000,
    book_updates=2_000,
    posts=20,
)
IDS = {
    "trades": ("tradeId",),
    "orders": ("msgId", "orderId"),
    "book_updates": ("order_id",),
    "posts": ("post_id",),
}
TIMES = {"market_data": "timestamp", "book_updates": "timestamp", "posts": "created"}
PRICES = {
    "quotes": ("bidPrice", "offerPrice", "price"),
    "trades": ("price",),
    "market_data": ("price", "bid_price", "ask_price"),
    "book_updates": ("price",),
}
REPOSITORY = Path(__file__).resolve().parents[2]
DIGEST = """
import hashlib
from dataclasses import replace
from ingestion.generate.organic import CYCLIC, Cycle
from ingestion.generate.plan import Plan
plan = Plan(seed=29, days=Plan().days[:1], quotes=6_000, trades=6_000, securities=300,
    orders=4_000, market_data=2_000, book_updates=2_000, posts=20)
digest = hashlib.sha256()
for dataset in reversed(CYCLIC):
    for block in Cycle(plan, 2).blocks(dataset):
        for value in block.values:
            digest.update(value)
print(digest.hexdigest())
"""


@cache
def values(dataset: str, number: int, ramp: bool = False) -> list[bytes]:
    return [value for block in Cycle(PLAN, number, ramp).blocks(dataset) for value in block.values]


@cache
def faulty(number: int) -> dict[int, str]:
    """Place of a faulty trade message in its cycle -> kind."""
    told = Cycle(PLAN, number).truth()
    assert set(told["cycle"]) == {number}
    return dict(told.select("message", "kind").iter_rows())


def sound(dataset: str, number: int, ramp: bool = False) -> list[dict[str, Any]]:
    """Messages of a cycle that carry no fault."""
    skip = faulty(number) if dataset == "trades" else {}
    made = values(dataset, number, ramp)
    return [
        json.loads(value, parse_float=Decimal) for at, value in enumerate(made) if at not in skip
    ]


@cache
def events_ns(dataset: str, number: int, ramp: bool = False) -> list[int | None]:
    """When each message of a cycle says it happened; None where it cannot be read."""
    made = values(dataset, number, ramp)
    frame = decode_json(registry.get(dataset), made, 10_000).frame
    moments: list[int | None] = [None] * len(made)
    for place, moment in frame.select("i", "event_ts_ns").iter_rows():
        moments[place] = moment
    return moments


def ticks() -> dict[str, Decimal]:
    known = universe(PLAN).frame
    return {
        name: Decimal(int(tick)) / 10_000
        for name, tick in known.select("instrument_id", "tick").iter_rows()
    }


def instrument(row: dict[str, Any]) -> str:
    name: str = row.get("instrumentId") or row["symbol"]
    return name


def prices(dataset: str, row: dict[str, Any]) -> Iterator[Decimal]:
    for key in PRICES[dataset]:
        if row.get(key):
            yield Decimal(row[key])


def test_the_first_cycle_is_the_base_day_but_for_its_session() -> None:
    for dataset in CYCLIC:
        base = [json.loads(v) for v in stream(PLAN, dataset, PLAN.days[0]).values if is_json(v)]
        first = [json.loads(v) for v in values(dataset, 0) if is_json(v)]
        if dataset == "posts":
            continue
        for row in first:
            assert row.pop("sessionId", "C0") == "C0"
        assert first == base


def is_json(value: bytes) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("dataset", CYCLIC)
def test_every_cycle_has_the_same_number_of_messages_and_some(dataset: str) -> None:
    assert len({len(values(dataset, number)) for number in range(3)}) == 1
    if dataset != "posts":
        assert len(values(dataset, 2)) == getattr(PLAN, dataset)
    else:
        assert 10 < len(values(dataset, 2)) < len(stream(PLAN, dataset, PLAN.days[0]).values)


@pytest.mark.parametrize("dataset", list(IDS))
def test_no_id_of_a_cycle_is_used_in_another(dataset: str) -> None:
    for key in IDS[dataset]:
        seen = [{row[key] for row in sound(dataset, n) if row.get(key)} for n in range(3)]
        assert len(seen[0]) == len(seen[1]) == len(seen[2]) > 0
        assert len(seen[0] | seen[1] | seen[2]) == 3 * len(seen[0])
        assert all(name.endswith("-C2") for name in seen[2])
        assert not any("-C" in name for name in seen[0])


def test_quotes_and_trades_say_which_session_they_belong_to() -> None:
    for dataset in ("quotes", "trades"):
        for number in range(3):
            assert {row["sessionId"] for row in sound(dataset, number)} == {f"C{number}"}


@pytest.mark.parametrize("dataset", CYCLIC)
def test_every_cycle_lies_after_the_one_before_it(dataset: str) -> None:
    spans = []
    for number in range(3):
        skip = faulty(number) if dataset == "trades" else {}
        found = events_ns(dataset, number)
        moments = [moment for at, moment in enumerate(found) if at not in skip and moment]
        spans.append((min(moments), max(moments)))
    for (_, last), (first, _) in pairwise(spans):
        assert first > last
    opened, closed = session_us(PLAN.days[0])
    assert spans[1][0] - spans[0][0] == (closed - opened + 1_000_000) * 1_000


@pytest.mark.parametrize("dataset", ["quotes", "trades", "orders", "market_data", "book_updates"])
def test_sequence_numbers_never_repeat(dataset: str) -> None:
    seen: Counter[tuple[Any, ...]] = Counter()
    for number in range(3):
        for row in sound(dataset, number):
            if "sequence" not in row:
                continue
            if dataset == "quotes":
                counted_by = row["dealerId"]
            elif dataset == "orders":
                counted_by = row["instrumentId"]
            else:
                counted_by = row.get("venue") or row.get("exchange")
            seen[counted_by, row["sequence"]] += 1
    assert seen and max(seen.values()) == 1


def test_the_level_moves_by_at_most_a_tenth_a_cycle_and_stays_between_0_8_and_1_2() -> None:
    levels = [level(PLAN, number) for number in range(300)]
    assert levels[0] == 1.0
    assert all(0.8 <= reached <= 1.2 for reached in levels)
    assert min(levels) < 0.85 and max(levels) > 1.15  # and goes everywhere in between
    # A step of U(0.9, 1.1), and a pull of 0.95 or 1.05 for as long as it is outside.
    steps = [after / before for before, after in pairwise(levels)]
    assert min(steps) >= 0.9 * 0.95 and max(steps) <= 1.1 * 1.05
    assert len(set(levels)) == 300


def test_the_level_of_a_cycle_is_the_product_of_its_steps() -> None:
    first, second = (
        PLAN.rng("organic", "level", str(number)).uniform(0.9, 1.1) for number in (1, 2)
    )
    assert level(PLAN, 1) == first
    assert level(PLAN, 2) == first * second


@pytest.mark.parametrize("dataset", list(PRICES))
def test_prices_are_those_of_the_base_day_at_the_cycles_level_and_on_the_tick(dataset: str) -> None:
    tick, factor = ticks(), Decimal(level(PLAN, 2))
    # Sound trades move by up to 5 bps more.
    jitter = Decimal("0.0005") if dataset == "trades" else Decimal(0)
    pairs = zip(sound(dataset, 0), sound(dataset, 2), strict=True)
    compared = 0
    for before, after in pairs:
        step = tick[instrument(after)]
        both = zip(prices(dataset, before), prices(dataset, after), strict=True)
        for base, price in both:
            assert price > 0
            assert price % step == 0
            wanted = base * factor
            assert abs(price - wanted) <= wanted * jitter + step
            compared += 1
    assert compared > 1_500


def test_every_trade_of_a_cycle_has_a_jitter_of_its_own() -> None:
    factor = level(PLAN, 2)
    moved = [
        float(after["price"]) / float(before["price"]) / factor - 1
        for before, after in zip(sound("trades", 0), sound("trades", 2), strict=True)
    ]
    assert -0.0006 < min(moved) < -0.0004 and 0.0004 < max(moved) < 0.0006
    assert abs(np.mean(moved)) < 0.00005


def test_a_bid_stays_below_its_offer() -> None:
    compared = 0
    for number in range(1, 6):
        for dataset, bid, offer in (
            ("quotes", "bidPrice", "offerPrice"),
            ("market_data", "bid_price", "ask_price"),
        ):
            for row in sound(dataset, number, True):
                if row.get(bid) and row.get(offer):
                    assert row[bid] < row[offer]
                    compared += 1
    assert compared > 30_000


def test_where_rounding_would_close_a_spread_the_offer_stays_a_tick_above_the_bid() -> None:
    low = next(number for number in range(1, 100) if level(PLAN, number) < 0.9)
    bids = pl.Series("bid_price", range(1_750_000, 1_760_000, 100))
    quotes = pl.DataFrame([bids, (bids + 100).alias("offer_price")]).with_columns(
        instrument_id=pl.lit("AAPL"), event_us=session_us(PLAN.days[0])[0], recv_ms=0
    )
    bent = Cycle(PLAN, low).bend("quotes", quotes)
    apart = bent["offer_price"] - bent["bid_price"]
    # Below level 1 some neighbouring ticks fall on one: those are put apart again.
    assert set(apart) == {100}
    assert (bent["bid_price"] % 100 == 0).all()


def test_an_order_book_keeps_its_shape() -> None:
    moved: dict[str, set[Decimal]] = {}
    for before, after in zip(sound("orders", 0), sound("orders", 2), strict=True):
        if before.get("price"):
            name = before["instrumentId"]
            moved.setdefault(name, set()).add(Decimal(after["price"]) - Decimal(before["price"]))
            assert after["price"] > 0
    assert len(moved) == 6
    opening = {future.symbol: Decimal(str(future.price)) for future in PLAN.market.futures}
    for name, shifts in moved.items():
        (shift,) = shifts
        assert shift % ticks()[name] == 0
        wanted = opening[name] * (Decimal(level(PLAN, 2)) - 1)
        assert abs(shift - wanted) <= ticks()[name] / 2


def test_with_a_ramp_prices_glide_from_the_old_level_to_the_new_within_a_minute() -> None:
    before, after = level(PLAN, 1), level(PLAN, 2)
    opened = Cycle(PLAN, 2).opens_us * 1_000
    early = late = 0
    together = zip(
        values("quotes", 2, True), events_ns("quotes", 2, True), values("quotes", 0), strict=True
    )
    for value, moment, base in together:
        row, old = json.loads(value), json.loads(base)
        assert moment is not None
        if not row.get("bidPrice"):
            continue
        passed = min(1.0, (moment - opened) / 60e9)
        wanted = float(old["bidPrice"]) * (before + (after - before) * passed)
        assert abs(row["bidPrice"] - wanted) <= 0.0051
        early += passed < 0.1
        late += passed == 1.0
    assert early > 30 and late > 3_000


def test_a_duplicate_stays_byte_for_byte_its_original() -> None:
    made, repeated = values("trades", 2), 0
    for place, kind in faulty(2).items():
        if kind == "duplicate":
            assert made.index(made[place]) < place
            repeated += 1
    assert repeated == 42  # 0.7 % of 6,000


def test_truth_of_a_cycle_speaks_of_the_bytes_of_that_cycle() -> None:
    told = Cycle(PLAN, 2).truth()
    made = values("trades", 2)
    assert len(told) == 300  # 5 % of 6,000
    for row in told.iter_rows(named=True):
        assert hashlib.md5(made[row["message"]]).hexdigest() == row["digest"]
        before = json.loads(row["original"], parse_float=Decimal)
        assert before["sessionId"] == "C2"
        assert before["tradeId"].endswith("-C2")
        if row["kind"] in ("future_date", "unknown_instrument", "zero_quantity"):
            assert json.loads(made[row["message"]], parse_float=Decimal)["price"] == before["price"]


def test_a_cycle_made_alone_in_another_process_has_the_same_bytes() -> None:
    here = hashlib.sha256()
    for dataset in reversed(CYCLIC):
        for value in values(dataset, 2):
            here.update(value)
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "POLARS_MAX_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == here.hexdigest()


@pytest.mark.parametrize("dataset", CYCLIC)
def test_a_cycle_lands_without_json_as_its_json_says(dataset: str) -> None:
    contract, cycle = registry.get(dataset), Cycle(PLAN, 1, ramp=True)
    settings = load_settings({"LAKE_URI": "unused"})
    unit = Unit("generator:test", lambda: cycle.blocks(dataset))
    (batch,) = GeneratorSource(contract, settings, PLAN, PLAN.days[0], unit).batches(lambda _: 0)
    assert batch is not None and batch.spans[0].unit == "generator:test"
    got = batch.decode()
    wanted = decode_json(contract, values(dataset, 1, True), settings.max_record_bytes)
    assert got.frame.equals(wanted.frame)
    assert got.rejects.sort("i").equals(wanted.rejects.sort("i"))


def by_arrival(number: int, width_ms: int) -> tuple[dict[str, Stream], list[dict[str, int]]]:
    """All chunks of some cycles put together again, and the size of each chunk's parts."""
    whole: dict[str, tuple[list[bytes], list[bytes], list[int]]] = {}
    sizes = []
    before = 0
    for chunk in chunks(cycles(PLAN, number), CYCLIC, width_ms, lambda _: None):
        assert before < chunk.until_ms
        sizes.append({part.dataset: len(part) for part in chunk.parts})
        for part in chunk.parts:
            assert before <= part.recv_ms[0] and part.recv_ms[-1] < chunk.until_ms
            found = whole.setdefault(part.dataset, ([], [], []))
            found[0].extend(part.values.to_list())
            found[1].extend(part.keys.to_list())
            found[2].extend(part.recv_ms.tolist())
        before = chunk.until_ms
    made = {n: Stream(v, k, np.array(r, dtype=np.int64)) for n, (v, k, r) in whole.items()}
    return made, sizes


@pytest.mark.parametrize("width_ms", [100, 60_000])
def test_side_by_side_every_message_of_every_cycle_arrives_once_in_slices(width_ms: int) -> None:
    made, sizes = by_arrival(2, width_ms)
    for dataset in CYCLIC:
        wanted = values(dataset, 0) + values(dataset, 1)
        assert Counter(made[dataset].values) == Counter(wanted)
        # Stragglers of a cycle may mix with the next one, within it the order is kept.
        placed = {value: at for at, value in enumerate(made[dataset].values)}
        ends = [placed[value] for value in values(dataset, 1) if wanted.count(value) == 1]
        assert ends == sorted(ends)
    together = sum(len(size) > 1 for size in sizes)
    assert together > (50 if width_ms == 100 else 300)


def test_slices_hold_enough_messages_to_be_worth_their_while_unless_paced() -> None:
    # 23,400 s with 6,000 + 6,000 + 4,000 + 2,000 + 2,000 + 20 messages: 500 of them take 584 s.
    assert slice_ms(PLAN, CYCLIC, None) == 584_415
    assert slice_ms(PLAN, CYCLIC, 1) == 100
    assert slice_ms(PLAN, CYCLIC, 60) == 6_000


def test_a_cycle_is_announced_before_its_first_message_and_the_stream_has_no_end() -> None:
    begun: list[int] = []
    endless = chunks(
        cycles(PLAN, None), ("trades",), 600_000, lambda cycle: begun.append(cycle.number)
    )
    seen = 0
    for chunk in islice(endless, 200):
        for part in chunk.parts:
            for value in part.values:
                if b'"sessionId":"C' in value:
                    number = int(value.split(b'"sessionId":"C')[1].split(b'"')[0])
                    assert number in begun
                    seen = max(seen, number)
    assert seen >= 4
    assert begun == list(range(len(begun)))
