"""Alpaca's history lands exactly, once, and goes on where it stopped: alpaca-py, real sockets."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import Landing
from ingestion.sources import alpaca_rest
from ingestion.sources.alpaca_history import Chosen, HistoryChanged, first_open_day
from ingestion.sources.alpaca_rest import Pace
from ingestion.sources.alpaca_wire import Kind, Market
from ingestion.sources.vendor import VendorAway, VendorRefused
from ingestion.vendors import NothingAsked, land_alpaca_history, wire_again
from lake import ledger
from lake.layout import layout
from lake.settings import Settings, load_settings
from tests import bronze_rows
from tests.alpaca_server import SECRET, Alpaca, Answer, alpaca_server, ns_of

REPOSITORY = Path(__file__).resolve().parents[2]
IEX, CRYPTO = Market("stocks", "iex"), Market("crypto", "us")
THURSDAY, FRIDAY, SATURDAY = date(2025, 10, 2), date(2025, 10, 3), date(2025, 10, 4)
TRADES = "/v2/stocks/trades"
BATCH_ROWS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[Alpaca]:
    with alpaca_server() as started:
        yield started


@pytest.fixture
def alpaca(server: Alpaca) -> Alpaca:
    """The vendor with nothing in it yet."""
    server.history.clear()
    server.instead.clear()
    server.asked.clear()
    server.per_page = 10_000
    return server


def lake(alpaca: Alpaca, root: Path, **environment: str) -> Settings:
    given = {"LAKE_URI": str(root), "TICKLAKE_BATCH_ROWS": str(BATCH_ROWS), **environment}
    return load_settings({**alpaca.environment(), **given})


def land(
    settings: Settings,
    *symbols: str,
    kind: Kind = "trades",
    market: Market = IEX,
    end: date = SATURDAY,
    **options: Any,
) -> Landing:
    chosen = [Chosen(market, kind, options.pop("interval", "1m"))]
    (landing,) = land_alpaca_history(
        settings, chosen, symbols or ["AAPL"], THURSDAY, end, **options
    )
    return landing


def rows(settings: Settings, dataset: str = "trades") -> list[dict[str, Any]]:
    found = bronze_rows.rows(layout(settings).bronze(dataset))
    return sorted(found, key=lambda row: (row["unit"], row["position"]))


def stock_trades(seed: int, count: int, day: date = THURSDAY) -> list[dict[str, str]]:
    """Trades as text, number for number: what the vendor writes and what must land."""
    rng = random.Random(seed)
    moments = sorted(rng.sample(range(9 * 3600 * 10**9), count))
    return [
        {
            "t": f"{day}T{13 + ns // 3_600_000_000_000:02}:"
            f"{ns // 60_000_000_000 % 60:02}:{ns // 10**9 % 60:02}.{ns % 10**9:09}Z",
            "p": f"{rng.randint(100, 300)}.{rng.randint(0, 9999):04}",
            "s": str(rng.choice([1, 7, 100, 2500])),
            "i": str(52_983_525_000_000 + number),
            "x": rng.choice("VKPQ"),
            "c": rng.choice(['["@"]', '["@","I"]', '[" ","F"]']),
        }
        for number, ns in enumerate(moments)
    ]


HALF_LANDED = stock_trades(4, 3 * BATCH_ROWS + 5)


def text_of(trade: dict[str, str]) -> str:
    return (
        f'{{"t":"{trade["t"]}","x":"{trade["x"]}","p":{trade["p"]},"s":{trade["s"]},'
        f'"c":{trade["c"]},"i":{trade["i"]},"z":"C"}}'
    )


def told(symbol: str, trade: dict[str, str]) -> tuple[Any, ...]:
    """What must land of a trade, from its text alone."""
    codes = trade["c"].strip('[]"').replace('","', ",")
    return (symbol, trade["i"], trade["x"], Decimal(trade["p"]), Decimal(trade["s"]),
            ns_of(trade["t"]), codes, None, None)  # fmt: skip


def landed(settings: Settings) -> list[tuple[Any, ...]]:
    names = ("instrument_id", "trade_id", "venue", "price", "quantity", "event_ts_ns",
             "conditions", "side", "status")  # fmt: skip
    return [tuple(row[name] for name in names) for row in rows(settings)]


def put(alpaca: Alpaca, symbol: str, trades: list[dict[str, str]]) -> None:
    alpaca.history.setdefault((TRADES, symbol), []).extend(map(text_of, trades))


def test_every_trade_lands_number_for_number_in_a_unit_for_each_symbol_and_day(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    days = {(s, d): stock_trades(n, 45, d) for n, (s, d) in enumerate(
        [("AAPL", THURSDAY), ("AAPL", FRIDAY), ("MSFT", THURSDAY)])}  # fmt: skip
    for (symbol, _), trades in days.items():
        put(alpaca, symbol, trades)
    put(alpaca, "AAPL", stock_trades(9, 5, SATURDAY))  # the day after the last: not asked for
    settings = lake(alpaca, tmp_path)
    landing = land(settings, "AAPL", "MSFT")
    assert (landing.ok, landing.rejected) == (135, 0)
    assert landed(settings) == [told(s, t) for (s, _), ts in sorted(days.items()) for t in ts]
    units = {f"alpaca:stocks/iex/trades/{symbol}/{day}" for symbol, day in days}
    assert {row["unit"] for row in rows(settings)} == units
    assert [row["position"] for row in rows(settings)] == [*range(45)] * 3
    assert {row["source"] for row in rows(settings)} == {"alpaca_stocks_iex"}


def test_asked_again_it_lands_nothing_and_asks_for_nothing(alpaca: Alpaca, tmp_path: Path) -> None:
    put(alpaca, "AAPL", stock_trades(1, 45))
    settings = lake(alpaca, tmp_path)
    assert land(settings).ok == 45
    asked = len(alpaca.asked)
    put(alpaca, "AAPL", stock_trades(2, 3))  # the unit is done, whatever comes later
    assert (land(settings).ok, len(alpaca.asked) - asked) == (0, 0)


def test_quotes_and_bars_land_as_they_are_written_with_the_average_alone_rounded(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    alpaca.history["/v2/stocks/quotes", "AAPL"] = [
        '{"t":"2025-10-02T13:30:00.123456789Z","ax":"V","ap":178.26,"as":2,"bx":"V","bp":178.2,'
        '"bs":1,"c":["R"],"z":"C"}',
        '{"t":"2025-10-02T13:30:01Z","ax":"V","ap":0,"as":0,"bx":"V","bp":178.2,"bs":1,"c":["R"]}',
    ]
    alpaca.history["/v2/stocks/bars", "AAPL"] = [
        '{"t":"2025-10-02T13:30:00Z","o":178.26,"h":178.3,"l":178.2,"c":178.21,"v":1234,"n":12,'
        '"vw":178.2512345675}',
        '{"t":"2025-10-02T13:31:00Z","o":178.2,"h":178.2,"l":178.2,"c":178.2,"v":0,"n":0,"vw":0}',
    ]
    settings = lake(alpaca, tmp_path)
    assert (land(settings, kind="quotes").ok, land(settings, kind="bars").ok) == (2, 2)
    names = ("dealer_id", "venue", "bid_price", "bid_size", "offer_price", "offer_size",
             "event_ts_ns")  # fmt: skip
    start = ns_of("2025-10-02T13:30:00Z")
    assert [tuple(row[n] for n in names) for row in rows(settings, "quotes")] == [
        ("IEX", "V", Decimal("178.2"), 1, Decimal("178.26"), 2, start + 123_456_789),
        ("IEX", "V", Decimal("178.2"), 1, 0, 0, start + 10**9),
    ]
    names = ("interval", "open", "high", "low", "close", "volume", "trade_count", "vwap")
    assert [tuple(row[n] for n in names) for row in rows(settings, "bars")] == [
        ("1m", Decimal("178.26"), Decimal("178.3"), Decimal("178.2"), Decimal("178.21"), 1234, 12,
         Decimal("178.251234568")),
        ("1m", *[Decimal("178.2")] * 4, 0, 0, None),
    ]  # fmt: skip
    assert [query.get("timeframe") for _, query in alpaca.asked[-2:]] == ["1Min", "1Min"]


def test_crypto_trades_carry_the_side_of_the_taker_and_sizes_are_never_rounded(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    alpaca.history["/v1beta3/crypto/us/trades", "BTC/USD"] = [
        '{"t":"2025-10-02T00:00:00.5Z","p":118000.5,"s":0.00012345,"tks":"B","i":1}',
        '{"t":"2025-10-02T00:00:01Z","p":118000.5,"s":1e-05,"tks":"S","i":2}',
        '{"t":"2025-10-02T00:00:02Z","p":118000.5,"s":0.000123456,"tks":"S","i":3}',
    ]
    settings = lake(alpaca, tmp_path)
    landing = land(settings, "BTC/USD", market=CRYPTO)
    assert (landing.ok, landing.by_code) == (2, {"SCHEMA_TYPE": 1})
    names = ("instrument_id", "trade_id", "side", "quantity", "venue", "source")
    good = [tuple(row[n] for n in names) for row in rows(settings) if row["verdict"] == "ok"]
    assert good == [
        ("BTC/USD", "1", "B", Decimal("0.00012345"), None, "alpaca_crypto_us"),
        ("BTC/USD", "2", "S", Decimal("0.00001"), None, "alpaca_crypto_us"),
    ]


def test_a_trade_that_was_cancelled_or_corrected_says_so(alpaca: Alpaca, tmp_path: Path) -> None:
    marks = ["", ',"u":"canceled"', ',"u":"incorrect"', ',"u":"corrected"', ',"u":"odd"']
    alpaca.history[TRADES, "AAPL"] = [
        f'{{"t":"2025-10-02T14:00:0{n}Z","x":"V","p":1.5,"s":1,"c":[],"i":{n}{mark}}}'
        for n, mark in enumerate(marks)
    ]
    settings = lake(alpaca, tmp_path)
    assert land(settings).by_code == {"SCHEMA_TYPE": 1}
    good = [row for row in rows(settings) if row["verdict"] == "ok"]
    assert [(row["trade_id"], row["status"], row["ref_trade_id"]) for row in good] == [
        ("0", None, None),
        ("1", "CANCEL", "1"),
        ("2", "CANCEL", "2"),
        ("3", "CORRECT", None),
    ]


def test_a_bad_row_is_kept_with_its_own_text_and_its_neighbours_land(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    good = stock_trades(3, 2)
    bad = {
        '{"t":"2025-10-02T23:00:00Z","x":"V","s":1,"i":1}': "SCHEMA_MISSING_FIELD",
        '{"t":"2025-10-02T23:00:01Z","x":"V","p":-5,"s":1,"i":2}': "PRICE_NOT_POSITIVE",
        '{"t":"2025-10-02T23:00:02Z","x":"V","p":"NaN","s":1,"i":3}': "NON_FINITE",
        '{"t":"2025-10-02T23:00:03Z","x":"V","p":1.12345678901,"s":1,"i":4}': "SCHEMA_TYPE",
        '{"t":"2025-10-02T23:00:04Z","x":"V","p":1,"s":1}': "SCHEMA_MISSING_FIELD",
        '{"t":"2025-10-02T23:00:05Z","x":7,"p":1,"s":1,"i":6}': "SCHEMA_TYPE",
    }
    alpaca.history[TRADES, "AAPL"] = [text_of(good[0]), *bad, text_of(good[1])]
    settings = lake(alpaca, tmp_path)
    landing = land(settings)
    assert (landing.ok, landing.rejected) == (2, 6)
    kept = [(row["raw"].decode(), row["reject_code"]) for row in rows(settings) if row["raw"]]
    assert kept == [(f'{{"S":"AAPL",{text[1:]}', code) for text, code in bad.items()]
    again = wire_again(settings, rows(settings)[0]["unit"])
    assert again is not None
    whole = again(b'{"S":"AAPL",' + text_of(good[0])[1:].encode())
    assert json.loads(whole) == {
        "tradeId": good[0]["i"], "instrumentId": "AAPL", "venue": good[0]["x"],
        "price": float(good[0]["p"]), "quantity": int(good[0]["s"]), "timestamp": good[0]["t"],
        "buySellIndicator": None, "conditions": ",".join(json.loads(good[0]["c"])),
    }  # fmt: skip
    assert f'"price":{good[0]["p"]},'.encode() in whole  # the vendor's own digits


FAULTS = {  # where it is killed -> how many batches may be in the table then
    "land.decoded:1": (0,),
    "land.consumed:3": (1, 2),  # the second is landed while the third is read
    "bronze.files_synced:2": (1,),
    "bronze.committed:2": (2,),
}
KILLED = """
import json, os, sys
from datetime import date
from ingestion.sources.alpaca_history import Chosen
from ingestion.sources.alpaca_wire import Market
from ingestion.vendors import land_alpaca_history
from lake.settings import load_settings

for fault, environment in json.load(sys.stdin).items():
    child = os.fork()
    if not child:
        os.environ.update(environment, TICKLAKE_FAULT=fault)
        chosen = [Chosen(Market("stocks", "iex"), "trades")]
        land_alpaca_history(load_settings(), chosen, ["AAPL"], date(2025, 10, 2), date(2025, 10, 3))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(scope="module")
def killed(server: Alpaca, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """Lakes whose landing of one day was killed, by the fault that killed it."""
    server.history[TRADES, "AAPL"] = [text_of(trade) for trade in HALF_LANDED]
    lakes = {
        fault: {
            **server.environment(),
            "LAKE_URI": str(tmp_path_factory.mktemp("lake")),
            "TICKLAKE_BATCH_ROWS": str(BATCH_ROWS),
            "TICKLAKE_BATCH_SECONDS": "600",
        }
        for fault in FAULTS
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=REPOSITORY,
        input=json.dumps(lakes),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)] * len(FAULTS), done.stderr
    return {fault: load_settings(given) for fault, given in lakes.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_killed_in_the_midst_of_a_day_it_goes_on_there_and_lands_each_row_once(
    killed: dict[str, Settings], alpaca: Alpaca, fault: str
) -> None:
    put(alpaca, "AAPL", HALF_LANDED)
    settings = killed[fault]
    before = len(rows(settings))
    assert before in [batches * BATCH_ROWS for batches in FAULTS[fault]]
    assert land(settings, end=FRIDAY).ok == len(HALF_LANDED) - before
    assert landed(settings) == [told("AAPL", trade) for trade in HALF_LANDED]
    assert len({row["recv_ts_ns"] for row in rows(settings)}) == 1  # the receipt's, not a retry's
    assert land(settings, end=FRIDAY).ok == 0
    assert accounts(settings) == []


def accounts(settings: Settings) -> list[str]:
    """What does not close in the ledger: a unit whose commits leave a gap, a commit that leaks."""
    from deltalake import DeltaTable

    at = layout(settings)
    ledger.append_new(at)
    table = DeltaTable(str(at.ledger)).to_pyarrow_table().to_pylist()
    wrong, stands = [], dict[str, int]()
    for commit in sorted(table, key=lambda c: (c["unit"], c["version"])):
        if commit["first_position"] != stands.get(commit["unit"], 0):
            wrong.append(f"{commit['unit']} at {commit['first_position']}")
        if commit["consumed"] != commit["ok"] + commit["rejected"]:
            wrong.append(f"{commit['unit']} leaks at {commit['first_position']}")
        stands[commit["unit"]] = commit["next_position"]
    return wrong


def test_when_alpaca_changed_what_is_half_landed_it_stops_and_an_edition_lands_it_anew(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    trades = stock_trades(5, 3 * BATCH_ROWS)
    put(alpaca, "AAPL", trades)
    settings = lake(alpaca, tmp_path, TICKLAKE_VENDOR_PATIENCE="0")
    alpaca.instead.extend([None, Answer(500)])
    with pytest.raises(VendorAway):
        land(settings, end=FRIDAY)
    assert len(rows(settings)) == BATCH_ROWS
    late = {**trades[0], "i": "1"}  # a print that Alpaca had not before
    alpaca.history[TRADES, "AAPL"].insert(0, text_of(late))
    with pytest.raises(HistoryChanged, match=r"row 19 is landed .* add --edition 2"):
        land(settings, end=FRIDAY)
    alpaca.history[TRADES, "AAPL"] = alpaca.history[TRADES, "AAPL"][:5]
    with pytest.raises(HistoryChanged, match="20 rows are landed and Alpaca has 5 now"):
        land(settings, end=FRIDAY)
    assert len(rows(settings)) == BATCH_ROWS
    assert land(settings, end=FRIDAY, edition=2).ok == 5
    assert land(settings, end=FRIDAY, edition=2).ok == 0


def test_it_waits_as_long_as_alpaca_says_and_tries_again_when_alpaca_is_out_of_order(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    trades = stock_trades(6, 50)
    put(alpaca, "AAPL", trades)
    page = '{"trades":'  # cut off
    alpaca.instead.extend(
        [Answer(429, {"Retry-After": "1"}), None, Answer(503), Answer(), Answer(200, {}, page)]
    )
    settings = lake(alpaca, tmp_path)
    began = time.monotonic()
    assert land(settings, end=FRIDAY).ok == 50
    assert time.monotonic() - began >= 1
    assert landed(settings) == [told("AAPL", trade) for trade in trades]


def test_when_patience_ends_what_came_is_landed_and_the_next_run_goes_on(
    alpaca: Alpaca, tmp_path: Path
) -> None:
    trades = stock_trades(7, 3 * BATCH_ROWS)
    put(alpaca, "AAPL", trades)
    settings = lake(alpaca, tmp_path, TICKLAKE_VENDOR_PATIENCE="0", TICKLAKE_BATCH_SECONDS="600")
    alpaca.instead.extend([None, None, Answer(502)])
    with pytest.raises(VendorAway, match=r"answers 502.*TICKLAKE_VENDOR_PATIENCE"):
        land(settings, end=FRIDAY)
    assert len(rows(settings)) == 2 * BATCH_ROWS
    assert land(settings, end=FRIDAY).ok == BATCH_ROWS
    assert landed(settings) == [told("AAPL", trade) for trade in trades]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "set TICKLAKE_ALPACA_KEY and TICKLAKE_ALPACA_SECRET"),
        (403, "TICKLAKE_ALPACA_FEED=iex"),
        (422, "look at the symbols and the days"),
    ],
)
def test_a_refusal_is_not_tried_again_and_says_what_to_set(
    status: int, says: str, alpaca: Alpaca, tmp_path: Path
) -> None:
    alpaca.instead.append(Answer(status))
    with pytest.raises(VendorRefused, match=says):
        land(lake(alpaca, tmp_path))
    assert len(alpaca.asked) == 1


def test_a_wrong_or_missing_key_is_told_without_showing_it(alpaca: Alpaca, tmp_path: Path) -> None:
    with pytest.raises(VendorRefused, match="answers 403") as refused:
        land(lake(alpaca, tmp_path, TICKLAKE_ALPACA_SECRET="wrong-" + SECRET))
    assert SECRET not in str(refused.value)
    settings = lake(alpaca, tmp_path)
    assert SECRET not in repr(settings)
    with pytest.raises(VendorRefused, match="set TICKLAKE_ALPACA_KEY"):
        land(lake(alpaca, tmp_path, TICKLAKE_ALPACA_KEY=""))


def test_no_more_requests_go_out_in_a_minute_than_the_setting_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alpaca_rest, "MINUTE_S", 0.4)
    pace = Pace(3)
    began = time.monotonic()
    sent = [(pace.wait(), time.monotonic() - began)[1] for _ in range(7)]
    assert [int(moment / 0.4) for moment in sent] == [0, 0, 0, 1, 1, 1, 2]


def test_a_day_is_asked_for_when_it_is_over_for_good(alpaca: Alpaca, tmp_path: Path) -> None:
    midnight = ns_of("2025-10-03T00:00:00Z")
    trades, daily = Chosen(IEX, "trades"), Chosen(IEX, "bars", "1d")
    minute = 60 * 10**9
    assert first_open_day(trades, midnight + 20 * minute - 1) == THURSDAY
    assert first_open_day(trades, midnight + 20 * minute) == FRIDAY
    assert first_open_day(daily, midnight + 360 * minute - 1) == THURSDAY
    assert first_open_day(daily, midnight + 360 * minute) == FRIDAY
    today = date.fromtimestamp(time.time())
    with pytest.raises(NothingAsked, match="is not over yet"):
        land_alpaca_history(lake(alpaca, tmp_path), [trades], ["AAPL"], today, date(9999, 1, 1))
    assert alpaca.asked == []
