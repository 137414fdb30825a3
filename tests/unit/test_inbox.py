"""The inbox, and the receipts that record when a file was first offered."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.feeds.mapping import FeedError
from ingestion.land import Landing, land, land_inbox
from ingestion.sources.files import file_source, inbox_sources
from lake.bronze import BronzeWriter
from lake.layout import layout
from lake.receipts import ReceiptBroken, receive
from lake.settings import Settings, load_settings

HEADER = "tradeId,instrumentId,price,quantity,timestamp,buySellIndicator\n"


def row(number: int, price: str = "99.60", at: str = "2025-10-02T12:00:00Z") -> str:
    return f"T{number},BOND_12345,{price},100,{at},B\n"


def settings_of(folder: Path, **more: str) -> Settings:
    return load_settings({"LAKE_URI": str(folder / "lake"), **more})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path)


def land_file(settings: Settings, path: Path, feed: str, **parameters: Any) -> Landing:
    contract, source = file_source(settings, path, feed, **parameters)
    return land(source, BronzeWriter(contract, layout(settings)))


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def bronze(settings: Settings, query: str, dataset: str = "trades") -> list[tuple[Any, ...]]:
    """Answer of a query over `bronze`, all landed rows of a dataset."""
    files = str(layout(settings).bronze(dataset) / "**" / "*.parquet")
    with duckdb.connect() as conn:
        conn.execute(
            "create view bronze as select * from "
            f"read_parquet('{files}', hive_partitioning = true, union_by_name = true)"
        )
        return conn.execute(query).fetchall()


def test_securities_without_a_time_hold_from_the_recorded_receipt(
    settings: Settings, tmp_path: Path
) -> None:
    security = {"instrumentId": "X", "securityName": "A bond", "cusip": "037833100",
                "isin": "US0378331005", "marketSegment": "HG", "issuer": "A"}  # fmt: skip
    path = write(tmp_path / "s.jsonl", json.dumps(security) + "\n")
    land_file(settings, path, "json_securities")
    found = bronze(
        settings, "select event_ts_ns = recv_ts_ns, event_ts_ns from bronze", "securities"
    )
    (receipt,) = layout(settings).receipts.iterdir()
    received = datetime.fromisoformat(json.loads(receipt.read_text())["received_at"])
    assert found == [(True, round(received.timestamp() * 1_000_000) * 1000)]


def test_a_retry_is_judged_by_the_clock_of_the_first_offer(
    settings: Settings, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "a.csv",
        HEADER + row(0, at="2025-10-02T12:00:05Z") + row(1, at="2025-10-02T12:00:05.000001Z"),
    )
    _, source = file_source(settings, path, "generic_trades")
    first = next(source.batches(lambda unit: 0))
    assert first is not None
    for written in layout(settings).receipts.iterdir():
        written.unlink()
    offered = datetime(2025, 10, 2, 12, 0, 0, tzinfo=UTC)
    receive(layout(settings), first.spans[0].unit, "a.csv", 1, offered)
    landing = land_file(settings, path, "generic_trades")
    assert (landing.ok, dict(landing.by_code)) == (1, {"FUTURE_TS": 1})


def test_a_receipt_is_written_once_and_read_ever_after(settings: Settings) -> None:
    lake = layout(settings)
    first = receive(lake, "file:a:1", "x.csv", 12, datetime(2025, 10, 2, 12, tzinfo=UTC))
    again = receive(lake, "file:a:1", "y.csv", 99, datetime(2026, 1, 1, tzinfo=UTC))
    assert first == again
    assert (first.name, first.bytes) == ("x.csv", 12)
    assert first.received_ns == 1_759_406_400_000_000_000
    (path,) = lake.receipts.iterdir()
    assert set(json.loads(path.read_text())) == {"unit", "name", "bytes", "received_at"}


def test_a_broken_receipt_stops_the_landing_with_its_path(settings: Settings) -> None:
    lake = layout(settings)
    receive(lake, "file:a:1", "x.csv", 12)
    (path,) = lake.receipts.iterdir()
    path.write_text("{}")
    with pytest.raises(ReceiptBroken, match=path.name):
        receive(lake, "file:a:1", "x.csv", 12)


def test_the_inbox_is_walked_by_feed_and_day_and_leaves_unfinished_files(
    settings: Settings,
) -> None:
    inbox, feed = settings.inbox, settings.inbox / "generic_trades"
    for number, name in enumerate(
        ["loose.csv", "2025-10-02/b.csv", "2025-10-02/a.csv", "2025-10-03/c.csv",
         "2025-10-02/.hidden", "2025-10-02/_draft.csv", "2025-10-02/d.csv.part", "_old/e.csv",
         "not-a-day/f.csv", "2025-10-02/deeper/g.csv"]
    ):  # fmt: skip
        write(feed / name, HEADER + row(number))
    write(inbox / "json_quotes" / "2025-10-02" / "q.jsonl", b"")
    write(inbox / "README.txt", "not a feed")

    def offered(day: date | None) -> list[str]:
        return [str(source.path.relative_to(inbox)) for _, source in inbox_sources(settings, day)]

    quotes = "json_quotes/2025-10-02/q.jsonl"
    own = [f"generic_trades/2025-10-02/{name}.csv" for name in "ab"]
    assert offered(date(2025, 10, 2)) == [*own, quotes]
    assert offered(date(2025, 10, 4)) == []
    everything = [*own, "generic_trades/2025-10-03/c.csv", "generic_trades/loose.csv", quotes]
    assert offered(None) == everything


def test_an_inbox_folder_that_is_no_feed_is_an_error_before_anything_lands(
    settings: Settings,
) -> None:
    write(settings.inbox / "generic_trades" / "2025-10-02" / "a.csv", HEADER + row(0))
    write(settings.inbox / "trdaes" / "2025-10-02" / "a.csv", HEADER + row(0))
    with pytest.raises(FeedError, match=r"for feed 'trdaes'; there are: .*generic_alerts"):
        land_inbox(settings)
    assert not layout(settings).bronze("trades").exists()


def test_an_inbox_that_does_not_exist_has_no_files(settings: Settings) -> None:
    assert inbox_sources(settings) == []


def test_a_feed_described_in_its_own_inbox_folder_lands_under_its_source_name(
    settings: Settings,
) -> None:
    folder = settings.inbox / "acme"
    write(
        folder / "feed.yml",
        "dataset: trades\nformat: csv\nseparator: ';'\nsource: ACME\n"
        "columns: {sym: instrument_id, px: price, n: quantity, t: event_ts_ns}\n"
        "time: {kind: iso, zone: Europe/London}\n",
    )
    write(folder / "2025-07-01" / "x.csv", "sym;px;n;t\nVOD;70.5;10;2025-07-01T09:00:00\n")
    (landing,) = land_inbox(settings, date(2025, 7, 1))
    assert (landing.dataset, landing.ok, landing.rejected) == ("trades", 1, 0)
    assert landing.hours == ("2025-07-01T08",)
    (again,) = land_inbox(settings)
    assert (again.ok, again.batches) == (0, 0)
    assert bronze(settings, "select source, instrument_id from bronze") == [("ACME", "VOD")]
