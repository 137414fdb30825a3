"""Airflow forks its tasks from a process that has imported much: what is imported must allow it."""

import subprocess
import sys

import pytest

from lake.settings import PROJECT

NAMES = """
import importlib, sys
from pathlib import Path
importlib.import_module(sys.argv[1])
print(*((task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()))
"""


@pytest.mark.parametrize("module", ["ingestion.land", "lake.build_end", "ticklake.flows"])
def test_an_import_starts_no_threads_of_polars_that_a_fork_would_wait_for(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NAMES, module],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    pool = [name for name in done.stdout.split() if name.removeprefix("polars-").isdigit()]
    assert pool == []
