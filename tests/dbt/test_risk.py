"""Positions, P&L, exposure and limits equal an independent computation, and keep equal when late
fills change history."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests import oracle_risk as truth
from tests.desk import Desk

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`

DAYS = (date(2025, 9, 30), date(2025, 10, 1), date(2025, 10, 2))
INSTRUMENTS = {"AAPL": 175, "MSFT": 350, "BOND_1": 98}
TRADERS = ("ANN", "BOB", "CAT")
MULTIPLIER = {"BOND_1": Fraction(1, 100)}
QUOTE_NS = 900 * truth.SECOND
NEW_YORK = ZoneInfo("America/New_York")


def ns_of(moment: datetime) -> int:
    """ns since epoch of a moment with whole microseconds."""
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (passed.days * 86400 + passed.seconds) * truth.SECOND + passed.microseconds * 1000


def moment(rng: random.Random, day: date) -> datetime:
    """Between 13:30 and 19:30 UTC, on a tenth of a second."""
    start = datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC)
    return start + timedelta(milliseconds=100 * rng.randrange(6 * 36_000))


def fills(
    rng: random.Random, count: int, first: int, days: tuple[date, ...]
) -> Iterator[dict[str, Any]]:
    """Trades of three traders, some of nobody; large enough to break limits, some of one moment."""
    at = moment(rng, days[0])
    for number in range(first, first + count):
        if rng.random() > 0.1:
            at = moment(rng, rng.choice(days))
        name = rng.choice(list(INSTRUMENTS))
        lots = rng.randrange(1, 60)
        yield {
            "tradeId": f"{number}",
            "instrumentId": name,
            "price": f"{INSTRUMENTS[name] * (1 + rng.randrange(-20, 21) / 1000):.3f}",
            "quantity": lots * (5000 if name == "BOND_1" else 100) + rng.randrange(3),
            "timestamp": at.isoformat().replace("+00:00", "Z"),
            "buySellIndicator": rng.choice("BBBSS"),
            **({"trader": rng.choice(TRADERS)} if rng.random() < 0.9 else {}),
        }


def quotes(rng: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """One dealer's quotes."""
    for _ in range(count):
        name = rng.choice(list(INSTRUMENTS))
        bid = round(INSTRUMENTS[name] * (1 + rng.randrange(-20, 21) / 1000), 2)
        yield {
            "instrumentId": name,
            "dealerId": "DEALER",
            "bidPrice": f"{bid:.2f}",
            "offerPrice": f"{bid + 0.03:.2f}",
            "bidSize": 100,
            "offerSize": 100,
            "timestamp": moment(rng, rng.choice(DAYS)).isoformat().replace("+00:00", "Z"),
        }


def fill_of(row: dict[str, Any]) -> truth.Fill:
    size = Fraction(row["quantity"])
    return truth.Fill(
        row["trader"],
        row["instrumentId"],
        ns_of(datetime.fromisoformat(row["timestamp"])),
        int(row["tradeId"]),
        size if row["buySellIndicator"] == "B" else -size,
        Fraction(row["price"]),
        MULTIPLIER.get(row["instrumentId"], Fraction(1)),
    )


def marks_of(trades: list[dict[str, Any]], quoted: list[dict[str, Any]]) -> dict[str, truth.Marks]:
    found = {}
    for name in INSTRUMENTS:
        mids: dict[int, Fraction] = {}
        for row in quoted:
            if row["instrumentId"] == name:
                mid = (Fraction(row["bidPrice"]) + Fraction(row["offerPrice"])) / 2
                mids[ns_of(datetime.fromisoformat(row["timestamp"]))] = mid
        starts = sorted(mids)
        until = [min(n, s + QUOTE_NS) for s, n in zip(starts, [*starts[1:], 2**63], strict=True)]
        prints: dict[int, tuple[int, Fraction]] = {}
        for row in trades:
            if row["instrumentId"] == name:
                at = ns_of(datetime.fromisoformat(row["timestamp"]))
                last = (int(row["tradeId"]), Fraction(row["price"]))
                prints[at] = max(prints.get(at, last), last)
        closes: dict[date, Fraction] = {}
        for at in sorted(prints):
            closes[day_of(at)] = prints[at][1]
        found[name] = truth.Marks(
            [(s, u, mids[s]) for s, u in zip(starts, until, strict=True)],
            [(at, prints[at][1]) for at in sorted(prints)],
            [(midnight_after(day), price) for day, price in sorted(closes.items())],
        )
    return found


def day_of(ns: int) -> date:
    return datetime.fromtimestamp(ns // truth.SECOND, NEW_YORK).date()


def midnight_after(day: date) -> int:
    following = day + timedelta(days=1)
    return ns_of(
        datetime(following.year, following.month, following.day, tzinfo=NEW_YORK).astimezone(UTC)
    )


class World:
    """A lake, what was landed in it, and what the oracle makes of that."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        rng = random.Random(14)
        self.quotes = list(quotes(rng, 300))
        self.trades = list(fills(rng, 700, 1_000_000, DAYS))
        self.late = list(fills(rng, 5, 2_000_000, DAYS[:1]))
        desk.land("securities", [{
            "instrumentId": "BOND_1", "securityName": "Bond", "cusip": None, "isin": None,
            "marketSegment": "HG", "issuer": "I", "priceMultiplier": "0.01",
        }])  # fmt: skip
        desk.land("quotes", self.quotes)
        desk.land("trades", self.trades)
        desk.build()
        desk.land("trades", self.late)
        self.record = desk.build()
        trades = self.trades + self.late
        marks = marks_of(trades, self.quotes)
        self.positions = truth.positions(fill_of(row) for row in trades if "trader" in row)
        self.worths = truth.worths(self.positions, marks)
        self.books = truth.books(self.worths)


@pytest.fixture(scope="module")
def world(shared_desk: Desk) -> World:
    return World(shared_desk)


def exact(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def test_positions_are_those_of_an_independent_fold_with_late_fills_in_their_place(
    world: World,
) -> None:
    rows = world.desk.query(
        "select trader_id, instrument_id, quantity_after, average_cost, cost, cash, realized_pnl "
        "from gold.positions order by event_ts_ns, tie_order"
    )
    found = defaultdict(list)
    for trader, instrument, *state in rows:
        found[trader, instrument].append([exact(value) for value in state])
    assert len(rows) > 600
    assert found == {
        key: [[s.quantity, s.average, s.cost, s.cash, s.realized] for s in states]
        for key, states in world.positions.items()
    }


def test_every_fill_and_every_open_minute_has_its_mark_and_its_pnl(world: World) -> None:
    rows = world.desk.query(
        "select trader_id, instrument_id, event_ts_ns, mark, mark_source, position_value, "
        "total_pnl, unrealized_pnl from gold.pnl order by event_ts_ns, tie_order"
    )
    found = defaultdict(list)
    for trader, instrument, ns, mark, source, *money in rows:
        found[trader, instrument].append((ns, exact(mark), source, *(exact(m) for m in money)))
    sources = {source for chain in found.values() for _, _, source, *_ in chain}
    assert sources == {"best_quote", "last_trade", "previous_close", "last_fill"}
    assert found == {
        key: [(w.ns, w.mark, w.source, w.value, w.total, w.value - w.state.cost) for w in rows]
        for key, rows in world.worths.items()
    }


def test_a_traders_exposure_and_day_are_those_of_the_latest_state_of_each_position(
    world: World,
) -> None:
    rows = world.desk.query(
        "select trader_id, event_ts_ns, gross, net, total_pnl, daily_pnl "
        "from gold.trader_pnl order by event_ts_ns"
    )
    found = defaultdict(list)
    for trader, ns, *money in rows:
        found[trader].append(truth.Book(ns, *(Fraction(m) for m in money)))
    assert found == world.books


def test_limits_change_state_where_the_oracle_says_and_nowhere_else(world: World) -> None:
    wanted = set()
    for (trader, instrument), rows in world.worths.items():
        changes = truth.transitions("position_notional", [(w.ns, abs(w.value)) for w in rows])
        wanted |= {(trader, instrument, "position_notional", *c) for c in changes}
    for trader, chain in world.books.items():
        for name, values in {
            "gross_exposure": [(b.ns, b.gross) for b in chain],
            "daily_pnl": [(b.ns, b.daily) for b in chain],
        }.items():
            wanted |= {(trader, None, name, *c) for c in truth.transitions(name, values)}
    found = world.desk.query(
        "select trader_id, instrument_id, limit_name, event_ts_ns, state_from, state_to "
        "from gold.limit_transitions"
    )
    assert {name for _, _, name, *_ in found} == set(truth.LIMITS)
    assert len(found) == len(set(found)) and set(found) == wanted


def test_exposure_of_every_level_is_the_sum_of_its_latest_positions(world: World) -> None:
    segment = {"BOND_1": "HG"}
    wanted: dict[tuple[str, str], tuple[Fraction, ...]] = {}
    for (trader, instrument), rows in world.worths.items():
        last = rows[-1]
        levels = {"trader": trader, "instrument": instrument, "total": "",
                  "segment": segment.get(instrument, "unknown")}  # fmt: skip
        for item in levels.items():
            sums = wanted.get(item, (Fraction(0),) * 3)
            added = (abs(last.value), last.value, last.total)
            wanted[item] = tuple(a + b for a, b in zip(sums, added, strict=True))
    found = world.desk.query(
        "select level, level_key, gross, net, total_pnl from gold.exposure "
        "qualify row_number() over (partition by level, level_key order by window_start desc) = 1"
    )
    assert {(level, key): tuple(map(Fraction, sums)) for level, key, *sums in found} == wanted


def test_what_a_late_fill_left_alone_was_not_replaced(world: World) -> None:
    first = min(ns_of(datetime.fromisoformat(row["timestamp"])) for row in world.late)
    replaced = world.desk.query(
        f"select min(epoch(hour)) from audit.dirty where build_id = '{world.record.build_id}' "
        "and model in ('gold.positions', 'gold.pnl', 'gold.trader_pnl')"
    )
    assert replaced == [(first // truth.HOUR * 3600,)]


def test_a_full_refresh_changes_nothing(world: World) -> None:
    incremental = world.desk.fingerprints()
    world.desk.build("--full-refresh")
    assert world.desk.fingerprints() == incremental
