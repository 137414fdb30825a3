"""The compact wire format says what JSON says, to the last digit, and is read as strictly."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from contracts import registry
from ingestion.batch import Decoded
from ingestion.compact import decode_compact, encode_compact
from ingestion.decode import decode_json
from ingestion.generate.presets import make_plan
from ingestion.generate.sinks import Job, compacted
from ingestion.generate.stream import blocks
from lake.settings import Settings
from tests.oracle_wire import WIRE

LIMIT = 262_144
TRADES = registry.get("trades")
SAMPLE = b"#2,TRD_98765,BOND_12345,,99600000000,25000000000000,1759406401000000,B"
SAMPLE_JSON = (
    b'{"tradeId":"TRD_98765","instrumentId":"BOND_12345","price":99.60,"quantity":250000,'
    b'"timestamp":"2025-10-02T12:00:01Z","buySellIndicator":"B"}'
)
# Digits before and after the point, as analytics.md 0.3 has them.
DIGITS = {"price": (9, 9), "size": (20, 8), "money": (20, 8), "ratio": (20, 18)}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALPHABET = "AZ09_ ,\"'\\[]{}#;:\n\t\u00e9\u20ac\U0001f600"

Value = tuple[str, str]  # as JSON, and as the compact format has it


def a_text(rng: random.Random) -> Value:
    text = "".join(rng.choices(ALPHABET, k=rng.randrange(1, 12))) + "x"
    bare = not any(c in ',"' or c < " " for c in text)
    return json.dumps(text), text if bare else json.dumps(text, ensure_ascii=False)


def a_list(rng: random.Random) -> Value:
    texts = [json.loads(a_text(rng)[0]) for _ in range(rng.randrange(3))]
    return json.dumps(texts), json.dumps(texts, ensure_ascii=False)


def a_decimal(kind: str) -> Callable[[random.Random], Value]:
    whole, places = DIGITS[kind]

    def make(rng: random.Random) -> Value:
        units = rng.randrange(10 ** rng.randrange(1, whole + places)) * rng.choice([1, -1])
        sign, digits = "-" * (units < 0), f"{abs(units):0{places + 1}d}"
        return f"{sign}{digits[:-places]}.{digits[-places:]}", str(units)

    return make


def an_integer(rng: random.Random) -> Value:
    number = rng.choice([0, -(2**63), 2**63 - 1, rng.randrange(10**6)])
    return str(number), str(number)


def a_boolean(rng: random.Random) -> Value:
    return rng.choice([("true", "1"), ("false", "0")])


def a_time(rng: random.Random) -> Value:
    micros = rng.randrange(8 * 10**15)
    return json.dumps((EPOCH + timedelta(microseconds=micros)).isoformat()), str(micros)


MAKE: dict[str, Callable[[random.Random], Value]] = {
    "text": a_text,
    "texts": a_list,
    "integer": an_integer,
    "boolean": a_boolean,
    "time": a_time,
    **{kind: a_decimal(kind) for kind in DIGITS},
}


def a_record(dataset: str, rng: random.Random) -> tuple[bytes, bytes]:
    """The same record in both forms, written without the project's help."""
    order = [column.wire for column in registry.get(dataset).columns]
    members, fields = [], []
    for key in order:
        kind = WIRE[dataset][key][1]
        if kind.endswith("!") or rng.random() < 0.7:
            said, written = MAKE[kind.rstrip("!*")](rng)
            members.append(f'"{key}":{said}')
            fields.append(written)
        else:
            members += [f'"{key}":null'] if kind.endswith("*") else []
            fields.append("")
    while fields and not fields[-1] and rng.random() < 0.9:
        fields.pop()
    tag = f"#{registry.get(dataset).version},"
    return f"{{{','.join(members)}}}".encode(), (tag + ",".join(fields)).encode()


def codes(decoded: Decoded) -> dict[int, str]:
    return dict(zip(decoded.rejects["i"], decoded.rejects["code"], strict=True))


def test_the_sample_trade_is_read_as_its_json_is() -> None:
    decoded = decode_compact(TRADES, [SAMPLE], LIMIT)
    row = decoded.frame.row(0, named=True)
    assert (row["trade_id"], row["instrument_id"], row["venue"]) == (
        "TRD_98765",
        "BOND_12345",
        None,
    )
    assert (row["price"], row["quantity"]) == (Decimal("99.6"), Decimal(250_000))
    assert (row["event_ts_ns"], row["side"]) == (1_759_406_401_000_000_000, "B")
    from_json = decode_json(TRADES, [SAMPLE_JSON], LIMIT).frame
    assert decoded.frame.equals(from_json)
    assert encode_compact(TRADES, from_json) == [SAMPLE]


@pytest.mark.parametrize("dataset", registry.all_contracts())
@pytest.mark.parametrize("seed", range(3))
def test_both_forms_of_any_record_give_the_same_values(dataset: str, seed: int) -> None:
    contract = registry.get(dataset)
    rng = random.Random(f"{dataset}{seed}")
    pairs = [a_record(dataset, rng) for _ in range(300)]
    from_json = decode_json(contract, [both[0] for both in pairs], LIMIT)
    from_lines = decode_compact(contract, [both[1] for both in pairs], LIMIT)
    assert from_json.rejects.is_empty()
    assert from_lines.rejects.rows() == []
    assert from_lines.frame.equals(from_json.frame)
    again = encode_compact(contract, from_json.frame)
    assert not any(b"\n" in record for record in again)
    assert decode_compact(contract, again, LIMIT).frame.equals(from_json.frame)


def test_each_poison_record_is_rejected_alone_with_its_code() -> None:
    poison = {
        b"": "PARSE_ERROR",
        b"#": "PARSE_ERROR",
        b"#,T": "PARSE_ERROR",
        b"#x,T": "PARSE_ERROR",
        b"#2": "PARSE_ERROR",
        b"# 2,T": "PARSE_ERROR",
        b"2,T": "PARSE_ERROR",
        b"#3,T": "SCHEMA_TYPE",
        b"#0,T": "SCHEMA_TYPE",
        b"#2,\xff\xfe": "PARSE_ERROR",
        SAMPLE + b"," * 9: "PARSE_ERROR",
        SAMPLE + b"\n" + SAMPLE: "PARSE_ERROR",
        SAMPLE.replace(b"BOND_12345", b"B" * LIMIT): "PARSE_ERROR",
        SAMPLE.replace(b"BOND_12345", b'"BOND'): "PARSE_ERROR",
        SAMPLE.replace(b"BOND_12345", b'BO"ND'): "PARSE_ERROR",
        SAMPLE.replace(b"BOND_12345", b'"BOND"x'): "PARSE_ERROR",
        SAMPLE.replace(b"BOND_12345", b'"\\ud800"'): "PARSE_ERROR",
        SAMPLE.replace(b"BOND_12345", b'"BO\nND"'): "PARSE_ERROR",
        SAMPLE.replace(b"99600000000", b"99.60"): "SCHEMA_TYPE",
        SAMPLE.replace(b"99600000000", b"9e10"): "SCHEMA_TYPE",
        SAMPLE.replace(b"99600000000", b"0x10"): "SCHEMA_TYPE",
        SAMPLE.replace(b"99600000000", b" 1"): "SCHEMA_TYPE",
        SAMPLE.replace(b"99600000000", b'"1"'): "SCHEMA_TYPE",
        SAMPLE.replace(b"99600000000", b"1000000000000000000"): "SCHEMA_TYPE",
        SAMPLE.replace(b"99600000000", b"9" * 30): "SCHEMA_TYPE",
        SAMPLE.replace(b"99600000000", b"NaN"): "NON_FINITE",
        SAMPLE.replace(b"25000000000000", b"-Infinity"): "NON_FINITE",
        SAMPLE.replace(b"25000000000000", b"9" * 29): "SCHEMA_TYPE",
        SAMPLE.replace(b"1759406401000000", b"2025-10-02T12:00:01Z"): "SCHEMA_TYPE",
        SAMPLE.replace(b"1759406401000000", b"9" * 20): "SCHEMA_TYPE",
        SAMPLE + b",,,,2": "SCHEMA_TYPE",
        SAMPLE + b",,,,true": "SCHEMA_TYPE",
    }
    records = [SAMPLE]
    for record in poison:
        records += [record, SAMPLE]
    decoded = decode_compact(TRADES, records, LIMIT)
    assert codes(decoded) == dict(zip(range(1, len(records), 2), poison.values(), strict=True))
    assert decoded.frame["i"].to_list() == list(range(0, len(records), 2))
    alone = decode_compact(TRADES, [SAMPLE] * len(decoded.frame), LIMIT)
    assert decoded.frame.drop("i").equals(alone.frame.drop("i"))


@pytest.mark.parametrize("seed", range(6))
def test_bytes_at_random_never_cost_a_neighbour_and_never_stop_the_reader(seed: int) -> None:
    rng = random.Random(seed)
    records = []
    for _ in range(200):
        broken = bytearray(SAMPLE)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(len(broken))] = rng.choice(b'#2,"[]\\-.\n\x00\xff9Z')
        records += [bytes(broken), SAMPLE]
    decoded = decode_compact(TRADES, records, LIMIT)
    good, bad = set(decoded.frame["i"]), set(decoded.rejects["i"])
    assert good | bad == set(range(len(records)))
    assert not good & bad
    assert good >= set(range(1, len(records), 2))


def test_a_record_that_wants_quotes_does_not_change_how_its_neighbours_are_read() -> None:
    plain = [SAMPLE.replace(b"BOND_12345", name) for name in (b"[x", b"a b", b"\\", b"#2")]
    quoted = SAMPLE.replace(b"BOND_12345", b'"a, b"')
    alone = decode_compact(TRADES, plain, LIMIT).frame["instrument_id"].to_list()
    assert alone == ["[x", "a b", "\\", "#2"]
    among = decode_compact(TRADES, [quoted, *plain, quoted], LIMIT).frame
    assert among["instrument_id"].to_list() == ["a, b", *alone, "a, b"]


def test_an_older_version_is_read_by_its_own_columns_and_a_newer_one_is_kept_out() -> None:
    old = list(registry.load_version("trades", 1)["columns"])
    new = [column.name for column in TRADES.columns]
    assert set(new) - set(old) == {"session_id"}
    records = [SAMPLE.replace(b"#2", b"#1"), SAMPLE, SAMPLE.replace(b"#2", b"#3")]
    decoded = decode_compact(TRADES, records, LIMIT)
    assert decoded.frame["i"].to_list() == [0, 1]
    assert decoded.frame.drop("i").row(0) == decoded.frame.drop("i").row(1)
    assert decoded.rejects.rows() == [
        (2, "SCHEMA_TYPE", "version 3 of trades is not known; there are: 1, 2")
    ]
    surplus = b"#1," + b",".join([b""] * len(old)) + b",S1"
    assert codes(decode_compact(TRADES, [surplus], LIMIT)) == {0: "PARSE_ERROR"}


def test_numbers_may_be_as_large_as_the_contract_holds_and_no_larger() -> None:
    alerts = registry.get("alerts")
    largest = 10**38 - 1
    for units, code in ((largest, None), (-largest, None), (largest + 1, "SCHEMA_TYPE")):
        fields = ["", "", "1759406401000000", "", "", "", "", str(units)]
        decoded = decode_compact(alerts, [f"#1,{','.join(fields)}".encode()], LIMIT)
        assert codes(decoded) == ({0: code} if code else {})
        if not code:
            assert decoded.frame["value"].to_list() == [Decimal(f"{units}e-18")]


def test_a_time_finer_than_microseconds_is_not_sent_rounded() -> None:
    frame = pl.DataFrame({"event_ts_ns": [1_000, 1_001]})
    with pytest.raises(ValueError, match=r"trades\.event_ts_ns: .* send it as JSON"):
        encode_compact(TRADES, frame)


def test_no_records_are_no_rows() -> None:
    decoded = decode_compact(TRADES, [], LIMIT)
    assert decoded.frame.is_empty()
    assert decoded.frame.columns == [*TRADES.names(), "i"]
    assert encode_compact(TRADES, decoded.frame) == []


def test_what_is_not_there_may_be_left_out_at_the_end_only() -> None:
    frame = decode_compact(TRADES, [b"#2,", SAMPLE + b"," * 8, SAMPLE], LIMIT).frame
    assert set(frame.row(0)[:-1]) == {None}
    assert frame.row(1)[:-1] == frame.row(2)[:-1]
    assert encode_compact(TRADES, frame.head(1)) == [b"#2,"]


def test_the_random_records_hold_every_kind_of_value() -> None:
    assert {kind.rstrip("!*") for wire in WIRE.values() for _, kind in wire.values()} == set(MAKE)


def test_a_generated_day_is_sent_in_compact_form_but_for_what_is_no_record(lake: Settings) -> None:
    plan = make_plan("small", trades=2_000, fault_share=0.05)
    (day,) = plan.days
    sent = [value for block in blocks(plan, "trades", day) for value in block.values.to_list()]
    compact = compacted(Job(lake, plan, ("trades",), wire="compact"), "trades", sent)
    from_json = decode_json(TRADES, sent, LIMIT)
    lines = {place: value for place, value in enumerate(compact) if value.startswith(b"#")}
    assert list(lines) == from_json.frame["i"].to_list()
    again = decode_compact(TRADES, list(lines.values()), LIMIT).frame
    assert again.drop("i").equals(from_json.frame.drop("i"))
    assert 0 < len(sent) - len(lines) == from_json.rejects.height
    assert all(compact[place] == sent[place] for place in from_json.rejects["i"])
