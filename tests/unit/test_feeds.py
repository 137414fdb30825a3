"""Feed mappings: judged before any file is opened, exact in what they make of a file's text."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.registry import all_contracts
from ingestion.feeds.binding import bind_names
from ingestion.feeds.catalog import SHIPPED, find_feed, known_feeds
from ingestion.feeds.mapping import Feed, FeedError, FileRefused, load_feed
from ingestion.feeds.parameters import resolve
from lake.settings import Settings, load_settings

MAPPING: dict[str, Any] = {
    "dataset": "trades",
    "format": "csv",
    "columns": {
        "id": "trade_id",
        "symbol": "instrument_id",
        "px": "price",
        "qty": "quantity",
        "at": "event_ts_ns",
        "side": "side",
    },
    "values": {"side": {"BUY": "B", "SELL": "S"}},
    "time": {"kind": "epoch", "unit": "us"},
}
HEADER = ["id", "symbol", "px", "qty", "at", "side"]
LEAN_PARAMETERS = {"date": "2013-10-08", "instrument_id": "AIG"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LAKE_URI": str(tmp_path / "lake")})


@pytest.fixture
def feed_of(tmp_path: Path) -> Callable[[dict[str, Any]], Feed]:
    def write(content: dict[str, Any]) -> Feed:
        path = tmp_path / "vendor.yml"
        path.write_text(yaml.safe_dump(content))
        return load_feed(path, "vendor")

    return write


def test_the_shipped_feeds_are_all_sound(settings: Settings) -> None:
    names = set(known_feeds(settings))
    of_contracts = {f"{form}_{name}" for form in ("generic", "json") for name in all_contracts()}
    shipped = {path.stem for path in SHIPPED.glob("*.yml")}
    assert shipped >= {"lean_quotes", "lean_daily_bars", "binance_trades", "databento_trades"}
    assert names == shipped | of_contracts
    for name in names:
        assert find_feed(settings, name).name == name


def test_a_mapping_of_ones_own_wins_over_the_feed_that_a_contract_has(settings: Settings) -> None:
    own = settings.local / "feeds" / "generic_trades.yml"
    own.parent.mkdir(parents=True)
    own.write_text("{dataset: trades, format: csv, source: mine}")
    assert find_feed(settings, "generic_trades").source == "mine"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"dataset": "swaps"}, "no contract; there are: alerts"),
        ({"columns": {"px": "prize"}}, "no column 'prize'; it has: trade_id"),
        ({"columns": {"px": "price"}}, "trades.instrument_id may never be null"),
        ({"constants": {"prize": "1"}}, "constants: the contract of trades has no column 'prize'"),
        ({"constants": {"price": "1"}}, "price: given twice"),
        ({"scale": {"price": 300}}, "300 is not a power of ten"),
        ({"scale": {"side": 10}}, "only decimals have a scale"),
        ({"separator": "||"}, "one ASCII character"),
        ({"separatr": ";"}, "separatr: Extra inputs are not permitted"),
        ({"format": "xml"}, "Input should be 'csv'"),
        ({"time": {"kind": "epoch"}}, "needs a unit"),
        ({"time": {"zone": "Mars/Olympus"}}, "not an IANA time zone"),
        ({"time": {"kind": "midnight", "unit": "ms"}}, "needs a zone"),
        ({"time": {"kind": "midnight", "unit": "ms", "zone": "UTC"}}, "needs the group"),
        ({"file_name": {"patterns": ["(?P<date"]}}, "not a regular expression"),
        ({"file_name": {"patterns": ["(?P<day>.*)"]}}, "no column 'day'"),
        ({"header": False}, "indexes from 0"),
        ({"columns": {0: "price"}}, "names are wanted here"),
        ({"width": 3}, "only a csv without a header"),
        ({"format": "jsonl", "columns": None}, "takes nothing else"),
        ({"header_lines": ["id,px"]}, "only a csv without a header"),
        ({"time": {"kind": "format"}}, "go together"),
        ({"time": {"kind": "iso", "format": "%Y%m%d"}}, "go together"),
        ({"time": {"kind": "format", "format": "%H:%M"}}, "does not say a date"),
        ({"time": {"kind": "format", "format": "%Y%m%d"}}, "needs a zone, or %z"),
        ({"time": {"kind": "midnight", "unit": "auto", "zone": "UTC"}}, "auto is for epochs"),
        ({"format": "jsonl", "time": {"kind": "epoch", "unit": "auto"}}, "auto is for format csv"),
        ({"time": {"label": "end"}}, "label end is for bars"),
        ({"sides": "given"}, "only quotes have them"),
        ({"schemas": ["trades"]}, "only format dbn has them"),
        ({"format": "dbn"}, "needs columns, and schemas: some of trades, tbbo"),
        ({"format": "dbn", "schemas": ["mbp-10"]}, "['mbp-10'] cannot be read"),
        ({"format": "dbn", "schemas": ["trades"]}, "knows its own price scale and times"),
    ],
)
def test_a_wrong_mapping_is_refused_with_what_is_wrong(
    feed_of: Callable[[dict[str, Any]], Feed], change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(FeedError, match="vendor") as refused:
        feed_of({**MAPPING, **change})
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "columns",
    [
        {"s": "instrument_id", "d": "dealer_id", "t": "event_ts_ns", "b": "bid_price"},
        {"s": "instrument_id", "d": "dealer_id", "t": "event_ts_ns", "b": "bid_price",
         "o": "offer_price", "x": "side"},
    ],
)  # fmt: skip
def test_sides_that_are_given_want_both_columns_and_make_the_one_sided_form_themselves(
    feed_of: Callable[[dict[str, Any]], Feed], columns: dict[str, str]
) -> None:
    content = {"dataset": "quotes", "format": "csv", "columns": columns, "sides": "given"}
    with pytest.raises(FeedError, match="wants columns for bid_price and offer_price"):
        feed_of(content)


def test_a_mapping_that_is_not_yaml_or_not_a_mapping_is_refused(tmp_path: Path) -> None:
    for text in ("a: [", "- a list"):
        path = tmp_path / "vendor.yml"
        path.write_text(text)
        with pytest.raises(FeedError, match=r"vendor\.yml"):
            load_feed(path, "vendor")


def test_an_unknown_feed_is_answered_with_those_that_exist(settings: Settings) -> None:
    with pytest.raises(FeedError, match="no mapping for feed 'nasdaq'; there are: binance_agg"):
        find_feed(settings, "nasdaq")


def test_a_users_own_mapping_is_found_and_the_inboxs_wins(settings: Settings) -> None:
    own = settings.local / "feeds" / "vendor.yml"
    beside = settings.inbox / "vendor" / "feed.yml"
    for path, source in ((own, "first"), (beside, "second")):
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump({**MAPPING, "source": source}))
        assert find_feed(settings, "vendor").source == source


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("20131008_aig_Trade_Tick.csv", "lean_aig_20131008_tick_trade.zip"), {}),
        (("lean_aig_20131008_tick_trade.zip",), {}),
        (("whatever.csv",), {"date": date(2013, 10, 8), "instrument_id": "aig"}),
        (("whatever.csv",), {"date": "20131008", "instrument_id": "AIG"}),
        (("20131009_ibm_trade.csv",), {"date": "2013-10-08", "instrument_id": "AIG"}),
    ],
)
def test_parameters_come_from_the_name_or_from_whoever_lands_the_file(
    settings: Settings, names: tuple[str, ...], given: dict[str, Any]
) -> None:
    assert resolve(find_feed(settings, "lean_trades"), names, given) == LEAN_PARAMETERS


def test_a_name_that_says_too_little_is_refused(settings: Settings) -> None:
    lean = find_feed(settings, "lean_trades")
    with pytest.raises(FileRefused, match=r"x\.csv: feed lean_trades takes date, instrument_id"):
        resolve(lean, ("x.csv",), {})
    with pytest.raises(FileRefused, match="'20131399' is not a date"):
        resolve(lean, ("20131399_aig_trade.csv",), {})
    with pytest.raises(FeedError, match="no parameter venue; it takes: date, instrument_id"):
        resolve(lean, ("20131008_aig_trade.csv",), {"venue": "P"})


def test_a_header_that_does_not_fit_the_mapping_refuses_the_file(
    feed_of: Callable[[dict[str, Any]], Feed], settings: Settings
) -> None:
    feed = feed_of(MAPPING)
    for header, complaint in (
        ([*HEADER, "fee"], r"does not know the columns \['fee'\]"),
        ([*HEADER, "px"], "repeated"),
        (HEADER[:2] + HEADER[3:], "no column gives price"),
    ):
        with pytest.raises(FileRefused, match=complaint):
            bind_names(feed, header, {}, "here")
    generic = find_feed(settings, "generic_trades")
    with pytest.raises(FileRefused, match="two columns give price"):
        bind_names(feed_of({**MAPPING, "columns": {**MAPPING["columns"], "last": "price"}}),
                   [*HEADER, "last"], {}, "here")  # fmt: skip
    with pytest.raises(FileRefused, match="no column gives instrument_id"):
        bind_names(generic, ["price", "quantity", "timestamp"], {}, "here")
