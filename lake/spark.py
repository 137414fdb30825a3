"""The pinned files of bronze as a folder that Spark reads: `python -m lake.spark <folder>`.

Spark needs no Delta for it: a version of a Delta table is a list of Parquet files, and those of
verdict `ok` are linked into a folder of the same partitions. Links hold the files, so that neither
compaction nor vacuum takes them away while Spark reads.
"""

import os
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import registry
from contracts.derive.arrow import OK, partition_columns, table_schema
from lake import pins
from lake.layout import Layout, layout
from lake.settings import load_settings

_NO_DAY = "1970-01-01"  # where a dataset's empty file lies, which gives Spark its columns


def lay_out(lake: Layout, folder: Path) -> dict[str, int]:
    """Make `folder` anew: bronze/<dataset>/... for every dataset. Returns files per dataset.

    Files are hard links, or copies where the folder is on another disk.
    """
    now = pins.newest(lake)
    shutil.rmtree(folder / "bronze", ignore_errors=True)
    linked = {}
    for dataset, contract in registry.all_contracts().items():
        root, top = lake.bronze(dataset), folder / "bronze" / dataset
        files = pins.bronze_at(lake, contract, now, {}).files
        paths = [Path(p) for p, verdict in files.select("path", "partition.verdict").iter_rows()
                 if verdict == OK]  # fmt: skip
        for path in paths:
            _link(path, top / path.relative_to(root))
        _write_empty(top, contract)
        linked[dataset] = len(paths)
    return linked


def _link(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)


def _write_empty(top: Path, contract: object) -> None:
    values = {"verdict": OK, "event_date": _NO_DAY}
    partitions = partition_columns(contract)  # type: ignore[arg-type]
    schema = table_schema(contract)  # type: ignore[arg-type]
    place = top.joinpath(*(f"{name}={values[name]}" for name in partitions))
    place.mkdir(parents=True, exist_ok=True)
    fields = pa.schema([field for field in schema if field.name not in partitions])
    pq.write_table(fields.empty_table(), place / "none.parquet")


if __name__ == "__main__":
    settings = load_settings()
    for name, count in lay_out(layout(settings), Path(sys.argv[1])).items():
        print(f"{name}: {count} files")
