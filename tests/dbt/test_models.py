"""The goldens of the definitions: what a handful of known records must become."""

from decimal import Decimal
from typing import Any

import pytest

from tests.desk import Desk, trade

SECOND = 1_000_000_000
NOON_S = 1_759_406_400  # 2025-10-02T12:00:00Z, seconds since epoch
QUOTE = {
    "instrumentId": "BOND_12345",
    "dealerId": "DEALER_001",
    "bidPrice": "99.50",
    "offerPrice": "99.75",
    "bidSize": 1000000,
    "offerSize": 500000,
    "timestamp": "2025-10-02T12:00:00Z",
}
SAMPLE_TRADE = {
    "tradeId": "TRD_98765",
    "instrumentId": "BOND_12345",
    "price": "99.60",
    "quantity": 250000,
    "timestamp": "2025-10-02T12:00:01Z",
    "buySellIndicator": "B",
}
SECURITY = {
    "instrumentId": "BOND_12345",
    "securityName": "Bond",
    "cusip": None,
    "isin": None,
    "marketSegment": "HG",
    "issuer": "First",
    "asOf": "2025-09-01T00:00:00Z",
    "priceMultiplier": "0.01",
}


def quote(instrument: str, **more: Any) -> dict[str, Any]:
    return {**QUOTE, "instrumentId": instrument, **more}


def land_golden_candle(desk: Desk) -> None:
    rows = [
        trade(4, "12:00:00.9", 100, 4, instrument="G1", sequence=4),
        trade(3, "12:00:00.4", 99, 1, instrument="G1", sequence=3),
        trade(2, "12:00:00.0", 101, 2, instrument="G1", sequence=2),
        trade(1, "12:00:00.0", 100, 1, instrument="G1", sequence=1),
    ]
    desk.land("trades", rows)


def land_ties(desk: Desk) -> None:
    """Each instrument's trades are of one nanosecond and land against their order; the price of
    the k-th is k."""
    moment = "12:30:00.123456789"
    numeric = [("10", 3), ("9", 2), ("1", 1)]
    venues = [(None, None, 5), ("B", None, 4), ("B", 1, 3), ("A", 9, 2), ("A", 8, 1)]
    desk.land(
        "trades",
        [trade(0, moment, k, instrument="TIE_ID", tradeId=name) for name, k in numeric]
        + [
            trade(9 - k, moment, k, instrument="TIE_VENUE", venue=venue, sequence=sequence)
            for venue, sequence, k in venues
        ],
    )


def land_the_longest_day(desk: Desk) -> None:
    """Clocks go back in New York on 2025-11-02: that day lasts from 04:00 UTC to 05:00 UTC."""
    moments = ("02T03:59:59.999", "02T04:00:00", "03T04:59:59.999", "03T05:00:00")
    rows = [trade(n, f"2025-11-{at}Z", n, 1, instrument="DST") for n, at in enumerate(moments, 1)]
    desk.land("trades", rows)


def land_quote_states(desk: Desk) -> None:
    states = {
        "NO_BID_SIZE": {"bidSize": 0},
        "NO_BID_PRICE": {"bidPrice": None},
        "ZERO_OFFER_PRICE": {"offerPrice": 0},
        "NO_OFFER_SIZE": {"offerSize": None},
        "LOCKED": {"offerPrice": "99.50"},
        "CROSSED": {"offerPrice": "99.25"},
    }
    desk.land("quotes", [quote(name, **state) for name, state in states.items()])


def land_quotes_around_trades(desk: Desk) -> None:
    """Quotes 14 minutes apart, the last without an offer, with trades around them and at and just
    after the last one's end."""
    desk.land(
        "quotes",
        [
            quote("AROUND", bidPrice=1, timestamp="2025-10-02T11:46:00Z"),
            quote("AROUND", bidPrice=2, timestamp="2025-10-02T12:00:00Z"),
            quote("AROUND", bidPrice=3, timestamp="2025-10-02T12:00:30Z", quoteType="I"),
            quote("AROUND", bidPrice=4, timestamp="2025-10-02T12:00:40Z", offerSize=0),
        ],
    )
    moments = (
        *("11:45:59", "12:00:00", "12:00:00.000000001"),
        *("12:14:59.999999999", "12:15:40", "12:15:40.000000001"),
    )
    rows = [trade(n, at, 50, instrument="AROUND") for n, at in enumerate(moments, 1)]
    desk.land("trades", rows)


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    """One lake with every golden in it, each under an instrument of its own, built once."""
    shared_desk.land("quotes", [QUOTE])
    shared_desk.land("trades", [SAMPLE_TRADE])
    land_golden_candle(shared_desk)
    land_ties(shared_desk)
    land_the_longest_day(shared_desk)
    land_quote_states(shared_desk)
    land_quotes_around_trades(shared_desk)
    shared_desk.land("securities", [SECURITY])
    shared_desk.build()
    return shared_desk


# --- candles (2) --------------------------------------------------------------------------------


def test_golden_candle_g1_is_exact_at_every_width(desk: Desk) -> None:
    prices_and_volume = [Decimal(value) for value in (100, 101, 99, 100, 8)]
    expected = (*prices_and_volume, 4, 100.125, Decimal(801))
    starts = {
        "1s": NOON_S,
        "10s": NOON_S,
        "1m": NOON_S,
        "1h": NOON_S,
        "1d": NOON_S - 8 * 3600,  # midnight in New York
    }
    for width, start in starts.items():
        assert desk.query(
            "select epoch(window_start)::bigint, open, high, low, close, volume, trade_count, "
            f"vwap, vwap_notional from gold.candles_{width} "
            "where session_scope = 'all' and instrument_id = 'G1'"
        ) == [(start, *expected)], width


def test_ties_of_one_nanosecond_are_ordered_by_venue_then_sequence_then_numeric_id(
    desk: Desk,
) -> None:
    for instrument, last in {"TIE_ID": 3, "TIE_VENUE": 5}.items():
        order = desk.query(
            f"select price::int from silver.trades where instrument_id = '{instrument}' "
            "order by tie_order"
        )
        assert order == [(k,) for k in range(1, last + 1)]
        candle = desk.query(
            "select open, close from gold.candles_1s "
            f"where instrument_id = '{instrument}' and venue = 'ALL' and session_scope = 'all'"
        )
        assert candle == [(1, last)]
    by_venue = desk.query(
        "select venue, open::int, close::int from gold.candles_1s "
        "where instrument_id = 'TIE_VENUE' and session_scope = 'all' order by venue"
    )
    assert by_venue == [("A", 1, 2), ("ALL", 1, 5), ("B", 3, 4)]


def test_a_day_lasts_from_midnight_to_midnight_in_new_york_when_clocks_change(desk: Desk) -> None:
    days = desk.query(
        "select epoch(window_start)::bigint, session_date::varchar, open::int, close::int "
        "from gold.candles_1d where session_scope = 'all' and instrument_id = 'DST' order by 1"
    )
    hour, midnight = 3600, 1_762_056_000  # 2025-11-02T04:00:00Z
    assert days == [
        (midnight - 24 * hour, "2025-11-01", 1, 1),
        (midnight, "2025-11-02", 2, 3),
        (midnight + 25 * hour, "2025-11-03", 4, 4),
    ]


def test_a_nanosecond_survives_to_silver(desk: Desk) -> None:
    assert desk.query(
        "select distinct event_ts_ns from silver.trades where instrument_id = 'TIE_ID'"
    ) == [((NOON_S + 1800) * SECOND + 123_456_789,)]


# --- enrichment (8, 17) -------------------------------------------------------------------------


def test_the_sample_quote_has_its_spread(desk: Desk) -> None:
    ((spread, mid, percent, bps),) = desk.query(
        "select spread, mid, spread_pct, spread_bps from gold.enriched_quotes "
        "where instrument_id = 'BOND_12345'"
    )
    assert (spread, mid) == (Decimal("0.25"), Decimal("99.625"))
    assert round(percent, 10) == 0.2509410289
    assert round(bps, 4) == 25.0941


def test_the_sample_trade_has_its_notional_its_quote_and_its_security(desk: Desk) -> None:
    ((notional, bid, offer, dealer, age, issuer, parked),) = desk.query(
        "select notional, quote_bid_price, quote_offer_price, quote_bid_dealer_id, quote_age_ms, "
        "issuer, is_parked from gold.enriched_trades where instrument_id = 'BOND_12345'"
    )
    assert notional == Decimal("249000.00")
    assert (bid, offer, dealer) == (Decimal("99.50"), Decimal("99.75"), "DEALER_001")
    assert (age, issuer, parked) == (1000, "First", False)


def test_a_trade_meets_the_firm_quotes_in_force_before_it_for_fifteen_minutes(desk: Desk) -> None:
    met = desk.query(
        "select quote_status, quote_bid_price::int, quote_offer_price::float "
        "from gold.enriched_trades where instrument_id = 'AROUND' order by event_ts_ns"
    )
    assert met == [
        ("NONE", None, None),
        ("OK", 1, 99.75),
        ("OK", 2, 99.75),
        ("ONE_SIDED", 4, None),
        ("ONE_SIDED", 4, None),
        ("STALE", None, None),
    ]


def test_a_side_without_price_or_size_is_withdrawn_and_has_no_spread(desk: Desk) -> None:
    withdrawn = desk.query(
        "select instrument_id, is_two_sided, spread, mid, spread_bps, is_locked, is_crossed "
        "from gold.enriched_quotes where instrument_id similar to '(NO|ZERO)_.*' order by 1"
    )
    names = ("NO_BID_PRICE", "NO_BID_SIZE", "NO_OFFER_SIZE", "ZERO_OFFER_PRICE")
    assert withdrawn == [(name, False, None, None, None, None, None) for name in names]


def test_locked_and_crossed_quotes_are_kept_and_flagged(desk: Desk) -> None:
    flagged = desk.query(
        "select instrument_id, spread, is_locked, is_crossed from gold.enriched_quotes "
        "where instrument_id in ('LOCKED', 'CROSSED') order by 1"
    )
    assert flagged == [("CROSSED", Decimal("-0.25"), False, True), ("LOCKED", 0, True, False)]


def test_a_trade_of_an_unknown_instrument_is_kept_and_parked(desk: Desk) -> None:
    parked = desk.query(
        "select is_parked, security_sk, issuer, notional::int from gold.enriched_trades "
        "where instrument_id = 'G1' order by event_ts_ns, tie_order"
    )
    assert parked == [(True, None, None, notional) for notional in (100, 202, 99, 400)]
