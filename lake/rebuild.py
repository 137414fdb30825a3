"""A publication made again: bronze as its build read it, in a lake of its own, built anew.

Rows carry the batch that landed them and the ledger keeps the version that each batch became, so
that the rows of a version can be told also after compaction and vacuum have removed its files.
"""

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from duckdb import DuckDBPyConnection

from contracts import registry
from lake import delta, delta_log, ledger, pins, speed
from lake.build import BuildResult, Progress, build
from lake.damage import Damaged
from lake.delta_log import LAST_CHECKPOINT, LOG
from lake.delta_table import checkpoint
from lake.durable import sync_folders
from lake.files import data_files, literal, names
from lake.layout import Layout, layout
from lake.records import Record, folder_entry, load
from lake.settings import Settings, load_settings

log = structlog.get_logger()

_STATED = ("window_start",)  # the statistics that builds look at in the speed layer's tables


class CannotRebuild(RuntimeError):
    """The publication is not there, or what it was made from is not; the message says which."""


@dataclass(frozen=True)
class Rebuilt:
    """A publication made again. `note` says what may make it differ from the first time."""

    number: int
    into: Path
    rows: int  # of bronze
    result: BuildResult
    note: str


def rebuild(
    settings: Settings, number: int, into: Path, progress: Progress | None = None
) -> Rebuilt:
    """Build publication `number` again, into a folder that is empty or not there.

    The folder becomes a lake that any command can open (LAKE_URI). Files are shared with the first
    lake where all their rows belong, and copied where not.
    Raises CannotRebuild, and lake.build.BuildFailed.
    """
    place, target = layout(settings), load_settings(_elsewhere(settings, into))
    record = _record(place, number)
    if into.exists() and any(into.iterdir()):
        raise CannotRebuild(f"{into} is not empty; name a folder that is, or a new one")
    rows = as_of(place, {k: v["version"] for k, v in record.read.items()}, layout(target))
    result = build(target, progress=progress)
    return Rebuilt(number, into, rows, result, _note(record))


def as_of(place: Layout, versions: pins.Pin, target: Layout) -> int:
    """Lay bronze, ledger and the speed layer's tables out as they were at a vector of versions;
    returns the rows of bronze.

    Tables have the same version, rows and positions; how rows lie in files may differ.
    """
    landed = {name: version for name, version in versions.items() if name not in speed.TABLES}
    ledger.append_new(place)
    rows = 0
    with duckdb.connect() as conn:
        conn.execute("set TimeZone = 'UTC'; create schema ledger")
        pins.create_ledger_view(conn, place)
        for dataset, version in landed.items():
            rows += _bronze(conn, place, target, dataset, version)
        _ledger(conn, target, landed)
    for name in versions.keys() - landed.keys():
        _speed(place, target, name, versions[name])
    return rows


def _speed(place: Layout, target: Layout, name: str, version: int) -> None:
    """One of the speed layer's tables; nothing of it where the version's files are gone."""
    root, copy = speed.root(place, name), speed.root(target, name)
    try:
        source = DeltaTable(str(root), version=version)
        rows = data_files(root, version)
    except (DeltaError, Damaged, OSError) as error:
        log.warning("not laid out, so there is no drift", table=name, reason=str(error))
        return
    partitions = list(source.metadata().partition_columns)
    table = delta.open_or_create(copy, pa.schema(source.schema()), partitions)
    files = []
    for file in rows.iter_rows(named=True):
        there = copy / Path(str(file["path"])).relative_to(root)
        there.parent.mkdir(parents=True, exist_ok=True)
        _link(Path(str(file["path"])), there)
        kept = {k: v for k, v in file.items() if k[:4] not in ("min.", "max.") or k[4:] in _STATED}
        files.append(_described(kept, there, copy, int(str(file["rows"]))))
    delta.commit(table, copy, files)
    _number(copy, version)


def _bronze(
    conn: DuckDBPyConnection, place: Layout, target: Layout, dataset: str, version: int
) -> int:
    root, copy = place.bronze(dataset), target.bronze(dataset)
    source = DeltaTable(str(root))
    partitions = list(source.metadata().partition_columns)
    table = delta.open_or_create(copy, pa.schema(source.schema()), partitions)
    later = conn.execute(
        "select epoch(min(committed_at))::bigint - 1 from ledger.commits "
        "where dataset = ? and version > ?",
        [dataset, version],
    ).fetchall()[0][0]
    moment = None if later is None else datetime.fromtimestamp(later, UTC)
    files = [
        made
        for file in data_files(root, int(source.version())).iter_rows(named=True)
        if (made := _file(conn, root, copy, file, moment, dataset, version))
    ]
    landed, expected = sum(file.rows for file in files), _landed(conn, dataset, version)
    if landed != expected:
        raise CannotRebuild(
            f"bronze.{dataset}: {landed} rows of version {version} are left, the ledger says "
            f"{expected} landed; run `ticklake verify --deep`"
        )
    positions = conn.execute(
        "select unit, max(next_position) from ledger.commits "
        "where dataset = ? and version <= ? group by 1",
        [dataset, version],
    ).fetchall()
    delta.commit(table, copy, files, transactions=dict(positions))
    _number(copy, version)
    return landed


def _landed(conn: DuckDBPyConnection, dataset: str, version: int) -> int:
    found = conn.execute(
        "select coalesce(sum(ok + rejected), 0)::bigint from ledger.commits "
        "where dataset = ? and version <= ?",
        [dataset, version],
    ).fetchall()
    return int(found[0][0])


def _file(
    conn: DuckDBPyConnection,
    root: Path,
    copy: Path,
    file: dict[str, object],
    later: datetime | None,
    dataset: str,
    version: int,
) -> delta.DataFile | None:
    """The file's rows up to a version: linked where that is all of them."""
    path = Path(str(file["path"]))
    there = copy / path.relative_to(root)
    there.parent.mkdir(parents=True, exist_ok=True)
    last = file.get("max.ingest_ts")
    rows = int(str(file["rows"]))
    if later is None or (isinstance(last, datetime) and last < later):
        _link(path, there)
    else:
        conn.execute(
            f"copy (select * from read_parquet({literal(str(path))}, hive_partitioning = false) "
            f"where batch in (select batch from ledger.commits where dataset = {literal(dataset)} "
            f"and version <= {version})) to {literal(str(there))} (format parquet, "
            "parquet_version v2, compression zstd)"
        ).fetchall()
        rows = pq.read_metadata(there).num_rows
        if rows == 0:
            there.unlink()
            return None
    return _described(file, there, copy, rows)


def _described(file: dict[str, object], there: Path, copy: Path, rows: int) -> delta.DataFile:
    stats = {side: _stats(file, side) for side in ("min", "max")}
    partition = {
        name.removeprefix("partition."): None if value is None else str(value)
        for name, value in file.items()
        if name.startswith("partition.")
    }
    relative = there.relative_to(copy).as_posix()
    return delta.DataFile(
        relative, there.stat().st_size, rows, partition, stats["min"], stats["max"]
    )


def _stats(file: dict[str, object], side: str) -> dict[str, object]:
    return {
        name.partition(".")[2]: delta.stated(value)
        for name, value in file.items()
        if name.startswith(f"{side}.") and value is not None
    }


def _link(path: Path, there: Path) -> None:
    try:
        os.link(path, there)
    except OSError:  # another disk
        shutil.copyfile(path, there)


def _number(root: Path, version: int) -> None:
    """Give a table that was just made the version that it stands for.

    A log may begin with a checkpoint; it is the same one under another number.
    """
    made = checkpoint(root)
    if made == version:
        return
    log = root / LOG
    (summed,) = log.glob(f"{made:020}.checkpoint*.parquet")
    summed.replace(log / summed.name.replace(f"{made:020}", f"{version:020}"))
    last = json.loads((log / LAST_CHECKPOINT).read_bytes())
    (log / LAST_CHECKPOINT).write_text(json.dumps({**last, "version": version}), encoding="ascii")
    for old in delta_log.versions(root):
        delta_log.entry(root, old).unlink()
    sync_folders([log])


def _ledger(conn: DuckDBPyConnection, target: Layout, versions: pins.Pin) -> None:
    table = delta.open_or_create(target.ledger, ledger.SCHEMA, [])
    until = " or ".join(f"(dataset = {literal(k)} and version <= {v})" for k, v in versions.items())
    rows = conn.sql(
        f"select {names(ledger.SCHEMA.names)} from ledger.commits where {until or 'false'} "
        "order by dataset, version, unit"
    ).to_arrow_table()
    path = target.ledger / f"as-of.{delta.unique()}.zstd.parquet"
    pq.write_table(rows.cast(ledger.SCHEMA), path, compression="zstd")
    file = delta.DataFile(path.name, path.stat().st_size, rows.num_rows, {}, {}, {})
    delta.commit(table, target.ledger, [file], transactions=versions)


def _record(place: Layout, number: int) -> Record:
    if not folder_entry(place, number).exists():
        known = sorted(int(path.stem) for path in place.published.glob("*.json"))
        there = f"there are {known[0]} to {known[-1]}" if known else "nothing is published"
        raise CannotRebuild(f"no publication {number} under {place.root}; {there}")
    record = load(place, number)
    unknown = set(record.read) - set(registry.all_contracts()) - set(speed.TABLES)
    if unknown:
        raise CannotRebuild(
            f"publication {number} read {', '.join(sorted(unknown))}, which this revision does "
            f"not know; check out {record.revision}"
        )
    return record


def _note(record: Record) -> str:
    from lake.records import revision

    notes = []
    if record.revision != revision():
        notes.append(
            f"publication {record.number} was built by revision {record.revision}, this one by "
            f"{revision()}: where a model changed, its rows may differ"
        )
    if dict(record.read) != dict(record.pin):
        notes.append(
            f"publication {record.number} was a build of a range or of a selection: what it did "
            "not look at is older there"
        )
    return "; ".join(notes)


def _elsewhere(settings: Settings, into: Path) -> dict[str, str]:
    return {
        "LAKE_URI": str(into.absolute()),
        "TICKLAKE_BUILD_MEMORY": settings.build_memory,
        "TICKLAKE_BUILD_THREADS": str(settings.build_threads),
    }
