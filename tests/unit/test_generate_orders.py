"""The L3 firehose: an honest book behind every message, replayed here by a book of its own."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from contracts import registry
from ingestion.check import check
from ingestion.decode import decode_json
from ingestion.generate.encode import json_values
from ingestion.generate.market import FUTURES, Future, Market
from ingestion.generate.orders import FORM, rows
from ingestion.generate.plan import Plan
from ingestion.generate.touch import books

DAY, NEXT_DAY = date(2025, 10, 2), date(2025, 10, 3)
OPEN_US, CLOSE_US = 1_759_411_800_000_000, 1_759_435_200_000_000  # 13:30 and 20:00 UTC
THIN = Plan(seed=7, orders=60_001)
# All messages in one book: hundreds of orders live at a time.
DENSE = Plan(seed=11, orders=50_000, days=(DAY,), market=Market(futures=FUTURES[2:3]))
TICKS = {"CL": "0.01", "BZ": "0.01", "NG": "0.001", "RB": "0.0001", "HO": "0.0001", "GO": "0.25"}
VENUES = {"CL": "NYMEX", "BZ": "ICE", "NG": "NYMEX", "RB": "NYMEX", "HO": "NYMEX", "GO": "ICE"}


@cache
def frame(plan: Plan, day: date) -> pl.DataFrame:
    return pl.concat(rows(plan, day))


@cache
def values(plan: Plan, day: date) -> list[bytes]:
    return json_values(FORM, frame(plan, day)).to_list()


@cache
def messages(plan: Plan, day: date) -> list[dict[str, Any]]:
    return [json.loads(v, parse_float=Decimal, parse_int=Decimal) for v in values(plan, day)]


@dataclass
class Resting:
    side: str
    price: Decimal
    size: Decimal


@dataclass
class Book:
    """A plain order book; raises AssertionError for a message that no honest venue would send."""

    orders: dict[str, Resting] = field(default_factory=dict)
    levels: dict[str, Counter[Decimal]] = field(default_factory=lambda: defaultdict(Counter))

    def best(self, side: str) -> Decimal | None:
        prices = self.levels[side]
        return (max if side == "B" else min)(prices, default=None)

    def rest(self, order_id: str, order: Resting) -> None:
        other = self.best("S" if order.side == "B" else "B")
        if other is not None:
            crossed = order.price >= other if order.side == "B" else order.price <= other
            assert not crossed, f"{order} crosses {other}"
        assert order.size > 0
        self.orders[order_id] = order
        self.levels[order.side][order.price] += 1

    def take(self, order_id: str) -> Resting:
        assert order_id in self.orders, f"no order {order_id} is live"
        order = self.orders.pop(order_id)
        self.levels[order.side][order.price] -= 1
        if not self.levels[order.side][order.price]:
            del self.levels[order.side][order.price]
        return order

    def apply(self, message: dict[str, Any]) -> None:
        order_id, kind = message["orderId"], message["msgType"]
        told = Resting(message["side"], message["price"], message["volume"])
        if kind == "A":
            assert order_id not in self.orders
            self.rest(order_id, told)
        elif kind == "M":
            assert self.take(order_id).side == told.side
            self.rest(order_id, told)
        elif kind == "C":
            assert self.take(order_id) == told
        else:
            order = self.orders[order_id]
            assert {order.side, told.side} == {"B", "S"}
            assert order.price == told.price == self.best(order.side)
            assert 0 < told.size <= order.size


@pytest.mark.parametrize(
    ("plan", "day"),
    [(THIN, DAY), (THIN, NEXT_DAY), (DENSE, DAY)],
    ids=["thin", "next day", "dense"],
)
def test_an_independent_book_takes_every_message_and_no_add_ever_crosses(
    plan: Plan, day: date
) -> None:
    replayed: dict[str, Book] = defaultdict(Book)
    kinds: Counter[str] = Counter()
    for message in messages(plan, day):
        replayed[message["instrumentId"]].apply(message)
        kinds[message["msgType"]] += 1
    still_live = sum(len(book.orders) for book in replayed.values())
    assert still_live == kinds["A"] - kinds["C"] > 0


@pytest.mark.parametrize("plan", [THIN, DENSE], ids=["thin", "dense"])
def test_the_order_behind_a_trade_loses_what_was_traded_at_the_same_moment(plan: Plan) -> None:
    trail: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in messages(plan, DAY):
        trail[message["orderId"]].append(message)
    partial = whole = 0
    for own in trail.values():
        for before, trade, after in zip(own, own[1:], own[2:], strict=False):
            if trade["msgType"] != "T":
                continue
            assert before["msgType"] == "A" and after["timestamp"] == trade["timestamp"]
            if after["msgType"] == "M":
                assert after["volume"] == before["volume"] - trade["volume"] > 0
                assert after["price"] == trade["price"]
                partial += 1
            else:
                assert after["msgType"] == "C"
                assert after["volume"] == before["volume"] == trade["volume"]
                whole += 1
    trades = sum(message["msgType"] == "T" for message in messages(plan, DAY))
    assert (partial, whole) == (round(trades * 0.4), trades - round(trades * 0.4))


def test_each_day_has_its_exact_share_of_every_message_type() -> None:
    # 60,001 over two days: 30,001 and 30,000; 2 % T, 3 % M, 52 % of the others A.
    for day, total in ((DAY, 30_001), (NEXT_DAY, 30_000)):
        kinds = dict(frame(THIN, day)["msg_type"].value_counts().iter_rows())
        rest = total - 1_500
        assert kinds == {
            "T": 600,
            "M": 900,
            "A": round(rest * 0.52),
            "C": rest - round(rest * 0.52),
        }


@pytest.mark.parametrize("total", [1, 2, 3, 7, 26, 101])
@pytest.mark.parametrize("trade_share", [0.02, 0.3])
def test_a_handful_of_messages_is_a_sound_book_too(total: int, trade_share: float) -> None:
    market = Market(order_trade_share=trade_share, order_modify_share=0.05)
    plan = Plan(orders=total, days=(DAY,), market=market)
    assert len(frame(plan, DAY)) == total
    replayed: dict[str, Book] = defaultdict(Book)
    for message in messages(plan, DAY):
        replayed[message["instrumentId"]].apply(message)


def test_no_orders_are_no_messages() -> None:
    assert list(rows(Plan(orders=0), DAY)) == []


def test_the_same_plan_gives_the_same_bytes_and_another_seed_others() -> None:
    again = Plan(seed=7, orders=60_001)
    assert json_values(FORM, pl.concat(rows(again, NEXT_DAY))).to_list() == values(THIN, NEXT_DAY)
    other = Plan(seed=8, orders=60_001)
    assert json_values(FORM, pl.concat(rows(other, NEXT_DAY))).to_list() != values(THIN, NEXT_DAY)


def test_every_message_keeps_the_contract() -> None:
    contract = registry.get("orders")
    sent, received = values(THIN, DAY), frame(THIN, DAY)["recv_ms"] * 1_000_000
    decoded = decode_json(contract, sent, 262_144)
    assert decoded.rejects.is_empty(), decoded.rejects.head()
    checked = check(contract, decoded.frame.with_columns(recv_ts_ns=received))
    assert checked.rejects.is_empty(), checked.rejects.head()
    assert len(checked.good) == len(sent) == 30_001


def test_prices_are_whole_ticks_and_every_future_has_its_venue() -> None:
    seen = set()
    for message in messages(THIN, DAY):
        future = message["instrumentId"]
        assert message["price"] > 0 and message["price"] % Decimal(TICKS[future]) == 0, message
        seen.add((future, message["venue"]))
    assert seen == set(VENUES.items())


def test_ids_are_unique_over_the_days_and_sequences_have_no_gap() -> None:
    both = pl.concat([frame(THIN, DAY), frame(THIN, NEXT_DAY)])
    assert both["msg_id"].is_unique().all()
    assert both.filter(msg_type="A")["order_id"].is_unique().all()
    for day in THIN.days:
        for (_,), book in frame(THIN, day).group_by("instrument_id", maintain_order=True):
            assert book["sequence"].to_list() == list(range(1, len(book) + 1))


def test_messages_come_in_the_order_of_the_feed_within_the_session() -> None:
    sent = frame(THIN, DAY)
    assert sent["event_us"].is_sorted() and sent["recv_ms"].is_sorted()
    assert sent["event_us"][0] >= OPEN_US and sent["event_us"][-1] < CLOSE_US
    waited_us = sent["recv_ms"] * 1000 - sent["event_us"]
    assert waited_us.min() >= 0 and waited_us.max() <= 10_000  # type: ignore[operator]


def test_blocks_are_bounded_and_continue_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.generate.orders.BLOCK_ROWS", 3)
    blocks = list(rows(Plan(orders=1_501, days=(DAY,)), DAY))
    assert [len(block) for block in blocks] == [3] * 500 + [1]
    joined = pl.concat(blocks)
    assert joined["recv_ms"].is_sorted() and joined["msg_id"].is_unique().all()
    for (_,), book in joined.group_by("instrument_id", maintain_order=True):
        assert book["sequence"].to_list() == list(range(1, len(book) + 1))


def test_trades_follow_the_side_of_the_one_before_and_cluster() -> None:
    trades = frame(Plan(orders=250_000, days=(DAY,)), DAY).filter(msg_type="T")
    same = pairs = 0
    counted = []
    for (_,), own in trades.group_by("instrument_id"):
        sides = own["side"].to_list()
        same += sum(before == after for before, after in pairwise(sides))
        pairs += len(sides) - 1
        counted.append(np.bincount((own["event_us"].to_numpy() - OPEN_US) // 1_000_000))
    assert abs(same / pairs - 0.65) < 4 * (0.65 * 0.35 / pairs) ** 0.5
    fano = [counts.var() / counts.mean() for counts in counted]
    assert min(fano) > 1.5  # analytics.md 23.3


def test_the_touch_is_as_volatile_as_configured() -> None:
    days = tuple(date(2025, 9, number) for number in range(1, 5))
    plan = Plan(orders=1, days=days, securities=50 * len(days), quotes=len(days))
    of_days = [books(plan, day).ladders for day in days]
    for number, future in enumerate(FUTURES):
        minutes = [ladders[2 * number + 1].touch[::600] for ladders in of_days]
        moves = np.concatenate([np.diff(np.log(minute + 0.5)) for minute in minutes])
        realized = np.sqrt((moves**2).mean() * 390 * 252)
        assert abs(realized / future.volatility - 1) < 0.15, future.symbol


def test_a_day_opens_where_the_one_before_closed() -> None:
    before, after = books(THIN, DAY).ladders, books(THIN, NEXT_DAY).ladders
    assert len(before) == len(after) == 12
    for closed, opened in zip(before, after, strict=True):
        assert abs(opened.touch[0] - closed.touch[-1]) <= 1


def test_what_cannot_be_a_book_is_refused() -> None:
    with pytest.raises(ValueError, match="the market has none; name some"):
        list(rows(Plan(orders=10, market=Market(futures=())), DAY))
    with pytest.raises(ValidationError, match=r"multiple of 0\.0001"):
        Future(symbol="X", name="X", price=1, tick=0.00015, volatility=0.3, multiplier=1)
    with pytest.raises(ValidationError, match="order_trade_share"):
        Market(order_trade_share=0.4)
