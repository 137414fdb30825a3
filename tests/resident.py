"""`ticklake build --follow`, started and watched by a test."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from lake.layout import layout
from lake.locks import Busy, held
from lake.settings import PROJECT
from tests.desk import Desk
from tests.empty_lake import begin_as_empty

COMMAND = [sys.executable, "-m", "ticklake.cli", "build", "--follow"]
BUILD_S = 300.0  # on a busy machine


class Resident:
    """The process, and what it said of its rounds so far."""

    def __init__(self, desk: Desk, every_s: float) -> None:
        self.rounds: list[dict[str, Any]] = []
        self._desk = desk
        self.process = subprocess.Popen(
            [*COMMAND, "--json", "--every", str(every_s)],
            cwd=PROJECT,
            env={
                **os.environ,
                "LAKE_URI": str(desk.root),
                "TICKLAKE_MODELS": desk.models,
                "COLUMNS": "10000",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.rounds.append(json.loads(line))

    def wait_rounds(self, count: int, seconds: float = BUILD_S) -> list[dict[str, Any]]:
        """The rounds, when there are so many."""
        deadline = time.monotonic() + seconds
        while len(self.rounds) < count:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < deadline, f"{self.rounds} after {seconds} s, not {count}"
            time.sleep(0.05)
        return self.rounds

    def wait_building(self, seconds: float = BUILD_S) -> None:
        """Until a round has begun."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with held(layout(self._desk.settings).lock("build")):
                    pass
            except Busy:
                return
            assert time.monotonic() < deadline, f"no build began within {seconds} s"
            time.sleep(0.01)

    def family(self) -> list[psutil.Process]:
        """The process and all that it started."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def end(self, by: signal.Signals) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(by)
        return self.process.wait(30)


@contextmanager
def resident(desk: Desk, every_s: float = 0.5) -> Iterator[Resident]:
    """A resident builder over a desk's lake; it has done its first round."""
    begin_as_empty(desk.root, parsed_in(desk), desk.models)
    started = Resident(desk, every_s)
    try:
        started.wait_rounds(1)
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def parsed_in(desk: Desk) -> Path:
    """Where builds of `ticklake` keep the parsed project."""
    return desk.settings.local / "dbt" / "target"
