"""Rejected rows of vendors, WebSocket clients and DBN files: read again, or why they cannot be."""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from databento_dbn import Action, Metadata, Schema, Side, SType, TradeMsg

from checks.status import status
from contracts import registry
from ingestion.land import land_batch, land_file
from ingestion.listen.protocol import read_frame
from ingestion.listen.source import ClientWriter, WebSocketSource, unit_of
from ingestion.replay import Replayed, replay
from ingestion.sources import alpaca_wire
from ingestion.sources.alpaca_history import Chosen
from ingestion.vendors import land_alpaca_history, land_reddit
from lake import pins, quarantine
from lake.layout import layout
from lake.quarantine import Wanted
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.alpaca_server import Alpaca, alpaca_server
from tests.growing import WITH_DESK, WITHOUT_TEXT, under
from tests.listening import trade, trades
from tests.reddit_server import reddit_server

THURSDAY, FRIDAY = dt.date(2025, 10, 2), dt.date(2025, 10, 3)
RECEIVED = 1_759_500_000_000_000_000  # 2025-10-03T14:00:00Z
NOON = 1_735_819_200_000_000_000  # 2025-01-02T12:00:00Z


@pytest.fixture(scope="module")
def alpaca() -> Iterator[Alpaca]:
    with alpaca_server() as started:
        yield started


def counted(found: list[Replayed]) -> tuple[int, int, int, dict[str, int]]:
    (one,) = found
    return one.examined, one.passed, one.unreadable, dict(one.still)


def replayed(settings: Settings, dataset: str, *columns: str) -> list[tuple[Any, ...]]:
    """What was replayed: unit and position, then the columns asked for."""
    return sorted(
        tuple(row[name] for name in ("unit", "position", *columns))
        for row in bronze_rows.rows(layout(settings).bronze(dataset))
        if row["unit"].startswith("replay:")
    )


def positions(settings: Settings, dataset: str) -> dict[str, int]:
    """What a publication would say that has landed of a dataset."""
    now = pins.newest(layout(settings))
    with duckdb.connect() as conn:
        conn.execute("create schema ledger")
        pins.create_ledger_view(conn, layout(settings))
        return pins.positions(conn, now)[dataset]


def units(settings: Settings, dataset: str) -> int:
    return next(one.units for one in status(settings).datasets if one.dataset == dataset)


def test_alpacas_records_are_read_by_todays_mapping_each_by_what_its_unit_says(
    alpaca: Alpaca, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A print was marked in a way that nobody knew; then it is known, and waits no more."""
    for symbol, price in (("AAPL", "1.5"), ("MSFT", "2.25")):
        alpaca.history["/v2/stocks/trades", symbol] = [
            f'{{"t":"2025-10-02T14:00:00Z","x":"V","p":{price},"s":1,"c":["@"],"i":1}}',
            f'{{"t":"2025-10-02T14:00:01.000000007Z","x":"V","p":{price},"s":2,"c":["@","I"],'
            f'"i":2,"u":"busted"}}',
        ]
    alpaca.history["/v1beta3/crypto/us/trades", "BTC/USD"] = [
        '{"t":"2025-10-02T00:00:00.5Z","p":118000.5,"s":1e-05,"tks":"S","i":9,"u":"busted"}'
    ]
    lake = load_settings({**alpaca.environment(), "LAKE_URI": str(tmp_path)})
    for asset, feed, symbols in (
        ("stocks", "iex", ["AAPL", "MSFT"]),
        ("crypto", "us", ["BTC/USD"]),
    ):
        chosen = Chosen(alpaca_wire.Market(asset, feed), "trades")  # type: ignore[arg-type]
        land_alpaca_history(lake, [chosen], symbols, THURSDAY, FRIDAY)
    assert counted(replay(lake)) == (3, 0, 0, {"SCHEMA_TYPE": 3})
    monkeypatch.setitem(alpaca_wire._STATUS, "busted", "CANCEL")
    assert counted(replay(lake, dry_run=True)) == (3, 3, 0, {})
    assert counted(replay(lake)) == (3, 3, 0, {})
    assert replay(lake) == []
    wanted = ("trade_id", "instrument_id", "price", "side", "status", "conditions", "source")
    stock, ago = "alpaca_stocks_iex", "2025-10-02"
    assert replayed(lake, "trades", *wanted) == [
        (f"replay:alpaca:crypto/us/trades/BTC/USD/{ago}", 0, "9", "BTC/USD", Decimal("118000.5"),
         "S", "CANCEL", None, "alpaca_crypto_us"),
        (f"replay:alpaca:stocks/iex/trades/AAPL/{ago}", 1, "2", "AAPL", Decimal("1.5"), None,
         "CANCEL", "@,I", stock),
        (f"replay:alpaca:stocks/iex/trades/MSFT/{ago}", 1, "2", "MSFT", Decimal("2.25"), None,
         "CANCEL", "@,I", stock),
    ]  # fmt: skip
    # Marks of whole units and replays are no units.
    assert (units(lake, "trades"), positions(lake, "trades")) == (3, {"alpacas": 3})


def test_reddits_posts_are_read_again_when_the_contract_takes_them(tmp_path: Path) -> None:
    with reddit_server() as site:
        lake = load_settings({"LAKE_URI": str(tmp_path), **site.environment()})
        site.post("stocks")
        image = site.post("stocks", title=None, selftext="", score=4)
        site.post("stocks", title=7)
        land_reddit(lake, ["stocks"])
        assert counted(replay(lake))[:3] == (2, 0, 0)
        with under(WITHOUT_TEXT):
            assert counted(replay(lake)) == (2, 1, 0, {"SCHEMA_TYPE": 1})
            assert counted(replay(lake)) == (1, 0, 0, {"SCHEMA_TYPE": 1})
        assert replayed(lake, "posts", "post_id", "text", "score", "tickers", "source") == [
            ("replay:reddit:stocks", 1, image["name"], None, 4, [], "reddit")
        ]
        assert (units(lake, "posts"), positions(lake, "posts")) == (1, {"reddits": 1})


class Sender:
    """A client, as the source sees him."""

    def __init__(self, name: str) -> None:
        self.unit = unit_of(name, "trades")

    def begin(self, position: int) -> None:
        """Nothing to send again."""

    def landed(self, following: int, refused: Mapping[str, list[int]]) -> None:
        """Nothing to forget."""

    def failed(self, why: str) -> None:
        raise AssertionError(why)


def test_what_websocket_clients_sent_is_read_as_it_was_on_the_wire(lake: Settings) -> None:
    newer = b'%b,"desk":"rates"}' % trade(1)[:-1]
    contract = registry.get("trades")
    source = WebSocketSource(contract, lake, lambda call, *given: call(*given), lambda freed: None)
    writer = ClientWriter(contract, layout(lake))
    for sender in (Sender("desk"), Sender("feed")):
        source.ask(sender)
        sent = b"\n".join([trade(0), newer, b"no json", *trades(3, 5)])
        source.offer(sender, read_frame(b"0 5\n" + sent, RECEIVED))
    source.stop()
    (commit,) = (land_batch(writer, batch) for batch in source.batches(writer.next_position))
    assert (commit.ok, commit.by_code) == (6, {"SCHEMA_TYPE": 2, "PARSE_ERROR": 2})
    with under(WITH_DESK):
        assert counted(replay(lake)) == (4, 2, 0, {"PARSE_ERROR": 2})
        assert counted(replay(lake)) == (2, 0, 0, {"PARSE_ERROR": 2})
    assert replayed(lake, "trades", "trade_id", "desk", "source") == [
        ("replay:ws:desk/trades", 1, "T1", "rates", "ws:desk"),
        ("replay:ws:feed/trades", 1, "T1", "rates", "ws:feed"),
    ]
    assert units(lake, "trades") == 2
    assert positions(lake, "trades") == {"ws:desk/trades": 5, "ws:feed/trades": 5}


def dbn_head() -> bytes:
    interval = SimpleNamespace(
        start_date=dt.date(2025, 1, 2), end_date=dt.date(2025, 1, 3), symbol="38"
    )
    return bytes(
        Metadata(
            dataset="XNAS.ITCH",
            start=NOON,
            stype_in=SType.RAW_SYMBOL,
            stype_out=SType.INSTRUMENT_ID,
            schema=Schema.TRADES,
            symbols=["AAPL"],
            mappings=[SimpleNamespace(raw_symbol="AAPL", intervals=[interval])],
        )
    )


def dbn_trade(number: int, price: int) -> bytes:
    return bytes(
        TradeMsg(
            publisher_id=2, instrument_id=38, ts_event=NOON + number, price=price, size=100,
            action=Action.TRADE, side=Side.ASK, depth=0, ts_recv=NOON + number, sequence=number,
        )
    )  # fmt: skip


def test_a_dbn_record_stays_open_and_lands_behind_the_head_of_its_file(
    lake: Settings, tmp_path: Path
) -> None:
    """Its instrument is a number that its file's head explains; the note says what to do."""
    file = tmp_path / "a.dbn"
    file.write_bytes(dbn_head() + dbn_trade(1, 10**9) + dbn_trade(2, -(10**9)))
    assert land_file(lake, file, "databento_trades").by_code == {"PRICE_NOT_POSITIVE": 1}
    (found,) = replay(lake)
    assert (found.examined, found.passed, found.unreadable) == (1, 0, 1)
    assert "the head of its file explains" in found.notes[0]
    assert "ticklake quarantine export" in found.notes[0]
    assert [one.state for one in quarantine.records(layout(lake), Wanted())] == ["open"]
    (kept,) = quarantine.records(layout(lake), Wanted())
    file.write_bytes(dbn_head() + kept.raw)
    assert land_file(lake, file, "databento_trades").by_code == {"PRICE_NOT_POSITIVE": 1}
    rows = bronze_rows.rows(layout(lake).bronze("trades"))
    assert {row["reject_message"] for row in rows if row["raw"]} == {kept.message}
    assert (units(lake, "trades"), positions(lake, "trades")) == (2, {"files": 2})
