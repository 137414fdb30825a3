"""Replay: rejected records are judged again, and those that pass land, each once."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from contracts.registry import UnknownDataset
from contracts.trades import CONTRACT
from ingestion.check import ContractsDisabled
from ingestion.replay import Replayed, replay
from lake import quarantine
from lake.bronze import BronzeWriter
from lake.quarantine import UnknownCode, Wanted
from tests import bronze_rows
from tests.desk import Desk, trade
from tests.growing import WITH_BOOK, WITH_CODES, WITH_DESK, WITHOUT_SIDE, under

UNIT = "kafka:test/market.trades.v1/0"
RECV_NS = int(datetime(2025, 10, 2, 12, 30, tzinfo=UTC).timestamp()) * 10**9 + 123

DESK = {**trade(1, "12:00:01"), "desk": "rates"}
BOOK = {**trade(2, "12:00:02"), "desk": "rates", "book": "B7"}
SIDELESS = {k: v for k, v in trade(3, "12:00:03").items() if k != "buySellIndicator"}
FUTURE = trade(4, "12:30:05.000000124")
STREAM = [trade(0, "12:00:00"), DESK, b"no json", BOOK, SIDELESS, FUTURE, trade(5, "12:00:05")]
FENCE = "replay:trades"
STREAM_SOURCE = "market.trades.v1"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "lake", tmp_path / "target")


@pytest.fixture
def landed(desk: Desk) -> Desk:
    """Two sound trades among five that the contract of today does not take."""
    more = {"unit": UNIT, "source": "market.trades.v1", "delivery_unit": "D1"}
    commit = desk.land("trades", STREAM, recv_ns=RECV_NS, **more)
    assert commit.by_code == {"SCHEMA_TYPE": 2, "PARSE_ERROR": 1, "SCHEMA_MISSING_FIELD": 1,
                              "FUTURE_TS": 1}  # fmt: skip
    return desk


def rows(desk: Desk, dataset: str = "trades") -> list[dict[str, Any]]:
    return bronze_rows.rows(desk.layout.bronze(dataset))


def replayed(desk: Desk) -> list[tuple[Any, ...]]:
    """Trades that were landed by a replay: id, position, version of the contract."""
    return sorted(
        (row["trade_id"], row["position"], row["contract_version"])
        for row in rows(desk)
        if row["unit"].startswith("replay:")
    )


def counted(found: list[Replayed]) -> tuple[int, int, dict[str, int]]:
    (one,) = found
    return one.examined, one.passed, dict(one.still)


def states(desk: Desk) -> dict[int, str]:
    return {r.position: r.state for r in quarantine.records(desk.layout, Wanted())}


def test_what_still_breaks_the_contract_stays_and_nothing_is_committed(landed: Desk) -> None:
    before = DeltaTable(str(landed.layout.bronze("trades"))).version()
    still = {"SCHEMA_TYPE": 2, "PARSE_ERROR": 1, "SCHEMA_MISSING_FIELD": 1, "FUTURE_TS": 1}
    assert counted(replay(landed.settings)) == (5, 0, still)
    assert DeltaTable(str(landed.layout.bronze("trades"))).version() == before


def test_a_record_lands_once_under_the_first_version_that_takes_it(landed: Desk) -> None:
    with under(WITH_DESK):
        assert counted(replay(landed.settings))[:2] == (5, 1)
        assert counted(replay(landed.settings))[:2] == (4, 0)
    with under(WITH_BOOK):
        assert counted(replay(landed.settings))[:2] == (4, 1)
    with under(WITHOUT_SIDE):
        still = {"PARSE_ERROR": 1, "FUTURE_TS": 1}
        assert counted(replay(landed.settings)) == (3, 1, still)
        assert counted(replay(landed.settings)) == (2, 0, still)
    first = CONTRACT.version
    assert replayed(landed) == [("T1", 1, first + 1), ("T2", 3, first + 2), ("T3", 4, first + 3)]
    assert states(landed) == {1: "replayed", 2: "open", 3: "replayed", 4: "replayed", 5: "open"}


def test_a_field_whose_type_changed_waits_until_the_contract_has_a_column_for_it(
    desk: Desk,
) -> None:
    """The venue sent its conditions as one text, and sends a list from now on."""
    more = {"unit": UNIT, "source": STREAM_SOURCE, "recv_ns": RECV_NS}
    before = {**trade(1, "12:00:01"), "conditions": "@"}
    after = {**trade(2, "12:00:02"), "conditions": ["@", "I"]}
    assert desk.land("trades", [before, after], **more).by_code == {"SCHEMA_TYPE": 1}
    assert counted(replay(desk.settings)) == (1, 0, {"SCHEMA_TYPE": 1})
    with under(WITH_CODES):
        desk.land("trades", [{**trade(3, "12:00:03"), "conditions": ["F"]}], **more)
        assert counted(replay(desk.settings)) == (1, 1, {})
        assert replay(desk.settings) == []
    found = [(row["trade_id"], row["unit"], row["conditions"], row["condition_codes"])
             for row in rows(desk) if row["verdict"] == "ok"]  # fmt: skip
    assert sorted(found) == [
        ("T1", UNIT, "@", None),
        ("T2", f"replay:{UNIT}", None, ["@", "I"]),
        ("T3", UNIT, None, ["F"]),
    ]


def test_a_replayed_row_keeps_where_and_when_it_came_from(landed: Desk) -> None:
    with under(WITH_DESK):
        (done,) = replay(landed.settings)
    (row,) = (row for row in rows(landed) if row["unit"].startswith("replay:"))
    assert (row["unit"], row["position"], row["source"]) == (f"replay:{UNIT}", 1, STREAM_SOURCE)
    assert (row["delivery_unit"], row["recv_ts_ns"]) == ("D1", RECV_NS)
    assert (row["verdict"], row["desk"], row["raw"]) == ("ok", "rates", None)
    (record,) = (r for r in quarantine.records(landed.layout, Wanted()) if r.state == "replayed")
    assert [record.replayed_batch] == done.batches == [row["batch"]]
    assert record.replayed_at == row["ingest_ts"]
    assert (record.unit, record.position, record.code) == (UNIT, 1, "SCHEMA_TYPE")
    assert done.hours == ("2025-10-02T12",)


def test_a_verdict_depends_on_the_first_receipt_and_not_on_todays_clock(landed: Desk) -> None:
    with under(WITHOUT_SIDE):  # the future trade is a year past by now, and stays rejected
        (done,) = replay(landed.settings)
    assert done.still["FUTURE_TS"] == 1
    assert FUTURE["tradeId"] not in {trade_id for trade_id, *_ in replayed(landed)}


def test_a_dry_run_says_what_would_pass_and_changes_nothing(landed: Desk) -> None:
    table = landed.layout.bronze("trades")
    before = DeltaTable(str(table)).version(), rows(landed)
    with under(WITHOUT_SIDE):
        would = counted(replay(landed.settings, dry_run=True))
        assert (DeltaTable(str(table)).version(), rows(landed)) == before
        assert counted(replay(landed.settings)) == would == (5, 3, {"PARSE_ERROR": 1,
                                                                     "FUTURE_TS": 1})  # fmt: skip


def test_a_commit_says_what_a_replay_took_of_each_unit(landed: Desk) -> None:
    other = "kafka:test/market.trades.v1/1"
    landed.land("trades", [b"x", DESK], unit=other, source=STREAM_SOURCE, recv_ns=RECV_NS)
    with under(WITHOUT_SIDE):
        replay(landed.settings)
    with quarantine.opened(landed.layout) as conn:
        spans = conn.execute(
            "select unit, source, first_position, next_position, consumed, ok, rejected "
            "from ledger.commits where starts_with(unit, 'replay:') order by unit"
        ).fetchall()
    assert spans == [(f"replay:{UNIT}", STREAM_SOURCE, 1, 5, 3, 3, 0),
                     (f"replay:{other}", STREAM_SOURCE, 1, 2, 1, 1, 0)]  # fmt: skip
    writer = BronzeWriter(WITHOUT_SIDE, landed.layout)
    assert [writer.next_position(unit) for unit in (UNIT, other, FENCE)] == [len(STREAM), 2, 1]


@pytest.mark.parametrize(
    ("wanted", "passed"),
    [
        (Wanted(code="SCHEMA_TYPE"), ["T1", "T2", "X1"]),
        (Wanted(code="SCHEMA_MISSING_FIELD"), ["T3"]),
        (Wanted(source="trade-events"), ["X1"]),
        (Wanted(datasets=("quotes",)), []),
        (Wanted(since=datetime.now(UTC) + timedelta(hours=1)), []),
        (Wanted(since=datetime.now(UTC) - timedelta(hours=1)), ["T1", "T2", "T3", "X1"]),
    ],
)
def test_only_what_is_wanted_is_replayed(landed: Desk, wanted: Wanted, passed: list[str]) -> None:
    elsewhere = {**DESK, "tradeId": "X1"}
    landed.land("trades", [elsewhere], unit="kafka:test/trade-events/0", source="trade-events",
                recv_ns=RECV_NS)  # fmt: skip
    with under(WITHOUT_SIDE):
        replay(landed.settings, wanted)
    assert [trade_id for trade_id, *_ in replayed(landed)] == passed


def test_many_batches_of_two_topics_land_each_record_once(desk: Desk) -> None:
    desk.settings = type(desk.settings)(LAKE_URI=str(desk.root), TICKLAKE_BATCH_ROWS=7)
    for source in ("market.trades.v1", "trax-trades"):
        for part in range(5):
            sent = [{**DESK, "tradeId": f"{source}{part}{n}"} for n in range(6)]
            unit = f"kafka:test/{source}/0"
            desk.land("trades", sent, unit=unit, source=source, recv_ns=RECV_NS)
    seen: list[tuple[str, int, int]] = []
    with under(WITH_DESK):
        (done,) = replay(desk.settings, progress=lambda *told: seen.append(told))
    assert (done.examined, done.passed) == (60, 60)
    assert seen[-1] == ("trades", 60, 60)
    found = Counter((r["source"], r["unit"], r["position"]) for r in rows(desk) if not r["raw"])
    assert found == Counter(
        (source, f"replay:kafka:test/{source}/0", position)
        for source in ("market.trades.v1", "trax-trades")
        for position in range(30)
    )


def test_what_is_rejected_while_a_replay_runs_waits_for_the_next(landed: Desk) -> None:
    late = [{**DESK, "tradeId": "L1"}, trade(9, "12:00:09")]

    def land_more(*_: object) -> None:
        if len(rows(landed)) == len(STREAM) + 1:
            with under(CONTRACT):
                more = {"unit": UNIT, "source": STREAM_SOURCE, "recv_ns": RECV_NS}
                landed.land("trades", late, **more)

    with under(WITH_DESK):
        assert counted(replay(landed.settings, progress=land_more))[:2] == (5, 1)
        assert [trade_id for trade_id, *_ in replayed(landed)] == ["T1"]
        assert counted(replay(landed.settings))[:2] == (5, 1)
    assert [trade_id for trade_id, *_ in replayed(landed)] == ["L1", "T1"]


def test_after_compaction_nothing_is_taken_for_open_again(landed: Desk) -> None:
    with under(WITH_DESK):
        replay(landed.settings)
    DeltaTable(str(landed.layout.bronze("trades"))).optimize.compact()
    with under(WITH_BOOK):
        assert counted(replay(landed.settings))[:2] == (4, 1)
        DeltaTable(str(landed.layout.bronze("trades"))).optimize.compact()
        assert counted(replay(landed.settings))[:2] == (3, 0)
    assert [trade_id for trade_id, *_ in replayed(landed)] == ["T1", "T2"]
    assert Counter(states(landed).values()) == {"replayed": 2, "open": 3}


def test_of_two_replays_that_share_no_lock_each_record_lands_once(landed: Desk) -> None:
    results: list[list[Replayed]] = []

    def run(number: int) -> None:
        local = landed.root.parent / f"machine{number}"
        settings = type(landed.settings)(LAKE_URI=str(landed.root), LAKE_LOCAL=str(local))
        results.append(replay(settings))

    with under(WITHOUT_SIDE):
        threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == len(threads)
    assert sum(one.passed for found in results for one in found) == 3
    assert [trade_id for trade_id, *_ in replayed(landed)] == ["T1", "T2", "T3"]


def test_a_replay_that_read_before_anothers_commit_is_refused_and_reads_anew(
    landed: Desk,
) -> None:
    """The other one commits when this one has judged and is about to land."""
    done: list[Replayed] = []
    local = landed.root.parent / "elsewhere"
    other = type(landed.settings)(LAKE_URI=str(landed.root), LAKE_LOCAL=str(local))
    landing = BronzeWriter.commit

    def late(writer: BronzeWriter, *given: Any, **more: Any) -> Any:
        if not done:
            done.append(Replayed("a mark, so that the other one goes straight through"))
            done.extend(replay(other, Wanted(code="SCHEMA_TYPE")))
        return landing(writer, *given, **more)

    with under(WITHOUT_SIDE), pytest.MonkeyPatch.context() as patched:
        patched.setattr(BronzeWriter, "commit", late)
        (mine,) = replay(landed.settings)
    assert (done[1].passed, mine.passed) == (2, 1)
    assert mine.still == {"PARSE_ERROR": 1, "FUTURE_TS": 1}
    assert [trade_id for trade_id, *_ in replayed(landed)] == ["T1", "T2", "T3"]


def test_a_replay_is_refused_where_contracts_are_switched_off(
    landed: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pandera.config import config_context

    with config_context(validation_enabled=False), pytest.raises(ContractsDisabled):
        replay(landed.settings)


def test_a_code_or_dataset_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownCode, match=r"WRONG.*SCHEMA_TYPE"):
        Wanted(code="WRONG")
    with pytest.raises(UnknownDataset, match=r"nothing.*trades"):
        Wanted(datasets=("nothing",))


def test_a_lake_without_tables_has_nothing_to_replay(desk: Desk) -> None:
    assert replay(desk.settings) == []
    assert not desk.layout.bronze("trades").exists()
