"""Strict decoding of JSON: exact values, and one bad record never costs its neighbours."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, localcontext

import polars as pl
import pytest

from contracts import registry
from contracts.base import Contract
from ingestion.batch import Decoded
from ingestion.decode import decode_json

LIMIT = 262_144
TRADES = registry.get("trades")
NOON_NS = 1_759_406_400_000_000_000  # 2025-10-02T12:00:00Z

GOOD = (
    b'{"tradeId":"T1","instrumentId":"BOND_12345","price":99.60,"quantity":250000,'
    b'"timestamp":"2025-10-02T12:00:00Z","buySellIndicator":"B"}'
)


def with_price(text: str) -> bytes:
    return GOOD.replace(b"99.60", text.encode())


def with_time(text: str) -> bytes:
    return GOOD.replace(b'"2025-10-02T12:00:00Z"', text.encode())


def with_more(text: str) -> bytes:
    return GOOD[:-1] + b"," + text.encode() + b"}"


def decode(*records: bytes, contract: Contract = TRADES) -> Decoded:
    return decode_json(contract, records, LIMIT)


def code_of(record: bytes) -> str:
    decoded = decode(GOOD, record, GOOD)
    assert decoded.frame["i"].to_list() == [0, 2], "the neighbours were lost"
    assert decoded.rejects["i"].to_list() == [1]
    assert decoded.rejects["message"][0]
    return str(decoded.rejects["code"][0])


def price_of(text: str) -> Decimal:
    decoded = decode(with_price(text))
    assert decoded.rejects.is_empty(), decoded.rejects.rows()
    price = decoded.frame["price"][0]
    assert isinstance(price, Decimal)
    return price


def time_of(text: str) -> int:
    decoded = decode(with_time(text))
    assert decoded.rejects.is_empty(), decoded.rejects.rows()
    return int(decoded.frame["event_ts_ns"][0])


def test_the_sample_trade_decodes_to_its_own_values() -> None:
    row = decode(GOOD).frame.row(0, named=True)
    expected = {
        "trade_id": "T1",
        "instrument_id": "BOND_12345",
        "price": Decimal("99.6"),
        "quantity": Decimal(250000),
        "event_ts_ns": NOON_NS,
        "side": "B",
        "i": 0,
    }
    absent = dict.fromkeys(set(TRADES.names()) - set(expected))
    assert row == {**expected, **absent}


def test_a_batch_without_records_is_an_empty_frame_with_the_contracts_types() -> None:
    decoded = decode()
    assert decoded.frame.height == decoded.rejects.height == 0
    assert decoded.frame.schema["price"] == pl.Decimal(18, 9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.10", "1.1"),
        ("1e-3", "0.001"),
        ("1E+2", "100"),
        ('"99.7"', "99.7"),
        ("-5.25", "-5.25"),
        ("-0.0", "0"),
        ("0.000000001", "0.000000001"),
        ("999999999.999999999", "999999999.999999999"),
        ("1.00000000000000000000", "1"),
        ("100e-11", "0.000000001"),
        ("0e999999", "0"),
    ],
)
def test_a_number_that_fits_is_taken_exactly(text: str, value: str) -> None:
    assert price_of(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "99.1234567891",
        "1.0000000000000000000000000001",  # the default decimal context would round this to 1
        "1000000000",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "9" * 400,
        "9" * 5000,
        '"abc"',
        '""',
        '" 99.7"',
        '"9_9"',
        '"\u0669\u0669"',  # digits, but not ours
        "true",
        '{"a":1}',
        "[99.6]",
    ],
)
def test_a_number_that_would_have_to_be_changed_is_the_wrong_type(text: str) -> None:
    assert code_of(with_price(text)) == "SCHEMA_TYPE"


def test_a_quantity_of_29_digits_is_not_rounded_to_28() -> None:
    record = GOOD.replace(b"250000", b"12345678901234567890.123456789")
    assert code_of(record) == "SCHEMA_TYPE"


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", '"NaN"', '"inf"', '"-Infinity"', '"NaN123"', '"sNaN"']
)
def test_a_number_that_is_not_finite_has_its_own_code(text: str) -> None:
    assert code_of(with_price(text)) == "NON_FINITE"


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"not json", "PARSE_ERROR"),
        (GOOD[:-1] + b"x", "PARSE_ERROR"),
        (b"[1,2]", "SCHEMA_TYPE"),
        (b"null", "SCHEMA_TYPE"),
        (GOOD.replace(b'"price":99.60,', b""), "SCHEMA_MISSING_FIELD"),
        (GOOD.replace(b'"tradeId":"T1",', b""), "SCHEMA_MISSING_FIELD"),
        (GOOD.replace(b'"T1"', b"1"), "SCHEMA_TYPE"),
        (with_more('"sequence":"1"'), "SCHEMA_TYPE"),
        (with_more('"sequence":1.5'), "SCHEMA_TYPE"),
        (with_more('"sequence":9223372036854775808'), "SCHEMA_TYPE"),
        (with_more('"unheardOf":1'), "SCHEMA_TYPE"),
        (with_more('"price":99.61'), "PARSE_ERROR"),
        (with_more('"pric\\u0065":99.61'), "PARSE_ERROR"),
        (with_more('"venue":"A","venue":"B"'), "PARSE_ERROR"),
        (with_more('"venue":"A","venue":null'), "PARSE_ERROR"),
        (with_more('"sequence":1,"sequence":1'), "PARSE_ERROR"),
        (GOOD.replace(b"BOND", b"B\xffND"), "PARSE_ERROR"),
        (GOOD.replace(b"99.60", b'"\xff"'), "PARSE_ERROR"),
        (GOOD.replace(b"99.60", b'"\xff","price":99.60'), "PARSE_ERROR"),
        (GOOD.replace(b"tradeId", b"trade\xffId"), "PARSE_ERROR"),
        (GOOD.replace(b"BOND", b"\\ud800"), "PARSE_ERROR"),
        (b"[" * 100_000, "SCHEMA_TYPE"),
        (with_price("[" * 5000 + "]" * 5000), "PARSE_ERROR"),
    ],
)
def test_each_poison_is_rejected_alone_with_its_code(record: bytes, code: str) -> None:
    assert code_of(record) == code


def test_a_megabyte_of_json_is_too_large_and_keeps_its_size_in_the_message() -> None:
    record = with_more(f'"venue":"{"x" * 1_000_000}"')
    decoded = decode(record, GOOD)
    assert decoded.rejects["code"].to_list() == ["PARSE_ERROR"]
    assert decoded.rejects["message"].to_list() == [f"{len(record)} bytes; the limit is {LIMIT}"]


def test_a_repeated_key_is_found_beside_escaped_quotes_and_a_number_too_long_for_python() -> None:
    trader = '"trader":"a \\"quoted\\" name"'
    assert code_of(with_more(f'{trader},"venue":"A","venue":"A"')) == "PARSE_ERROR"
    too_long = with_more(trader).replace(b"99.60", b"9" * 5000)
    assert code_of(too_long) == "SCHEMA_TYPE"


def test_escapes_in_a_string_are_read_and_are_not_taken_for_a_repeated_key() -> None:
    decoded = decode(with_more('"trader":"a \\"b\\" \\u00e9 \\\\","venue":null'))
    assert decoded.rejects.is_empty()
    assert decoded.frame["trader_id"].to_list() == ['a "b" \u00e9 \\']


def test_an_empty_string_is_absence() -> None:
    assert decode(with_more('"venue":""')).frame["venue"].to_list() == [None]


def test_null_in_a_required_field_is_left_to_the_contract_check() -> None:
    decoded = decode(GOOD.replace(b"99.60", b"null"))
    assert decoded.rejects.is_empty()
    assert decoded.frame["price"].to_list() == [None]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ('"2025-10-02T12:00:00.000Z"', NOON_NS),
        ('"2025-10-02T14:00:00+02:00"', NOON_NS),
        ('"2025-10-02T06:30:00-05:30"', NOON_NS),
        ('"2025-10-02T12:00:00.123456789Z"', NOON_NS + 123_456_789),
        ('"2025-10-02T12:00:00.1Z"', NOON_NS + 100_000_000),
        ("1759406400000", NOON_NS),
        ("1759406400001", NOON_NS + 1_000_000),
        ('"9999-12-31T23:59:59Z"', 2**63 - 1),
        ('"1500-01-01T00:00:00Z"', -(2**63) + 1),
    ],
)
def test_a_time_is_nanoseconds_since_epoch_and_stays_inside_64_bits(
    text: str, nanoseconds: int
) -> None:
    assert time_of(text) == nanoseconds


@pytest.mark.parametrize("text", ['"2025-10-02T12:00:00"', '"2025-10-02T12:00:00.123"'])
def test_a_time_without_a_zone_is_out_of_range(text: str) -> None:
    assert code_of(with_time(text)) == "TS_OUT_OF_RANGE"


@pytest.mark.parametrize("text", ['"yesterday"', '"2025-13-02T12:00:00Z"', "1.5", "true", '""'])
def test_what_is_no_time_is_the_wrong_type(text: str) -> None:
    assert code_of(with_time(text)) == "SCHEMA_TYPE"


def number_text(rng: random.Random) -> str:
    whole = rng.choice(
        ["0", str(rng.randrange(10)), str(rng.randrange(10 ** rng.randrange(1, 13)))]
    )
    fraction = "".join(rng.choice("0123456789") for _ in range(rng.randrange(0, 13)))
    exponent = rng.choice(["", "", "", f"e{rng.randrange(-12, 12)}"])
    text = f"{rng.choice(['', '-'])}{whole}{'.' if fraction else ''}{fraction}{exponent}"
    return f'"{text}"' if rng.random() < 0.3 else text


def fits(number: Decimal, whole: int, scale: int) -> bool:
    with localcontext() as context:
        context.prec = 60
        return abs(number) < Decimal(10) ** whole and number == round(number, scale)


@pytest.mark.parametrize("seed", range(5))
def test_random_numbers_equal_what_pythons_own_json_and_decimal_read(seed: int) -> None:
    rng = random.Random(seed)
    records, expected, rejected = [], {}, set()
    for place in range(400):
        price = number_text(rng)
        records.append(with_price(price))
        read = json.loads(records[-1], parse_float=Decimal, parse_int=Decimal)["price"]
        if fits(Decimal(read), 9, 9):
            expected[place] = Decimal(read)
        else:
            rejected.add(place)
    decoded = decode(*records)
    assert dict(zip(decoded.frame["i"], decoded.frame["price"], strict=True)) == expected
    assert set(decoded.rejects["i"]) == rejected
    assert set(decoded.rejects["code"]) <= {"SCHEMA_TYPE"}


@pytest.mark.parametrize("seed", range(3))
def test_random_times_equal_what_pythons_own_datetime_reads(seed: int) -> None:
    rng = random.Random(seed)
    start = datetime(1990, 1, 1, tzinfo=UTC)
    records, expected = [], []
    for _ in range(300):
        micros = rng.randrange(0, 40 * 365 * 86_400_000_000)
        moment = start + timedelta(microseconds=micros)
        shifted = moment.astimezone(timezone(timedelta(minutes=rng.randrange(-720, 720))))
        records.append(with_time(f'"{shifted.isoformat(timespec="microseconds")}"'))
        expected.append((631_152_000_000_000 + micros) * 1000)
    assert decode(*records).frame["event_ts_ns"].to_list() == expected


def test_random_garbage_never_loses_a_record_and_never_stops_the_batch() -> None:
    rng = random.Random(11)
    records = [GOOD]
    for _ in range(1500):
        mutant = bytearray(GOOD)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(mutant))
            match rng.randrange(3):
                case 0:
                    mutant[place] = rng.randrange(256)
                case 1:
                    del mutant[place]
                case _:
                    mutant.insert(place, rng.choice(b'"\\{}[],:0e9n\xff'))
        records.append(bytes(mutant))
    decoded = decode(*records)
    places = [*decoded.frame["i"], *decoded.rejects["i"]]
    assert sorted(places) == list(range(len(records)))
