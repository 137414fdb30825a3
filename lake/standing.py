"""What the warehouse stands for after a build of everything, so that the next does only the rest.

Such a build leaves a mark: what the warehouse file looked like, what it was computed by, and the
publication it made. While all of that is as it was, only what is downstream of datasets that
have landed something can differ, and where nothing has landed, nothing can.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lake import pins, records, speed
from lake.layout import Layout, layout
from lake.pins import Pin
from lake.project import code_files
from lake.settings import Settings

_VARIABLES = ("TICKLAKE_MODELS", "TICKLAKE_UNIT_TESTS")


@dataclass(frozen=True)
class Standing:
    """What stands: a publication, made from `built`; and what has landed by now, `found`.

    `parents` are those of every node of dbt's graph, by id; `resting` are the nodes that look the
    same after any build: views and seeds.
    """

    publication: int
    built: Pin
    found: Pin
    parents: Mapping[str, Sequence[str]]
    resting: frozenset[str]

    @property
    def news(self) -> set[str]:
        """Datasets, and tables of the speed layer, in which something has landed since."""
        return {name for name, version in self.found.items() if self.built.get(name) != version}

    def left_out(self) -> set[str]:
        """Ids of the nodes that a build of the news need not run."""
        sources = {name for name in self.parents if name.startswith("source.")}
        moved = {name for name in sources if self._is_news(*name.split(".")[-2:])}
        while True:
            reached = {n for n, ps in self.parents.items() if n not in moved and moved & set(ps)}
            if not reached:
                break
            moved |= reached
        return (set(self.parents) - sources - moved) | self.resting

    def arguments(self) -> list[str]:
        """What dbt is told to run; the artefacts it writes would be those of a part."""
        wanted = set(self.parents) - self.left_out()
        names = [name.split(".")[2] for name in wanted if not name.startswith("source.")]
        return ["--no-write-json", "--select", *sorted(names)]

    def environment(self) -> dict[str, str]:
        """What a build of the news has to know: that what it leaves out stands, up to when."""
        return {
            "TICKLAKE_BUILD_PIN": pins.to_json(self.found),
            "TICKLAKE_BUILD_LEFT_OUT": json.dumps(sorted(self.left_out())),
        }

    def _is_news(self, schema: str, name: str) -> bool:
        if schema == "ledger":
            return bool(self.news)
        if schema == "speed":
            return f"{schema}.{name}" in self.news
        return name.removesuffix("_all").removesuffix("_landed") in self.news - set(speed.TABLES)


def mark(settings: Settings) -> None:
    """Leave the mark. For whoever holds the lock of builds, after a build of everything."""
    where = layout(settings)
    facts = _facts(where)
    left = _left(where)
    is_known = "graph" in left and left.get("code") == facts.get("code")
    graph = left["graph"] if is_known else _graph(settings.local / "dbt/target/manifest.json")
    draft = _path(where).with_suffix(".draft")
    draft.write_text(json.dumps({**facts, "graph": graph}), encoding="utf-8")
    draft.replace(_path(where))


def look(settings: Settings) -> Standing | None:
    """What stands; None where that is not known, and a build has to look at everything."""
    where = layout(settings)
    record = records.current(where)
    left = _left(where)
    if record is None or not left or not where.lakehouse.exists():
        return None
    graph = left.pop("graph", None)
    if graph is None or left != _facts(where):
        return None
    built = {name: facts["version"] for name, facts in record.pin.items()}
    found = pins.versions(where)
    if not built.keys() <= found.keys():
        return None
    return Standing(
        record.number, built, found, graph["parents"], resting=frozenset(graph["resting"])
    )


def _facts(where: Layout) -> dict[str, Any]:
    record = records.current(where)
    if not where.warehouse.exists() or _wal(where).exists():
        return {}  # what a killed build left in the log of the file is not in it yet
    file = where.warehouse.stat()
    return {
        "publication": record.number if record else None,
        "warehouse": [file.st_ino, file.st_size, file.st_mtime_ns],
        "code": _code(),
    }


def _left(where: Layout) -> dict[str, Any]:
    try:
        left: dict[str, Any] = json.loads(_path(where).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return left


def _code() -> str:
    """Digest of all that decides what a build computes and publishes."""
    digest = hashlib.sha256(json.dumps([os.environ.get(v) for v in _VARIABLES]).encode())
    for path in code_files():
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def _graph(manifest: Path) -> dict[str, Any]:
    """What a build has to know of dbt's graph to run a part of it."""
    read = json.loads(manifest.read_text(encoding="utf-8"))
    nodes = {
        name: node
        for name, node in read["nodes"].items()
        if node["resource_type"] in ("model", "test", "seed")
    }
    resting = [
        name
        for name, node in nodes.items()
        if node["resource_type"] == "seed" or node["config"]["materialized"] == "view"
    ]
    parents = {name: node["depends_on"].get("nodes", []) for name, node in nodes.items()}
    return {"parents": {**parents, **dict.fromkeys(read["sources"], ())}, "resting": resting}


def _path(where: Layout) -> Path:
    return where.local / "run" / "standing.json"


def _wal(where: Layout) -> Path:
    return where.warehouse.with_name(f"{where.warehouse.name}.wal")
