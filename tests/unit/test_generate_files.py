"""Generated files: read back without a loss, byte-identical again, and never half there."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from contracts import registry
from ingestion.generate.files import FORMATS, Format, whole_file, write_file
from ingestion.generate.plan import Plan
from ingestion.generate.presets import make_plan
from ingestion.generate.sinks import Job, to_files
from ingestion.generate.stream import DATASETS, Block, blocks, module_of
from ingestion.land import land_file
from lake.layout import layout
from lake.locks import Busy, held
from lake.settings import Settings

DAY = Plan().days[0]
PLAN = make_plan("small", quotes=3_000, trades=3_000, orders=2_000, securities=400)


@cache
def made(dataset: str) -> tuple[Block, ...]:
    return tuple(blocks(PLAN, dataset, DAY))


def typed(dataset: str) -> pl.DataFrame:
    return pl.concat(block.typed for block in made(dataset))


def feed(dataset: str, format: Format) -> str:
    return f"json_{dataset}" if format == "jsonl" else f"generic_{dataset}"


def bronze(lake: Settings, dataset: str) -> pl.DataFrame:
    """The landed rows in the order of their positions."""
    files = DeltaTable(str(layout(lake).bronze(dataset))).file_uris()
    return pl.read_parquet(files, hive_partitioning=False).sort("position")


def nothing(messages: int) -> None:
    """No one watches."""


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_file_lands_through_its_feed_without_a_reject_and_with_equal_rows(
    dataset: str, format: Format, tmp_path: Path, lake: Settings
) -> None:
    path = tmp_path / f"{DAY}.{format}"
    write_file(path, module_of(dataset).FORM, made(dataset), nothing)
    landing = land_file(lake, path, feed(dataset, format))
    wanted = typed(dataset)
    assert (landing.ok, landing.rejected) == (wanted.height, 0)
    found = bronze(lake, dataset)
    for column in registry.get(dataset).columns:
        values = wanted[column.name]
        landed = found[column.name].cast(values.dtype)
        told = values.is_not_null()
        if column.kind == "time" and not told.all():
            assert dataset == "securities"  # whose time is then that of the receipt
            values, landed = values.filter(told), landed.filter(told)
        assert landed.equals(values, check_names=False), column.name


def test_json_lines_are_the_messages_as_kafka_would_get_them(tmp_path: Path) -> None:
    path = tmp_path / "trades.jsonl"
    size = write_file(path, module_of("trades").FORM, made("trades"), nothing)
    wanted = b"".join(value + b"\n" for block in made("trades") for value in block.values)
    assert path.read_bytes() == wanted
    assert size == len(wanted)


def test_messages_that_are_no_text_are_lines_of_a_file_too(tmp_path: Path) -> None:
    plan = make_plan("small", fault_share=0.5)
    faulty = list(blocks(plan, "trades", DAY))
    path = tmp_path / "trades.jsonl"
    write_file(path, module_of("trades").FORM, faulty, nothing)
    assert path.read_bytes().split(b"\n")[:-1] == [v for block in faulty for v in block.values]


def test_a_parquet_file_holds_decimals_and_utc_times(tmp_path: Path) -> None:
    path = tmp_path / "trades.parquet"
    write_file(path, module_of("trades").FORM, made("trades"), nothing)
    types = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert types["price"] == "decimal128(18, 9)"
    assert types["quantity"] == "decimal128(28, 8)"
    assert types["timestamp"] == "timestamp[us, tz=UTC]"
    with duckdb.connect() as conn:
        found = conn.execute(
            "select count(*), sum(price * cast(quantity as decimal(28, 0))) from read_parquet(?)",
            [str(path)],
        ).fetchone()
    rows = typed("trades")
    wanted = sum(p * q for p, q in zip(rows["price"], rows["quantity"], strict=True))
    assert found == (3_000, wanted)


@pytest.mark.parametrize("format", FORMATS)
def test_a_day_without_messages_is_a_file_without_rows(
    format: Format, tmp_path: Path, lake: Settings
) -> None:
    path = tmp_path / f"{DAY}.{format}"
    write_file(path, module_of("posts").FORM, [], nothing)
    landing = land_file(lake, path, feed("posts", format))
    assert (landing.ok, landing.rejected) == (0, 0)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_plan_gives_the_same_files_byte_for_byte(
    format: Format, tmp_path: Path, lake: Settings
) -> None:
    digests = []
    for out in (tmp_path / "one", tmp_path / "two"):
        to_files(Job(lake, PLAN, DATASETS), out, format)
        files = sorted(path for path in out.rglob("*.*") if path.name != ".lock")
        assert len(files) == len(DATASETS)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1]


def test_whatever_is_raised_while_a_file_is_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "quotes" / f"{DAY}.csv"

    def broken() -> Iterator[Block]:
        yield made("quotes")[0]
        assert [p.name for p in path.parent.iterdir()] == [f"{DAY}.csv.part"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, module_of("quotes").FORM, broken(), nothing)
    assert list(path.parent.iterdir()) == []


def test_a_file_keeps_its_old_content_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "truth.parquet"
    path.write_bytes(b"old")
    with whole_file(path) as part:
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_stopped_job_leaves_whole_files_only_and_counts_them_alone(
    tmp_path: Path, lake: Settings
) -> None:
    job = Job(lake, PLAN, ("securities", "quotes", "trades"))

    def stopped_in_quotes(dataset: str, messages: int) -> None:
        if dataset == "quotes":
            job.stop.set()

    watched = Job(lake, PLAN, job.datasets, stopped_in_quotes, job.stop)
    to_files(watched, tmp_path, "csv")
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert files == [".lock", f"securities/{DAY}.csv"]
    counted = {name: tally.messages for name, tally in watched.tallies.items()}
    assert counted == {"securities": 400, "quotes": 0}


def test_a_new_run_removes_what_an_earlier_one_left_of_its_days_and_nothing_else(
    tmp_path: Path, lake: Settings
) -> None:
    quotes = tmp_path / "quotes"
    quotes.mkdir()
    stale = [f"{DAY}.csv", f"{DAY}.C3.jsonl", f"{DAY}.parquet.part"]
    foreign = ["2025-10-03.csv", "mine.csv", "notes.txt", f"{DAY}.csv.bak"]
    for name in (*stale, *foreign):
        (quotes / name).write_bytes(b"x")
    for name in ("truth.parquet", "scenario.parquet", "other.parquet"):
        (tmp_path / name).write_bytes(b"x")
    to_files(Job(lake, PLAN, ("quotes",)), tmp_path, "parquet")
    assert sorted(path.name for path in quotes.iterdir()) == sorted([f"{DAY}.parquet", *foreign])
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == ["other.parquet"]


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path, lake: Settings) -> None:
    with held(tmp_path / ".lock"), pytest.raises(Busy):
        to_files(Job(lake, PLAN, ("quotes",)), tmp_path, "csv")


def test_the_truth_is_there_before_the_first_message(tmp_path: Path, lake: Settings) -> None:
    plan = make_plan("small", fault_share=0.1, scenario="volatility")
    seen: list[list[str]] = []

    def look(dataset: str, messages: int) -> None:
        seen.append(sorted(path.name for path in tmp_path.glob("*.parquet")))

    to_files(Job(lake, plan, ("securities", "trades"), look), tmp_path, "jsonl")
    assert seen[0] == ["scenario.parquet", "truth.parquet"]
    assert pl.read_parquet(tmp_path / "truth.parquet").height == 1_000  # 10 % of 10,000
    rules = set(pl.read_parquet(tmp_path / "scenario.parquet")["rule"])
    assert rules == {"price_move", "volume_spike"}


def test_an_unknown_format_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"end in \.csv, \.jsonl, \.parquet"):
        write_file(tmp_path / "trades.xml", module_of("trades").FORM, [], nothing)
