"""A list of texts comes the same from every kind of file: a JSON array, or a list in Parquet."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingestion.land import land_file
from lake.layout import layout
from lake.settings import Settings
from tests.bronze_rows import rows

NAMES = ["platform", "post_id", "created", "text", "tickers"]
GIVEN = [["AAPL", "MSFT"], [], None]
WRONG: list[Any] = [["AAPL", None], [1], "AAPL"]


def posts(tickers: list[Any]) -> list[dict[str, Any]]:
    return [
        dict(zip(NAMES, ["reddit", f"p{n}", "2025-10-02T12:00:00Z", "hm", given], strict=True))
        for n, given in enumerate(tickers)
    ]


def as_json(path: Path, tickers: list[Any]) -> None:
    path.write_text("".join(json.dumps(post) + "\n" for post in posts(tickers)))


def as_csv(path: Path, tickers: list[Any]) -> None:
    cells = [
        {**post, "tickers": None if post["tickers"] is None else json.dumps(post["tickers"])}
        for post in posts(tickers)
    ]
    pl.DataFrame(cells).write_csv(path)


def landed(settings: Settings, path: Path, feed: str) -> list[tuple[Any, Any]]:
    """(tickers, reject code) of each row, in the file's order."""
    land_file(settings, path, feed)
    found = rows(layout(settings).bronze("posts"))
    return [(r["tickers"], r["reject_code"]) for r in sorted(found, key=lambda r: r["position"])]


def test_json_lines_in_the_wire_format(lake: Settings, tmp_path: Path) -> None:
    as_json(tmp_path / "a.jsonl", [*GIVEN, *WRONG])
    expected = [*((given, None) for given in GIVEN), *[(None, "SCHEMA_TYPE")] * 3]
    assert landed(lake, tmp_path / "a.jsonl", "json_posts") == expected


def test_json_lines_under_a_vendors_names(lake: Settings, tmp_path: Path) -> None:
    own = lake.local / "feeds" / "vendor.yml"
    own.parent.mkdir(parents=True)
    columns = {name: {"created": "event_ts_ns"}.get(name, name) for name in NAMES}
    own.write_text(json.dumps({"dataset": "posts", "format": "jsonl", "columns": columns}))
    as_json(tmp_path / "a.jsonl", [*GIVEN, *WRONG])
    expected = [*((given, None) for given in GIVEN), *[(None, "SCHEMA_TYPE")] * 3]
    assert landed(lake, tmp_path / "a.jsonl", "vendor") == expected


def test_a_csv_cell_holds_a_json_array(lake: Settings, tmp_path: Path) -> None:
    as_csv(tmp_path / "a.csv", [*GIVEN, *WRONG])
    expected = [*((given, None) for given in GIVEN), *[(None, "SCHEMA_TYPE")] * 3]
    assert landed(lake, tmp_path / "a.csv", "generic_posts") == expected


@pytest.mark.parametrize("text", [False, True])
def test_parquet_holds_a_list_or_the_text_of_one(
    lake: Settings, tmp_path: Path, text: bool
) -> None:
    tickers = [*GIVEN, ["AAPL", None]]
    frame = pl.DataFrame(posts(tickers), schema_overrides={"tickers": pl.List(pl.String)})
    if text:
        as_text = [None if given is None else json.dumps(given) for given in tickers]
        frame = frame.with_columns(tickers=pl.Series(as_text))
    frame.write_parquet(tmp_path / "a.parquet")
    expected = [*((given, None) for given in GIVEN), (None, "SCHEMA_TYPE")]
    assert landed(lake, tmp_path / "a.parquet", "generic_posts") == expected
