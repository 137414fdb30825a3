"""Columns become JSON and typed columns exactly: no value is rounded, lost or invented."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts import registry
from contracts.base import Column
from ingestion.decode import decode_json
from ingestion.generate import encode
from ingestion.generate.encode import Form, decimal_text, json_text, json_values, members, typed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = 400
LETTERS = np.array(list("ABCxyz019._- "))


def text_of(units: pl.Series, scale: int) -> list[str]:
    frame = pl.DataFrame({"units": units})
    return frame.select(decimal_text(pl.col("units"), scale)).to_series().to_list()


def plain(units: int, scale: int) -> str:
    """A decimal without exponent and without trailing zeros, by Python's own arithmetic."""
    text = f"{Decimal(units).scaleb(-scale):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@pytest.mark.parametrize("scale", range(10))
def test_decimals_are_written_exactly_and_without_trailing_zeros(scale: int) -> None:
    rng = np.random.default_rng(scale)
    size = 10**scale
    edges = [0, 1, 9, 10, size - 1, size, size + 1, 10 * size, 123 * size + size // 2, 2**62]
    drawn = rng.integers(-(10**15), 10**15, 500).tolist() + rng.integers(-size, size, 500).tolist()
    units = pl.Series([*edges, *(-edge for edge in edges), *drawn])
    found = text_of(units, scale)
    assert found == [plain(value, scale) for value in units]
    assert [Decimal(text) for text in found] == [Decimal(v).scaleb(-scale) for v in units]


def test_a_decimal_that_is_absent_has_no_text() -> None:
    for scale in (0, 4, 9):
        assert text_of(pl.Series([None, 5], dtype=pl.Int64), scale)[0] is None


def random_times(rng: np.random.Generator, count: int) -> list[int]:
    """Microseconds since epoch, of many years, with and without whole seconds and milliseconds."""
    whole = rng.integers(631_152_000, 4_102_444_800, count) * 1_000_000
    rest = np.choose(
        rng.integers(0, 3, count),
        [0, rng.integers(0, 1_000, count) * 1_000, rng.integers(0, 1_000_000, count)],
    )
    return [int(value) for value in whole + rest]


def test_iso_times_are_utc_in_milliseconds_or_in_microseconds_where_there_are_any() -> None:
    # Every row of a frame is of one of a few hundred days, as a market's is.
    rng = np.random.default_rng(1)
    for start in ("1990-01-01", "2024-02-28", "2025-10-02", "2025-12-31"):
        first = int((datetime.fromisoformat(start + "T00:00Z") - EPOCH).total_seconds())
        micros = [
            first * 1_000_000 + value % (400 * 86_400_000_000) for value in random_times(rng, 500)
        ]
        texts = json_members("quotes", pl.DataFrame({"event_us": micros}))["timestamp"]
        for value, text in zip(micros, texts, strict=True):
            at = EPOCH + timedelta(microseconds=value)
            exact = at.isoformat(timespec="microseconds" if value % 1_000 else "milliseconds")
            assert text == exact.replace("+00:00", "Z")


def test_epoch_times_are_whole_milliseconds() -> None:
    micros = [0, 1_759_411_800_123_000, 1_759_411_800_123_999]
    form = Form("posts", time="epoch_ms")
    texts = members(form, pl.DataFrame({"event_us": micros}))["created"]
    assert texts.to_list() == ["0", "1759411800123", "1759411800123"]


def json_members(dataset: str, frame: pl.DataFrame) -> dict[str, list[Any]]:
    """Values of each member by its key; the frame has no nulls."""
    read = [json.loads(value) for value in json_values(Form(dataset), frame)]
    return {key: [row[key] for row in read] for key in read[0]}


def random_form(dataset: str, rng: np.random.Generator, nulls: frozenset[str]) -> Form:
    contract = registry.get(dataset)
    scales = {c.name: int(rng.integers(0, 9)) for c in contract.columns if c.kind == "decimal"}
    return Form(dataset, scales=scales, nulls=nulls)


def random_frame(form: Form, rng: np.random.Generator) -> pl.DataFrame:
    """Random rows; of each column that may be absent, but the first, a quarter are null."""
    frame = pl.DataFrame([random_column(form, column, rng) for column in form.contract.columns])
    absent = [c for c in form.contract.columns[1:] if not c.required]
    gone = {generated(c): pl.Series(rng.random(ROWS) < 0.25) for c in absent}
    return frame.with_columns(
        pl.when(~missing).then(name).alias(name) for name, missing in gone.items()
    )


def generated(column: Column) -> str:
    return "event_us" if column.kind == "time" else column.name


def random_column(form: Form, column: Column, rng: np.random.Generator) -> pl.Series:
    name = generated(column)
    if column.kind == "text":
        return pl.Series(name, random_texts(rng, ROWS))
    if column.kind == "texts":
        lists = [random_texts(rng, int(rng.integers(0, 4))) for _ in range(ROWS)]
        return pl.Series(name, lists, dtype=pl.List(pl.String))
    if column.kind == "time":
        milliseconds = 1_000 if form.time == "epoch_ms" else 1
        start = 1_759_363_200_000_000
        micros = start + rng.integers(0, 3 * 86_400_000_000, ROWS) // milliseconds * milliseconds
        return pl.Series(name, micros)
    if column.kind == "boolean":
        return pl.Series(name, rng.random(ROWS) < 0.5)
    if column.kind == "decimal":
        # Up to nine digits before the point, as far as there is room in 64 bits.
        assert isinstance(column.dtype, pl.Decimal)
        room = min(9, 18 - column.dtype.scale)
        most = 10 ** (int(rng.integers(0, room + 1)) + form.scales[name]) + 1
        return pl.Series(name, rng.integers(-most + 1, most, ROWS))
    return pl.Series(name, rng.integers(-(2**53), 2**53, ROWS))


def random_texts(rng: np.random.Generator, count: int) -> list[str]:
    return [
        "T" + "".join(rng.choice(LETTERS, 1 + int(rng.integers(0, 20)))) + "." for _ in range(count)
    ]


@pytest.mark.parametrize("explicit", [False, True], ids=["left out", "sent as null"])
@pytest.mark.parametrize("dataset", sorted(registry.all_contracts()))
def test_typed_columns_are_what_the_decoder_reads_from_the_json(
    dataset: str, explicit: bool
) -> None:
    contract = registry.get(dataset)
    rng = np.random.default_rng(len(dataset))
    optional = frozenset(c.name for c in contract.columns if not c.required)
    form = random_form(dataset, rng, optional if explicit else frozenset())
    frame = random_frame(form, rng)
    values = json_values(form, frame).to_list()
    read = decode_json(contract, values, 1_000_000)
    assert read.rejects.is_empty()
    assert_frame_equal(read.frame.drop("i"), typed(form, frame), check_exact=True)


@pytest.mark.parametrize("dataset", sorted(registry.all_contracts()))
def test_exactly_the_present_members_are_sent_in_the_order_of_the_contract(dataset: str) -> None:
    rng = np.random.default_rng(7)
    form = random_form(dataset, rng, frozenset())
    frame = random_frame(form, rng)
    columns = form.contract.columns
    for value, row in zip(json_values(form, frame), frame.iter_rows(named=True), strict=True):
        expected = [c.wire for c in columns if row[generated(c)] is not None]
        assert list(json.loads(value)) == expected


@pytest.mark.parametrize("dataset", sorted(registry.all_contracts()))
def test_members_put_together_are_the_message(dataset: str) -> None:
    rng = np.random.default_rng(8)
    form = random_form(dataset, rng, frozenset())
    frame = random_frame(form, rng)
    parts = members(form, frame)
    whole = parts.select(json_text(parts.columns)).to_series()
    assert whole.cast(pl.Binary).to_list() == json_values(form, frame).to_list()


def test_columns_that_are_not_generated_are_absent_from_json_and_null_when_typed() -> None:
    frame = pl.DataFrame({"trade_id": ["a"], "event_us": [0], "recv_ms": [1], "price": [12_500]})
    form = Form("trades", scales={"price": 4})
    assert json_values(form, frame).to_list() == [
        b'{"tradeId":"a","price":1.25,"timestamp":"1970-01-01T00:00:00.000Z"}'
    ]
    made = typed(form, frame)
    assert made.columns == registry.get("trades").names()
    assert made.row(0, named=True)["price"] == Decimal("1.25")
    assert made.row(0, named=True)["side"] is None


def test_how_many_rows_become_text_at_a_time_does_not_change_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(9)
    form = random_form("quotes", rng, frozenset())
    frame = random_frame(form, rng)
    whole = json_values(form, frame)
    monkeypatch.setattr(encode, "TEXT_ROWS", 7)
    assert json_values(form, frame).to_list() == whole.to_list()
    assert json_values(form, frame[:0]).to_list() == []


def test_a_slice_is_typed_like_the_rows_it_is_of() -> None:
    frame = pl.DataFrame({"trade_id": [str(n) for n in range(40)]}).with_columns(
        price=pl.Series([None if n % 3 else n for n in range(40)], dtype=pl.Int64)
    )
    whole = typed(Form("trades"), frame)
    for start in range(1, 20):
        assert typed(Form("trades"), frame.slice(start, 9)).equals(whole.slice(start, 9))


def test_the_largest_sizes_are_exact_and_larger_ones_are_refused() -> None:
    form = Form("trades")
    most = (2**63 - 1) // 10**8  # quantities have eight decimals
    for units in (most, -most):
        made = typed(form, pl.DataFrame({"trade_id": ["a"], "quantity": [units]}))
        assert made["quantity"][0] == units
    with pytest.raises(OverflowError, match="quantity reaches"):
        typed(form, pl.DataFrame({"trade_id": ["a"], "quantity": [most + 1]}))
