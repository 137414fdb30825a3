"""Locks between processes of one machine: freed by the system when the holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(RuntimeError):
    """Another process holds the lock; the message says which."""


@contextmanager
def held(path: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file for the length of the block; raises Busy after `wait_s` seconds.

    The kernel drops the lock when the process ends, however it ends, so none is ever stale.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with path.open("a+") as handle:
        while not _taken(handle.fileno()):
            if time.monotonic() >= deadline:
                handle.seek(0)
                raise Busy(f"{path.stem} is held by process {handle.read().strip() or 'unknown'}")
            time.sleep(0.05)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
