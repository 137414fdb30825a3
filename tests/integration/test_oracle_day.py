"""Two generated days with every fault, built in two steps: tables are what the oracle computes."""

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from ingestion.generate.plan import Plan
from ingestion.generate.stream import stream
from tests import oracle
from tests.desk import Desk
from tests.oracle import Delivered, Row
from tests.oracle_quality import Quote, best
from tests.oracle_trades import Print, outliers

PLAN = Plan(
    seed=5,
    days=(date(2025, 10, 2), date(2025, 10, 3)),
    quotes=1_500,
    trades=3_000,
    securities=300,
    orders=5_000,
)
DATASETS = ("securities", "quotes", "trades", "orders")
PARTITIONS, BATCH, SOURCE = 3, 200, "test"
WIDTHS = ("1s", "10s", "1m", "1h", "1d")
RELATIVE = 1e-12  # how far a quotient of two exact sums may lie from its double


class Day:
    """What is landed, every record with its place, and what the oracle makes of it."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Delivered]] = {name: [] for name in DATASETS}
        self.batches: list[tuple[str, list[Delivered]]] = []
        following: defaultdict[tuple[str, str], int] = defaultdict(int)
        for dataset in DATASETS:
            for unit, recv_ns, values in self._drawn(dataset):
                start = following[dataset, unit]
                batch = [
                    Delivered(unit, start + n, recv_ns, value, SOURCE)
                    for n, value in enumerate(values)
                ]
                following[dataset, unit] += len(values)
                self.batches.append((dataset, batch))
                self.sent[dataset] += batch
        self.kept: dict[str, list[Row]] = {
            dataset: oracle.kept(oracle.judge(dataset, delivered) for delivered in sent)
            for dataset, sent in self.sent.items()
        }
        among_orders = [row for row in self.kept["orders"] if row["msg_type"] == "T"]
        self.events, self.duplicates = oracle.deduplicate(
            [*self.kept["trades"], *map(as_trade, among_orders)]
        )
        self.securities = oracle.securities_history(self.kept["securities"])

    @staticmethod
    def _drawn(dataset: str) -> list[tuple[str, int, list[bytes]]]:
        """(unit, receive time, messages) of each batch; a batch is received with its last."""
        waiting: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for day in PLAN.days:
            made = stream(PLAN, dataset, day)
            for value, key, at in zip(made.values, made.keys, made.recv_ts_ms, strict=True):
                unit = f"kafka:{dataset}/{crc32(key + value[:20]) % PARTITIONS}"
                waiting[unit].append((int(at) * 1_000_000, value))
        return [
            (unit, part[-1][0], [value for _, value in part])
            for unit, messages in waiting.items()
            for part in (messages[n : n + BATCH] for n in range(0, len(messages), BATCH))
        ]

    def land(self, desk: Desk, *, build_after: float) -> None:
        """Land in a seeded order that keeps each unit's own, with a build on the way."""
        queues: defaultdict[str, list[tuple[str, list[Delivered]]]] = defaultdict(list)
        for dataset, batch in self.batches:
            queues[batch[0].unit].append((dataset, batch))
        turns = [unit for unit, queue in queues.items() for _ in queue]
        random.Random(5).shuffle(turns)
        for number, unit in enumerate(turns):
            dataset, batch = queues[unit].pop(0)
            raw = [delivered.raw for delivered in batch]
            desk.land(dataset, raw, unit=unit, recv_ns=batch[0].recv_ts_ns, source=SOURCE)
            if number == int(len(turns) * build_after):
                desk.build()
        desk.build()


def as_trade(order: Row) -> Row:
    """A trade among the order messages: what its source calls the message is its id [23.1]."""
    named = {**order.values, "trade_id": order["msg_id"]}
    kept = ("trade_id", "instrument_id", "venue", "price", "quantity", "event_ts_ns", "side",
            "sequence")  # fmt: skip
    return replace(order, values={name: named[name] for name in kept})


@pytest.fixture(scope="module")
def day() -> Day:
    return Day()


@pytest.fixture(scope="module")
def desk(day: Day, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder: Path = tmp_path_factory.mktemp("oracle")
    made = Desk(folder / "lake", folder / "target")
    day.land(made, build_after=0.6)
    return made


def version_at(day: Day, trade: Row) -> oracle.Version | None:
    """The security of a trade as it was at that moment."""
    moment = trade["event_ts_ns"]
    for version in day.securities.get(trade["instrument_id"], []):
        if version.valid_from_ns <= moment < (version.valid_to_ns or moment + 1):
            return version
    return None


def notional(day: Day, trade: Row) -> Decimal:
    """price x quantity x multiplier, rounded half up to 12 decimals (analytics.md 17)."""
    version = version_at(day, trade)
    named = dict(zip(oracle.TRACKED, version.attributes, strict=True)) if version else {}
    with localcontext(prec=76):
        value: Decimal = trade["price"] * trade["quantity"]
        value *= named.get("price_multiplier") or Decimal(1)
        return value.quantize(Decimal("1e-12"), ROUND_HALF_UP)


def test_the_days_hold_what_the_tests_below_speak_of(day: Day) -> None:
    events = day.events
    assert len(events) > 2_500
    assert sum(trade.unit.startswith("kafka:orders/") for trade in events) == 100  # 2 %
    assert day.duplicates
    assert len(day.sent["trades"]) - len(day.kept["trades"]) > 50
    assert any(len(versions) > 1 for versions in day.securities.values())
    assert {trade["venue"] for trade in events} > {None, "NYSE"}
    assert any(version_at(day, trade) is None for trade in events)


def test_silver_holds_the_events_and_declares_the_duplicates(day: Day, desk: Desk) -> None:
    for table, rows in (("trades", day.events), ("trade_duplicates", day.duplicates)):
        columns = ("trade_id", "instrument_id", "venue", "event_ts_ns", "price", "quantity",
                   "side", "sequence")  # fmt: skip
        expected = {(row.unit, row.position): tuple(row[c] for c in columns) for row in rows}
        found = desk.query(f"select unit, position, {', '.join(columns)} from silver.{table}")
        assert len(found) == len(rows)
        assert {(unit, position): tuple(rest) for unit, position, *rest in found} == expected


def test_notionals_use_the_multiplier_of_the_moment(day: Day, desk: Desk) -> None:
    events = day.events
    found = desk.query("select unit, position, notional from silver.trades")
    expected = {(trade.unit, trade.position): notional(day, trade) for trade in events}
    assert {(unit, position): value for unit, position, value in found} == expected


def counted(events: list[Row]) -> list[Row]:
    """The events that candles count: all but outliers. Every session of theirs has regular prints
    only, so a session's close is its last print."""
    sessions: defaultdict[str, defaultdict[date, list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for trade in sorted(events, key=oracle.total_order):
        day = oracle.session_date(trade["event_ts_ns"])
        sessions[trade["instrument_id"]][day].append(trade)
    found = []
    for days in sessions.values():
        close = None
        for _, prints in sorted(days.items()):
            ordered = [Print(trade["event_ts_ns"], Fraction(trade["price"])) for trade in prints]
            flags = outliers(ordered, close)
            found += [trade for place, trade in enumerate(prints) if not flags.get(place)]
            close = ordered[-1].price
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_candles_of_every_venue_and_of_all_are_those_of_the_oracle(
    width: str, day: Day, desk: Desk
) -> None:
    events = counted(day.events)
    for venue in {trade["venue"] for trade in events} - {None} | {"ALL"}:
        among = [trade for trade in events if venue in ("ALL", trade["venue"])]
        expected = oracle.candles(among, width)
        candles = desk.query(
            "select instrument_id, epoch_ns(window_start), open, high, low, close, volume, "
            f"trade_count, vwap_notional, vwap from gold.candles_{width} "
            f"where session_scope = 'all' and venue = '{venue}'"
        )
        assert len(candles) == len(expected)
        exact = {row[:2]: oracle.Candle(*row[2:9]) for row in candles}
        assert exact == expected, venue
        for *key, vwap in ((row[0], row[1], row[9]) for row in candles):
            wanted = float(expected[key[0], key[1]].vwap)
            assert vwap == pytest.approx(wanted, rel=RELATIVE, abs=0)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_sums_that_candles_carry_are_those_of_their_trades(
    width: str, day: Day, desk: Desk
) -> None:
    events = counted(day.events)
    sums: defaultdict[tuple[str, int], list[Any]] = defaultdict(lambda: [Decimal()] * 4)
    bounds: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for trade in events:
        key = (trade["instrument_id"], oracle.window_start(trade["event_ts_ns"], width))
        quantity = trade["quantity"]
        amounts = (
            notional(day, trade),
            quantity,
            quantity if trade["side"] == "B" else Decimal(),
            quantity if trade["side"] == "S" else Decimal(),
        )
        sums[key] = [a + b for a, b in zip(sums[key], amounts, strict=True)]
        bounds[key].append(trade["event_ts_ns"])
    expected = {key: (*sums[key], min(moments), max(moments)) for key, moments in bounds.items()}
    found = desk.query(
        "select instrument_id, epoch_ns(window_start), notional, vwap_quantity, buy_volume, "
        f"sell_volume, first_ts_ns, last_ts_ns from gold.candles_{width} "
        "where session_scope = 'all' and venue = 'ALL'"
    )
    assert {row[:2]: row[2:] for row in found} == expected


def test_the_history_of_securities_is_that_of_the_oracle(day: Day, desk: Desk) -> None:
    found: defaultdict[str, list[oracle.Version]] = defaultdict(list)
    for instrument, start, end, assumed, *attributes in desk.query(
        "select instrument_id, epoch_ns(valid_from), epoch_ns(valid_to), is_start_assumed, "
        f"{', '.join(oracle.TRACKED)} from gold.dim_securities order by instrument_id, version"
    ):
        found[instrument].append(oracle.Version(start, end, tuple(attributes), assumed))
    assert found == day.securities


def test_enriched_trades_carry_the_security_as_it_was(day: Day, desk: Desk) -> None:
    events = day.events
    names = ("security_name", "issuer", "market_segment", "cusip", "isin")
    expected = []
    for trade in events:
        version = version_at(day, trade)
        named = dict(zip(oracle.TRACKED, version.attributes, strict=True)) if version else {}
        key = (trade["trade_id"], trade["instrument_id"], trade["event_ts_ns"])
        expected.append((*key, version is None, *(named.get(name) for name in names)))
    found = desk.query(
        f"select trade_id, instrument_id, event_ts_ns, is_parked, {', '.join(names)} "
        "from gold.enriched_trades"
    )
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_trades_meet_the_best_firm_quotes_in_force_before_them(day: Day, desk: Desk) -> None:
    # A side has a life of its own: a one-sided row leaves the other side as it was.
    quotes = defaultdict(list)
    for quote in day.kept["quotes"]:
        if (quote["quote_type"] or "F") != "F":
            continue
        instrument, at = quote["instrument_id"], quote["event_ts_ns"]
        for side in ("bid", "offer"):
            if quote["side"] not in (None, side.upper()):
                continue
            form = "" if quote["side"] else f"{side}_"
            price, size = quote[f"{form}price"], quote[f"{form}size"]
            live = int(price * 10**9) if price and size and quote["action"] != "DELETE" else None
            quoter = f"{quote['dealer_id']} {quote['venue']} {side}"
            sides = (live, None) if side == "bid" else (None, live)
            quotes[instrument].append(Quote(instrument, quoter, at, *sides))
    expected = {
        (trade["trade_id"], trade["event_ts_ns"]): best(
            quotes[trade["instrument_id"]], trade["event_ts_ns"] - 1
        )
        for trade in day.events
    }
    found = desk.query(
        "select trade_id, event_ts_ns, quote_bid_price, quote_offer_price from gold.enriched_trades"
    )
    assert {
        (trade_id, moment): tuple(side and int(side * 10**9) for side in sides)
        for trade_id, moment, *sides in found
    } == expected
    assert sum(None not in sides for sides in expected.values()) > 100


def test_midnight_in_new_york_starts_the_day(desk: Desk) -> None:
    starts = desk.query("select distinct window_start, session_date from gold.candles_1d")
    assert sorted(starts) == [
        (datetime(2025, 10, day, 4, tzinfo=UTC), date(2025, 10, day)) for day in (2, 3)
    ]
