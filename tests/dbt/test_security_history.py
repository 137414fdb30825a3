"""The history of securities (analytics.md 18): what statements, in any order, must become."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.desk import Desk, trade


def security(instrument: str, **more: Any) -> dict[str, Any]:
    return {
        "instrumentId": instrument,
        "securityName": "Bond",
        "cusip": None,
        "isin": None,
        "marketSegment": "HG",
        "issuer": "First",
        "asOf": "2025-09-01T00:00:00Z",
        "priceMultiplier": "0.01",
        **more,
    }


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    """One lake with a history for each case, each under an instrument of its own, built once."""
    shared_desk.land(
        "securities",
        [
            security("STATED_ONCE"),
            *[security("SAME", asOf=f"2025-09-0{day}T00:00:00Z") for day in (1, 2, 3)],
            security("ONE_MOMENT", issuer="Landed first"),
            security("ONE_MOMENT", issuer="Landed last"),
            *[
                security("AND_BACK", asOf=f"2025-09-0{day}T00:00:00Z", issuer=issuer)
                for day, issuer in enumerate(["A", "B", "A"], start=1)
            ],
            security("HALF_OPEN", priceMultiplier=1),
            security("HALF_OPEN", priceMultiplier=2, asOf="2025-10-02T12:00:00Z"),
            security("SPLIT", issuer="A", asOf="2025-09-01T00:00:00Z"),
            security("SPLIT", issuer="C", asOf="2025-09-03T00:00:00Z"),
            security("EARLIER", issuer="A", asOf="2025-09-01T00:00:00Z"),
            security("EARLIER", issuer="C", asOf="2025-09-03T00:00:00Z"),
            security("FILLED", issuer="N/A", isin="Not Available", cusip="", ticker="NA"),
            security("GONE"),
            security("GONE", status="DELETED", asOf="2025-09-02T00:00:00Z"),
            security("GONE", status="DELETED", issuer="B", asOf="2025-09-03T00:00:00Z"),
            security("GONE", asOf="2025-10-05T00:00:00Z"),
            security("NEVER", status="DELETED", asOf="2025-09-02T00:00:00Z"),
        ],
    )
    desk_trades = [
        trade(3, "2025-09-01T12:00:00Z", 1, instrument="GONE"),
        trade(4, "2025-09-02T00:00:00Z", 1, instrument="GONE"),
        trade(5, "2025-10-05T00:00:00Z", 1, instrument="GONE"),
    ]
    shared_desk.land("trades", desk_trades, unit="kafka:gone/0")
    before, at = "11:59:59.999999999", "12:00:00"
    shared_desk.land("trades", [trade(1, before, 1, instrument="HALF_OPEN")], unit="kafka:half/0")
    shared_desk.land("trades", [trade(2, at, 1, instrument="HALF_OPEN")], unit="kafka:half/0")
    shared_desk.build()
    return shared_desk


def history(desk: Desk, instrument: str) -> list[tuple[Any, ...]]:
    """(issuer, day of September it is valid from and to) of an instrument's versions."""
    return desk.query(
        "select issuer, case when is_start_assumed then 0 else day(valid_from) end, "
        f"day(valid_to) from gold.dim_securities where instrument_id = '{instrument}' "
        "order by version"
    )


def test_a_statement_that_changes_nothing_makes_no_version(desk: Desk) -> None:
    assert history(desk, "SAME") == [("First", 0, None)]


def test_of_statements_as_of_one_moment_the_last_landed_counts(desk: Desk) -> None:
    assert history(desk, "ONE_MOMENT") == [("Landed last", 0, None)]


def test_a_security_that_changes_back_has_three_versions(desk: Desk) -> None:
    assert history(desk, "AND_BACK") == [("A", 0, 2), ("B", 2, 3), ("A", 3, None)]


def test_validity_is_half_open(desk: Desk) -> None:
    notionals = desk.query(
        "select trade_id, notional::int from silver.trades where instrument_id = 'HALF_OPEN' "
        "order by 1"
    )
    assert notionals == [("T1", 1), ("T2", 2)]


def test_the_first_version_is_assumed_to_have_held_before(desk: Desk) -> None:
    first = desk.query(
        "select valid_from, as_of, is_start_assumed, is_current from gold.dim_securities "
        "where instrument_id = 'STATED_ONCE'"
    )
    epoch, stated = datetime(1970, 1, 1, tzinfo=UTC), datetime(2025, 9, 1, tzinfo=UTC)
    assert first == [(epoch, stated, True, True)]


def test_a_deletion_closes_what_held_and_leaves_a_gap_until_the_security_comes_back(
    desk: Desk,
) -> None:
    lives = desk.query(
        "select change_type, is_start_assumed, day(valid_from), day(valid_to), version, is_current "
        "from gold.dim_securities where instrument_id = 'GONE' order by version"
    )
    assert lives == [
        ("INSERT", True, 1, 2, 1, False),
        ("DELETE", False, 2, 2, 2, False),
        ("REACTIVATE", False, 5, None, 3, True),
    ]
    outcomes = desk.query(
        "select day(as_of), outcome from silver.securities_history where instrument_id = 'GONE' "
        "order by as_of"
    )
    assert outcomes == [(1, "version"), (2, "version"), (3, "unchanged"), (5, "version")]


def test_a_trade_of_a_deleted_security_is_parked(desk: Desk) -> None:
    joined = desk.query(
        "select trade_id, security_sk is not null from silver.trades "
        "where instrument_id = 'GONE' order by 1"
    )
    assert joined == [("T3", True), ("T4", False), ("T5", True)]


def test_an_instrument_known_only_as_deleted_was_never_there(desk: Desk) -> None:
    never = desk.query(
        "select change_type, valid_from = valid_to, is_current from gold.dim_securities "
        "where instrument_id = 'NEVER'"
    )
    assert never == [("DELETE", True, False)]


def test_words_for_nothing_are_null_but_a_ticker_is_not_such_a_word(desk: Desk) -> None:
    stated = desk.query(
        "select issuer, isin, cusip, ticker, status from gold.dim_securities "
        "where instrument_id = 'FILLED'"
    )
    assert stated == [(None, None, None, "NA", "ACTIVE")]


@pytest.mark.slow
def test_a_late_statement_splits_the_version_it_falls_into(desk: Desk) -> None:
    second = "2025-09-02T00:00:00Z"
    desk.land(
        "securities",
        [
            security("SPLIT", issuer="B", asOf=second),
            security("EARLIER", issuer="C", asOf=second),
            security("SAME", asOf="2025-08-01T00:00:00Z"),
            security("STATED_ONCE", asOf="2025-08-01T00:00:00Z", status="DELETED"),
        ],
    )
    desk.build()
    assert [row[1:] for row in history(desk, "STATED_ONCE")] == [(1, 1), (1, None)]
    assert history(desk, "SPLIT") == [("A", 0, 2), ("B", 2, 3), ("C", 3, None)]
    assert history(desk, "EARLIER") == [("A", 0, 2), ("C", 2, None)]
    assert history(desk, "SAME") == [("First", 0, None)]
    incremental = desk.fingerprints()
    desk.build("--full-refresh")
    assert desk.fingerprints() == incremental


def test_every_instrument_not_deleted_has_one_current_version_and_no_gap(desk: Desk) -> None:
    broken = desk.query(
        "select instrument_id from gold.dim_securities group by 1 having "
        "count(*) filter (where is_current) <> 1 or count(*) <> max(version) or "
        "list(valid_to order by version)[:-2] <> list(valid_from order by version)[2:] "
        "except values ('GONE'), ('NEVER'), ('STATED_ONCE')"
    )
    assert broken == []


def test_statements_a_nanosecond_apart_make_one_version_and_do_not_stop_the_build(
    desk: Desk,
) -> None:
    moment = "2025-09-05T00:00:00.000000{}Z"
    desk.land(
        "securities",
        [
            security("NANO", issuer="A"),
            security("NANO", issuer="C", asOf=moment.format(200)),
            security("NANO", issuer="B", asOf=moment.format(100)),
        ],
    )
    desk.build()
    assert history(desk, "NANO") == [("A", 0, 5), ("C", 5, None)]
