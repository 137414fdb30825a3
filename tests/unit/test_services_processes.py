"""Children of `ticklake.services.processes`: real processes, started and stopped."""

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from ticklake.services import processes
from ticklake.services.processes import ServiceError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(60)",
]
PARENT = [
    sys.executable,
    "-c",
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
    " process_group=0)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(float(sys.argv[1]))",
]


def _first_line(log: Path) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = log.read_text(encoding="utf-8").splitlines()
        if lines:
            return lines[0]
        time.sleep(0.02)
    raise AssertionError(f"nothing in {log}")


def _is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_started_child_is_found_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    child = processes.start(tmp_path, "napper", SLEEP)
    assert processes.find(tmp_path, "napper") == child
    assert processes.stop(tmp_path, "napper")
    assert processes.find(tmp_path, "napper") is None
    assert _is_gone(child.pid)


def test_starting_what_runs_starts_nothing(tmp_path: Path) -> None:
    first = processes.start(tmp_path, "napper", SLEEP)
    try:
        assert processes.start(tmp_path, "napper", SLEEP) == first
    finally:
        processes.stop(tmp_path, "napper")


def test_stopping_what_does_not_run_is_no_error(tmp_path: Path) -> None:
    assert processes.stop(tmp_path, "nobody") is False


def test_a_child_that_ignores_term_is_killed(tmp_path: Path) -> None:
    child = processes.start(tmp_path, "deaf", DEAF)
    _first_line(child.log)
    processes.stop(tmp_path, "deaf", grace_s=0.3)
    assert _is_gone(child.pid)


def test_a_grandchild_in_its_own_group_is_stopped_too(tmp_path: Path) -> None:
    child = processes.start(tmp_path, "parent", [*PARENT, "60"])
    grandchild = int(_first_line(child.log))
    assert os.getpgid(grandchild) != child.pid
    processes.stop(tmp_path, "parent")
    assert _is_gone(grandchild)


def test_a_grandchild_whose_parent_died_is_stopped_too(tmp_path: Path) -> None:
    child = processes.start(tmp_path, "parent", [*PARENT, "0"])
    grandchild = int(_first_line(child.log))
    while processes.find(tmp_path, "parent"):
        time.sleep(0.02)
    assert not _is_gone(grandchild)
    assert processes.stop(tmp_path, "parent")
    assert _is_gone(grandchild)


def test_a_pidfile_that_now_names_a_stranger_harms_nobody(tmp_path: Path) -> None:
    stranger = processes.start(tmp_path, "stranger", SLEEP)
    facts = {"pid": stranger.pid, "started": stranger.started - 3600, "command": ["old"]}
    (tmp_path / "napper.pid").write_text(json.dumps(facts), encoding="utf-8")
    try:
        assert processes.find(tmp_path, "napper") is None
        assert processes.stop(tmp_path, "napper") is False
        assert not _is_gone(stranger.pid)
    finally:
        processes.stop(tmp_path, "stranger")


@pytest.mark.parametrize("torn", ["", "{", '{"pid": "x"}', "[]"])
def test_a_torn_pidfile_counts_as_none(tmp_path: Path, torn: str) -> None:
    (tmp_path / "napper.pid").write_text(torn, encoding="utf-8")
    assert processes.find(tmp_path, "napper") is None
    assert processes.stop(tmp_path, "napper") is False


def test_output_goes_to_the_log_and_the_log_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        child = processes.start(tmp_path, "talker", [sys.executable, "-c", f"print('{word}')"])
        _first_line(child.log)
        processes.stop(tmp_path, "talker")
    assert (tmp_path / "talker.log").read_text(encoding="utf-8") == "second\n"
    assert (tmp_path / "talker.log.1").read_text(encoding="utf-8") == "first\n"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"napper cannot be started \(no-such-program\)"):
        processes.start(tmp_path, "napper", ["no-such-program"])


def test_memory_is_that_of_the_whole_family(tmp_path: Path) -> None:
    child = processes.start(tmp_path, "parent", [*PARENT, "60"])
    grandchild = int(_first_line(child.log))
    try:
        assert {member.pid for member in processes.members(child)} == {child.pid, grandchild}
        assert processes.memory_mb(child) > 5
    finally:
        processes.stop(tmp_path, "parent")
