"""A record's first byte says which of the two wire forms it has."""

import random

import pytest

from contracts import registry
from ingestion.compact import encode_compact
from ingestion.decode import decode_json
from ingestion.laid_out import LaidOut
from ingestion.wire import decode_wire

LIMIT = 2_000
TRADES = registry.get("trades")


def trade(number: int) -> bytes:
    return (
        f'{{"tradeId":"T{number}","instrumentId":"BOND_1","price":{100 + number}.25,'
        f'"quantity":7,"timestamp":"2025-10-02T14:30:{number % 60:02}.000{number % 10}Z",'
        '"buySellIndicator":"B"}'
    ).encode()


@pytest.mark.parametrize("shape", [list, LaidOut.of])
def test_a_batch_of_both_forms_gives_the_rows_that_json_alone_would(shape: type) -> None:
    json = [trade(number) for number in range(200)]
    compact = encode_compact(TRADES, decode_json(TRADES, json, LIMIT).frame.drop("i"))
    rng = random.Random(7)
    mixed = [rng.choice(forms) for forms in zip(json, compact, strict=True)]
    assert 50 < sum(record.startswith(b"#") for record in mixed) < 150
    decoded = decode_wire(TRADES, shape(mixed), LIMIT)
    assert decoded.rejects.is_empty()
    assert decoded.frame.equals(decode_json(TRADES, json, LIMIT).frame)


def test_rejects_of_both_forms_keep_their_places() -> None:
    records = [trade(0), b"#2,", b"{", b"", b"#", trade(1), b"#9,T", b"# not compact"]
    decoded = decode_wire(TRADES, records, LIMIT)
    assert decoded.frame["i"].to_list() == [0, 1, 5]  # nothing but nulls: the contract's business
    assert sorted(decoded.rejects["i"]) == [2, 3, 4, 6, 7]


def test_a_batch_of_one_form_is_decoded_as_it_is() -> None:
    json = [trade(number) for number in range(3)]
    compact = encode_compact(TRADES, decode_json(TRADES, json, LIMIT).frame.drop("i"))
    for records in (json, compact):
        assert decode_wire(TRADES, records, LIMIT).frame["trade_id"].to_list() == ["T0", "T1", "T2"]
    assert decode_wire(TRADES, [], LIMIT).frame.is_empty()
