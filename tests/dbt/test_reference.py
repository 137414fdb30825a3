"""Identifiers against python-stdnum (analytics.md 19) and the dimensions of the star (18)."""

import random
from hashlib import md5

import pytest
import stdnum.cusip
import stdnum.isin

from tests.desk import Desk, trade

TICKLAKE_MODELS = "all"

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
COUNTRIES = ("US", "CA", "DE", "XS", "CW", "EU", "QS")


def identifiers() -> list[tuple[str, str]]:
    """CUSIP and ISIN of 2,000 securities: any characters, one check digit in ten right."""
    rng = random.Random(19)
    return [
        (
            "".join(rng.choices(ALPHABET + "*@#", k=8)) + rng.choice("0123456789"),
            rng.choice(COUNTRIES) + "".join(rng.choices(ALPHABET, k=9)) + rng.choice("0123456789"),
        )
        for _ in range(2_000)
    ]


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Desk:
    stated = {"securityName": "B", "marketSegment": "HG", "issuer": "I"}
    stated["asOf"] = "2025-01-01T00:00:00Z"
    shared_desk.land(
        "securities",
        [
            {"instrumentId": f"I{number}", "cusip": cusip, "isin": isin, **stated}
            for number, (cusip, isin) in enumerate(identifiers())
        ],
    )
    shared_desk.land(
        "trades",
        [
            trade(1, "14:00:00", trader="ANN", venue="NYSE"),
            trade(2, "15:00:00", trader="ANN", venue="BATS"),
            trade(3, "16:00:00", trader="BOB", venue="NYSE"),
            trade(4, "17:00:00"),
        ],
    )
    shared_desk.build("--select", "+gold.reference", TICKLAKE_UNIT_TESTS="1")
    return shared_desk


def test_check_digits_are_those_of_stdnum(desk: Desk) -> None:
    found = desk.query(
        "select instrument_id, is_cusip_ok, is_isin_ok, flag from gold.security_identifiers"
    )
    expected = []
    for number, (cusip, isin) in enumerate(identifiers()):
        right = stdnum.cusip.calc_check_digit(cusip[:8]) == cusip[8]
        sound = stdnum.isin.calc_check_digit(isin[:11]) == isin[11]
        flag = None if right and sound else "ID_CHECK_DIGIT"
        expected.append((f"I{number}", right, sound, flag))
    assert sorted(found) == sorted(expected)
    assert 100 < sum(row[1] for row in found) < 300
    assert 100 < sum(row[2] for row in found) < 300


def test_venues_and_traders_are_those_seen_with_keys_of_their_names(desk: Desk) -> None:
    assert desk.query(
        "select trader_sk, trader_id, trades, hour(first_seen), hour(last_seen) "
        "from gold.dim_traders order by 2"
    ) == [(md5(b"ANN").hexdigest(), "ANN", 2, 14, 15), (md5(b"BOB").hexdigest(), "BOB", 1, 16, 16)]
    assert desk.query("select venue_sk, venue, trades, quotes from gold.dim_venues order by 2") == [
        (md5(b"BATS").hexdigest(), "BATS", 1, 0),
        (md5(b"NYSE").hexdigest(), "NYSE", 2, 0),
    ]


def test_dates_know_half_days_and_holidays(desk: Desk) -> None:
    days = desk.query(
        "select date_sk, day_of_month, weekday, is_trading_day, is_early_close, "
        "hour(regular_close) "
        "from gold.dim_dates where calendar = 'us_equity' "
        "and session_date between date '2025-11-27' and date '2025-11-28' order by session_date"
    )
    key = md5(b"us_equity\x1f2025-11-28").hexdigest()
    assert days[0][1:] == (27, 4, False, False, None)
    assert days[1] == (key, 28, 5, True, True, 18)
