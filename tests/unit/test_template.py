"""Records decoded together come out as each would alone: same rows, same rejects, same codes."""

import json
import random
import re
from datetime import UTC, datetime
from itertools import islice

import pytest

from contracts import registry
from contracts.base import Contract
from ingestion.decode import decode_json, decode_singly
from ingestion.laid_out import LaidOut
from ingestion.template import FEWEST, decode_alike, learn
from tests.faults.messages import messages
from tests.faults.records import sound

LIMIT = 2_000
TRADES = registry.get("trades")
MOMENT = datetime(2025, 10, 2, 23, 30, tzinfo=UTC)
FLAT = sorted(name for name in registry.all_contracts() if name != "posts")


def trade(number: int, **members: str) -> bytes:
    """A trade as a producer writes it; `members` are JSON texts, on top of the plain ones."""
    facts = {
        "tradeId": f'"T{number}"',
        "instrumentId": f'"BOND_{number % 7}"',
        "price": f"{90 + number % 20}.{number % 1000:03}",
        "quantity": str(1_000 * (1 + number % 9)),
        "timestamp": f'"2025-10-02T14:{number % 60:02}:00.{number % 1000:03}Z"',
        "buySellIndicator": '"B"' if number % 2 else '"S"',
        **members,
    }
    return ("{" + ",".join(f'"{key}":{text}' for key, text in facts.items()) + "}").encode()


def assert_same(contract: Contract, records: list[bytes]) -> None:
    """Decoding them together gives what parsing each for itself gives."""
    together = decode_json(contract, records, LIMIT)
    alone = decode_singly(contract, records, range(len(records)), LIMIT)
    assert together.frame.schema == alone.frame.schema
    assert together.frame.rows() == alone.frame.rows()
    assert sorted(together.rejects.rows()) == sorted(alone.rejects.rows())


def taken(records: list[bytes], contract: Contract = TRADES) -> int:
    return decode_alike(contract, records, LIMIT)[0].height


def test_plain_trades_are_all_decoded_together_and_right() -> None:
    records = [trade(number) for number in range(500)]
    rows, others = decode_alike(TRADES, records, LIMIT)
    assert (rows.height, others) == (500, [])
    assert_same(TRADES, records)


def test_records_that_lie_in_one_buffer_already_decode_as_a_list_of_them_does() -> None:
    records = [trade(number) for number in range(200)] + [b"", b"{", b"\xff\n\n"]
    laid_out = decode_json(TRADES, LaidOut.of(records), LIMIT)
    listed = decode_json(TRADES, records, LIMIT)
    assert list(LaidOut.of(records)) == records
    assert laid_out.frame.equals(listed.frame)
    assert laid_out.rejects.equals(listed.rejects)


def test_two_producers_that_write_differently_are_both_decoded_together() -> None:
    short = [trade(number) for number in range(300)]
    long = [trade(number, venue='"XNYS"', sequence=str(number)) for number in range(100)]
    spaced = [json.dumps(json.loads(trade(number))).encode() for number in range(150)]
    records = [*short, *long, *spaced]
    random.Random(1).shuffle(records)
    assert taken(records) == 550
    assert_same(TRADES, records)


@pytest.mark.parametrize("dataset", FLAT)
def test_sound_and_poisoned_records_of_every_dataset_decode_as_each_would_alone(
    dataset: str,
) -> None:
    for seed in range(3):
        sent = messages(seed, dataset, 400, 1)
        assert_same(registry.get(dataset), [message.value or b"" for message in sent])


@pytest.mark.parametrize("dataset", FLAT)
def test_many_records_of_one_shape_decode_together_and_as_each_would_alone(
    dataset: str,
) -> None:
    contract, rng = registry.get(dataset), random.Random(dataset)
    drawn = (sound(rng, dataset, number, MOMENT).encode() for number in range(10_000))
    plain = (one for one in drawn if one.isascii() and not re.search(rb"\\|[eE]-|\+02:00", one))
    for shape in islice(plain, 8):
        assert taken([shape] * 100, contract) == 100
        assert_same(contract, [_other_digits(rng, shape) for _ in range(100)])


def _other_digits(rng: random.Random, record: bytes) -> bytes:
    return bytes(
        rng.choice(b"0123456789") if byte in b"0123456789" and rng.random() < 0.2 else byte
        for byte in record
    )


@pytest.mark.parametrize("seed", range(12))
def test_bytes_changed_at_random_never_make_a_record_come_out_otherwise_than_alone(
    seed: int,
) -> None:
    rng = random.Random(seed)
    records = [trade(number, venue='"XNYS"') for number in range(300)]
    signs = b'{}[]",:\\ \n\t\x00\x1f\x7f\x80\xff0123456789.-+eEtrufalsnTZ'
    for place in range(0, 300, 2):
        record = bytearray(records[place])
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(record))
            kind = rng.randrange(4)
            if kind == 0:
                record[at] = rng.choice(signs)
            elif kind == 1:
                del record[at]
            elif kind == 2:
                record.insert(at, rng.choice(signs))
            else:
                record[at:at] = record[at : at + rng.randint(1, 20)]
        records[place] = bytes(record)
    assert_same(TRADES, records)


NUMBERS = [
    "0", "-0", "-0.0", "00", "01", "-01.5", "1.", ".5", "-.5", "+1", "1e2", "1E-2", "1.5e3", "-",
    "--1", "1-1", "1.2.3", "1_0", "0x10", "NaN", "Infinity", "null", "true", '"1.5"', '"1e2"',
    '""', '"abc"', "123456789", "1234567890", "0.123456789", "0.1234567890",
    "999999999.999999999", "1 ", " 1", "1,2", "99999999999999999999999999999",
    "0.000000000000000000000000000001", "[1]", "{}",
]  # fmt: skip


@pytest.mark.parametrize("member", ["price", "quantity", "sequence", "version"])
def test_numbers_of_every_form_decode_as_each_would_alone(member: str) -> None:
    plain = [trade(number, **{member: str(number + 1)}) for number in range(FEWEST * 2)]
    odd = [trade(number, **{member: text}) for number, text in enumerate(NUMBERS)]
    odd += [trade(0, **{member: "9" * size}) for size in (17, 18, 19, 20)]
    assert taken(plain) == len(plain)
    assert_same(TRADES, [*odd, *plain])


TIMES = [
    "2025-10-02T14:30:00Z", "2025-10-02T14:30:00.1Z", "2025-10-02T14:30:00.12345678Z",
    "2025-10-02T14:30:00.123456789Z", "2025-10-02T14:30:00.1234567891Z", "2025-10-02T14:30:00.Z",
    "2024-02-29T23:59:59.999Z", "2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
    "2000-02-29T00:00:00Z", "2025-00-10T00:00:00Z", "2025-13-10T00:00:00Z",
    "2025-04-31T00:00:00Z", "2025-10-00T00:00:00Z", "2025-10-02T24:00:00Z",
    "2025-10-02T23:60:00Z", "2025-10-02T23:59:60Z", "2025-10-02T23:59:61Z",
    "1699-12-31T23:59:59Z", "1700-01-01T00:00:00Z", "2199-12-31T23:59:59.999999999Z",
    "2200-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "2025-10-02T14:30:00.123+02:00",
    "2025-10-02T14:30:00", "2025-10-02 14:30:00Z", "2025-10-02t14:30:00z", "2025-10-02T14:30Z",
    "20251002T143000Z", "2025-10-02T14:30:00.12a4Z", "2025-1o-02T14:30:00.123Z",
    "2025-10-02T14:30:00,123Z", "2025-10-02T14:30:00.123z", "", "Z",
    "2025-10-02T14:30:00.1234567a9Z", "2025-10-02T14:30:00.12345678aZ",
    "2025/10/02T14:30:00.123Z", "2025-10-02T14.30.00.123Z", ":025-10-02T14:30:00.123Z",
    "2025-10-02T1/:30:00.123Z", "2025-10-02T14:30:00.123ZZ",
]  # fmt: skip


def test_times_of_every_form_decode_as_each_would_alone() -> None:
    plain = [trade(number) for number in range(FEWEST * 2)]
    odd = [trade(number, timestamp=f'"{text}"') for number, text in enumerate(TIMES)]
    more = ["1759415400250", "0", "-1", "1e12", "9223372036854775807", "92233720368547758070"]
    odd += [trade(0, timestamp=text) for text in more]
    assert_same(TRADES, [*odd, *plain])
    whole = [trade(number, timestamp='"2025-10-02T14:30:00Z"') for number in range(FEWEST)]
    assert taken(whole) == FEWEST
    assert_same(TRADES, whole)


@pytest.mark.parametrize("seed", range(4))
def test_random_times_are_the_nanoseconds_that_pythons_own_datetime_reads(seed: int) -> None:
    rng = random.Random(seed)
    first = datetime(1700, 1, 1, tzinfo=UTC)
    micros = [rng.randrange(500 * 365 * 86_400 * 10**6) for _ in range(300)]
    epoch = (first - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400 * 10**6
    stamps = [datetime.fromtimestamp((m + epoch) / 10**6, UTC).replace(microsecond=m % 10**6)
              for m in micros]  # fmt: skip
    tails = [rng.randrange(1000) for _ in stamps]
    texts = [f'"{s:%Y-%m-%dT%H:%M:%S.%f}{tail:03}Z"' for s, tail in zip(stamps, tails, strict=True)]
    records = [trade(n, timestamp=text) for n, text in enumerate(texts)]
    rows, others = decode_alike(TRADES, records, LIMIT)
    since = [stamp - datetime(1970, 1, 1, tzinfo=UTC) for stamp in stamps]
    expected = [((s.days * 86_400 + s.seconds) * 10**6 + s.microseconds) * 1000 + tail
                for s, tail in zip(since, tails, strict=True)]  # fmt: skip
    assert others == []
    assert rows["event_ts_ns"].to_list() == expected


def test_texts_of_every_length_and_letter_decode_as_each_would_alone() -> None:
    texts = ["x" * size for size in range(40)]
    texts += [
        'a":1,"b',
        "}",
        "{",
        ",",
        " a ",
        "é",
        "株",
        "\x7f",
        "null",
        "1",
        "\\u0041",
        "\\n",
        "a\tb",
    ]
    records = [trade(number, trader=f'"{texts[number % len(texts)]}"') for number in range(400)]
    assert_same(TRADES, records)


def test_a_record_split_over_two_or_joined_to_its_neighbour_is_not_taken_for_whole() -> None:
    whole = trade(1)
    cut = whole.index(b',"price"')
    hidden = trade(2, tradeId='"a}\n{b"')
    records = [trade(number) for number in range(FEWEST)]
    records += [whole[:cut], whole[cut + 1 :], whole + b"," + whole, whole + b"\n" + whole, hidden]
    assert_same(TRADES, records)
    assert decode_json(TRADES, records, LIMIT).rejects.height == 5


def test_a_record_over_the_limit_is_rejected_though_it_is_like_the_others() -> None:
    records = [trade(number) for number in range(FEWEST)]
    records.append(trade(1, tradeId='"' + "T" * LIMIT + '"'))
    decoded = decode_json(TRADES, records, LIMIT)
    assert decoded.rejects["i"].to_list() == [FEWEST]
    assert decoded.frame.height == FEWEST


@pytest.mark.parametrize(
    "record",
    [
        trade(1, price="true"),
        trade(1, price="{}"),
        trade(1, price="1e5"),
        trade(1)[:-1] + b',"price":1}',
        trade(1, unknown="1"),
        b"[]",
    ],
)
def test_a_template_is_not_learned_from_what_is_wrong_or_read_otherwise(record: bytes) -> None:
    assert learn(TRADES, record) is None
    assert_same(TRADES, [record] * (FEWEST * 2))
