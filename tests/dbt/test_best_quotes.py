"""Lives of quotes and best bid and offer, against a brute-force computation on random quotes."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from tests.desk import Desk
from tests.oracle_quotes import Said, best_quotes, session_bounds

TICKLAKE_MODELS = "all"

DAY = datetime(2025, 10, 2, tzinfo=UTC)
MODELS = ("best_quotes", "venue_best_quotes", "indicative_best_quotes")
SELECTED = ("--select", "+account_silver", *(f"+{model}" for model in MODELS))
CALENDARS = {"BOND_1": "corporate_bond", "BOND_2": "corporate_bond", "AAPL": "us_equity"}
TTL = 900 * 10**9
# source -> kind of its feed, time to live, does it state sizes (seed feeds)
FEEDS = {
    "test": ("dealer", TTL, True),
    "alpaca_stocks": ("consolidated", None, True),
    "lean_oanda_quotes": ("exchange", None, False),
}
COLUMNS = """
    valid_from_ns, valid_to_ns, starts_state, best_bid, bid_size, bid_dealers, bid_leader,
    n_live_bid_dealers, best_offer, offer_size, offer_dealers, offer_leader, n_live_offer_dealers
"""
Landed = tuple[str, str, dict[str, Any], int]  # source, dataset, record, number


@cache
def quotes(seed: int, count: int, first: int) -> tuple[Landed, ...]:
    """Quotes on whole minutes, so that ends, replacements and full hours often fall together."""
    rng = random.Random(seed)
    rows: list[Landed] = []
    for number in range(first, first + count):
        instrument = rng.choice(list(CALENDARS))
        at = DAY + timedelta(hours=20, minutes=rng.randrange(6 * 60))
        stamp = at.isoformat().replace("+00:00", "Z")
        bid = 9990 + rng.randrange(10)
        offer = bid + rng.randrange(-1, 8)
        size = {"bid": rng.choice([0, 1, 2, 2]), "offer": rng.choice([None, 1, 2, 2])}
        source = rng.choice(["test"] * 6 + ["alpaca_stocks", "lean_oanda_quotes"])
        record: dict[str, Any] = {
            "instrumentId": instrument, "dealerId": f"D{rng.randrange(4)}", "timestamp": stamp,
            "sequence": number, "quoteType": "I" if rng.random() < 0.2 else "F",
        }  # fmt: skip
        if rng.random() < 0.3:
            record["venue"] = rng.choice(["X", "Y"])
        if instrument == "AAPL" and rng.random() < 0.6:
            rows.append((source, "market_data", {
                "symbol": instrument, "exchange": rng.choice(["NYSE", "BATS"]), "price": "99.99",
                "bid_price": f"{bid / 100}", "ask_price": f"{offer / 100}", "bid_size": size["bid"],
                "ask_size": size["offer"], "volume": 1, "sequence": number,
                "timestamp": int(at.timestamp() * 1000),
            }, number))  # fmt: skip
            continue
        if record["dealerId"] == "D3" or rng.random() < 0.1:
            side = rng.choice(["BID", "OFFER"])
            record |= {
                "side": side, "action": rng.choice(["UPDATE", "UPDATE", "UPDATE", "DELETE"]),
                "price": f"{(bid if side == 'BID' else offer) / 100}",
                "size": rng.choice([0, 1, 2]),
            }  # fmt: skip
        else:
            record |= {
                "bidPrice": f"{bid / 100}",
                "offerPrice": rng.choice([f"{offer / 100}"] * 9 + [None]),
                "bidSize": size["bid"], "offerSize": size["offer"],
            }  # fmt: skip
        rows.append((source, "quotes", record, number))
    return tuple(rows)


def land(desk: Desk, rows: tuple[Landed, ...]) -> None:
    for source in FEEDS:
        for dataset in ("quotes", "market_data"):
            records = [row[2] for row in rows if row[:2] == (source, dataset)]
            if records:
                desk.land(dataset, records, source=source, unit=f"kafka:{dataset}-{source}/0")


def said(row: Landed) -> tuple[str, str, str, Said]:
    """Instrument, quote type, venue and what a record says."""
    source, dataset, record, number = row
    kind, ttl, has_size = FEEDS[source] if dataset == "quotes" else ("exchange", None, True)
    if dataset == "market_data":
        venue = dealer = record["exchange"]
        stamp = datetime.fromtimestamp(record["timestamp"] / 1000, UTC)
    else:
        venue, dealer = record.get("venue", ""), record["dealerId"]
        stamp = datetime.fromisoformat(record["timestamp"])

    def quote(price: Any, size: Any) -> tuple[Decimal, Decimal | None] | None:
        if not price or (has_size and not size):
            return None
        return Decimal(str(price)), Decimal(size) if size else None

    if "side" in record:
        gone = record["action"] == "DELETE"
        sides = {record["side"]: None if gone else quote(record["price"], record["size"])}
    elif dataset == "market_data":
        sides = {
            "BID": quote(record["bid_price"], record["bid_size"]),
            "OFFER": quote(record["ask_price"], record["ask_size"]),
        }
    else:
        sides = {
            "BID": quote(record["bidPrice"], record["bidSize"]),
            "OFFER": quote(record["offerPrice"], record["offerSize"]),
        }
    at = int(stamp.timestamp()) * 10**9
    # Order 0.5: the venue (a consolidated feed has one state for all), then the sequence.
    order = (at, *(venue.encode() or b"~"), number)
    quoter = (source, "" if kind == "consolidated" else venue, dealer)
    return (
        record.get("instrumentId") or record["symbol"],
        record.get("quoteType", "F"),
        venue,
        Said(quoter, kind, order, ttl, sides),
    )


def expected(rows: tuple[Landed, ...], instrument: str, kind: str, venue: str | None) -> list[Any]:
    calendar = CALENDARS[instrument]
    told = [
        what
        for its, quote_type, where, what in map(said, rows)
        if (its, quote_type) == (instrument, kind)
        and (venue is None or (where == venue and what.kind != "consolidated"))
    ]
    sessions: dict[int, list[Said]] = {}
    for what in told:
        sessions.setdefault(session_bounds(what.at, calendar)[0], []).append(what)
    found = [row for _, some in sorted(sessions.items()) for row in best_quotes(some, calendar)]
    return [(*row[:3], *row[3], *row[4]) for row in found]


EARLY, LATE = (1, 500, 0), (2, 60, 500)


@pytest.fixture(scope="module")
def built(shared_desk: Desk) -> Desk:
    """Quotes landed and built, then late ones, landed and built on top."""
    land(shared_desk, quotes(*EARLY))
    shared_desk.build(*SELECTED)
    land(shared_desk, quotes(*LATE))
    shared_desk.build(*SELECTED)
    return shared_desk


def shown(desk: Desk, model: str, condition: str) -> list[tuple[Any, ...]]:
    return desk.query(
        f"select {COLUMNS} from gold.{model} where {condition} order by valid_from_ns", "warehouse"
    )


@pytest.mark.parametrize("instrument", CALENDARS)
@pytest.mark.parametrize(("model", "kind"), [("best_quotes", "F"), ("indicative_best_quotes", "I")])
def test_best_quotes_are_those_of_looking_at_every_moment(
    built: Desk, model: str, kind: str, instrument: str
) -> None:
    rows = quotes(*EARLY) + quotes(*LATE)
    wanted = expected(rows, instrument, kind, None)
    assert wanted
    assert shown(built, model, f"instrument_id = '{instrument}'") == wanted


@pytest.mark.parametrize(
    ("instrument", "venue"), [("AAPL", "NYSE"), ("AAPL", "BATS"), ("BOND_1", "X")]
)
def test_best_quotes_of_a_venue_are_those_of_its_own_quotes(
    built: Desk, instrument: str, venue: str
) -> None:
    wanted = expected(quotes(*EARLY) + quotes(*LATE), instrument, "F", venue)
    assert len(wanted) > 10
    condition = f"instrument_id = '{instrument}' and venue = '{venue}'"
    assert shown(built, "venue_best_quotes", condition) == wanted


def test_the_accounts_of_quotes_and_market_data_close(built: Desk) -> None:
    rows = quotes(*EARLY) + quotes(*LATE)
    counted = [(name, sum(row[1] == name for row in rows)) for name in ("market_data", "quotes")]
    assert (
        built.query(
            "select dataset, sum(silver_rows) from audit.account_silver where difference = 0 "
            "and quantity_difference = 0 group by 1 order by 1",
            "warehouse",
        )
        == counted
    )


@pytest.mark.slow
def test_late_quotes_give_what_a_full_refresh_gives_with_any_number_of_quoters(built: Desk) -> None:
    tables = ("silver.quote_hours", "silver.quote_carry", "silver.quote_intervals",
              *(f"gold.{model}" for model in MODELS))  # fmt: skip
    marks = {table: f"select count(*), sum(hash(t)) from {table} t" for table in tables}
    late = {table: built.query(sql, "warehouse") for table, sql in marks.items()}
    built.build("--full-refresh", *SELECTED)
    assert {table: built.query(sql, "warehouse") for table, sql in marks.items()} == late
    built.build(*SELECTED, "--vars", "{pivoted_quoters: 2}")
    assert {table: built.query(sql, "warehouse") for table, sql in marks.items()} == late
