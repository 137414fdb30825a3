"""A small lake of bronze alone: batches landed by one writer, and what lies in it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from lake.bronze import BronzeWriter
from lake.layout import Layout, layout
from lake.settings import PROJECT, Settings, load_settings
from tests import bronze_rows
from tests.desk import Desk, trade

UNIT = "kafka:test/0"


class Landed(Desk):
    """Trades in batches of ten, one bad record among them: eleven positions a batch."""

    batches = 0

    def land_batches(self, count: int, hour: int = 13, writer: BronzeWriter | None = None) -> None:
        """Land so many batches of trades at that hour, each by a new writer or all by one."""
        for _ in range(count):
            first = self.batches * 10
            good = [
                trade(n, f"{hour}:{n % 60:02}:00", price=100 + n % 7)
                for n in range(first, first + 10)
            ]
            self.land("trades", [*good, b"{bad"], unit=UNIT, writer=writer)
            self.batches += 1

    @property
    def table(self) -> Path:
        """The bronze table of trades."""
        return self.layout.bronze("trades")

    @property
    def log(self) -> Path:
        """Its log."""
        return self.table / "_delta_log"

    def rows(self) -> Counter[tuple[Any, ...]]:
        """Every row of bronze as it stands, with every column."""
        return rows_of(self.table)

    def files(self) -> list[Path]:
        """The files of the newest version, in the order of their names."""
        return sorted(Path(uri) for uri in DeltaTable(str(self.table)).file_uris())

    def on_disk(self) -> dict[str, int]:
        """Every file below the tables, with its size."""
        return {
            str(path.relative_to(self.root)): path.stat().st_size
            for folder in ("bronze", "ledger", "gold", "published")
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file()
        }

    def maintain_killed_at(self, fault: str) -> bool:
        """Maintain in a process of its own that is killed at a fault point; was it?"""
        script = (
            "from lake.maintenance import maintain; from lake.settings import load_settings; "
            "maintain(load_settings())"
        )
        environment = {**os.environ, "LAKE_URI": str(self.root), "TICKLAKE_FAULT": fault}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=PROJECT, env=environment, check=False
        )
        return done.returncode == -signal.SIGKILL

    def command(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """`ticklake` as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "ticklake.cli", *arguments],
            cwd=PROJECT,
            env={**os.environ, "LAKE_URI": str(self.root), **environment},
            capture_output=True,
            text=True,
            check=False,
        )


def rows_of(table: Path) -> Counter[tuple[Any, ...]]:
    """Every row of a bronze table with every column, however they lie in files."""
    return Counter(
        tuple(sorted((name, str(value)) for name, value in row.items()))
        for row in bronze_rows.rows(table)
    )


def entry(table: Path, version: int) -> Path:
    """The log entry of a version."""
    return table / "_delta_log" / f"{version:020}.json"


def with_settings(desk: Desk, **environment: object) -> Settings:
    """The desk's settings with others."""
    given = {name: str(value) for name, value in environment.items()}
    return load_settings({"LAKE_URI": str(desk.root), **given})


def another_lake(folder: Path) -> Layout:
    """Where the parts of a lake in a folder lie."""
    return layout(load_settings({"LAKE_URI": str(folder)}))


def edit_entry(path: Path, change: Any) -> None:
    """Let `change` alter each action of a log entry."""
    actions = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(action)) + "\n" for action in actions))
