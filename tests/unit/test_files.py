"""Files as a source: a file is a unit, its rows are positions, and it lands once."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.feeds.mapping import FileRefused
from ingestion.land import Landing, land
from ingestion.sources.files import file_source
from lake.bronze import BronzeWriter
from lake.layout import layout
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


def zipped(path: Path, **contents: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def wire(number: int) -> dict[str, Any]:
    return {
        "tradeId": f"T{number}",
        "instrumentId": "X",
        "price": 99.6,
        "quantity": 5,
        "timestamp": "2025-10-02T12:00:00Z",
        "buySellIndicator": "B",
    }


def parquet_trades(rows: int) -> pa.Table:
    return pl.DataFrame([wire(number) for number in range(rows)]).to_arrow()


def test_good_rows_land_and_poison_lines_are_kept_with_position_bytes_and_code(
    settings: Settings, tmp_path: Path
) -> None:
    lines = [row(0), "T1,X\n", row(2, "-1"), row(3, "NaN"), row(4, at="2999-01-01T00:00:00Z"),
             row(5), row(6, "abc"), row(7, at="2025-10-02T12:00:00"), row(8)]  # fmt: skip
    content = HEADER.encode() + "".join(lines).encode() + b"T9,\xff\xfe,1,1,1,B"
    path = write(tmp_path / "a.csv", content)
    landing = land_file(settings, path, "generic_trades")
    assert (landing.ok, landing.rejected) == (3, 7)
    good = bronze(settings, "select position, trade_id from bronze where verdict = 'ok' order by 1")
    assert good == [(0, "T0"), (5, "T5"), (8, "T8")]
    rejected = bronze(
        settings,
        "select position, reject_code, raw from bronze where verdict = 'rejected' order by 1",
    )
    codes = ["PARSE_ERROR", "PRICE_NOT_POSITIVE", "NON_FINITE", "FUTURE_TS", "SCHEMA_TYPE",
             "TS_OUT_OF_RANGE", "PARSE_ERROR"]  # fmt: skip
    assert [code for _, code, _ in rejected] == codes
    physical = content.split(b"\n")[1:]
    assert all(raw == physical[position] for position, _, raw in rejected)


def test_every_row_of_a_file_carries_where_it_came_from(settings: Settings, tmp_path: Path) -> None:
    land_file(settings, write(tmp_path / "a.csv", HEADER + row(0) + row(1)), "generic_trades")
    found = bronze(
        settings,
        "select distinct source, unit = delivery_unit, regexp_matches(unit, "
        "'^file:generic_trades:[0-9a-f]{32}$'), recv_ts_ns is not null, raw is null from bronze",
    )
    assert found == [("generic_trades", True, True, True, True)]


def test_a_file_lands_once_however_it_is_named_or_packed(
    settings: Settings, tmp_path: Path
) -> None:
    content = HEADER + row(0) + row(1) + row(2)
    plain = write(tmp_path / "a.csv", content)
    assert land_file(settings, plain, "generic_trades").ok == 3
    offers = [
        plain,
        write(tmp_path / "elsewhere" / "b.txt", content),
        write(tmp_path / "c.csv.gz", gzip.compress(content.encode())),
        zipped(tmp_path / "d.zip", **{"e.csv": content}),
    ]
    for path in offers:
        landing = land_file(settings, path, "generic_trades")
        assert (landing.ok, landing.rejected, landing.batches) == (0, 0, 0), path
    assert bronze(settings, "select count(*) from bronze") == [(3,)]


def test_the_same_bytes_for_another_day_are_another_unit(
    settings: Settings, tmp_path: Path
) -> None:
    content = "34200000,488000,100,P,0,0\n"
    for name in ("20131008_aig_trade.csv", "20131009_aig_trade.csv", "20131008_AIG_trade_2.csv"):
        land_file(settings, write(tmp_path / name, content), "lean_trades")
    landed = bronze(settings, "select cast(event_date as varchar), instrument_id from bronze "
                              "order by 1")  # fmt: skip
    assert landed == [("2013-10-08", "AIG"), ("2013-10-09", "AIG")]


def test_each_member_of_a_zip_is_a_unit_of_its_own(settings: Settings, tmp_path: Path) -> None:
    one, two = HEADER + row(0), HEADER + row(1) + row(2)
    both = zipped(tmp_path / "both.zip", **{"1.csv": one, "2.csv": two, "__MACOSX/1.csv": "x"})
    assert land_file(settings, both, "generic_trades").ok == 3
    assert land_file(settings, write(tmp_path / "2.csv", two), "generic_trades").ok == 0
    units = bronze(settings, "select count(*), max(position) from bronze group by unit order by 1")
    assert units == [(1, 0), (2, 1)]


def test_batches_together_are_every_row_once_in_order(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, TICKLAKE_BATCH_ROWS="7")
    content = HEADER + "".join(
        row(number, "-1" if number % 5 == 0 else "1") for number in range(40)
    )
    landing = land_file(settings, write(tmp_path / "a.csv", content), "generic_trades")
    assert (landing.ok, landing.rejected, landing.batches) == (32, 8, 6)
    positions = bronze(settings, "select position from bronze order by position")
    assert positions == [(number,) for number in range(40)]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_file_half_landed_is_continued_where_the_table_stands(tmp_path: Path, kind: str) -> None:
    settings = settings_of(tmp_path, TICKLAKE_BATCH_ROWS="7")
    feed, path = "generic_trades", tmp_path / f"a.{kind}"
    if kind == "csv":
        write(path, HEADER + "".join(row(number) for number in range(40)))
    elif kind == "parquet":
        pq.write_table(parquet_trades(40), path, row_group_size=9)
    else:
        feed = "json_trades"
        write(path, "".join(json.dumps(wire(number)) + "\n" for number in range(40)))
    contract, source = file_source(settings, path, feed)
    writer = BronzeWriter(contract, layout(settings))
    stopped = source.batches(writer.next_position)

    class Dies:
        def batches(self, positions: Any) -> Any:
            for _ in range(2):
                yield next(stopped)
            raise KeyboardInterrupt

        def acknowledge(self, batch: Any) -> None: ...

        def close(self) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        land(Dies(), writer)
    assert land_file(settings, path, feed).ok == 40 - 14
    found = bronze(settings, "select position, trade_id from bronze order by position")
    assert found == [(number, f"T{number}") for number in range(40)]
    assert bronze(settings, "select count(distinct recv_ts_ns) from bronze") == [(1,)]


def test_parquet_inside_a_zip_or_gzip_is_read_like_a_plain_one(
    settings: Settings, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    pq.write_table(parquet_trades(3), buffer)
    gz = write(tmp_path / "a.gz", gzip.compress(buffer.getvalue()))
    assert land_file(settings, gz, "generic_trades").ok == 3
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.parquet", buffer.getvalue())
    assert land_file(settings, tmp_path / "a.zip", "generic_trades").ok == 0


def test_line_ends_a_byte_order_mark_and_a_last_line_without_end_make_no_difference(
    settings: Settings, tmp_path: Path
) -> None:
    windows = ("\ufeff" + HEADER + row(0) + row(1)).replace("\n", "\r\n").encode()
    landing = land_file(settings, write(tmp_path / "a.csv", windows[:-2]), "generic_trades")
    assert (landing.ok, landing.rejected) == (2, 0)
    assert bronze(settings, "select position, side from bronze order by 1") == [(0, "B"), (1, "B")]


def test_a_damaged_file_is_refused_before_anything_of_it_lands(
    settings: Settings, tmp_path: Path
) -> None:
    content = (HEADER + "".join(row(number) for number in range(20_000))).encode()
    damaged = bytearray(gzip.compress(content))
    damaged[len(damaged) // 2] ^= 0xFF
    cut = gzip.compress(content)[:-100]
    for number, packed in enumerate((bytes(damaged), cut, b"PK\x03\x04rubbish")):
        path = write(tmp_path / f"{number}.gz", packed)
        with pytest.raises(FileRefused, match="cannot be read"):
            land_file(settings, path, "generic_trades")
    assert not list(layout(settings).bronze("trades").glob("verdict=*"))


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, TICKLAKE_BATCH_ROWS="1")
    path = write(tmp_path / "a.csv", HEADER + row(0) + row(1))
    _, source = file_source(settings, path, "generic_trades")
    batches = source.batches(lambda unit: 0)
    assert next(batches) is not None
    write(path, HEADER + row(0) + row(1) + row(2))
    with pytest.raises(FileRefused, match="changed while it was read"):
        next(batches)


@pytest.mark.parametrize(
    ("feed", "content", "complaint"),
    [
        ("generic_trades", b"", "wants a header line"),
        ("generic_trades", b"a,b\n1,2\n", "does not know the columns"),
        ("generic_trades", b"\xff\xfe\n", "the first line is no header"),
        ("json_trades", b"PAR1", "is Parquet; the feed says jsonl"),
        ("generic_trades", b"PAR1 but not really", "not readable as Parquet"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_name(
    settings: Settings, tmp_path: Path, feed: str, content: bytes, complaint: str
) -> None:
    path = write(tmp_path / "odd.csv", content)
    with pytest.raises(FileRefused, match=complaint) as refused:
        land_file(settings, path, feed)
    assert "odd.csv" in str(refused.value)


def test_a_file_that_is_not_there_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="no such file"):
        file_source(settings, tmp_path / "none.csv", "generic_trades")


def test_an_empty_json_lines_file_lands_nothing(settings: Settings, tmp_path: Path) -> None:
    assert land_file(settings, write(tmp_path / "a.jsonl", b""), "json_trades").batches == 0
