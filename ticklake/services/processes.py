"""Long-running children, each in a session of its own: start, look up, stop.

A child leaves `<run>/<name>.pid` (JSON: pid, start time, command) and `<run>/<name>.log`. A pid
is believed only if the process under it started when the file says, so that a file left by a
crash, whose number another program now holds, never makes us signal a stranger.

The unit that is stopped is the session, not the process group: Airflow puts every task into a
process group of its own, and killing the scheduler's group alone leaves the tasks running.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

START_TOLERANCE_S = 2.0
"""How far two readings of one process's start time may lie apart (the clock may be stepped)."""

_handles: dict[int, subprocess.Popen[bytes]] = {}
"""Children of this very process, kept so that they can be reaped when they end."""


class ServiceError(RuntimeError):
    """A service cannot be started, reached or stopped; the message says what to do next."""


@dataclass(frozen=True, slots=True)
class Child:
    """A child that runs. `started` is seconds since the epoch, UTC."""

    name: str
    pid: int
    started: float
    command: tuple[str, ...]
    log: Path


def start(
    run_dir: Path,
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start `command` as the child `name`, or return it if it runs already.

    The log of the run before is kept as `<name>.log.1`. Raises ServiceError when the program
    cannot be executed.
    """
    running = find(run_dir, name)
    if running is not None:
        return running
    stop(run_dir, name)  # what an earlier leader that died may have left behind
    run_dir.mkdir(parents=True, exist_ok=True)
    log = run_dir / f"{name}.log"
    if log.exists():
        log.replace(run_dir / f"{name}.log.1")
    try:
        with log.open("wb") as output:
            handle = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
    except OSError as error:
        raise ServiceError(f"{name} cannot be started ({command[0]}): {error}") from error
    _handles[handle.pid] = handle
    child = Child(name, handle.pid, psutil.Process(handle.pid).create_time(), tuple(command), log)
    _write_pidfile(run_dir, child)
    return child


def find(run_dir: Path, name: str) -> Child | None:
    """The child `name` if its leader runs, else None. A stale or torn pidfile counts as none."""
    child = _read_pidfile(run_dir, name)
    if child is None or not _is_leader_alive(child):
        return None
    return child


def stop(run_dir: Path, name: str, *, grace_s: float = 15.0) -> bool:
    """Stop every process of the child's session: TERM, up to `grace_s` seconds, then KILL.

    Returns whether anything had to be stopped. Raises ServiceError if a process survives.
    """
    child = _read_pidfile(run_dir, name)
    if child is None:
        return False
    family = members(child)
    _signal(family, signal.SIGTERM)
    _wait_gone(family, grace_s)
    left = members(child)  # also what was born after the first look
    _signal(left, signal.SIGKILL)
    survivors = _wait_gone(left, 5.0)
    _reap(child.pid)
    if survivors:
        pids = ", ".join(str(process.pid) for process in survivors)
        raise ServiceError(f"{name} does not stop; processes {pids} survive KILL, see ps")
    _pidfile(run_dir, name).unlink(missing_ok=True)
    return bool(family)


def members(child: Child) -> list[psutil.Process]:
    """Every live process of the child's session and every descendant of its leader.

    Empty when the pid belongs to a stranger by now.
    """
    if psutil.pid_exists(child.pid) and not _is_leader_alive(child, zombie_is_alive=True):
        return []
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            born_in_time = process.create_time() >= child.started - START_TOLERANCE_S
            if os.getsid(process.pid) == child.pid and born_in_time:
                found[process.pid] = process
    with suppress(psutil.Error):
        for process in psutil.Process(child.pid).children(recursive=True):
            found[process.pid] = process
    return [process for process in found.values() if _is_alive(process)]


def memory_mb(child: Child) -> float:
    """Memory of the child's family in MB; shared pages are divided among those who share them."""
    total = 0
    for process in members(child):
        with suppress(psutil.Error):
            info = process.memory_full_info()
            total += getattr(info, "pss", info.uss)
    return total / 1e6


def log_tail(child: Child, lines: int = 15) -> str:
    """The last lines of the child's log, for an error message."""
    with suppress(OSError):
        text = child.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])
    return ""


def _pidfile(run_dir: Path, name: str) -> Path:
    return run_dir / f"{name}.pid"


def _write_pidfile(run_dir: Path, child: Child) -> None:
    facts = {"pid": child.pid, "started": child.started, "command": list(child.command)}
    path = _pidfile(run_dir, child.name)
    draft = path.with_suffix(".pid.new")
    draft.write_text(json.dumps(facts), encoding="utf-8")
    draft.replace(path)


def _read_pidfile(run_dir: Path, name: str) -> Child | None:
    try:
        facts = json.loads(_pidfile(run_dir, name).read_text(encoding="utf-8"))
        command = tuple(str(word) for word in facts["command"])
        pid, started = int(facts["pid"]), float(facts["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Child(name, pid, started, command, run_dir / f"{name}.log")


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _is_leader_alive(child: Child, *, zombie_is_alive: bool = False) -> bool:
    try:
        process = psutil.Process(child.pid)
        started: float = process.create_time()
    except psutil.Error:
        return False
    same = abs(started - child.started) <= START_TOLERANCE_S
    return same and (zombie_is_alive or _is_alive(process))


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _wait_gone(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all are gone (a zombie counts as gone); returns those that are not."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if _is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = [process for process in alive if _is_alive(process)]
    return alive


def _reap(pid: int) -> None:
    """Let the system forget a child of this process that has ended."""
    handle = _handles.get(pid)
    if handle is not None and handle.poll() is not None:
        del _handles[pid]
