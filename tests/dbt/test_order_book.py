"""The order book of single orders equals a replay into dictionaries at any time."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.desk import Desk
from tests.oracle_book import Book, Level

TICKLAKE_MODELS = "all"
pytestmark = pytest.mark.slow  # its goldens run in every `make test`

OPEN_NS = int(datetime(2025, 10, 2, 13, 58, tzinfo=UTC).timestamp()) * 1_000_000_000
MS = 1_000_000
SECONDS = 4 * 60  # over a full hour, which cuts the lives
MODELS = ("--select", "+order_book_findings", "+book_depth")


def messages(seed: int, count: int, venue: str) -> list[dict[str, Any]]:
    """Adds, cancels and modifies of about forty live orders, some of them wrong: of orders that
    are gone, too large, or added twice. Many share a moment; one clears the book."""
    rng = random.Random(seed)
    times = sorted(rng.randrange(SECONDS * 100) * 10 for _ in range(count))
    ids = [f"O{n}" for n in range(60)]
    found = []
    for number, ms in enumerate(times):
        kind = rng.choices("ACMT", (45, 35, 12, 8))[0]
        side = rng.choice("BS")
        # Around 100 with an overlap of a tick, so that some adds cross.
        price = 100 - rng.randrange(-1, 14) if side == "B" else 100 + rng.randrange(-1, 14)
        found.append(
            {
                "msgId": f"{venue}{number}",
                "instrumentId": "CRUDE",
                "venue": venue,
                "timestamp": OPEN_NS // MS + ms,
                "price": price,
                "volume": rng.randrange(1, 9),
                "side": side,
                "msgType": kind,
                "sequence": number + 1,
                "orderId": rng.choice(ids),
            }
        )
    clear = found[count * 2 // 3]
    clear.update(msgType="R", price=None, side=None, volume=0, orderId=None)
    found[count // 2].update(msgType="A", orderId=None)
    return found


@pytest.fixture(scope="module")
def told() -> dict[str, list[dict[str, Any]]]:
    return {venue: messages(seed, 700, venue) for seed, venue in enumerate(("XNYM", "IFEU"))}


@pytest.fixture(scope="module")
def desk(shared_desk: Desk, told: dict[str, list[dict[str, Any]]]) -> Desk:
    """Every tenth message comes after the first build, and one message comes twice."""
    both = [m for venue in told.values() for m in venue]
    shared_desk.land("orders", [m for n, m in enumerate(both) if n % 10])
    shared_desk.build(*MODELS)
    shared_desk.land("orders", [*both[::10], both[5]], unit="kafka:test/1")
    shared_desk.build(*MODELS)
    return shared_desk


def replayed(told: list[dict[str, Any]]) -> Iterator[tuple[int, Book]]:
    """(ns, book) after the last message of every moment."""
    book = Book()
    for place, message in enumerate(told):
        book.apply(message)
        following = told[place + 1]["timestamp"] if place + 1 < len(told) else None
        if following != message["timestamp"]:
            yield message["timestamp"] * MS, book


@pytest.mark.parametrize("venue", ["XNYM", "IFEU"])
def test_depth_equals_a_replay_after_every_message(
    desk: Desk, told: dict[str, list[dict[str, Any]]], venue: str
) -> None:
    rows = desk.query(
        "select valid_from_ns, valid_to_ns, case side when 'BID' then 'B' else 'S' end, level, "
        f"price, level_size, n_orders from gold.book_depth where venue = '{venue}'"
    )
    assert rows
    for ns, book in replayed(told[venue]):
        in_force: list[Level] = sorted(row[2:] for row in rows if row[0] <= ns < row[1])
        assert in_force == book.depth(), ns


def test_live_orders_equal_a_replay(desk: Desk, told: dict[str, list[dict[str, Any]]]) -> None:
    for venue, sent in told.items():
        rows = desk.query(
            "select from_ns, to_ns, order_id, side, price, size from silver.order_book "
            f"where venue = '{venue}'"
        )
        for place, (ns, book) in enumerate(replayed(sent)):
            if place % 25 == 0:
                live = {row[2]: row[3:] for row in rows if row[0] <= ns < row[1]}
                assert live == book.orders, ns


def test_what_is_wrong_with_a_message_is_a_finding_and_the_message_stays(
    desk: Desk, told: dict[str, list[dict[str, Any]]]
) -> None:
    expected = [("XNYM5", "DUPLICATE")]
    for venue in told.values():
        book = Book()
        for message in venue:
            book.apply(message)
        expected += book.findings
    found = desk.query(
        "select msg_id, finding from audit.order_book_findings where finding <> 'CROSSING_ADD'"
    )
    assert sorted(found) == sorted(expected)
    kinds = {kind for _, kind in expected}
    assert kinds >= {"ORPHAN_CANCEL", "ORPHAN_MODIFY", "OVER_CANCEL", "DOUBLE_ADD", "NO_ORDER_ID"}
    landed = sum(m["msgType"] != "T" for venue in told.values() for m in venue) + 1
    assert desk.query("select count(*) from silver.order_history") == [(landed,)]


def test_an_order_that_crosses_is_found(desk: Desk, told: dict[str, list[dict[str, Any]]]) -> None:
    """At the end of its moment it stands at or beyond the best price of the other side."""
    expected = set()
    for venue in told.values():
        moment: list[dict[str, Any]] = []
        for ns, book in replayed(venue):
            moment = [m for m in venue if m["timestamp"] * MS == ns]
            for message in moment:
                last = [m for m in moment if m["orderId"] == message["orderId"]][-1]
                live = book.orders.get(message["orderId"])
                if message["msgType"] not in "AM" or not live or _restated(message, moment):
                    continue
                assert last["orderId"] == message["orderId"]
                other = [p for s, p, _ in book.orders.values() if s != live[0]]
                if other and (live[1] >= min(other) if live[0] == "B" else live[1] <= max(other)):
                    expected.add(message["msgId"])
    found = desk.query(
        "select msg_id from audit.order_book_findings where finding = 'CROSSING_ADD'"
    )
    assert {row[0] for row in found} == expected
    assert expected


def _restated(message: dict[str, Any], moment: list[dict[str, Any]]) -> bool:
    """Does a later message of the moment say something else of the order?"""
    later = moment[moment.index(message) + 1 :]
    return any(m["orderId"] == message["orderId"] and m["msgType"] in "AMC" for m in later)


def test_levels_are_cumulated_and_the_sides_weighed(desk: Desk) -> None:
    assert desk.query(
        "select count(*) from (select *, "
        "sum(level_size) over (partition by venue, valid_from_ns, side order by level) as summed, "
        "sum(level_size) over (partition by venue, valid_from_ns, side) as total "
        "from gold.book_depth) where cumulative_size <> summed or total <> "
        "case side when 'BID' then bid_total_size else offer_total_size end or depth_imbalance <> "
        "(bid_total_size - offer_total_size)::double / (bid_total_size + offer_total_size)::double"
    ) == [(0,)]


def test_no_state_repeats_the_one_before(desk: Desk) -> None:
    columns = [
        f"{side}_{part}_{level}"
        for side in ("bid", "offer")
        for part in ("price", "size", "orders")
        for level in range(1, 6)
    ]
    state = f"({', '.join(columns)})"
    assert desk.query(
        f"select count(*) from (select {state} is not distinct from lag({state}) over b "
        "and lag(valid_to_ns) over b = valid_from_ns as repeats from gold.book_depth_states "
        "window b as (partition by venue, event_hour order by valid_from_ns)) where repeats"
    ) == [(0,)]


def test_late_messages_rebuild_to_the_same_as_a_full_refresh(desk: Desk) -> None:
    incremental = desk.fingerprints()
    desk.build("--full-refresh", *MODELS)
    assert desk.fingerprints() == incremental
