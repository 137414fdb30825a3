"""How a delivered unit was read, kept where one of its rows was rejected.

A rejected row is kept as its own bytes. A Kafka record needs no more to be read again; a line of a
file does: the header stood once, at the top, and what the file's name said stands in none of them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lake.durable import folders_between, put_if_absent, sync_folders
from lake.layout import Layout


@dataclass(frozen=True)
class Reading:
    """What one row of a unit cannot say of itself.

    `columns` are the names of the file's columns in their order, none where it has no header.
    `types` are the types of a Parquet file's columns, as polars writes them. `parameters` are what
    the file's name, or whoever landed it, said about all of its rows. `time_unit` is what its
    times count in, where only the file as a whole could tell.
    """

    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    time_unit: str | None = None


class ReadingBroken(RuntimeError):
    """A reading is there but cannot be understood."""


def keep(layout: Layout, unit: str, reading: Reading) -> None:
    """Keep how a unit is read, durably, once: its name is made of its content and parameters."""
    path = _path(layout, unit)
    if path.exists():
        return
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        sync_folders(folders_between(layout.root, path.parent))
    put_if_absent(path, json.dumps({"unit": unit, **asdict(reading)}, indent=1).encode() + b"\n")


def kept(layout: Layout, unit: str) -> Reading | None:
    """How a unit was read; None if that was not kept. Raises ReadingBroken."""
    path = _path(layout, unit)
    try:
        content = json.loads(path.read_bytes())
        if content["unit"] != unit:
            raise ValueError(f"it is the reading of {content['unit']}")
        return Reading(
            tuple(content["columns"]),
            tuple(content["types"]),
            dict(content["parameters"]),
            content["time_unit"],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ReadingBroken(
            f"{path}: not the reading of {unit}: {error!r}; restore it from a backup"
        ) from None


def _path(layout: Layout, unit: str) -> Path:
    name = unit.replace(":", ".").replace("/", ".")
    return layout.receipts.with_name("readings") / f"{name}.json"
