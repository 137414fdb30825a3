"""Locks between processes: alone or shared, named when busy, gone with their holder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lake.locks import Busy, held

HOLD = """
import sys
from pathlib import Path
from lake.locks import held
with held(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(lock: Path, how: str) -> Iterator[int]:
    """Another process that holds the lock; yields its id."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.wait(10)


def test_a_lock_that_is_held_alone_keeps_everybody_out_and_names_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "ingest.trades.lock"
    with holder(lock, "alone") as other:
        for shared in (False, True):
            with (
                pytest.raises(Busy, match=rf"^ingest\.trades is held by process {other}$"),
                held(lock, shared=shared),
            ):
                pass
    with held(lock):
        pass


def test_those_who_share_a_lock_keep_out_only_who_wants_it_alone_and_are_all_named(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "ingest.trades.lock"
    with holder(lock, "shared") as first, holder(lock, "shared") as second:
        low, high = sorted((first, second))
        with pytest.raises(Busy, match=f"held by processes {low}, {high}$"), held(lock):
            pass
        with held(lock, shared=True):
            pass


def test_a_holder_that_is_gone_is_not_named_and_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "ingest.trades.lock"
    with holder(lock, "shared") as stays:
        with holder(lock, "shared"):
            pass
        with pytest.raises(Busy, match=f"held by process {stays}$"), held(lock):
            pass
    with held(lock):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_a_lock_that_comes_free_in_time_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "ingest.trades.lock"
    with holder(lock, "alone") as other:
        releasing = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill {other}"])
        with held(lock, wait_s=10, shared=True):
            pass
        releasing.wait()
