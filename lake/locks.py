"""Locks between processes of one machine: freed by the system when the holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Busy(RuntimeError):
    """Another process holds the lock; the message says which."""


@contextmanager
def held(path: Path, wait_s: float = 0.0, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file for the length of the block; raises Busy after `wait_s` seconds.

    Those who hold it `shared` keep out whoever wants it alone, not each other. The kernel drops
    the lock when the process ends, however it ends, so none is ever stale.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with path.open("a+") as handle:
        while not _taken(handle, shared):
            if time.monotonic() >= deadline:
                raise Busy(_told(path, handle))
            time.sleep(0.05)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield


def holder(path: Path) -> str | None:
    """Who holds the lock, alone or shared, as a message; None if nobody does, as of this moment."""
    if not path.exists():
        return None
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _told(path, handle)
    return None


def _taken(handle: IO[str], shared: bool) -> bool:
    """Take the lock if it is free. Whoever has it alone starts the list of holders anew."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        handle.truncate(0)
        if shared:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return shared and _shared(handle)
    return True


def _shared(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _told(path: Path, handle: IO[str]) -> str:
    return f"{path.stem} is held by {_holders(handle)}"


def _holders(handle: IO[str]) -> str:
    """Those in the list that live; one that let go and lives on may be among them."""
    handle.seek(0)
    found = sorted({int(line) for line in handle.read().split() if line.isdigit()})
    alive = [str(pid) for pid in found if _lives(pid)]
    if len(alive) == 1:
        return f"process {alive[0]}"
    return f"processes {', '.join(alive)}" if alive else "an unknown process"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but there
    return True
