"""Deduplication (analytics.md 3): copies are declared, and what only looks like one stays."""

from typing import Any

import pytest

from tests.desk import Desk, trade


def anonymous(instrument: str, at: str, price: int, **more: Any) -> dict[str, Any]:
    """A trade that its source gave no id."""
    return {**trade(0, at, price, instrument=instrument), "tradeId": None, **more}


def quote(instrument: str) -> dict[str, Any]:
    return {
        "instrumentId": instrument,
        "dealerId": "DEALER_001",
        "bidPrice": "99.50",
        "offerPrice": "99.75",
        "bidSize": 1000000,
        "offerSize": 500000,
        "timestamp": "2025-10-02T12:00:00Z",
    }


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    """One lake with copies of every kind, each under an instrument of its own, built once."""
    desk = shared_desk
    copied = trade(1, "12:00:00", 100, 5, instrument="COPY")
    changed = trade(1, "12:00:00", 999, 9, instrument="COPY")
    other_days = [
        trade(1, "2025-10-03T12:00:00Z", 101, 5, instrument="COPY"),
        trade(1, "12:00:00", 102, 5, instrument="COPY", venue="NYSE"),
        trade(1, "12:00:00", 103, 5, instrument="COPY", side="S", version=2, venue="ARCA"),
    ]
    # Landed first, received last: the first to be received is the event.
    desk.land("trades", [changed], unit="kafka:copies/1", recv_ns=4_000_000_000_000_000_009)
    desk.land("trades", [copied, copied, *other_days], unit="kafka:copies/0")

    numbered = anonymous("SEQ", "12:00:00", 1, venue="A", sequence=7)
    desk.land("trades", [numbered], unit="kafka:copies/0")
    desk.land("trades", [numbered, {**numbered, "sequence": 8}], unit="kafka:copies/1")

    twice = [anonymous("CONTENT", "12:00:00", 1)] * 2
    desk.land("trades", twice, unit="file:a", delivery_unit="a")
    desk.land("trades", [*twice, twice[0]], unit="file:b", delivery_unit="b")
    # The same value written otherwise is the same content.
    desk.land("trades", [{**twice[0], "price": "1.00"}], unit="file:c", delivery_unit="c")
    desk.land("trades", [anonymous("LOG", "12:00:00", 1)] * 3, unit="kafka:copies/0")

    desk.land("quotes", [quote("REFRESH")] * 2 + [{**quote("NUMBERED"), "sequence": 1}] * 2)
    desk.build()
    return desk


def test_a_copy_on_another_partition_is_declared_and_the_first_received_stays(desk: Desk) -> None:
    kept = desk.query(
        "select price::int, unit, position from silver.trades where instrument_id = 'COPY' "
        "and session_date = '2025-10-02' and venue is null and status = 'NEW'"
    )
    assert kept == [(100, "kafka:copies/0", 0)]
    declared = desk.query(
        "select price::int, unit, position, duplicate_by from silver.trade_duplicates "
        "where instrument_id = 'COPY' order by unit"
    )
    assert declared == [
        (100, "kafka:copies/0", 1, "identity"),
        (999, "kafka:copies/1", 0, "identity"),
    ]


def test_one_id_in_another_session_venue_or_version_is_another_event(desk: Desk) -> None:
    others = desk.query(
        "select price::int from silver.trades where instrument_id = 'COPY' order by 1"
    )
    assert others == [(100,), (101,), (102,), (103,)]


def test_without_an_id_a_sequence_number_counts_once(desk: Desk) -> None:
    counted = "select list(sequence order by sequence) from silver.{} where instrument_id = 'SEQ'"
    assert desk.query(counted.format("trades")) == [([7, 8],)]
    assert desk.query(counted.format("trade_duplicates")) == [([7],)]


def test_overlapping_deliveries_without_ids_merge_to_the_largest_multiplicity(desk: Desk) -> None:
    counts = "select count(*) from silver.{} where instrument_id = '{}'"
    assert desk.query(counts.format("trades", "CONTENT")) == [(3,)]
    assert desk.query(counts.format("trade_duplicates", "CONTENT")) == [(3,)]


def test_equal_anonymous_prints_of_a_log_are_all_real(desk: Desk) -> None:
    assert desk.query("select count(*) from silver.trades where instrument_id = 'LOG'") == [(3,)]


def test_repeated_quotes_are_refreshes_unless_they_have_one_sequence_number(desk: Desk) -> None:
    counts = desk.query(
        "select instrument_id, count(*) from silver.quotes "
        "where instrument_id in ('REFRESH', 'NUMBERED') group by 1 order by 1"
    )
    assert counts == [("NUMBERED", 1), ("REFRESH", 2)]
