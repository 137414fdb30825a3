"""Alerts against a plain replay of what silver holds, also after rows that land late."""

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from tests.desk import Desk, trade
from tests.oracle_alerts import (
    SECOND,
    Episode,
    Print,
    Quoted,
    Trigger,
    arbitrages,
    episodes,
    gaps,
    minute_volumes,
    price_triggers,
    spikes,
)

DAY = datetime(2025, 10, 2, 13, tzinfo=UTC)
MINUTE = 60 * SECOND
THRESHOLDS = (500, 5_000, 30_000)
# Bonds trade from 07:00 to 18:00 in New York: 11:00 to 22:00 UTC on this day.
OPEN = int(datetime(2025, 10, 2, 11, tzinfo=UTC).timestamp()) * SECOND
CLOSE = OPEN + 11 * 60 * MINUTE
MODELS = ("+price_alerts", "+volume_alerts", "+gap_alerts", "+arbitrage_alerts", "+sequence_gaps")
TABLES = (
    "silver.last_prices",
    "silver.trade_gaps",
    "silver.sequence_gaps",
    "gold.price_alerts",
    "gold.volume_alerts",
    "gold.gap_alerts",
    "gold.arbitrage_alerts",
)
PRINTS = """
select 'trades', instrument_id, venue, session_date, event_ts_ns, tie_order, price, is_outlier,
    trade_key
from silver.trades where session_type = 'regular' and is_price_eligible
union all
select 'market_data', instrument_id, venue, session_date, event_ts_ns, tie_order, price, false,
    price_key
from silver.last_prices where session_type = 'regular'
"""
ALERTS = """
select rule, dataset, instrument_id, venue, event_ts_ns, episode_end_ns, triggers, severity,
    round(value, 9)
from {table}
"""

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`


def trades(seed: int, count: int, first: int = 0) -> list[dict[str, Any]]:
    """Two instruments on two venues: prices that walk, jump, are mistyped once or twice, and sizes
    of which some are large."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        at = DAY + timedelta(seconds=rng.randrange(6 * 3600), milliseconds=rng.randrange(1000))
        price = Decimal(100) + Decimal(rng.randrange(-90, 90)) / 100
        price *= rng.choice([Decimal(1)] * 60 + [Decimal(n) for n in ("1.03", "0.94", "10", "10")])
        found.append(
            trade(
                first + number,
                at.isoformat().replace("+00:00", "Z"),
                price=f"{price:.4f}",
                quantity=rng.choice([1, 2, 3, 5, 90]),
                instrument=f"BOND_{rng.randrange(2)}",
                venue=rng.choice(["A", "B"]),
            )
        )
        if price > 500 and rng.random() < 0.7:  # a second print at that price
            again = at + timedelta(milliseconds=5)
            found.append(
                {
                    **found[-1],
                    "tradeId": f"T{first + number}-again",
                    "timestamp": again.isoformat().replace("+00:00", "Z"),
                }
            )
    return found


def messages(seed: int, count: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "symbol": "AAPL",
            "exchange": rng.choice(["NYSE", "BATS"]),
            "price": f"{175 * rng.choice([1, 1, 1, 1, 1.021, 0.97, 1.06]):.2f}",
            "bid_price": "174.9",
            "ask_price": "175.1",
            "bid_size": 100,
            "ask_size": 100,
            "volume": rng.choice([10, 20, 30, 400]),
            "timestamp": (DAY + timedelta(hours=1, seconds=rng.randrange(9000))).isoformat(),
        }
        for _ in range(count)
    ]


def venues(seed: int = 7, count: int = 400) -> list[Quoted]:
    """Three venues quote one stock over ten minutes, at times above each other."""
    rng = random.Random(seed)
    start, found = OPEN + 4 * 3600 * SECOND, []
    for milliseconds in sorted(rng.sample(range(600_000), count)):
        bid = Decimal(20_000 + rng.choice([0, 1, 2, 30])) / 100
        sizes = rng.randrange(1, 9) * 100, rng.randrange(1, 9) * 100
        at = start + milliseconds * 1_000_000
        found.append(Quoted(rng.choice("XYZ"), at, bid, sizes[0], bid + Decimal("0.08"), sizes[1]))
    return found


def quoted(quote: Quoted) -> dict[str, Any]:
    return {
        "symbol": "MSFT",
        "exchange": quote.venue,
        "price": str(quote.bid),
        "bid_price": str(quote.bid),
        "ask_price": str(quote.offer),
        "bid_size": quote.bid_size,
        "ask_size": quote.offer_size,
        "volume": None,
        "timestamp": iso(quote.at),
    }


def numbered() -> list[dict[str, Any]]:
    """A venue's numbers from 13:50 to 15:10, minute by minute, of two stocks; some never come."""
    lost = {3, 4, 10, 11, 12, 70}
    return [
        trade(
            7_000 + n,
            iso(OPEN + (170 + n) * MINUTE),
            instrument=f"BOND_SEQ{n % 2}",
            venue="V",
            sequence=n,
        )
        for n in range(80)
        if n not in lost
    ]


def shown(desk: Desk, table: str) -> set[Episode]:
    found = set()
    for rule, dataset, instrument, venue, *rest, value in desk.query(
        ALERTS.format(table=table), "warehouse"
    ):
        measured = 0.0 if rule == "fat_finger" else value  # outliers are judged elsewhere
        key = (dataset, instrument, venue)
        found.add(Episode._make((rule, key, *rest, measured)))
    return found


def expected_of_prices(desk: Desk) -> set[Episode]:
    prints = [Print(*row) for row in desk.query(PRINTS, "warehouse")]
    triggers = price_triggers(prints)
    assert {t.rule for t in triggers} == {"price_move", "price_move_5m", "fat_finger"}
    assert {t.severity for t in triggers} == {"MODERATE", "SIGNIFICANT", "FAT_FINGER"}
    # The five minutes are those of all venues; the alert names the venue of its strongest print.
    venue_of = {p.key: p.venue for p in prints}
    found = set()
    for episode in episodes(triggers):
        dataset, instrument, venue = episode.key
        if episode.rule == "price_move_5m":
            strongest = min(
                (
                    t
                    for t in triggers
                    if t.rule == episode.rule
                    and t.key == episode.key
                    and episode.start <= t.at <= episode.end
                ),
                key=lambda t: (-abs(t.value), t.at, t.name),
            )
            venue = venue_of[strongest.name]
        found.add(episode._replace(key=(dataset, instrument, venue)))
    return found


def expected_of_volumes(desk: Desk) -> set[Episode]:
    triggers = []
    traded = defaultdict(list)
    for instrument, at, quantity in desk.query(
        "select instrument_id, event_ts_ns, quantity from silver.trades "
        "where session_type = 'regular' and is_volume_eligible and not is_outlier",
        "warehouse",
    ):
        traded[instrument].append((at, quantity))
    for instrument, rows in traded.items():
        first, volumes = minute_volumes(rows)
        for place, times, severity in spikes(volumes):
            at = (first + place) * 60 * SECOND
            key = ("trades", instrument, "ALL")
            triggers.append(Trigger("volume_spike", key, at, times, severity, ""))
    said = defaultdict(list)
    for venue, at, volume, name in desk.query(
        "select venue, event_ts_ns, volume, price_key from silver.last_prices "
        "where session_type = 'regular' and instrument_id = 'AAPL' order by event_ts_ns, tie_order",
        "warehouse",
    ):
        said[venue].append((at, volume, name))
    for venue, heard in said.items():
        for place, times, severity in spikes([volume for _, volume, _ in heard]):
            at, _, name = heard[place]
            key = ("market_data", "AAPL", venue)
            triggers.append(Trigger("message_volume_spike", key, at, times, severity, name))
    assert {t.rule for t in triggers} == {"volume_spike", "message_volume_spike"}
    assert {t.severity for t in triggers} == {"HIGH", "EXTREME"}
    return episodes(triggers)


def moments(seed: int = 1, count: int = 250) -> list[int]:
    """Moments of a session in bursts and pauses, some exactly as far apart as a threshold."""
    rng = random.Random(seed)
    at, found = OPEN + 17 * MINUTE, []
    for _ in range(count):
        pause = rng.choice([1, 300, 500, 501, 1_000, 5_000, 5_001, 29_999, 30_000, 31_000, 200_000])
        at += pause * 1_000_000
        found.append(at)
    return found


def iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % SECOND:09d}Z"


def gap_rows(desk: Desk, kind: str) -> set[tuple[int, int, int, int]]:
    return set(
        desk.query(
            "select threshold_ms, gap_start_ns, gap_end_ns, missing_intervals "
            "from silver.trade_gaps where instrument_id = 'BOND_GAPS' "
            f"and gap_kind = '{kind}'",
            "warehouse",
        )
    )


def empty_minutes(times: Sequence[int]) -> set[tuple[int, int, int, int]]:
    """Runs of minutes of the session without a trade."""
    held = sorted({OPEN // MINUTE - 1, CLOSE // MINUTE, *(at // MINUTE for at in times)})
    return {
        (60_000, (a + 1) * MINUTE, b * MINUTE, b - a - 1) for a, b in pairwise(held) if b > a + 1
    }


@pytest.fixture(scope="module")
def market(shared_desk: Desk) -> Desk:
    """A session of which a part lands late, built before and after; then built whole."""
    desk, random_place = shared_desk, random.Random(2)
    gapped = [trade(9_000 + n, iso(at), instrument="BOND_GAPS") for n, at in enumerate(moments())]
    late = random_place.sample(gapped, 60)
    outside = [OPEN - MINUTE, CLOSE, CLOSE + MINUTE]
    gapped += [trade(8_000 + n, iso(at), instrument="BOND_GAPS") for n, at in enumerate(outside)]
    quotes = [quoted(quote) for quote in venues()]
    desk.land("market_data", messages(3, 300) + quotes[:300])
    desk.land("trades", trades(4, 600) + [row for row in gapped if row not in late])
    on_time, later = numbered()[:40] + numbered()[45:], numbered()[40:45]
    desk.land("trades", on_time)
    desk.dbt("build", "--select", *MODELS)
    before = alert_ids(desk)
    desk.land("market_data", messages(6, 20) + quotes[300:])
    desk.land("trades", trades(5, 40, first=5_000) + late + later)
    desk.dbt("build", "--select", *MODELS)
    assert before - alert_ids(desk), "no alert was retracted: the late rows test nothing"
    kept_up = {name: desk.query(f"from {name} order by all", "warehouse") for name in TABLES}
    desk.dbt("build", "--full-refresh", "--select", *MODELS)
    for name, rows in kept_up.items():
        assert desk.query(f"from {name} order by all", "warehouse") == rows, name
    return desk


def alert_ids(desk: Desk) -> set[str]:
    tables = [name for name in TABLES if name.startswith("gold.")]
    return {
        i for name in tables for (i,) in desk.query(f"select alert_id from {name}", "warehouse")
    }


def test_price_alerts_are_the_episodes_of_a_plain_replay(market: Desk) -> None:
    assert shown(market, "gold.price_alerts") == expected_of_prices(market)


def test_volume_alerts_are_the_episodes_of_a_plain_replay(market: Desk) -> None:
    assert shown(market, "gold.volume_alerts") == expected_of_volumes(market)


def test_arbitrages_are_the_episodes_of_a_plain_replay(market: Desk) -> None:
    rows = market.query(
        "select buy_venue, sell_venue, event_ts_ns, episode_end_ns, triggers, "
        "round(edge_bps, 9), profit from gold.arbitrage_alerts where instrument_id = 'MSFT'",
        "warehouse",
    )
    expected = arbitrages(venues())
    assert len(expected) >= 6 and set(rows) == expected


def test_numbers_that_never_came_are_named_also_across_a_full_hour(market: Desk) -> None:
    rows = market.query(
        "select prev_sequence, next_sequence, missing, strftime(event_hour, '%H') "
        "from silver.sequence_gaps where venue = 'V' order by 1",
        "warehouse",
    )
    assert rows == [(2, 5, 2, "13"), (9, 13, 3, "14"), (69, 71, 1, "15")]


def test_gaps_are_those_of_the_definition(market: Desk) -> None:
    times = moments()
    edges = gaps([OPEN, times[0]], THRESHOLDS) | gaps([times[-1], CLOSE], THRESHOLDS)
    assert gap_rows(market, "trade") == gaps(times, THRESHOLDS)
    assert gap_rows(market, "edge_gap") == edges
    assert gap_rows(market, "candle") == empty_minutes(times)


def test_a_gap_belongs_to_the_hour_of_its_end_and_one_to_the_close_to_the_last_hour(
    market: Desk,
) -> None:
    hours = market.query(
        "select distinct gap_end_ns = epoch_ns(timestamptz '2025-10-02 22:00:00+00'), "
        "epoch_ns(event_hour) = gap_end_ns // 3600000000000 * 3600000000000, "
        "strftime(max(event_hour), '%H') from silver.trade_gaps group by 1, 2 order by 1",
        "warehouse",
    )
    assert [row[:2] for row in hours] == [(False, True), (True, False)]
    assert hours[1][2] == "21"


def test_an_episode_ends_where_the_next_trigger_is_more_than_a_minute_away() -> None:
    moments = [0, 60 * SECOND, 120 * SECOND, 180 * SECOND + 1]
    triggers = [Trigger("r", ("k",), at, Fraction(at + 1), "S", "") for at in moments]
    assert {(e.start, e.end, e.triggers) for e in episodes(triggers)} == {
        (0, 120 * SECOND, 3),
        (180 * SECOND + 1, 180 * SECOND + 1, 1),
    }
