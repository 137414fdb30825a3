"""Publication records: numbered, written once, each naming the version of every table.

The highest number is what readers see.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lake.layout import Layout
from lake.settings import PROJECT


@dataclass(frozen=True)
class Published:
    """What one table or view is in a publication, and which build wrote it last.

    `totals` names how the checksums in its control totals were made; empty where it has none.
    """

    kind: str
    version: int = -1
    sql: str = ""
    build_id: str = ""
    totals: str = ""


@dataclass(frozen=True)
class Record:
    """One publication: the state of every table that readers see.

    `read` is the vector of bronze versions and positions that the build read. `pin` is the newest
    vector that the whole graph was built from: a build of a range or a selection leaves it.
    """

    number: int
    build_id: str
    published_at: str
    revision: str
    read: Mapping[str, Any]
    pin: Mapping[str, Any]
    tables: Mapping[str, Published] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The record as its file holds it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()


def current(layout: Layout) -> Record | None:
    """The newest publication record, None before the first."""
    numbers = [int(p.stem) for p in layout.published.glob("*.json")]
    if not numbers:
        return None
    return load(layout, max(numbers))


def folder_entry(layout: Layout, number: int) -> Path:
    """Where the record of a number lies."""
    return layout.published / f"{number:012}.json"


def load(layout: Layout, number: int) -> Record:
    """A publication record by its number."""
    loaded = json.loads((folder_entry(layout, number)).read_bytes())
    tables = {key: Published(**value) for key, value in loaded.pop("tables").items()}
    return Record(tables=tables, **loaded)


def revision() -> str:
    """The git revision of the code, or TICKLAKE_REVISION where there is no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("TICKLAKE_REVISION", "unknown")
    return done.stdout.strip()
