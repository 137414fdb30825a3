"""Databento files land exactly and once: prices, times, symbols by date, and what is not there."""

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard
from databento_dbn import (
    UNDEF_PRICE,
    Action,
    BidAskPair,
    MBOMsg,
    MBP1Msg,
    Metadata,
    OHLCVMsg,
    RType,
    Schema,
    Side,
    SType,
    SystemMsg,
    TradeMsg,
)

from ingestion.feeds.mapping import FileRefused
from ingestion.land import Landing, land, land_file
from ingestion.sources.files import file_source
from lake.bronze import BronzeWriter
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests.bronze_rows import rows

NOON = 1_735_819_200_000_000_000  # 2025-01-02T12:00:00Z
DAY = 86_400_000_000_000
AAPL, OTHER, UNKNOWN = 38, 39, 77
XNAS_ITCH = 2  # publisher: Nasdaq TotalView-ITCH
# On the second day id 39 is AAPL's: an id means something for a date only.
MAPPINGS = {
    "AAPL": [("2025-01-02", "2025-01-03", AAPL), ("2025-01-03", "2025-01-04", OTHER)],
    "MSFT": [("2025-01-02", "2025-01-03", OTHER)],
}


def metadata(schema: Schema, ts_out: bool = False) -> bytes:
    mappings = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[
                SimpleNamespace(
                    start_date=dt.date.fromisoformat(first),
                    end_date=dt.date.fromisoformat(end),
                    symbol=str(number),
                )
                for first, end, number in intervals
            ],
        )
        for symbol, intervals in MAPPINGS.items()
    ]
    made = Metadata(
        dataset="XNAS.ITCH",
        start=NOON,
        stype_in=SType.RAW_SYMBOL,
        stype_out=SType.INSTRUMENT_ID,
        schema=schema,
        symbols=list(MAPPINGS),
        mappings=mappings,
        ts_out=ts_out,
    )
    return bytes(made)


def trade(number: int, **changed: Any) -> TradeMsg:
    facts: dict[str, Any] = {
        "publisher_id": XNAS_ITCH,
        "instrument_id": AAPL,
        "ts_event": NOON + number,
        "price": 243_850_000_001,
        "size": 100,
        "action": Action.TRADE,
        "side": Side.ASK,
        "depth": 0,
        "ts_recv": NOON + number + 500,
        "sequence": 7,
    }
    return TradeMsg(**{**facts, **changed})


def quote(bid: int, offer: int, **changed: Any) -> MBP1Msg:
    facts: dict[str, Any] = {
        "publisher_id": XNAS_ITCH,
        "instrument_id": AAPL,
        "ts_event": NOON,
        "price": 1,
        "size": 1,
        "action": Action.ADD,
        "side": Side.BID,
        "depth": 0,
        "ts_recv": NOON,
        "levels": BidAskPair(bid, offer, 300, 200, 3, 2),
    }
    return MBP1Msg(**{**facts, **changed})


def order(action: Action, side: Side, price: int, size: int) -> MBOMsg:
    return MBOMsg(
        publisher_id=XNAS_ITCH, instrument_id=AAPL, ts_event=NOON, order_id=2**64 - 2, price=price,
        size=size, channel_id=0, action=action, side=side, ts_recv=NOON, sequence=9,
    )  # fmt: skip


def bar(rtype: Any, number: int) -> OHLCVMsg:
    return OHLCVMsg(
        rtype=rtype, publisher_id=XNAS_ITCH, instrument_id=AAPL, ts_event=NOON + number * 10**9,
        open=10_000_000_000, high=10_500_000_000, low=9_500_000_000, close=10_250_000_000,
        volume=1_234,
    )  # fmt: skip


def body(messages: Sequence[Any]) -> bytes:
    return b"".join(bytes(message) for message in messages)


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    def write(schema: Schema, *messages: Any, name: str = "a.dbn") -> Path:
        path = tmp_path / name
        path.write_bytes(metadata(schema) + body(messages))
        return path

    return write


def landed(lake: Settings, dataset: str, *columns: str) -> list[tuple[Any, ...]]:
    found = sorted(rows(layout(lake).bronze(dataset)), key=lambda row: row["position"])
    return [tuple(row[column] for column in columns) for row in found]


def test_trades_keep_their_nanoseconds_prices_and_aggressor(
    lake: Settings, file_of: Callable[..., Path]
) -> None:
    path = file_of(
        Schema.TRADES,
        trade(1),
        trade(2, side=Side.BID, price=1),
        trade(3, side=Side.NONE, flags=1 << 3),
    )
    landing = land_file(lake, path, "databento_trades")
    assert (landing.ok, landing.rejected) == (3, 0)
    columns = ("event_ts_ns", "price", "quantity", "side", "is_suspicious", "sequence", "trade_id")
    assert landed(lake, "trades", *columns) == [
        (NOON + 1, Decimal("243.850000001"), Decimal(100), "S", False, None, None),
        (NOON + 2, Decimal("0.000000001"), Decimal(100), "B", False, None, None),
        (NOON + 3, Decimal("243.850000001"), Decimal(100), None, True, None, None),
    ]
    assert set(landed(lake, "trades", "instrument_id", "venue")) == {("AAPL", "XNAS")}


def test_an_id_is_the_symbol_that_it_had_on_the_day(
    lake: Settings, file_of: Callable[..., Path]
) -> None:
    path = file_of(
        Schema.TRADES,
        trade(1, instrument_id=OTHER),
        trade(2, instrument_id=OTHER, ts_event=NOON + DAY, ts_recv=NOON + DAY),
        trade(3, instrument_id=UNKNOWN),
        trade(4, ts_event=NOON + 9 * DAY, ts_recv=NOON + 9 * DAY),
        trade(5, instrument_id=OTHER, ts_event=NOON + DAY // 2 - 1, ts_recv=NOON + DAY // 2),
    )
    land_file(lake, path, "databento_trades")
    assert landed(lake, "trades", "instrument_id", "reject_code", "reject_message") == [
        ("MSFT", None, None),
        ("AAPL", None, None),
        (None, "SCHEMA_MISSING_FIELD", "instrument_id is missing"),
        (None, "SCHEMA_MISSING_FIELD", "instrument_id is missing"),
        ("AAPL", None, None),  # of the day on which it was received, as the vendor maps it
    ]


def test_a_record_that_breaks_the_contract_is_kept_with_its_own_bytes(
    lake: Settings, file_of: Callable[..., Path]
) -> None:
    wrong: list[Any] = [
        trade(2, price=UNDEF_PRICE),
        trade(3, price=-5_000_000_000),
        trade(4, size=0),
        trade(5, price=10**18),
        trade(6, ts_event=2**64 - 1),
        SystemMsg(ts_event=NOON, msg="heartbeat"),
    ]
    path = file_of(Schema.TRADES, trade(1), *wrong, trade(7))
    with path.open("ab") as file:
        file.write(bytes(trade(8))[:20])
    landing = land_file(lake, path, "databento_trades")
    assert (landing.ok, landing.rejected) == (2, 7)
    found = landed(lake, "trades", "position", "reject_code", "raw")
    assert found == [
        (0, None, None),
        (1, "SCHEMA_MISSING_FIELD", bytes(wrong[0])),
        (2, "PRICE_NOT_POSITIVE", bytes(wrong[1])),
        (3, "QTY_NOT_POSITIVE", bytes(wrong[2])),
        (4, "SCHEMA_TYPE", bytes(wrong[3])),
        (5, "SCHEMA_MISSING_FIELD", bytes(wrong[4])),
        (6, "UNKNOWN_MSG_TYPE", bytes(wrong[5])),
        (7, None, None),
        (8, "PARSE_ERROR", bytes(trade(8))[:20]),
    ]


def test_best_bid_and_offer_of_a_publisher_are_its_two_sided_quote(
    lake: Settings, file_of: Callable[..., Path]
) -> None:
    path = file_of(Schema.MBP_1, quote(99_500_000_000, 99_750_000_000), quote(UNDEF_PRICE, 10**9))
    land_file(lake, path, "databento_quotes")
    columns = ("dealer_id", "venue", "bid_price", "bid_size", "offer_price", "offer_size", "side")
    assert landed(lake, "quotes", *columns) == [
        ("XNAS.ITCH.XNAS", "XNAS", Decimal("99.5"), 300, Decimal("99.75"), 200, None),
        ("XNAS.ITCH.XNAS", "XNAS", None, 300, Decimal(1), 200, None),
    ]


@pytest.mark.parametrize(
    ("schema", "rtype", "interval"),
    [
        (Schema.OHLCV_1S, RType.OHLCV_1S, "1s"),
        (Schema.OHLCV_1M, RType.OHLCV_1M, "1m"),
        (Schema.OHLCV_1H, RType.OHLCV_1H, "1h"),
        (Schema.OHLCV_1D, RType.OHLCV_1D, "1d"),
    ],
)
def test_bars_take_their_interval_from_the_schema(
    lake: Settings, file_of: Callable[..., Path], schema: Schema, rtype: RType, interval: str
) -> None:
    land_file(lake, file_of(schema, bar(rtype, 0)), "databento_bars")
    columns = ("interval", "event_ts_ns", "open", "high", "low", "close", "volume", "venue")
    prices = [Decimal(text) for text in ("10", "10.5", "9.5", "10.25", "1234")]
    assert landed(lake, "bars", *columns) == [(interval, NOON, *prices, "XNAS")]


def test_order_messages_keep_their_action_and_whole_order_id(
    lake: Settings, file_of: Callable[..., Path]
) -> None:
    messages = [
        order(Action.ADD, Side.BID, 99_000_000_000, 10),
        order(Action.TRADE, Side.NONE, 99_000_000_000, 10),
        order(Action.CLEAR, Side.NONE, UNDEF_PRICE, 0),
        order(Action.NONE, Side.NONE, UNDEF_PRICE, 0),
    ]
    land_file(lake, file_of(Schema.MBO, *messages), "databento_orders")
    columns = ("msg_type", "side", "price", "quantity", "order_id", "sequence", "reject_code")
    key = "18446744073709551614"
    assert landed(lake, "orders", *columns) == [
        ("A", "B", Decimal(99), 10, key, 9, None),
        ("T", None, Decimal(99), 10, key, 9, None),
        ("R", None, None, 0, key, 9, None),
        (None, None, None, None, None, None, "UNKNOWN_MSG_TYPE"),
    ]


def test_a_file_lands_once_packed_or_not(
    lake: Settings, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    plain = file_of(Schema.TRADES, *map(trade, range(5)))
    assert land_file(lake, plain, "databento_trades").ok == 5
    packed = tmp_path / "b.dbn.zst"
    packed.write_bytes(zstandard.compress(plain.read_bytes()))
    assert land_file(lake, packed, "databento_trades").ok == 0
    packed.write_bytes(zstandard.compress(metadata(Schema.TRADES) + body([trade(9)])))
    assert land_file(lake, packed, "databento_trades").ok == 1


def settings_of(folder: Path, batch_rows: int) -> Settings:
    return load_settings({"LAKE_URI": str(folder / "lake"), "TICKLAKE_BATCH_ROWS": str(batch_rows)})


class Killed(Exception):
    """The process is gone."""


@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (3, 2), (2, 5), (10_000, 10_000)])
def test_a_file_half_landed_is_continued_at_its_record(
    tmp_path: Path, file_of: Callable[..., Path], sizes: tuple[int, int]
) -> None:
    messages = [SystemMsg(ts_event=NOON, msg="x") if n % 4 == 3 else trade(n) for n in range(11)]
    path = file_of(Schema.TRADES, *messages)

    def attempt(batch_rows: int) -> Landing:
        contract, source = file_source(settings_of(tmp_path, batch_rows), path, "databento_trades")

        def kill(_: object) -> None:
            raise Killed

        return land(source, BronzeWriter(contract, layout(settings_of(tmp_path, 1))), kill)

    for size in sizes * 6:  # batches of another size begin elsewhere in the file
        with suppress(Killed):
            attempt(size)
    expected = [
        (n, "UNKNOWN_MSG_TYPE" if n % 4 == 3 else None, NOON + n if n % 4 != 3 else None)
        for n in range(11)
    ]
    columns = ("position", "reject_code", "event_ts_ns")
    assert landed(settings_of(tmp_path, 1), "trades", *columns) == expected


def test_a_file_of_another_schema_or_none_at_all_is_refused_whole(
    lake: Settings, file_of: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(FileRefused, match=r"holds mbp-1; this feed takes trades, tbbo"):
        land_file(lake, file_of(Schema.MBP_1, quote(1, 2)), "databento_trades")
    (tmp_path / "b.dbn").write_bytes(b"tradeId,price\n")
    with pytest.raises(FileRefused, match="is not DBN"):
        land_file(lake, tmp_path / "b.dbn", "databento_trades")
    (tmp_path / "c.dbn").write_bytes(metadata(Schema.TRADES)[:40])
    with pytest.raises(FileRefused, match="its metadata cannot be read"):
        land_file(lake, tmp_path / "c.dbn", "databento_trades")
    (tmp_path / "d.dbn").write_bytes(metadata(Schema.TRADES) + b"\0" * 48)
    with pytest.raises(FileRefused, match="record 0 says that it has no length"):
        land_file(lake, tmp_path / "d.dbn", "databento_trades")
    assert landed(lake, "trades", "position") == []


def test_records_that_carry_their_sending_time_are_read_like_the_others(
    lake: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "live.dbn"
    messages = [trade(n, ts_out=NOON + 9) for n in range(3)]
    path.write_bytes(metadata(Schema.TRADES, ts_out=True) + body(messages))
    assert land_file(lake, path, "databento_trades").ok == 3
    assert landed(lake, "trades", "event_ts_ns") == [(NOON,), (NOON + 1,), (NOON + 2,)]
