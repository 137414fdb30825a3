"""Depth over dealers' quotes equals what a look at every quote finds, at any time."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.desk import Desk
from tests.oracle_book import Level, top_levels

SECOND, MS = 1_000_000_000, 1_000_000
OPEN_MS = int(datetime(2025, 10, 2, 13, 20, tzinfo=UTC).timestamp()) * 1000
MINUTES, COUNT = 90, 900  # over two full hours, which cut the states
TTL_NS = 900 * SECOND
MODELS = ("--select", "+depth", "+depth_1s")
IN_FORCE = """
select valid_from_ns, valid_to_ns, case side when 'BID' then 'B' else 'O' end, level, price,
    level_size, n_dealers
from gold.depth where instrument_id = '{instrument}'
"""

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`


def told(seed: int) -> list[dict[str, Any]]:
    """Quotes of ten dealers on two bonds: withdrawn, own-crossed, indicative and one-sided ones
    among them, several of one moment, and one dealer who is silent for longer than quotes live."""
    rng = random.Random(seed)
    found: list[dict[str, Any]] = []
    for number, second in enumerate(sorted(rng.randrange(MINUTES * 60) for _ in range(COUNT))):
        bid = Decimal(rng.randrange(9900, 9912)) / 100
        offer = bid + Decimal(rng.choice((0, 4, 5, 6, 6, 7))) / 100  # 0: locked with himself
        quote: dict[str, Any] = {
            "instrumentId": f"BOND_{rng.randrange(2)}",
            "dealerId": f"D{rng.randrange(9)}" if rng.random() < 0.99 else "SLEEPY",
            "timestamp": OPEN_MS + second * 1000 + rng.choice((0, 0, 500)),
            "sequence": number,
            "quoteType": "I" if rng.random() < 0.05 else "F",
        }
        size = rng.choice((0, 1, 2, 3, 5, 8))
        if rng.random() < 0.2:
            side, price = rng.choice((("BID", bid), ("OFFER", offer)))
            quote |= {"side": side, "action": "UPDATE", "price": str(price), "size": size}
            if rng.random() < 0.2:
                quote["action"] = "DELETE"
        else:
            quote |= {"bidPrice": str(bid), "offerPrice": str(offer)}
            quote |= {"bidSize": size, "offerSize": rng.randrange(1, 9)}
            if rng.random() < 0.05:
                quote["bidPrice"] = None
        found.append(quote)
    return found


def sides_of(quote: dict[str, Any]) -> dict[str, tuple[Decimal, Decimal] | None]:
    """Side -> (price, size) that the quote puts there, None where it withdraws the side."""
    if "side" in quote:
        price, size = quote["price"], quote["size"]
        is_live = quote["action"] == "UPDATE" and price and size
        return {quote["side"]: (Decimal(price), Decimal(size)) if is_live else None}
    given = {"BID": ("bidPrice", "bidSize"), "OFFER": ("offerPrice", "offerSize")}
    return {
        side: (Decimal(quote[price]), Decimal(quote[size]))
        if quote[price] and quote[size]
        else None
        for side, (price, size) in given.items()
    }


def depth_at(quotes: Iterable[dict[str, Any]], instrument: str, ns: int) -> list[Level]:
    """The five levels of each side of firm quotes that live at `ns`: each dealer's last word on a
    side, not older than its time to live, unless his own two sides lock or cross."""
    last: dict[tuple[str, str], tuple[int, tuple[Decimal, Decimal] | None]] = {}
    for quote in quotes:
        if quote["quoteType"] == "F" and quote["instrumentId"] == instrument:
            at = quote["timestamp"] * MS
            if at <= ns:
                for side, shown in sides_of(quote).items():
                    last[quote["dealerId"], side] = at, shown
    live = {
        who: shown for who, (at, shown) in last.items() if shown is not None and ns < at + TTL_NS
    }
    counted = []
    for (dealer, side), (price, size) in live.items():
        bid, offer = live.get((dealer, "BID")), live.get((dealer, "OFFER"))
        if not (bid and offer and bid[0] >= offer[0]):
            counted.append((side[0], price, size))
    return top_levels(counted)


@pytest.fixture(scope="module")
def quotes() -> list[dict[str, Any]]:
    """By time, then by sequence: the order that decides."""
    return sorted(told(7), key=lambda quote: (quote["timestamp"], quote["sequence"]))


@pytest.fixture(scope="module")
def desk(shared_desk: Desk, quotes: list[dict[str, Any]]) -> Desk:
    """Every ninth quote comes after the first build."""
    shared_desk.land("quotes", [quote for n, quote in enumerate(quotes) if n % 9])
    shared_desk.build(*MODELS)
    shared_desk.land("quotes", quotes[::9], unit="kafka:test/1")
    shared_desk.build(*MODELS)
    return shared_desk


@pytest.mark.parametrize("instrument", ["BOND_0", "BOND_1"])
def test_depth_is_what_a_look_at_every_live_quote_finds(
    desk: Desk, quotes: list[dict[str, Any]], instrument: str
) -> None:
    rows = desk.query(IN_FORCE.format(instrument=instrument))
    rng = random.Random(3)
    times = {quote["timestamp"] * MS for quote in rng.sample(quotes, 60)}
    times |= {ns + TTL_NS for ns in rng.sample(sorted(times), 30)}  # where a quote may run out
    times |= {ns - 1 for ns in times}
    deepest = 0
    for ns in times:
        in_force = sorted(row[2:] for row in rows if row[0] <= ns < row[1])
        assert in_force == depth_at(quotes, instrument, ns), ns
        deepest = max(deepest, *(level for _, level, *_ in in_force), 0)
    assert deepest == 5


def test_each_full_second_holds_the_levels_in_force(desk: Desk) -> None:
    levels = "side, level, price, level_size, n_dealers, cumulative_size, depth_imbalance"
    at = "epoch_us(sample_ts) * 1000"
    first, last = desk.query(f"select min({at}), max({at}) from gold.depth_1s")[0]
    assert (last - first) // SECOND > MINUTES * 60
    assert desk.query(
        f"with expected as (select instrument_id, ns, {levels} from gold.depth "
        f"inner join range({first}, {last} + 1, {SECOND}) as s (ns) "
        "on valid_from_ns <= ns and ns < valid_to_ns), "
        f"sampled as (select instrument_id, {at} as ns, {levels} from gold.depth_1s) "
        "select count(*) from ((from expected except all from sampled) "
        "union all (from sampled except all from expected))"
    ) == [(0,)]


def test_late_quotes_and_a_ranking_without_seats_give_what_a_full_refresh_gives(desk: Desk) -> None:
    """The full refresh ranks levels instead of giving each dealer a column."""
    incremental = desk.fingerprints()
    desk.build("--full-refresh", *MODELS, "--vars", "{pivoted_quoters: 1}")
    assert desk.fingerprints() == incremental
