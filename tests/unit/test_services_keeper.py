"""A component that fails is started again, but not one that never stood."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from ticklake.services.keeper import keep

COUNTING = "import pathlib, sys; f = pathlib.Path(sys.argv[1]); f.write_text(f.read_text() + 'x'); "


def _counter(tmp_path: Path) -> Path:
    path = tmp_path / "starts"
    path.write_text("")
    return path


def _command(path: Path, then: str) -> list[str]:
    return [sys.executable, "-c", COUNTING + then, str(path)]


def test_a_command_that_never_stood_is_not_started_again(tmp_path: Path) -> None:
    path = _counter(tmp_path)
    assert keep(_command(path, "sys.exit(3)")) == 3
    assert path.read_text() == "x"


def test_a_command_that_stood_and_failed_is_started_until_it_ends_well(tmp_path: Path) -> None:
    path = _counter(tmp_path)
    assert keep(_command(path, "sys.exit(3 if len(f.read_text()) < 3 else 0)"), stood_s=0) == 0
    assert path.read_text() == "xxx"


def test_told_to_stop_it_stops_what_it_keeps_and_starts_nothing(tmp_path: Path) -> None:
    path = _counter(tmp_path)
    kept = _command(path, "import time; time.sleep(60)")
    started = subprocess.Popen([sys.executable, "-m", "ticklake.services.keeper", *kept])
    while not path.read_text():
        time.sleep(0.02)
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=10) != 0
    assert path.read_text() == "x"
