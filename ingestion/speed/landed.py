"""What landed, in the order that decides: commit, unit, position. Read back from bronze.

The rows are those that become trades: of dataset `orders` the messages of type T.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from lake import delta_log
from lake.bronze import METADATA_KEY
from lake.delta_log import files_of
from lake.layout import Layout
from lake.ledger import bronze_version

DATASETS = ("trades", "orders")
REPLAY = "replay:"
ROWS_AT_ONCE = 500_000

_COLUMNS = {
    "unit": pl.String,
    "position": pl.Int64,
    "event_ts_ns": pl.Int64,
    "recv_ts_ns": pl.Int64,
    "instrument_id": pl.String,
    "venue": pl.String,
    "source": pl.String,
    "price": pl.Decimal(18, 9),
    "quantity": pl.Decimal(28, 8),
    "sequence": pl.Int64,
    "trade_id": pl.String,
    "conditions": pl.String,
    "batch": pl.String,
}
HEARD = pl.Schema(_COLUMNS)
ROWS = pl.Schema({**_COLUMNS, "version": pl.Int64, "is_replay": pl.Boolean})


@dataclass(frozen=True)
class Landed:
    """Commits that follow each other, and their rows (schema ROWS) in the order that decides.

    `committed_ns` is by version; `positions` is the first position not landed, by unit.
    """

    dataset: str
    last: int
    committed_ns: Mapping[int, int]
    positions: Mapping[str, int]
    rows: pl.DataFrame


@dataclass(frozen=True)
class _Commit:
    version: int
    batch: str
    committed_ns: int
    next: Mapping[str, int]
    ok: int
    paths: tuple[str, ...]  # of the files that it wrote, relative; none where nobody knows


def landed_since(
    layout: Layout, dataset: str, first: int, last: int | None = None
) -> Iterator[Landed]:
    """What landed in the versions `first` to `last` (the newest) of a dataset's bronze, in pieces
    of bounded size."""
    newest = bronze_version(layout, dataset) if last is None else last
    if newest is None or newest < first:
        return
    root = layout.bronze(dataset)
    group: list[_Commit] = []
    rows, reached = 0, first - 1
    for version, commit in _commits(layout, dataset, first, newest):
        if commit is not None:
            if group and rows + commit.ok > ROWS_AT_ONCE:
                yield _landed(root, dataset, group, reached)
                group, rows = [], 0
            group.append(commit)
            rows += commit.ok
        reached = version
    yield _landed(root, dataset, group, reached)


def normalised(dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of a dataset that become trades, in the columns of HEARD; what is not known is null."""
    if dataset == "orders":
        frame = frame.filter(pl.col("msg_type") == "T").rename({"msg_id": "trade_id"})
    there = set(frame.columns)
    return frame.select(
        (pl.col(name) if name in there else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in _COLUMNS.items()
    )


def _commits(
    layout: Layout, dataset: str, first: int, newest: int
) -> Iterator[tuple[int, _Commit | None]]:
    """Every version with its commit; None for one that landed nothing, such as a compaction."""
    root = layout.bronze(dataset)
    in_log = delta_log.entry(root, first).exists() or first == 0
    known = {} if in_log else _of_ledger(layout, dataset, first)
    for version in range(first, newest + 1):
        if delta_log.entry(root, version).exists():
            yield version, _of_log(root, version)
        else:
            yield version, known.get(version)


def _of_log(root: Path, version: int) -> _Commit | None:
    actions = delta_log.read(root, version)
    info = delta_log.commit_info(actions)
    if METADATA_KEY not in info:
        return None
    summary = json.loads(info[METADATA_KEY])
    return _Commit(
        version=version,
        batch=summary["batch"],
        committed_ns=_ns(datetime.fromisoformat(summary["committed_at"])),
        next={span["unit"]: span["next"] for span in summary["spans"]},
        ok=sum(span["ok"] for span in summary["spans"]),
        paths=tuple(
            unquote(a["path"])
            for a in files_of(actions, "add")
            if a["partitionValues"].get("verdict") == "ok"
        ),
    )


def _of_ledger(layout: Layout, dataset: str, first: int) -> dict[int, _Commit]:
    """Commits that the log has forgotten."""
    if not delta_log.is_table(layout.ledger):
        return {}
    files = DeltaTable(str(layout.ledger)).file_uris()
    known = pl.scan_parquet(files).filter(
        (pl.col("dataset") == dataset) & (pl.col("version") >= first)
    )
    found: dict[int, _Commit] = {}
    for (version,), spans in known.collect().group_by("version"):
        found[int(version)] = _Commit(  # type: ignore[call-overload]
            version=int(version),  # type: ignore[call-overload]
            batch=spans["batch"][0],
            committed_ns=_ns(spans["committed_at"][0]),
            next=dict(spans.select("unit", "next_position").iter_rows()),
            ok=int(spans["ok"].sum()),
            paths=(),
        )
    return found


def _ns(moment: datetime) -> int:
    return (int(moment.timestamp()) * 1_000_000 + moment.microsecond) * 1_000


def _landed(root: Path, dataset: str, commits: Sequence[_Commit], last: int) -> Landed:
    positions: dict[str, int] = {}
    for commit in commits:
        positions.update(commit.next)
    filled = [commit for commit in commits if commit.ok]
    versions = pl.DataFrame(
        {"batch": [c.batch for c in filled], "version": [c.version for c in filled]},
        schema={"batch": pl.String, "version": pl.Int64},
    )
    rows = normalised(dataset, _read(root, dataset, filled))
    rows = rows.join(versions, on="batch", how="inner", maintain_order="left")
    return Landed(
        dataset=dataset,
        last=last,
        committed_ns={commit.version: commit.committed_ns for commit in commits},
        positions=positions,
        rows=_in_order(rows),
    )


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """By commit, unit (a replayed row stands with the unit that it first came in), position."""
    rows = rows.with_columns(
        unit=pl.col("unit").str.strip_prefix(REPLAY),
        is_replay=pl.col("unit").str.starts_with(REPLAY),
    )
    is_one = rows["unit"].n_unique() <= 1 and rows["version"].n_unique() <= 1
    if is_one and rows["position"].is_sorted():
        return rows
    return rows.sort("version", "unit", "position")


def _read(root: Path, dataset: str, commits: Sequence[_Commit]) -> pl.DataFrame:
    """The good rows of the commits: from the files they wrote, or from what became of those."""
    direct: list[str] = []
    moved: list[str] = []
    for commit in commits:
        paths = [root / path for path in commit.paths]
        if paths and all(path.exists() for path in paths):
            direct += map(str, paths)
        else:
            moved.append(commit.batch)
    parts = [_scan(dataset, direct)] if direct else []
    if moved:
        parts.append(_scan(dataset, _current(root)).filter(pl.col("batch").is_in(moved)))
    if not parts:
        return pl.DataFrame(schema=_stored(dataset))
    return pl.concat(parts).collect()


def _stored(dataset: str) -> pl.Schema:
    """What is read of a dataset's files."""
    if dataset == "trades":
        return pl.Schema(_COLUMNS)
    own = {
        name: dtype for name, dtype in _COLUMNS.items() if name not in ("trade_id", "conditions")
    }
    return pl.Schema({**own, "msg_id": pl.String, "msg_type": pl.String})


def _scan(dataset: str, paths: Sequence[str]) -> pl.LazyFrame:
    return pl.scan_parquet(
        list(paths),
        schema=_stored(dataset),
        glob=False,
        hive_partitioning=False,
        missing_columns="insert",
        extra_columns="ignore",
    )


def _current(root: Path) -> list[str]:
    """Files of good rows of the newest version."""
    table = DeltaTable(str(root))
    actions: Any = pl.DataFrame(table.get_add_actions(flatten=True))
    good = actions.filter(pl.col("partition.verdict") == "ok")
    return [f"{root}/{unquote(path)}" for path in good["path"]]
