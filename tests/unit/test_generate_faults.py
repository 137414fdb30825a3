"""The faults are what the truth table says they are, and nothing else is faulty."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import md5
from typing import Any

import polars as pl
import pytest

from ingestion.generate.plan import Plan
from ingestion.generate.stream import Stream, stream, truth

PLAN = Plan(seed=5, quotes=20_000, trades=20_000, securities=1_000)
REQUIRED = {"tradeId", "instrumentId", "price", "quantity", "timestamp", "buySellIndicator"}
# Percent of all trade messages (analytics.md 23.3) of 20,000.
EXPECTED = {
    "negative_price": 160,
    "zero_quantity": 80,
    "future_date": 120,
    "malformed_json": 120,
    "missing_field": 80,
    "wrong_type": 60,
    "unknown_instrument": 80,
    "duplicate": 140,
    "late": 120,
    "fat_finger": 40,
}
# verdict, reject code, what it is in silver, where a person finds it
ROUTING = {
    "negative_price": ("rejected", "PRICE_NOT_POSITIVE", "none", "quarantine"),
    "zero_quantity": ("rejected", "QTY_NOT_POSITIVE", "none", "quarantine"),
    "future_date": ("rejected", "FUTURE_TS", "none", "quarantine"),
    "malformed_json": ("rejected", "PARSE_ERROR", "none", "quarantine"),
    "missing_field": ("rejected", "SCHEMA_MISSING_FIELD", "none", "quarantine"),
    "wrong_type": ("rejected", "SCHEMA_TYPE", "none", "quarantine"),
    "unknown_instrument": ("ok", None, "kept", "parked"),
    "duplicate": ("ok", None, "duplicate", "duplicate"),
    "late": ("ok", None, "kept", "late"),
    "fat_finger": ("ok", None, "kept", "outlier"),
}


@cache
def told() -> pl.DataFrame:
    return truth(PLAN)


@cache
def made(day: date) -> Stream:
    return stream(PLAN, "trades", day)


def messages(kind: str) -> list[tuple[date, int, bytes, str | None]]:
    """(day, place in the stream, bytes, trade id as told) of the messages with that fault."""
    rows = told().filter(kind=kind).select("day", "message", "trade_id").iter_rows()
    return [(day, place, made(day).values[place], trade_id) for day, place, trade_id in rows]


def read(value: bytes) -> dict[str, Any]:
    row = json.loads(value, parse_float=Decimal, parse_int=Decimal)
    assert isinstance(row, dict)
    return row


def faults_found(row: dict[str, Any], recv_ms: int) -> set[str]:
    """What is wrong with a well-formed message, judged from its content alone."""
    if not row.keys() >= REQUIRED:
        return {"missing_field"}
    types_hold = (
        isinstance(row["tradeId"], str)
        and isinstance(row["price"], Decimal)
        and isinstance(row["quantity"], Decimal)
    )
    if not types_hold:
        return {"wrong_type"}
    found = set()
    if row["price"] <= 0:
        found.add("negative_price")
    if row["quantity"] <= 0:
        found.add("zero_quantity")
    lag = recv_ms / 1000 - datetime.fromisoformat(row["timestamp"]).timestamp()
    if lag < -5:
        found.add("future_date")
    if lag > 0.5:
        found.add("late")
    return found


def test_each_kind_of_fault_has_its_exact_share() -> None:
    counted = dict(told().group_by("kind").len().iter_rows())
    assert counted == EXPECTED
    assert len(told()) == 1_000  # 5 %


def test_shares_of_another_size_and_another_fault_share_are_rounded_to_whole_messages() -> None:
    plan = Plan(quotes=1_000, trades=3_333, securities=200, fault_share=0.10)
    counted = dict(truth(plan).group_by("kind").len().iter_rows())
    # 3,333 x 0.10 x (8, 4, 6, 6, 4, 3, 4, 7, 6, 2) / 50
    assert [counted[kind] for kind in EXPECTED] == [53, 27, 40, 40, 27, 20, 27, 47, 40, 13]


def test_without_faults_every_message_is_sound_and_none_repeats() -> None:
    plan = Plan(quotes=1_000, trades=2_000, securities=200, fault_share=0.0)
    assert truth(plan).is_empty()
    values = [value for day in plan.days for value in stream(plan, "trades", day).values]
    assert len(set(values)) == 2_000
    assert all(read(value).keys() >= REQUIRED for value in values)


def test_each_kind_is_routed_as_the_specification_says() -> None:
    routed = told().select("kind", "verdict", "code", "silver", "destination").unique()
    assert {row[0]: row[1:] for row in routed.iter_rows()} == ROUTING


def test_a_message_carries_at_most_one_fault() -> None:
    assert not told().select("dataset", "day", "message").is_duplicated().any()
    assert set(told()["dataset"]) == {"trades"}


def test_malformed_messages_are_not_json_and_all_others_are() -> None:
    malformed = {(day, place) for day, place, _, _ in messages("malformed_json")}
    refused = set()
    for day in PLAN.days:
        for place, value in enumerate(made(day).values):
            try:
                json.loads(value)
            except ValueError:
                refused.add((day, place))
    assert refused == malformed


def test_some_malformed_messages_are_not_even_utf_8() -> None:
    undecodable = 0
    for _, _, value, trade_id in messages("malformed_json"):
        assert trade_id is None
        try:
            value.decode()
        except UnicodeDecodeError:
            undecodable += 1
    assert undecodable == 24  # one way in five


def test_the_content_of_every_well_formed_message_shows_the_fault_told_and_no_other() -> None:
    visible = {"negative_price", "zero_quantity", "future_date", "missing_field", "wrong_type"}
    kinds = {(day, place): kind for day, place, kind in told()["day", "message", "kind"].rows()}
    for day in PLAN.days:
        one = made(day)
        for place, value in enumerate(one.values):
            kind = kinds.get((day, place))
            if kind in ("malformed_json", "duplicate"):
                continue
            expected = {kind} if kind in visible | {"late"} else set()
            assert faults_found(read(value), int(one.recv_ts_ms[place])) == expected


def test_every_required_field_is_missing_from_some_message() -> None:
    missing = set()
    for _, _, value, trade_id in messages("missing_field"):
        row = read(value)
        missing |= REQUIRED - row.keys()
        assert trade_id == row.get("tradeId")
    assert missing == REQUIRED


def test_wrong_types_take_every_form() -> None:
    forms = set()
    for _, _, value, trade_id in messages("wrong_type"):
        row = read(value)
        forms.add((type(row["tradeId"]), type(row["price"]), type(row["quantity"])))
        assert trade_id == (row["tradeId"] if isinstance(row["tradeId"], str) else None)
    assert forms == {
        (str, str, Decimal),
        (str, bool, Decimal),
        (Decimal, Decimal, Decimal),
        (str, Decimal, str),
    }


def test_future_dates_lie_one_day_to_one_year_ahead() -> None:
    for day, place, value, _ in messages("future_date"):
        event = datetime.fromisoformat(read(value)["timestamp"])
        received = datetime.fromtimestamp(made(day).recv_ts_ms[place] / 1000, event.tzinfo)
        assert timedelta(hours=23, minutes=59) < event - received < timedelta(days=365)


def test_late_messages_arrive_1_to_60_seconds_after_they_happen() -> None:
    for day, place, value, _ in messages("late"):
        event = datetime.fromisoformat(read(value)["timestamp"]).timestamp()
        assert 1 <= made(day).recv_ts_ms[place] / 1000 - event <= 60.001


def test_a_duplicate_repeats_an_earlier_sound_message_byte_for_byte_and_arrives_later() -> None:
    faulty = {(day, place) for day, place in told()["day", "message"].iter_rows()}
    for day, place, value, trade_id in messages("duplicate"):
        one = made(day)
        first = one.values.index(value)
        assert first < place
        assert (day, first) not in faulty
        assert one.recv_ts_ms[first] < one.recv_ts_ms[place]
        assert one.keys[first] == one.keys[place]
        assert read(value)["tradeId"] == trade_id


def test_a_trade_id_occurs_once_unless_it_is_a_duplicate() -> None:
    ids = []
    for day in PLAN.days:
        copies = set(told().filter(day=day, kind="duplicate")["message"])
        for place, value in enumerate(made(day).values):
            if place in copies:
                continue
            try:
                ids.append(read(value).get("tradeId"))
            except ValueError:
                continue
    readable = [trade_id for trade_id in ids if isinstance(trade_id, str)]
    assert len(readable) == len(set(readable))
    assert all(trade_id.startswith("TRD_") for trade_id in readable)


def test_a_fat_finger_is_ten_times_or_a_tenth_of_what_was_meant() -> None:
    ratios = [
        read(value)["price"] / read(meant)["price"] for value, meant in with_original("fat_finger")
    ]
    assert ratios.count(Decimal(10)) == 20
    assert [ratio for ratio in ratios if ratio != 10] == pytest.approx(
        [Decimal("0.1")] * 20, rel=Decimal("1e-4")
    )


def with_original(kind: str) -> list[tuple[bytes, bytes]]:
    """The messages with that fault as sent, and as the truth table says they were meant."""
    originals = told().filter(kind=kind)["original"]
    return [(m[2], text.encode()) for m, text in zip(messages(kind), originals, strict=True)]


def test_the_truth_table_holds_the_digest_of_each_message() -> None:
    for kind in EXPECTED:
        digests = told().filter(kind=kind)["digest"].to_list()
        assert digests == [md5(value).hexdigest() for _, _, value, _ in messages(kind)]


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("negative_price", {"price"}),
        ("zero_quantity", {"quantity"}),
        ("future_date", {"timestamp"}),
        ("unknown_instrument", {"instrumentId"}),
        ("fat_finger", {"price"}),
        ("late", set()),
        ("duplicate", set()),
    ],
)
def test_a_fault_of_value_changes_one_field_of_a_sound_message(
    kind: str, changed: set[str]
) -> None:
    for value, original in with_original(kind):
        sent, meant = read(value), read(original)
        assert {
            key for key in sent.keys() | meant.keys() if sent.get(key) != meant.get(key)
        } == changed
        assert (
            faults_found(meant, int(datetime.fromisoformat(meant["timestamp"]).timestamp() * 1000))
            == set()
        )


def test_a_negative_price_is_the_price_with_its_sign_turned() -> None:
    for value, original in with_original("negative_price"):
        assert read(value)["price"] == -read(original)["price"]


def test_a_text_fault_is_of_a_sound_message() -> None:
    for kind in ("malformed_json", "missing_field", "wrong_type"):
        for value, original in with_original(kind):
            assert value != original
            assert read(original).keys() >= REQUIRED


@pytest.mark.parametrize(("trades", "quotes"), [(1, 2), (3, 2), (50, 7), (1_000, 100)])
def test_small_markets_have_as_many_faults_as_their_share_says(trades: int, quotes: int) -> None:
    plan = Plan(quotes=quotes, trades=trades, securities=100, fault_share=0.5)
    values = [value for day in plan.days for value in stream(plan, "trades", day).values]
    assert len(values) == trades
    counted = dict(truth(plan).group_by("kind").len().iter_rows())
    expected = {kind: round(trades * 0.5 * share / 1_000) for kind, share in EXPECTED.items()}
    assert counted == {kind: count for kind, count in expected.items() if count}
