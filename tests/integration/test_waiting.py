"""What a landing would take up, and what has landed since: told without changing anything."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ingestion.land import land_inbox, land_topics
from ingestion.waiting import Waiting, waiting_files, waiting_topics
from lake import delta_log, ledger, news
from lake.layout import layout
from lake.locks import held
from lake.news import News
from lake.settings import Settings, load_settings
from tests.desk import Desk, trade
from tests.embedded_broker import Broker
from tests.faults.messages import TOPICS, messages

TRADES, QUOTES = TOPICS["trades"], TOPICS["quotes"]
MakeSettings = Callable[..., Settings]
LINES = """tradeId,instrumentId,price,quantity,timestamp,buySellIndicator
T1,BOND_1,99.60,250000,2025-10-02T12:00:01Z,B
T2,BOND_1,99.61,250000,2025-10-02T13:00:02Z,B
"""


def files(root: Path) -> dict[Path, int]:
    """Every file but locks, and when it was changed."""
    return {
        path: path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def offsets(settings: Settings, *datasets: str) -> dict[str, int]:
    return {one.where: one.records for one in waiting_topics(settings, datasets)}


def test_a_topic_that_was_never_landed_waits_from_its_beginning(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 2)
    broker.create_topic(QUOTES, 1)
    sent = messages(1, "trades", 50, 2)
    broker.produce(TRADES, sent)
    broker.produce(QUOTES, messages(2, "quotes", 7, 1))
    settings = kafka_lake()
    by_partition = {
        f"{TRADES}/{number}": sum(one.partition == number for one in sent) for number in (0, 1)
    }
    assert offsets(settings, "trades") == by_partition
    assert offsets(settings) == {**by_partition, f"{QUOTES}/0": 7}
    assert not settings.root.exists() or files(settings.root) == {}


def test_what_came_since_is_all_that_waits_and_asking_moves_no_position(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 1)
    settings = kafka_lake()
    broker.produce(TRADES, messages(1, "trades", 40, 1))
    land_topics(settings, ("trades",))
    assert offsets(settings, "trades") == {}
    broker.produce(TRADES, messages(2, "trades", 15, 1))
    before = files(settings.root)
    assert [offsets(settings, "trades") for _ in range(2)] == [{f"{TRADES}/0": 15}] * 2
    assert files(settings.root) == before
    (landing,) = land_topics(settings, ("trades",))
    assert landing.ok + landing.rejected == 15


def test_what_a_resident_process_holds_is_said_to_be_left_to_it(
    broker: Broker, kafka_lake: MakeSettings
) -> None:
    broker.create_topic(TRADES, 1)
    broker.produce(TRADES, messages(1, "trades", 3, 1))
    settings = kafka_lake()
    with held(layout(settings).lock("ingest.trades"), shared=True):
        (waiting,) = waiting_topics(settings, ("trades",))
    assert "left to another process: ingest.trades is held by process" in waiting.note
    (waiting,) = waiting_topics(settings, ("trades",))
    assert waiting.note == ""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty lake with one file of two rows in its inbox."""
    folder = tmp_path / "lake" / "inbox" / "generic_trades" / "2025-10-02"
    folder.mkdir(parents=True)
    (folder / "trades.csv").write_text(LINES)
    return Desk(tmp_path / "lake", tmp_path)


def test_a_file_waits_until_it_has_landed_and_only_on_its_day(desk: Desk) -> None:
    path = desk.root / "inbox" / "generic_trades" / "2025-10-02" / "trades.csv"
    settings = load_settings({"LAKE_URI": str(desk.root), "TICKLAKE_KAFKA_BOOTSTRAP": ""})
    before = files(desk.root)
    waits = [Waiting("trades", str(path), 2)]
    assert waiting_files(settings) == waits
    assert waiting_files(settings, date(2025, 10, 2), ["trades"]) == waits
    assert waiting_files(settings, date(2025, 10, 3)) == []
    assert waiting_files(settings, datasets=["quotes"]) == []
    assert waiting_topics(settings) == []
    assert files(desk.root) == before
    assert land_inbox(settings, datasets=["quotes"]) == []
    land_inbox(settings, datasets=["trades"])
    assert waiting_files(settings) == []


def test_a_file_that_would_be_refused_is_told_with_the_reason(desk: Desk) -> None:
    path = desk.root / "inbox" / "generic_trades" / "2025-10-02" / "trades.csv"
    path.write_text("what,is,this\n1,2,3\n")
    (waiting,) = waiting_files(desk.settings)
    assert waiting.records == 0
    assert waiting.note.startswith("would be refused: ")


def test_news_since_a_version_are_the_same_from_the_logs_and_from_the_ledger(desk: Desk) -> None:
    desk.land("trades", [trade(1, "12:00:01"), trade(2, "13:00:01"), b"no json"])
    desk.land("trades", [trade(3, "15:59:59")])
    first = News("trades", 2, 1, ("2025-10-02T12", "2025-10-02T13"))
    second = News("trades", 1, 0, ("2025-10-02T15",))
    both = News("trades", 3, 1, (*first.hours, *second.hours))
    version = ledger.bronze_version(desk.layout, "trades")
    assert version is not None

    def told() -> list[list[News]]:
        since, until = {"trades": version - 1}, {"trades": version - 1}
        return [
            news.news(desk.layout, {}),
            news.news(desk.layout, since),
            news.news(desk.layout, {}, until),
            news.news(desk.layout, {"trades": version}),
        ]

    expected = [[both], [second], [first], []]
    assert told() == expected
    assert not delta_log.is_table(desk.layout.ledger)
    ledger.append_new(desk.layout)
    assert told() == expected
    third = desk.land("trades", [trade(4, "12:30:00")])
    assert news.news(desk.layout, {"trades": version}) == [News("trades", 1, 0, third.hours)]
    assert news.news(desk.layout, {})[0].rows == 4


def test_the_hours_of_days_are_those_with_good_rows(desk: Desk) -> None:
    at = ["2025-10-01T23:59:59Z", "2025-10-02T00:00:00Z", "2025-10-02T12:00:00Z"]
    rows = [trade(n, moment) for n, moment in enumerate([*at, "2025-10-03T00:00:00Z"])]
    desk.land("trades", [*rows, trade(9, "2025-10-02T17:00:00Z", price=-1)])
    days = date(2025, 10, 2), date(2025, 10, 3)
    assert news.hours_of_days(desk.layout, *days) == {"trades": ["2025-10-02T00", "2025-10-02T12"]}
